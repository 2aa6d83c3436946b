// Every op of the kernel dialect survives printing and parsing.
// RUN: fovea-opt %s | fovea-opt | FileCheck %s

// CHECK-LABEL: kernel.func @layer_norm(
// CHECK-SAME: memref<?x?xf32, strided<[?, 1]>>
// CHECK-SAME: attributes {place = "m.fov:1:2"}
kernel.func @layer_norm(%x: memref<?x?xf32, strided<[?, 1]>>, %y: memref<?x?xf32>, %m: index) attributes {place = "m.fov:1:2"} {
  %c1 = arith.constant 1 : index
  // CHECK: memref.dim
  %n = memref.dim %y, %c1 : memref<?x?xf32>
  // CHECK: kernel.map in(%{{.*}}, %{{.*}}) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    // CHECK: kernel.load %{{.*}}[%{{.*}}, %{{.*}}] : memref<?x?xf32, strided<[?, 1]>> -> f32
    %a = kernel.load %x[%i, %j] : memref<?x?xf32, strided<[?, 1]>> -> f32
    // CHECK: kernel.reduce "sum" %{{.*}} over [1] : f32
    %s = kernel.reduce "sum" %a over [1] : f32
    // CHECK: kernel.reduce "argmax" %{{.*}} over [1] : f32
    %k = kernel.reduce "argmax" %a over [1] : f32
    // The result of argmax is an i64.
    // CHECK: arith.trunci %{{.*}} : i64 to i32
    %k32 = arith.trunci %k : i64 to i32
    %d = arith.subf %a, %s : f32
    // CHECK: kernel.store %{{.*}}, %{{.*}}[%{{.*}}, %{{.*}}] : f32, memref<?x?xf32>
    kernel.store %d, %y[%i, %j] : f32, memref<?x?xf32>
    // CHECK: kernel.yield
    kernel.yield
  }
  // CHECK: kernel.return
  kernel.return
}

// CHECK-LABEL: kernel.func @gather(
kernel.func @gather(%w: memref<?xf16>, %ids: memref<?xi64>, %m: memref<?xi8>, %y: memref<?xf16>, %v: index, %n: index) {
  %c0 = arith.constant 0 : index
  kernel.map in (%n) {
  ^bb0(%i: index):
    // An i8 read as a bool.
    // CHECK: kernel.load %{{.*}}[%{{.*}}] : memref<?xi8> -> i1
    %p = kernel.load %m[%i] : memref<?xi8> -> i1
    %id = kernel.load %ids[%i] : memref<?xi64> -> i64
    %r = arith.index_cast %id : i64 to index
    // CHECK: kernel.check 1 %{{.*}} in[%{{.*}}, %{{.*}}) if %{{.*}} at "m.fov:3:4"
    kernel.check 1 %r in [%c0, %v) if %p at "m.fov:3:4"
    // CHECK: kernel.check 2 %{{.*}} in[%{{.*}}, %{{.*}}) at "m.fov:5:6"
    kernel.check 2 %r in [%c0, %v) at "m.fov:5:6"
    // CHECK: kernel.load %{{.*}}[%{{.*}}] if %{{.*}} : memref<?xf16> -> f16
    %a = kernel.load %w[%r] if %p : memref<?xf16> -> f16
    // CHECK: kernel.store %{{.*}}, %{{.*}}[%{{.*}}] if %{{.*}} : f16, memref<?xf16>
    kernel.store %a, %y[%i] if %p : f16, memref<?xf16>
    kernel.yield
  }
  kernel.return
}

