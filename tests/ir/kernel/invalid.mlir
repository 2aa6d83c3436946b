// A case for each numbered constraint of KernelOps.td.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

// kernel.func C1
// expected-error @below {{holds 0 schedule ops instead of one (C1)}}
kernel.func @no_schedule(%n: index) {
  kernel.return
}

// -----

// kernel.func C1
// expected-error @below {{holds 2 schedule ops instead of one (C1)}}
kernel.func @two_schedules(%n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.func C1
kernel.func @call_before(%n: index) {
  // expected-error @below {{is neither index arithmetic nor a schedule op (C1 of kernel.func)}}
  func.call @other() : () -> ()
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.return
}
func.func private @other()

// -----

// kernel.func C2
// expected-error @below {{has no results (C2)}}
kernel.func @result(%n: index) -> index {
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.launch C1
func.func @unknown(%n: index) {
  // expected-error @below {{there is no kernel.func @missing (C1)}}
  kernel.launch @missing(%n) : index
  return
}

// -----

// kernel.launch C2
kernel.func @k(%n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.return
}
func.func @types(%n: f32) {
  // expected-error @below {{operand types differ from the arguments of @k (C2)}}
  kernel.launch @k(%n) : f32
  return
}

// -----

// kernel.map C1
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  // expected-error @below {{the block has one index argument a size (C1)}}
  kernel.map in (%n, %n) {
  ^bb0(%i: index):
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.map C5
kernel.func @f(%n: index) {
  // expected-error@+1 {{ordered_from is an axis, and nothing is reduced with it (C5)}}
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield
  } {ordered_from = 1 : i64}
  kernel.return
}

// -----

// kernel.map C2
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  // expected-error @below {{ends with kernel.yield without operands (C2)}}
  kernel.map in (%n) {
  ^bb0(%i: index):
    kernel.yield %i : index
  }
  kernel.return
}

// -----

// kernel.map C3
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    %s = kernel.reduce "sum" %a over [0] : f32
    // expected-error @below {{all reductions of a map have the same axes (C3 of kernel.map)}}
    %t = kernel.reduce "sum" %a over [1] : f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.map C3
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    // expected-error @below {{axes are ascending and in range (C3 of kernel.map)}}
    %s = kernel.reduce "sum" %a over [1] : f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.map C4
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    // expected-error @below {{cannot stand in this point program (C4 of kernel.map)}}
    %a = memref.load %x[%i] : memref<?xf32>
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.matmul C1
kernel.func @element(%a: memref<?x?xf32>, %b: memref<?x?xf16>, %n: index) {
  // expected-error @below {{operands have one float element type, or packed ones bf16 or i8 beside f32 (C1)}}
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.yield
  } : memref<?x?xf32>, memref<?x?xf16>
  kernel.return
}

// -----

// kernel.matmul C1
kernel.func @rank(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %n: index) {
  // expected-error @below {{lhs is [b..., M, K], rhs [b..., K, N] or packed [P, K, panel] (C1)}}
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.yield
  } : memref<?x?xf32>, memref<?x?xf32>
  kernel.return
}

// -----

// kernel.matmul C5
kernel.func @hidden(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %n: index) {
  // expected-error @below {{elements are hidden of one operand, which is not packed (C6)}}
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.yield
  } {hidden_lhs, hidden_rhs} : memref<?x?xf32>, memref<?x?xf32>
  kernel.return
}

// -----

// kernel.matmul C2
kernel.func @block(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %n: index) {
  // expected-error @below {{the epilogue takes (f32 or i32, b..., m, n) (C2)}}
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index):
    kernel.yield
  } : memref<?x?xf32>, memref<?x?xf32>
  kernel.return
}

// -----

// kernel.matmul C3
kernel.func @yield(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %n: index) {
  // expected-error @below {{the epilogue ends with kernel.yield without operands (C3)}}
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.yield %acc : f32
  } : memref<?x?xf32>, memref<?x?xf32>
  kernel.return
}

// -----

// kernel.matmul C4
kernel.func @reduce(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %n: index) {
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    // expected-error @below {{cannot stand in this point program (C4 of kernel.matmul)}}
    %s = kernel.reduce "sum" %acc over [1] : f32
    kernel.yield
  } : memref<?x?xf32>, memref<?x?xf32>
  kernel.return
}

