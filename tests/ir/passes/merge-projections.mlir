// RUN: fovea-opt %s --graph-merge-projections --split-input-file | FileCheck %s

// Two projections with biases become one; results are slices.
// CHECK-LABEL: graph.func @two
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[B, 8], f32>, %[[W1:[^,]*]]: !graph.tensor<[4, 8], f32> {{.*}}, %[[B1:[^,]*]]: !graph.tensor<[4], f32> {{.*}}, %[[W2:[^,]*]]: !graph.tensor<[6, 8], f32> {{.*}}, %[[B2:[^,]*]]: !graph.tensor<[6], f32>
// CHECK: %[[W:.*]] = graph.concat %[[W1]], %[[W2]] {axis = 0 : i64}
// CHECK: %[[C:.*]] = graph.contract %[[X]] [0, 1], %[[W]] [2, 1] -> [0, 2] : {{.*}} -> <[B, 10], f32>
// CHECK: %[[B:.*]] = graph.concat %[[B1]], %[[B2]] {axis = 0 : i64}
// CHECK: %[[BB:.*]] = graph.broadcast %[[B]] [1]
// CHECK: %[[A:.*]] = graph.add %[[C]], %[[BB]]
// CHECK-DAG: graph.slice %[[A]] {axis = 1 : i64, start = #graph.dim<0>{{.*}}} : <[B, 10], f32> -> <[B, 4], f32>
// CHECK-DAG: graph.slice %[[A]] {axis = 1 : i64, start = #graph.dim<4>{{.*}}} : <[B, 10], f32> -> <[B, 6], f32>
// CHECK-NOT: graph.contract
graph.func @two<[B]>(%x: !graph.tensor<[B, 8], f32>, %w1: !graph.tensor<[4, 8], f32> {graph.param = "q.w"}, %b1: !graph.tensor<[4], f32> {graph.param = "q.b"}, %w2: !graph.tensor<[6, 8], f32> {graph.param = "k.w"}, %b2: !graph.tensor<[6], f32> {graph.param = "k.b"}) -> (!graph.tensor<[B, 4], f32>, !graph.tensor<[B, 6], f32>) {
  %c1 = graph.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[4, 8], f32> -> !graph.tensor<[B, 4], f32>
  %bb1 = graph.broadcast %b1 [1] : !graph.tensor<[4], f32> -> !graph.tensor<[B, 4], f32>
  %y1 = graph.add %c1, %bb1 : !graph.tensor<[B, 4], f32>
  %c2 = graph.contract %x [7, 5], %w2 [3, 5] -> [7, 3] : !graph.tensor<[B, 8], f32>, !graph.tensor<[6, 8], f32> -> !graph.tensor<[B, 6], f32>
  %bb2 = graph.broadcast %b2 [1] : !graph.tensor<[6], f32> -> !graph.tensor<[B, 6], f32>
  %y2 = graph.add %bb2, %c2 : !graph.tensor<[B, 6], f32>
  graph.return %y1, %y2 : !graph.tensor<[B, 4], f32>, !graph.tensor<[B, 6], f32>
}

// -----

// One of them has no bias: the contractions are merged, the addition stays.
// CHECK-LABEL: graph.func @one_bias
// CHECK-COUNT-1: graph.contract
// CHECK: graph.slice
// CHECK: graph.slice
// CHECK: graph.add
// CHECK-NOT: graph.contract
graph.func @one_bias<[B]>(%x: !graph.tensor<[B, 8], f32>, %w1: !graph.tensor<[4, 8], f32> {graph.param = "q.w"}, %b1: !graph.tensor<[4], f32> {graph.param = "q.b"}, %w2: !graph.tensor<[6, 8], f32> {graph.param = "k.w"}) -> (!graph.tensor<[B, 4], f32>, !graph.tensor<[B, 6], f32>) {
  %c1 = graph.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[4, 8], f32> -> !graph.tensor<[B, 4], f32>
  %bb1 = graph.broadcast %b1 [1] : !graph.tensor<[4], f32> -> !graph.tensor<[B, 4], f32>
  %y1 = graph.add %c1, %bb1 : !graph.tensor<[B, 4], f32>
  %t2 = graph.transpose %w2 [0, 1] : !graph.tensor<[6, 8], f32> -> !graph.tensor<[6, 8], f32>
  %c2 = graph.contract %x [7, 5], %t2 [3, 5] -> [7, 3] : !graph.tensor<[B, 8], f32>, !graph.tensor<[6, 8], f32> -> !graph.tensor<[B, 6], f32>
  graph.return %y1, %c2 : !graph.tensor<[B, 4], f32>, !graph.tensor<[B, 6], f32>
}

// -----

// Must not fire: another input, a weight that is an input, a state, a transposed weight, a weight that is written.
// CHECK-LABEL: graph.func @misses
// CHECK-NOT: graph.concat
// CHECK: graph.return
graph.func @misses<[B]>(%x: !graph.tensor<[B, 8], f32>, %u: !graph.tensor<[B, 8], f32>, %w1: !graph.tensor<[8, 8], f32> {graph.param = "a"}, %w2: !graph.tensor<[8, 8], f32> {graph.param = "b"}, %w3: !graph.tensor<[8, 8], f32> {graph.input = "c"}, %w4: !graph.tensor<[8, 8], f32> {graph.state = "d"}, %w5: !graph.tensor<[8, 8], f32> {graph.param = "e"})
    -> (!graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> {graph.state = "e"}) {
  %c1 = graph.contract %x [0, 1], %w1 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, 8], f32>
  %c2 = graph.contract %u [0, 1], %w2 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, 8], f32>
  %c3 = graph.contract %x [0, 1], %w3 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, 8], f32>
  %c4 = graph.contract %x [0, 1], %w4 [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, 8], f32>
  %c5 = graph.contract %x [0, 1], %w5 [1, 2] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, 8], f32>
  graph.return %c1, %c2, %c3, %c4, %c5, %w5 : !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>
}
