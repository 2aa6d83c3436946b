// Every op and attribute, in and out of text, and through the generic form.
// RUN: fovea-opt %s | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt | FileCheck %s

// CHECK-LABEL: graph.func @structure<[B, T]>(
// CHECK-SAME: %{{.*}}: !graph.tensor<[B, T, 8], f32> {graph.input = "x"}
// CHECK-SAME: %{{.*}}: !graph.tensor<[], i64> {graph.input = "past", graph.scalar_symbol = "T"}
// CHECK-SAME: -> (!graph.tensor<[B, T, 8], f32> {graph.output = "y"})
// CHECK-SAME: doc = "Says what it does."
// CHECK-SAME: entry, require_fused
// CHECK-SAME: requirements = [#graph.require<T, "le", 512, "T <= positions", "m.fov:3:4">]
graph.func @structure<[B, T]>(%x: !graph.tensor<[B, T, 8], f32> {graph.input = "x"},
                              %past: !graph.tensor<[], i64> {graph.input = "past", graph.scalar_symbol = "T"})
    -> (!graph.tensor<[B, T, 8], f32> {graph.output = "y"})
    attributes {entry, require_fused, doc = "Says what it does.",
                requirements = [#graph.require<T, "le", 512, "T <= positions", "m.fov:3:4">]} {
  // CHECK: graph.call @whole [B, T](%{{.*}}) {path = "layers.0"} : (!graph.tensor<[B, T, 8], f32>) -> !graph.tensor<[B, T, 8], f32>
  %0 = graph.call @whole[B, T](%x) {path = "layers.0"} : (!graph.tensor<[B, T, 8], f32>) -> !graph.tensor<[B, T, 8], f32>
  graph.return %0 : !graph.tensor<[B, T, 8], f32>
}

// CHECK-LABEL: graph.func private @whole<[N, M]>
// CHECK-SAME: attributes {layer}
graph.func private @whole<[N, M]>(%x: !graph.tensor<[N, M, 8], f32>) -> !graph.tensor<[N, M, 8], f32> attributes {layer} {
  graph.return %x : !graph.tensor<[N, M, 8], f32>
}

// CHECK-LABEL: graph.func @sizes<[A, B]>
// CHECK-SAME: !graph.tensor<[A+B-1, A*B+2*A+B+2, 0, max(A, B), min(A, B), floordiv(A+1, 2), mod(B, 3)], f32>
graph.func @sizes<[A, B]>(%x: !graph.tensor<[B + A - 1, (A + 1) * (B + 2), 1 - 1, max(B, A), min(B, A), floordiv(A+1, 2), mod(B, 3)], f32>) {
  graph.return
}

// CHECK-LABEL: graph.func @types
// CHECK-SAME: !graph.tensor<[], f32>, %{{.*}}: !graph.tensor<[1], f16>, %{{.*}}: !graph.tensor<[1], bf16>, %{{.*}}: !graph.tensor<[1], f64>
// CHECK-SAME: !graph.tensor<[1], i64>, %{{.*}}: !graph.tensor<[1], i32>, %{{.*}}: !graph.tensor<[1], i8>, %{{.*}}: !graph.tensor<[1], i1>
graph.func @types(%0: !graph.tensor<[], f32>, %1: !graph.tensor<[1], f16>, %2: !graph.tensor<[1], bf16>, %3: !graph.tensor<[1], f64>,
                  %4: !graph.tensor<[1], i64>, %5: !graph.tensor<[1], i32>, %6: !graph.tensor<[1], i8>, %7: !graph.tensor<[1], i1>) {
  graph.return
}

// CHECK-LABEL: graph.func @values<[T]>
graph.func @values<[T]>() {
  // CHECK: graph.constant 1.500000e+00 : f32 : <[], f32>
  %0 = graph.constant 1.5 : f32 : !graph.tensor<[], f32>
  // CHECK: graph.constant 0xFF800000 : f32 : <[], f32>
  %1 = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  // CHECK: graph.constant true : <[], i1>
  %2 = graph.constant true : !graph.tensor<[], i1>
  // CHECK: graph.dim <T+1> : <[], i64>
  %3 = graph.dim <1+T> : !graph.tensor<[], i64>
  // CHECK: graph.iota : <[T], i64>
  %4 = graph.iota : !graph.tensor<[T], i64>
  graph.return
}

// CHECK-LABEL: graph.func @unary
graph.func @unary(%x: !graph.tensor<[4], f32>, %b: !graph.tensor<[4], i1>) {
  // CHECK: graph.neg %{{.*}} : <[4], f32>
  %0 = graph.neg %x : !graph.tensor<[4], f32>
  // CHECK: graph.abs
  %1 = graph.abs %x : <[4], f32>
  // CHECK: graph.exp
  %2 = graph.exp %x : <[4], f32>
  // CHECK: graph.log
  %3 = graph.log %x : <[4], f32>
  // CHECK: graph.sqrt
  %4 = graph.sqrt %x : <[4], f32>
  // CHECK: graph.rsqrt
  %5 = graph.rsqrt %x : <[4], f32>
  // CHECK: graph.tanh
  %6 = graph.tanh %x : <[4], f32>
  // CHECK: graph.erf
  %7 = graph.erf %x : <[4], f32>
  // CHECK: graph.sin
  %8 = graph.sin %x : <[4], f32>
  // CHECK: graph.cos
  %9 = graph.cos %x : <[4], f32>
  // CHECK: graph.floor
  %10 = graph.floor %x : <[4], f32>
  // CHECK: graph.ceil
  %11 = graph.ceil %x : <[4], f32>
  // CHECK: graph.sigmoid
  %12 = graph.sigmoid %x : <[4], f32>
  // CHECK: graph.not %{{.*}} : <[4], i1>
  %13 = graph.not %b : <[4], i1>
  graph.return
}

// CHECK-LABEL: graph.func @binary
graph.func @binary(%x: !graph.tensor<[4], f32>, %i: !graph.tensor<[4], i64>, %b: !graph.tensor<[4], i1>) {
  // CHECK: graph.add %{{.*}}, %{{.*}} : <[4], f32>
  %0 = graph.add %x, %x : <[4], f32>
  // CHECK: graph.sub %{{.*}}, %{{.*}} : <[4], i64>
  %1 = graph.sub %i, %i : <[4], i64>
  // CHECK: graph.mul
  %2 = graph.mul %x, %x : <[4], f32>
  // CHECK: graph.div
  %3 = graph.div %x, %x : <[4], f32>
  // CHECK: graph.max
  %4 = graph.max %x, %x : <[4], f32>
  // CHECK: graph.min
  %5 = graph.min %x, %x : <[4], f32>
  // CHECK: graph.pow
  %6 = graph.pow %x, %x : <[4], f32>
  // CHECK: graph.mod
  %7 = graph.mod %i, %i : <[4], i64>
  // CHECK: graph.floordiv
  %8 = graph.floordiv %i, %i : <[4], i64>
  // CHECK: graph.philox
  %14 = graph.philox %i, %i : <[4], i64>
  // CHECK: graph.and
  %9 = graph.and %b, %b : <[4], i1>
  // CHECK: graph.or
  %10 = graph.or %b, %b : <[4], i1>
  // CHECK: graph.compare "lt" %{{.*}}, %{{.*}} : <[4], f32> -> <[4], i1>
  %11 = graph.compare "lt" %x, %x : <[4], f32> -> <[4], i1>
  // CHECK: graph.select %{{.*}}, %{{.*}}, %{{.*}} : <[4], i1>, <[4], f32>
  %12 = graph.select %b, %x, %x : <[4], i1>, <[4], f32>
  // CHECK: graph.cast %{{.*}} : <[4], f32> -> <[4], bf16>
  %13 = graph.cast %x : <[4], f32> -> <[4], bf16>
  graph.return
}

// CHECK-LABEL: graph.func @layouts<[B, T]>
graph.func @layouts<[B, T]>(%x: !graph.tensor<[B, T], f32>, %i: !graph.tensor<[B], i64>, %s: !graph.tensor<[], i64>) {
  // CHECK: graph.broadcast %{{.*}} [1, 2] : <[B, T], f32> -> <[4, B, T], f32>
  %0 = graph.broadcast %x [1, 2] : <[B, T], f32> -> <[4, B, T], f32>
  // CHECK: graph.reshape %{{.*}} : <[B, T], f32> -> <[B*T], f32>
  %1 = graph.reshape %x : <[B, T], f32> -> <[T*B], f32>
  // CHECK: graph.transpose %{{.*}} [1, 0] : <[B, T], f32> -> <[T, B], f32>
  %2 = graph.transpose %x [1, 0] : <[B, T], f32> -> <[T, B], f32>
  // CHECK: graph.slice %{{.*}} {axis = 1 : i64, start = #graph.dim<T-1>, step = -1 : i64} : <[B, T], f32> -> <[B, T], f32>
  %3 = graph.slice %x {axis = 1, start = #graph.dim<T-1>, step = -1} : <[B, T], f32> -> <[B, T], f32>
  // CHECK: graph.slice %{{.*}} at %{{.*}} {axis = 1 : i64} : <[B, T], f32>, !graph.tensor<[], i64> -> <[B, 1], f32>
  %4 = graph.slice %x at %s {axis = 1} : <[B, T], f32>, !graph.tensor<[], i64> -> <[B, 1], f32>
  // CHECK: graph.update_slice %{{.*}}, %{{.*}} at %{{.*}} {axis = 1 : i64} : <[B, T], f32>, <[B, 1], f32>, !graph.tensor<[], i64> -> <[B, T], f32>
  %5 = graph.update_slice %x, %4 at %s {axis = 1} : <[B, T], f32>, <[B, 1], f32>, !graph.tensor<[], i64> -> <[B, T], f32>
  // CHECK: graph.gather %{{.*}} at %{{.*}} [1] : <[B, T], f32>, !graph.tensor<[B], i64> -> <[B, B], f32>
  %6 = graph.gather %x at %i [1] : <[B, T], f32>, !graph.tensor<[B], i64> -> <[B, B], f32>
  // CHECK: graph.gather %{{.*}} at %{{.*}}, %{{.*}} [0, 1] : <[B, T], f32>, !graph.tensor<[B], i64>, !graph.tensor<[B], i64> -> <[B], f32>
  %8 = graph.gather %x at %i, %i [0, 1] : <[B, T], f32>, !graph.tensor<[B], i64>, !graph.tensor<[B], i64> -> <[B], f32>
  // CHECK: graph.scatter %{{.*}}, %{{.*}} at %{{.*}} [1] : <[B, T], f32>, <[B, B], f32>, !graph.tensor<[B], i64> -> <[B, T], f32>
  %9 = graph.scatter %x, %6 at %i [1] : <[B, T], f32>, <[B, B], f32>, !graph.tensor<[B], i64> -> <[B, T], f32>
  // CHECK: graph.concat %{{.*}}, %{{.*}} {axis = 1 : i64} : !graph.tensor<[B, T], f32>, !graph.tensor<[B, 1], f32> -> <[B, T+1], f32>
  %7 = graph.concat %x, %4 {axis = 1} : !graph.tensor<[B, T], f32>, !graph.tensor<[B, 1], f32> -> <[B, T+1], f32>
  graph.return
}

// CHECK-LABEL: graph.func @rows<[T, S, R]>
graph.func @rows<[T, S, R]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[R, 8], f32>, %rows: !graph.tensor<[S], i64>) {
  // CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) key_rows(%{{.*}}) value_rows(%{{.*}}) score
  %y = graph.attention q(%q) k(%x) v(%x) key_rows(%rows) value_rows(%rows) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[R, 8], f32>, !graph.tensor<[R, 8], f32>, !graph.tensor<[S], i64>, !graph.tensor<[S], i64>) -> !graph.tensor<[T, 8], f32>
  graph.return
}

