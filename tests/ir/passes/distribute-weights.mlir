// RUN: fovea-opt %s --graph-distribute-weights --split-input-file | FileCheck %s

// Differential attention: a contraction for each softmax, whatever stands over their difference.
// CHECK-LABEL: graph.func @difference
// CHECK: %[[P:.*]] = graph.softmax %arg0
// CHECK: %[[R:.*]] = graph.softmax %arg1
// CHECK: %[[L:.*]] = graph.mul %[[R]]
// CHECK-DAG: %[[PD:.*]] = graph.div %[[P]]
// CHECK-DAG: %[[LD:.*]] = graph.div %[[L]]
// CHECK-DAG: %[[PT:.*]] = graph.transpose %[[PD]]
// CHECK-DAG: %[[LT:.*]] = graph.transpose %[[LD]]
// CHECK: %[[A:.*]] = graph.contract %[[PT]] [2, 1], %arg3 [2, 3] -> [1, 3]
// CHECK: %[[B:.*]] = graph.contract %[[LT]] [2, 1], %arg3 [2, 3] -> [1, 3]
// CHECK: graph.sub %[[A]], %[[B]]
graph.func @difference<[T, S]>(%a: !graph.tensor<[T, S], f32>, %b: !graph.tensor<[T, S], f32>, %by: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %p = graph.softmax %a {axis = 1} : !graph.tensor<[T, S], f32>
  %r = graph.softmax %b {axis = 1} : !graph.tensor<[T, S], f32>
  %l = graph.mul %r, %by : !graph.tensor<[T, S], f32>
  %d = graph.sub %p, %l : !graph.tensor<[T, S], f32>
  %h = graph.div %d, %by : !graph.tensor<[T, S], f32>
  %t = graph.transpose %h [1, 0] : !graph.tensor<[T, S], f32> -> !graph.tensor<[S, T], f32>
  %y = graph.contract %t [2, 1], %v [2, 3] -> [1, 3] : !graph.tensor<[S, T], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// Must not fire: no weights among the addends; a sum of 16 bits; a product.
// CHECK-LABEL: graph.func @others
// CHECK-COUNT-3: graph.contract
// CHECK-NOT: graph.contract
graph.func @others<[T, S]>(%a: !graph.tensor<[T, S], f32>, %b: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[S, 8], f32>, %n: !graph.tensor<[S, 8], bf16>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], bf16>, !graph.tensor<[T, 8], f32>) {
  %s = graph.add %a, %b : !graph.tensor<[T, S], f32>
  %y = graph.contract %s [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  %p = graph.softmax %a {axis = 1} : !graph.tensor<[T, S], f32>
  %c = graph.add %p, %b : !graph.tensor<[T, S], f32>
  %h = graph.cast %c : !graph.tensor<[T, S], f32> -> !graph.tensor<[T, S], bf16>
  %z = graph.contract %h [1, 2], %n [2, 3] -> [1, 3] : !graph.tensor<[T, S], bf16>, !graph.tensor<[S, 8], bf16> -> !graph.tensor<[T, 8], bf16>
  %m = graph.mul %p, %b : !graph.tensor<[T, S], f32>
  %w = graph.contract %m [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %y, %z, %w : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], bf16>, !graph.tensor<[T, 8], f32>
}

// -----

// Over keys and heads, in one axis or in two: a product for each head, summed after it. Of 16 bits in f32.
// CHECK-LABEL: graph.func @heads
// CHECK-SAME: %[[Q:[^ ]*]]: {{.*}}, %[[K:[^ ]*]]: {{.*}}, %[[V:[^ ]*]]: !graph.tensor<[H, S, 8], f16>
// CHECK: %[[W:.*]] = graph.softmax
// CHECK: %[[F:.*]] = graph.cast %[[V]]
// CHECK: %[[A:.*]] = graph.contract %{{.*}} [0, 1, 2], %[[F]] [0, 2, 3] -> [0, 1, 3] : <[H, T, S], f32>, <[H, S, 8], f32> -> <[H, T, 8], f32>
// CHECK: %[[B:.*]] = graph.reduce "sum" %[[A]] [0]
// CHECK: graph.cast %[[B]] : <[T, 8], f32> -> <[T, 8], f16>
// CHECK: %[[X:.*]] = graph.reshape %{{.*}} : <[T, H*S], f32> -> <[T, H, S], f32>
// CHECK: %[[Y:.*]] = graph.reshape %{{.*}} : <[H*S, 8], f32> -> <[H, S, 8], f32>
// CHECK: %[[C:.*]] = graph.contract %[[Y]] [{{.*}}], %[[X]] [{{.*}}] -> [{{.*}}] : <[H, S, 8], f32>, <[T, H, S], f32> -> <[H, 8, T], f32>
// CHECK: graph.reduce "sum" %[[C]] [0] : <[H, 8, T], f32> -> <[8, T], f32>
graph.func @heads<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>, %v: !graph.tensor<[H, S, 8], f16>, %u: !graph.tensor<[H, S, 8], f32>) -> (!graph.tensor<[T, 8], f16>, !graph.tensor<[8, T], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %n = graph.cast %w : <[H, T, S], f32> -> <[H, T, S], f16>
  %y = graph.contract %n [0, 1, 2], %v [0, 2, 3] -> [1, 3] : <[H, T, S], f16>, <[H, S, 8], f16> -> <[T, 8], f16>
  %t = graph.transpose %w [1, 0, 2] : <[H, T, S], f32> -> <[T, H, S], f32>
  %j = graph.reshape %t : <[T, H, S], f32> -> <[T, H * S], f32>
  %c = graph.reshape %u : <[H, S, 8], f32> -> <[H * S, 8], f32>
  %z = graph.contract %c [0, 1], %j [2, 0] -> [1, 2] : <[H * S, 8], f32>, <[T, H * S], f32> -> <[8, T], f32>
  graph.return %y, %z : !graph.tensor<[T, 8], f16>, !graph.tensor<[8, T], f32>
}