// CHECK-LABEL: kernel.func @matmul(
kernel.func @matmul(%a: memref<?x?x64xf32>, %b: memref<3x64x16xf32>, %y: memref<?x?x?xf32>, %n: index) {
  // CHECK: kernel.matmul %{{.*}}, %{{.*}} packed n(%{{.*}}) {
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: f32, %i: index, %m: index, %j: index):
    kernel.store %acc, %y[%i, %m, %j] : f32, memref<?x?x?xf32>
    kernel.yield
  } : memref<?x?x64xf32>, memref<3x64x16xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @dots(
kernel.func @dots(%a: memref<?x64xi8>, %b: memref<3x16x64xi8>, %y: memref<?x?xi32>, %n: index) {
  // CHECK: kernel.matmul %{{.*}}, %{{.*}} packed n(%{{.*}}) {
  kernel.matmul %a, %b packed n(%n) {
  ^bb0(%acc: i32, %m: index, %j: index):
    kernel.store %acc, %y[%m, %j] : i32, memref<?x?xi32>
    kernel.yield
  // CHECK: } {k_block = 4 : i64} : memref<?x64xi8>, memref<3x16x64xi8>
  } {k_block = 4 : i64} : memref<?x64xi8>, memref<3x16x64xi8>
  kernel.return
}

// CHECK-LABEL: kernel.func @plain_matmul(
kernel.func @plain_matmul(%a: memref<?x?xf32>, %b: memref<?x?xf32, strided<[1, ?]>>, %y: memref<?x?xf32>, %n: index) {
  // CHECK: kernel.matmul %{{.*}}, %{{.*}} n(%{{.*}}) {
  kernel.matmul %a, %b n(%n) {
  ^bb0(%acc: f32, %m: index, %j: index):
    kernel.store %acc, %y[%m, %j] : f32, memref<?x?xf32>
    kernel.yield
  } : memref<?x?xf32>, memref<?x?xf32, strided<[1, ?]>>
  kernel.return
}

// CHECK-LABEL: kernel.func @attention(
kernel.func @attention(%q: memref<?x?x64xf32>, %k: memref<?x?x64xf32>, %v: memref<?x?x64xf32>, %y: memref<?x?x64xf32>, %l: memref<?x?xf32>, %s: memref<?xf32>) {
  // CHECK: kernel.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) out(%{{.*}}) lse(%{{.*}}) sinks(%{{.*}}) score {
  kernel.attention q(%q) k(%k) v(%v) out(%y) lse(%l) sinks(%s) score {
  ^bb0(%x: f32, %b: index, %t: index, %j: index):
    // CHECK: kernel.yield %{{.*}} : f32
    kernel.yield %x : f32
  // CHECK: } mask {
  } mask {
  ^bb0(%b: index, %t: index, %j: index):
    %p = arith.cmpi ule, %j, %t : index
    // CHECK: kernel.yield %{{.*}} : i1
    kernel.yield %p : i1
  } : memref<?x?x64xf32>, memref<?x?x64xf32>, memref<?x?x64xf32>, memref<?x?x64xf32> lse memref<?x?xf32> sinks memref<?xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @joined_attention(
kernel.func @joined_attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %a: memref<?x8xf32>, %b: memref<?x8xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // CHECK: kernel.attention q(%{{.*}}) k(%{{.*}}) joined(%{{.*}} : memref<?x8xf32> by %{{.*}} : memref<?x8xf32>) v(%{{.*}}) out(%{{.*}}) score {
  kernel.attention q(%q) k(%k) joined(%a : memref<?x8xf32> by %b : memref<?x8xf32>) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @relative_attention(
kernel.func @relative_attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %r: memref<2x?x64xf16>, %y: memref<?x64xf32>) {
  kernel.attention q(%q) k(%k) v(%k) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    %i = arith.addi %t, %j : index
    %c = arith.constant 1 : index
    // CHECK: kernel.dot %{{.*}}[%{{.*}}], %{{.*}}[%{{.*}}, %{{.*}}] : memref<?x64xf32>, memref<2x?x64xf16>
    %d = kernel.dot %q[%t], %r[%c, %i] : memref<?x64xf32>, memref<2x?x64xf16>
    %s = arith.addf %x, %d : f32
    kernel.yield %s : f32
  } mask {
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @sigmoid_attention(
kernel.func @sigmoid_attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %y: memref<?x64xf32>) {
  // CHECK: mask {
  // CHECK-NEXT: } {normalizer = "pointwise"}
  kernel.attention q(%q) k(%k) v(%v) out(%y) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } {normalizer = "pointwise"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @linear_attention(
kernel.func @linear_attention(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x32xf32>, %y: memref<?x32xf32>) {
  // CHECK: kernel.linear_attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) out(%{{.*}}) chunk 64 queries {
  kernel.linear_attention q(%q) k(%k) v(%v) out(%y) chunk 64 queries {
  } keys {
  } decay {
  // CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index):
  ^bb0(%t: index, %j: index):
    %one = arith.constant 1.0 : f32
    kernel.yield %one : f32
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x32xf32>, memref<?x32xf32>
  kernel.return
}

func.func @entry(%a: memref<?x?xf32>, %b: memref<?x?xf32, strided<[1, ?]>>, %y: memref<?x?xf32>, %n: index) {
  // CHECK: kernel.launch @plain_matmul(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) {path = "layers.0"} : memref<?x?xf32>,
  kernel.launch @plain_matmul(%a, %b, %y, %n) {path = "layers.0"} : memref<?x?xf32>, memref<?x?xf32, strided<[1, ?]>>, memref<?x?xf32>, index
  // CHECK-NEXT: kernel.dump %{{.*}}, "layers.0.scores" of f32 : memref<?x?xf32>
  kernel.dump %y, "layers.0.scores" of f32 : memref<?x?xf32>
  return
}

// CHECK-LABEL: kernel.func @largest_scores(
kernel.func @largest_scores(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x0xf32>, %y: memref<?x8xf32>, %i: memref<?x8xi64>) {
  // CHECK: {normalizer = "top_k"} : {{.*}} lse memref<?x8xi64>
  kernel.attention q(%q) k(%k) v(%v) out(%y) lse(%i) score {
  ^bb0(%x: f32, %t: index, %j: index):
    kernel.yield %x : f32
  } mask {
  } {normalizer = "top_k"} : memref<?x64xf32>, memref<?x64xf32>, memref<?x0xf32>, memref<?x8xf32> lse memref<?x8xi64>
  kernel.return
}

// CHECK-LABEL: kernel.func @top_k(
kernel.func @top_k(%x: memref<?x?xf32, strided<[1, ?]>>, %v: memref<?x?xf32>, %i: memref<?x?xi64>) {
  // CHECK: kernel.top_k %{{.*}} values(%{{.*}}) indices(%{{.*}}) : memref<?x?xf32, strided<[1, ?]>>, memref<?x?xf32>, memref<?x?xi64>
  kernel.top_k %x values(%v) indices(%i) : memref<?x?xf32, strided<[1, ?]>>, memref<?x?xf32>, memref<?x?xi64>
  kernel.return
}

// CHECK-LABEL: kernel.func @attention_backward(
kernel.func @attention_backward(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %l: memref<?xf32>, %g: memref<?x64xf32>, %dq: memref<?x64xf32>, %dk: memref<?x64xf32>, %dv: memref<?x64xf32>, %b: memref<?x?xf32>) {
  // CHECK: kernel.attention_backward q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) lse(%{{.*}}) delta(%{{.*}}) gradient(%{{.*}}) into(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) score {
  kernel.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) into(%dq, %dk, %dv, %b) score {
  ^bb0(%s: f32, %t: index, %j: index):
    kernel.yield %s : f32
  } mask {
  } adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    kernel.yield %d, %d, %t, %j : f32, f32, index, index
  } : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32> lse memref<?xf32> delta memref<?xf32>, memref<?x64xf32> into memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>, memref<?x?xf32>
  kernel.return
}