// CHECK-LABEL: graph.func @factor<[T, S]>
graph.func @factor<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %f: !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, 8], f32> {
  %y = graph.attention q(%q) k(%k) v(%k) captures(%f) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %x = graph.at %f[%t, %j] : !graph.tensor<[T, S], f32> -> f32
    // CHECK: graph.yield %{{.*}}, %{{.*}} : f32, f32
    graph.yield %s, %x : f32, f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// CHECK-LABEL: graph.func @piece<[T, P, S]>
graph.func @piece<[T, P, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[P+S, 8], f32>, %near: !graph.tensor<[T, S], f32>, %l: !graph.tensor<[T], f32>) {
  %y = graph.attention q(%q) k(%k) v(%k) captures(%near) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %p = graph.size <P>
    %i = arith.subi %j, %p : index
    %inside = arith.cmpi sge, %j, %p : index
    // CHECK: graph.at %{{.*}}[%{{.*}}, %{{.*}}] if %{{.*}} : <[T, S], f32> -> f32
    %x = graph.at %near[%t, %i] if %inside : <[T, S], f32> -> f32
    %z = arith.addf %s, %x : f32
    graph.yield %z : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, 8], f32>
  %0:4 = graph.attention_backward q(%q) k(%k) v(%k) captures(%near) lse(%l) delta(%l) gradient(%q) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    %p = graph.size <P>
    %i = arith.subi %j, %p : index
    %inside = arith.cmpi sge, %j, %p : index
    // CHECK: graph.yield %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : f32, f32, i1, index, index
    graph.yield %d, %d, %inside, %t, %i : f32, f32, i1, index, index
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[T, S], f32>)
  graph.return
}