// -----

// kernel.matmul C5: types
kernel.func @blocks(%a: memref<?x?xf32>, %b: memref<?x?x64xi8>, %n: index) {
  // expected-error @below {{with a k_block operands are packed, both bf16 or both i8, and lhs's columns adjacent (C5)}}
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: i32, %m: index, %j: index):
    kernel.yield
  } {k_block = 4 : i64} : memref<?x?xf32>, memref<?x?x64xi8>
  kernel.return
}

// -----

// kernel.matmul C5: strides
kernel.func @strided(%a: memref<?x?xi8, strided<[1, ?]>>, %b: memref<?x?x64xi8>, %n: index) {
  // expected-error @below {{with a k_block operands are packed, both bf16 or both i8, and lhs's columns adjacent (C5)}}
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: i32, %m: index, %j: index):
    kernel.yield
  } {k_block = 4 : i64} : memref<?x?xi8, strided<[1, ?]>>, memref<?x?x64xi8>
  kernel.return
}

// -----

// kernel.matmul C2: exact sums
kernel.func @sums(%a: memref<?x?xi8>, %b: memref<?x?x64xi8>, %n: index) {
  // expected-error @below {{the epilogue takes (f32 or i32, b..., m, n) (C2)}}
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.yield
  } {k_block = 4 : i64} : memref<?x?xi8>, memref<?x?x64xi8>
  kernel.return
}

// -----

// kernel.attention C1
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{ranks of q, k, v, out, lse and sinks agree (C1)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) sinks(%l) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {

  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> sinks memref<?xf32>
  kernel.return
}

// -----

// kernel.attention C1
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{operands have float elements, lse f32, indices i64 (C1)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) lse(%w) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {

  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf16>
  kernel.return
}

// -----

// kernel.attention C1
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %a: memref<8xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // expected-error@+1 {{joined queries and keys are pairs of q's rank (C1)}}
  kernel.attention q(%q) k(%k) joined(%a : memref<8xf32> by %a : memref<8xf32>) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.dot C1