// -----

// Gates of heads, of which several share keys: these first.
// CHECK-LABEL: graph.func @gates
// CHECK: graph.contract %{{.*}} [{{.*}}], %{{.*}} [{{.*}}] -> [{{.*}}] : <[3, 4, T, S], f32>, <[3, 4], f32> -> <[3, T, S], f32>
// CHECK: graph.reduce "sum" %{{.*}} [0] : <[3, T, S], f32> -> <[T, S], f32>
graph.func @gates<[T, S]>(%q: !graph.tensor<[3, 4, T, 8], f32>, %k: !graph.tensor<[3, S, 8], f32>, %g: !graph.tensor<[12], f32>) -> !graph.tensor<[T, S], f32> {
  %s = graph.contract %q [0, 1, 2, 4], %k [0, 3, 4] -> [0, 1, 2, 3] : <[3, 4, T, 8], f32>, <[3, S, 8], f32> -> <[3, 4, T, S], f32>
  %j = graph.reshape %s : <[3, 4, T, S], f32> -> <[12, T, S], f32>
  %w = graph.softmax %j {axis = 2} : <[12, T, S], f32>
  %y = graph.contract %w [0, 1, 2], %g [0] -> [1, 2] : <[12, T, S], f32>, <[12], f32> -> <[T, S], f32>
  graph.return %y : !graph.tensor<[T, S], f32>
}

// -----

// Must not fire: values of each query; heads that queries and keys have both; the keys alone; weights that come from memory.
// CHECK-LABEL: graph.func @no_heads
// CHECK-COUNT-5: graph.contract
// CHECK-NOT: graph.reduce
// CHECK-NOT: graph.contract
graph.func @no_heads<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>, %v: !graph.tensor<[H, S, 8], f32>, %a: !graph.tensor<[H, T, S], f32>, %g: !graph.tensor<[H], f32>) -> (!graph.tensor<[T], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[H, T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %b = graph.contract %w [0, 1, 2], %a [0, 1, 2] -> [1] : <[H, T, S], f32>, <[H, T, S], f32> -> <[T], f32>
  %c = graph.contract %w [0, 1, 2], %g [0] -> [1, 2] : <[H, T, S], f32>, <[H], f32> -> <[T, S], f32>
  %d = graph.contract %w [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : <[H, T, S], f32>, <[H, S, 8], f32> -> <[H, T, 8], f32>
  %m = graph.softmax %a {axis = 2} : <[H, T, S], f32>
  %e = graph.contract %m [0, 1, 2], %v [0, 2, 3] -> [1, 3] : <[H, T, S], f32>, <[H, S, 8], f32> -> <[T, 8], f32>
  graph.return %b, %c, %d, %e : !graph.tensor<[T], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[H, T, 8], f32>, !graph.tensor<[T, 8], f32>
}