// CHECK-LABEL: graph.func @sums<[B, T]>
graph.func @sums<[B, T]>(%x: !graph.tensor<[B, T, 8], f32>, %w: !graph.tensor<[24, 8], f32>) {
  // CHECK: graph.contract %{{.*}} [0, 1, 2], %{{.*}} [3, 2] -> [0, 1, 3] : <[B, T, 8], f32>, <[24, 8], f32> -> <[B, T, 24], f32>
  %0 = graph.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : <[B, T, 8], f32>, <[24, 8], f32> -> <[B, T, 24], f32>
  // CHECK: graph.pack %{{.*}} {panel = 16 : i64} : <[8, 24], f32> -> <[2, 8, 16], f32>
  %t = graph.transpose %w [1, 0] : <[24, 8], f32> -> <[8, 24], f32>
  %p = graph.pack %t {panel = 16} : <[8, 24], f32> -> <[2, 8, 16], f32>
  // CHECK: graph.contract %{{.*}} [0, 1, 2], %{{.*}} [2, 3] -> [0, 1, 3] {packed} : <[B, T, 8], f32>, <[2, 8, 16], f32> -> <[B, T, 24], f32>
  %1 = graph.contract %x [0, 1, 2], %p [2, 3] -> [0, 1, 3] {packed} : <[B, T, 8], f32>, <[2, 8, 16], f32> -> <[B, T, 24], f32>
  // CHECK: graph.pack %{{.*}} {k_block = 4 : i64, panel = 16 : i64} : <[8, 24], i8> -> <[2, 2, 64], i8>
  %bytes = graph.cast %t : <[8, 24], f32> -> <[8, 24], i8>
  %quads = graph.pack %bytes {k_block = 4, panel = 16} : <[8, 24], i8> -> <[2, 2, 64], i8>
  %xBytes = graph.cast %x : <[B, T, 8], f32> -> <[B, T, 8], i8>
  // CHECK: graph.contract %{{.*}} [0, 1, 2], %{{.*}} [2, 3] -> [0, 1, 3] {k_block = 4 : i64, packed} : <[B, T, 8], i8>, <[2, 2, 64], i8> -> <[B, T, 24], i32>
  %dots = graph.contract %xBytes [0, 1, 2], %quads [2, 3] -> [0, 1, 3] {k_block = 4, packed} : <[B, T, 8], i8>, <[2, 2, 64], i8> -> <[B, T, 24], i32>
  // CHECK: graph.reduce "max" %{{.*}} [0, 2] : <[B, T, 8], f32> -> <[T], f32>
  %2 = graph.reduce "max" %x [0, 2] : <[B, T, 8], f32> -> <[T], f32>
  // CHECK: graph.softmax %{{.*}} sink %{{.*}} {axis = 1 : i64} : <[B, T, 8], f32>, !graph.tensor<[B, 8], f32>
  %sink = graph.reduce "max" %x [1] : <[B, T, 8], f32> -> <[B, 8], f32>
  %sunk = graph.softmax %x sink %sink {axis = 1} : <[B, T, 8], f32>, !graph.tensor<[B, 8], f32>
  // CHECK: graph.logsumexp %{{.*}} {axis = 0 : i64} : <[B, T, 8], f32> -> <[T, 8], f32>
  %lse = graph.logsumexp %x {axis = 0} : <[B, T, 8], f32> -> <[T, 8], f32>
  // CHECK: graph.argmax %{{.*}} {axis = 2 : i64} : <[B, T, 8], f32> -> <[B, T], i64>
  %3 = graph.argmax %x {axis = 2} : <[B, T, 8], f32> -> <[B, T], i64>
  // CHECK: graph.top_k %{{.*}} : <[B, T, 8], f32> -> <[B, T, 3], f32>, <[B, T, 3], i64>
  %largest, %places = graph.top_k %x : <[B, T, 8], f32> -> <[B, T, 3], f32>, <[B, T, 3], i64>
  // CHECK: graph.softmax %{{.*}} {axis = 2 : i64} : <[B, T, 8], f32>
  %4 = graph.softmax %x {axis = 2} : <[B, T, 8], f32>
  graph.return
}