kernel.func @dot(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %r: memref<?x64xf32>, %y: memref<?x64xf32>) {
  kernel.attention q(%q) k(%k) v(%k) out(%y) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %i = arith.subi %t, %j : index
    // expected-error @below {{an index for each axis but the last, float elements (C1)}}
    %x = kernel.dot %q[%t, %t], %r[%i] : memref<?x64xf32>, memref<?x64xf32>
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.dot C2
kernel.func @dot(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %r: memref<?x64xf32>, %y: memref<?x64xf32>) {
  kernel.attention q(%q) k(%k) v(%k) out(%y) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %i = arith.subi %t, %j : index
    // expected-error @below {{the last index of a is the query or the key (C2)}}
    %x = kernel.dot %q[%i], %r[%i] : memref<?x64xf32>, memref<?x64xf32>
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.dot C3
kernel.func @dot(%a: memref<?x64xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    // expected-error @below {{stands in the score region of kernel.attention (C3)}}
    %x = kernel.dot %a[%i], %a[%i] : memref<?x64xf32>, memref<?x64xf32>
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.attention C2: a factor without a softmax
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // expected-error @below {{and with softmax perhaps a factor (C2)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x, %x : f32, f32
  } mask {

  } {normalizer = "pointwise"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention C2
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{the score region is (f32, b..., t, j) -> f32, and with softmax perhaps a factor (C2)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index):
    kernel.yield %x : f32
  } mask {

  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention C3
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{the mask region is (b..., t, j) -> i1, or empty (C3)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  ^bb0(%t: index, %j: index):
    kernel.yield %t : index
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention C4
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{the normalizer is "softmax", "pointwise" or "top_k" (C4)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {

  } {normalizer = "sum"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention C5
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  // expected-error @below {{sinks and lse belong to softmax, indices to top_k (C5)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) lse(%l) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {

  } {normalizer = "pointwise"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32>
  kernel.return
}

// -----

// kernel.attention C6
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %l: memref<?xf32>, %w: memref<?xf16>, %s: memref<f32>) {
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    // expected-error @below {{cannot stand in this point program (C6 of kernel.attention)}}
    kernel.store %x, %l[%t] : f32, memref<?xf32>
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention C7
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %r: memref<?xi32>) {
  // expected-error @below {{rows are i64 [b..., S] (C7)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) key_rows(%r) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> key_rows memref<?xi32>
  kernel.return
}

// -----

// kernel.attention C8
kernel.func @attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // expected-error @below {{keys in pieces are not joined (C8)}}
  kernel.attention q(%q) k(%k) joined(%q : memref<?x64xf32> by %k : memref<?x64xf32>) v(%v) out(%y) more_keys(%k : memref<?x64xf32>) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.linear_attention C1: ranks
kernel.func @linear(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %i: memref<?xi32>, %n: memref<64xf32>) {
  // expected-error @below {{ranks of q, k, v and out agree (C1)}}
  kernel.linear_attention q(%q) k(%k) v(%v) out(%n) chunk 64 queries {} keys {} decay {} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<64xf32>
  kernel.return
}

// -----

// kernel.linear_attention C2
kernel.func @linear(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %i: memref<?xi32>, %n: memref<64xf32>) {
  // expected-error @below {{regions are (b..., t), (b..., j) and (b..., t, j) -> f32, or empty (C2)}}
  kernel.linear_attention q(%q) k(%k) v(%v) out(%y) chunk 64 queries {
  ^bb0(%t: index, %j: index):
    %one = arith.constant 1.0 : f32
    kernel.yield %one : f32
  } keys {} decay {} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.linear_attention C3
kernel.func @linear(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %i: memref<?xi32>, %n: memref<64xf32>) {
  kernel.linear_attention q(%q) k(%k) v(%v) out(%y) chunk 64 queries {
  ^bb0(%t: index):
    %one = arith.constant 1.0 : f32
    // expected-error @below {{cannot stand in this point program (C3 of kernel.linear_attention)}}
    kernel.store %one, %n[%t] : f32, memref<64xf32>
    kernel.yield %one : f32
  } keys {} decay {} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.linear_attention C4
kernel.func @linear(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>, %i: memref<?xi32>, %n: memref<64xf32>) {
  // expected-error @below {{`chunk` is a positive multiple of 64 (C4)}}
  kernel.linear_attention q(%q) k(%k) v(%v) out(%y) chunk 96 queries {} keys {} decay {} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.load C1
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    // expected-error @below {{has 2 indices for a memref of rank 1 (C1)}}
    %a = kernel.load %x[%i, %i] : memref<?xf32> -> f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.load C2
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    // expected-error @below {{accesses 'f32' as 'i1' (C2)}}
    %a = kernel.load %x[%i] : memref<?xf32> -> i1
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.store C3
kernel.func @store(%x: memref<?xf32>, %n: index) {
  kernel.map in(%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    // expected-error @below {{adds f32, in a map with ordered_from (C3)}}
    kernel.store %a, %x[%i] {adds} : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.store C1
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = arith.constant 0.0 : f32
    // expected-error @below {{has 0 indices for a memref of rank 1 (C1)}}
    kernel.store %a, %x[] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.store C2
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = arith.constant 0.0 : f32
    // expected-error @below {{accesses 'i8' as 'f32' (C2)}}
    kernel.store %a, %b[%i] : f32, memref<?xi8>
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.reduce C1
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    // expected-error @below {{unknown kind "mean" (C1)}}
    %s = kernel.reduce "mean" %a over [0] : f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.reduce C2
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    // expected-error @below {{any does not take 'f32' (C2)}}
    %s = kernel.reduce "any" %a over [0] : f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.reduce C2
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %b[%i] : memref<?xi8> -> i1
    // expected-error @below {{sum does not take 'i1' (C2)}}
    %s = kernel.reduce "sum" %a over [0] : i1
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.reduce C3
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    // expected-error @below {{argmax has one axis (C3)}}
    %s = kernel.reduce "argmax" %a over [0, 1] : f32
    kernel.yield
  }
  kernel.return
}

// -----

// kernel.check C1
kernel.func @k(%x: memref<?xf32>, %b: memref<?xi8>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    // expected-error @below {{code is positive (C1)}}
    kernel.check 0 %i in [%i, %n) at "m.fov:1:1"
    kernel.yield
  }
  kernel.return
}
// -----

// kernel.reduce C4
func.func @reduce(%x: f32) {
  // expected-error @below {{stands in a kernel.map (C4)}}
  %s = kernel.reduce "sum" %x over [0] : f32
  return
}

// -----

// kernel.dump C1
func.func @dump_layout(%x: memref<8x4xf32, strided<[8, 1], offset: 2>>, %y: memref<8xf32, affine_map<(d0) -> (d0 mod 4)>>) {
  kernel.dump %x, "a" of f32 : memref<8x4xf32, strided<[8, 1], offset: 2>>
  // expected-error @below {{has a value whose layout is no offset and strides (C1)}}
  kernel.dump %y, "b" of f32 : memref<8xf32, affine_map<(d0) -> (d0 mod 4)>>
  return
}

// -----

// kernel.dump C2
func.func @dump_bool(%x: memref<4xi8>, %y: memref<4xf32>) {
  kernel.dump %x, "a" of i1 : memref<4xi8>
  // expected-error @below {{has elements 'f32' for values of 'i1' (C2)}}
  kernel.dump %y, "b" of i1 : memref<4xf32>
  return
}

// -----

// kernel.top_k C1
kernel.func @k(%x: memref<?x?xf32>, %v: memref<?xf32>, %i: memref<?xi64>) {
  // expected-error @below {{x, values and indices have one rank, at least 1 (C1)}}
  kernel.top_k %x values(%v) indices(%i) : memref<?x?xf32>, memref<?xf32>, memref<?xi64>
  kernel.return
}

// -----

// kernel.top_k C2
kernel.func @k(%x: memref<?xf32>, %v: memref<?xf32>, %i: memref<?xi32>) {
  // expected-error @below {{x and values have one element type, indices i64 (C2)}}
  kernel.top_k %x values(%v) indices(%i) : memref<?xf32>, memref<?xf32>, memref<?xi32>
  kernel.return
}

// -----

// kernel.attention C1, top_k
kernel.func @k(%q: memref<?x8xf32>, %k: memref<?x8xf32>, %v: memref<?x0xf32>, %y: memref<?x4xf32>, %i: memref<?x4xf32>) {
  // expected-error @below {{operands have float elements, lse f32, indices i64 (C1)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) lse(%i) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } {normalizer = "top_k"} : memref<?x8xf32>, memref<?x8xf32>, memref<?x0xf32>, memref<?x4xf32> lse memref<?x4xf32>
  kernel.return
}

// -----

// kernel.attention C5, top_k
kernel.func @k(%q: memref<?x8xf32>, %k: memref<?x8xf32>, %v: memref<?x0xf32>, %y: memref<?x4xf32>, %i: memref<?x4xi64>) {
  // expected-error @below {{sinks and lse belong to softmax, indices to top_k (C5)}}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } {normalizer = "top_k"} : memref<?x8xf32>, memref<?x8xf32>, memref<?x0xf32>, memref<?x4xf32>
  kernel.return
}

// -----

// kernel.attention_backward C1: results
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{joined queries and keys are pairs, and each operand has its gradient (C1)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C1: sums
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{sums are f32 (C1)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv, %h) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d, %d, %t, %j : f32, f32, index, index
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf16>
  kernel.return
}

// -----

// kernel.attention_backward C4: what reaches the factor as well
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>) {
  // expected-error @below {{the adjoint region is}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s, %s : f32, f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C2
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{the score region is (f32, b..., t, j) -> f32, and with softmax perhaps a factor (C2)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %t : index
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C3
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{the mask region is (b..., t, j) -> i1, or empty (C3)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  ^bb0(%t: index, %j: index):
    kernel.yield %t : index
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C4
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{the adjoint region is (f32, b..., t, j, f32) -> f32, and each sum's number, perhaps i1, and indices (C4)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv, %dq) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C5
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{lse and delta are f32 [b..., T] with softmax, and only there (C5)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "pointwise"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C5: normalizer
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  // expected-error @below {{the normalizer is "softmax" or "pointwise" (C5)}}
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "top_k"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// -----

// kernel.attention_backward C6
kernel.func @backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %h: memref<?x64xf16>) {
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error @below {{cannot stand in this point program (C6 of kernel.attention_backward)}}
    kernel.store %s, %l[%t] : f32, memref<?xf32>
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d : f32
  } {normalizer = "softmax"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}
