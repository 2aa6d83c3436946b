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