// CHECK-LABEL: graph.func @relative
graph.func @relative<[B, T, S, R]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %r: !graph.tensor<[8, R], f32>) -> !graph.tensor<[B, T, 8], f32> {
  %y = graph.attention q(%q) k(%k) v(%k) captures(%q, %r) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    %i = arith.subi %t, %j : index
    // CHECK: graph.dot %{{.*}}[%{{.*}}, %{{.*}}] by 2, %{{.*}}[%{{.*}}] by 0 : <[B, T, 8], f32>, <[8, R], f32>
    %d = graph.dot %q[%b, %t] by 2, %r[%i] by 0 : <[B, T, 8], f32>, <[8, R], f32>
    %x = arith.addf %s, %d : f32
    graph.yield %x : f32
  } mask {
  } : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[8, R], f32>) -> !graph.tensor<[B, T, 8], f32>
  graph.return %y : !graph.tensor<[B, T, 8], f32>
}

// CHECK-LABEL: graph.func @attention<[B, T, S]>
graph.func @attention<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %v: !graph.tensor<[B, S, 4], f32>,
                                 %bias: !graph.tensor<[T, S], f32>, %sinks: !graph.tensor<[B], f32>) {
  // CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) captures(%{{.*}}) sinks(%{{.*}}) score {
  // CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
  // CHECK: graph.at %{{.*}}[%{{.*}}, %{{.*}}] : <[T, S], f32> -> f32
  // CHECK: graph.yield %{{.*}} : f32
  // CHECK: } mask {
  // CHECK: graph.size <S-T>
  // CHECK: graph.yield %{{.*}} : i1
  // CHECK: } : (!graph.tensor<[B, T, 8], f32>, {{.*}}) -> (!graph.tensor<[B, T, 4], f32>, !graph.tensor<[B, T], f32>)
  %y, %lse = graph.attention q(%q) k(%k) v(%v) captures(%bias) sinks(%sinks) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    %x = graph.at %bias[%t, %j] : !graph.tensor<[T, S], f32> -> f32
    %r = arith.addf %s, %x : f32
    graph.yield %r : f32
  } mask {
  ^bb0(%b: index, %t: index, %j: index):
    %offset = graph.size <S-T>
    %last = arith.addi %t, %offset : index
    %seen = arith.cmpi sle, %j, %last : index
    graph.yield %seen : i1
  } : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 4], f32>, !graph.tensor<[T, S], f32>,
       !graph.tensor<[B], f32>) -> (!graph.tensor<[B, T, 4], f32>, !graph.tensor<[B, T], f32>)
  // CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) joined(%{{.*}}, %{{.*}} by %{{.*}}, %{{.*}}) v(%{{.*}}) score {
  %joined = graph.attention q(%q) k(%k) joined(%q, %q by %k, %k) v(%v) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, 8], f32>,
               !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 4], f32>) -> !graph.tensor<[B, T, 4], f32>
  // CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) joined(%{{.*}} by %{{.*}}) v(%{{.*}}) score {
  // CHECK: f32>, !graph.tensor<[B, S, 8], bf16>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f16>, !graph.tensor<[B, S, 4], bf16>) -> !graph.tensor<[B, T, 4], f16>
  %k16 = graph.cast %k : <[B, S, 8], f32> -> <[B, S, 8], bf16>
  %f16 = graph.cast %k : <[B, S, 8], f32> -> <[B, S, 8], f16>
  %v16 = graph.cast %v : <[B, S, 4], f32> -> <[B, S, 4], bf16>
  %mixed = graph.attention q(%q) k(%k16) joined(%q by %f16) v(%v16) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], bf16>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f16>,
               !graph.tensor<[B, S, 4], bf16>) -> !graph.tensor<[B, T, 4], f16>
  // CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) score {
  // CHECK: mask {
  // CHECK-NEXT: } {normalizer = "pointwise"}
  %p = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "pointwise"} : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 4], f32>)
    -> !graph.tensor<[B, T, 4], f32>
  // CHECK: {normalizer = "top_k"} : {{.*}} -> (!graph.tensor<[B, T, 3], f32>, !graph.tensor<[B, T, 3], i64>)
  %none = graph.slice %v {axis = 2, start = #graph.dim<0>} : <[B, S, 4], f32> -> <[B, S, 0], f32>
  %scores, %keys = graph.attention q(%q) k(%k) v(%none) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "top_k"} : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 0], f32>)
    -> (!graph.tensor<[B, T, 3], f32>, !graph.tensor<[B, T, 3], i64>)
  graph.return
}

// CHECK-LABEL: graph.func @linear_attention<[B, S]>
graph.func @linear_attention<[B, S]>(%q: !graph.tensor<[B, S, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %v: !graph.tensor<[B, S, 4], f32>,
    %c: !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S, 4], f32> {
  // CHECK: graph.linear_attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) captures(%{{.*}}) queries {
  // CHECK-NEXT: } keys {
  // CHECK-NEXT: ^bb0(%{{.*}}: index, %{{.*}}: index):
  // CHECK: } decay {
  // CHECK-NEXT: ^bb0(%{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
  %y = graph.linear_attention q(%q) k(%k) v(%v) captures(%c) queries {} keys {
  ^bb0(%b: index, %j: index):
    %x = graph.at %c[%b, %j] : !graph.tensor<[B, S], f32> -> f32
    graph.yield %x : f32
  } decay {
  ^bb0(%b: index, %t: index, %j: index):
    %x = graph.at %c[%b, %t] : !graph.tensor<[B, S], f32> -> f32
    %z = graph.at %c[%b, %j] : !graph.tensor<[B, S], f32> -> f32
    %d = arith.subf %x, %z : f32
    %w = math.exp %d : f32
    graph.yield %w : f32
  } : (!graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 4], f32>, !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S, 4], f32>
  graph.return %y : !graph.tensor<[B, S, 4], f32>
}

// CHECK-LABEL: graph.func @group<[T]>
graph.func @group<[T]>(%x: !graph.tensor<[T], f32>) -> !graph.tensor<[T], f32> {
  // CHECK: graph.group "map"(%{{.*}}) {
  // CHECK: ^bb0(%{{.*}}: !graph.tensor<[T], f32>):
  // CHECK: graph.yield %{{.*}} : !graph.tensor<[T], f32>
  // CHECK: } : (!graph.tensor<[T], f32>) -> !graph.tensor<[T], f32>
  %0 = graph.group "map"(%x) {
  ^bb0(%a: !graph.tensor<[T], f32>):
    %1 = graph.exp %a : <[T], f32>
    graph.yield %1 : !graph.tensor<[T], f32>
  } : (!graph.tensor<[T], f32>) -> !graph.tensor<[T], f32>
  graph.return %0 : !graph.tensor<[T], f32>
}

// CHECK-LABEL: graph.func @attention_backward<[B, T, S]>
graph.func @attention_backward<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %a: !graph.tensor<[B, T, 2], f32>, %b: !graph.tensor<[B, S, 2], f32>,
    %v: !graph.tensor<[B, S, 4], f32>, %c: !graph.tensor<[T, S], f32>, %l: !graph.tensor<[B, T], f32>, %g: !graph.tensor<[B, T, 4], f32>) -> !graph.tensor<[T, S], f32> {
  // CHECK: %{{.*}}:6 = graph.attention_backward q(%{{.*}}) k(%{{.*}}) joined(%{{.*}} by %{{.*}}) v(%{{.*}}) captures(%{{.*}}) lse(%{{.*}}) delta(%{{.*}}) gradient(%{{.*}}) score {
  // CHECK: } mask {
  // CHECK-NEXT: } adjoint {
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: index, %[[T:.*]]: index, %[[J:.*]]: index, %[[G:.*]]: f32):
  // CHECK-NEXT: graph.yield %[[G]], %[[G]], %[[T]], %[[J]] : f32, f32, index, index
  %0:6 = graph.attention_backward q(%q) k(%k) joined(%a by %b) v(%v) captures(%c) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %n: index, %t: index, %j: index):
    %x = graph.at %c[%t, %j] : <[T, S], f32> -> f32
    %y = arith.addf %s, %x : f32
    graph.yield %y : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %n: index, %t: index, %j: index, %d: f32):
    graph.yield %d, %d, %t, %j : f32, f32, index, index
  } : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, T, 2], f32>, !graph.tensor<[B, S, 2], f32>, !graph.tensor<[B, S, 4], f32>, !graph.tensor<[T, S], f32>,
       !graph.tensor<[B, T], f32>, !graph.tensor<[B, T], f32>, !graph.tensor<[B, T, 4], f32>)
    -> (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, T, 2], f32>, !graph.tensor<[B, S, 2], f32>, !graph.tensor<[B, S, 4], f32>, !graph.tensor<[T, S], f32>)
  graph.return %0#5 : !graph.tensor<[T, S], f32>
}

// CHECK-LABEL: graph.func @variable
graph.func @variable(%x: !graph.tensor<[4], f32>) -> !graph.tensor<[4], f32> {
  // CHECK: graph.variable 3 %{{.*}} : <[4], f32>
  %y = graph.variable 3 %x : <[4], f32>
  graph.return %y : !graph.tensor<[4], f32>
}
