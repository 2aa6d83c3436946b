// RUN: fovea-opt %s --graph-pack-weights=panel=16 --split-input-file | FileCheck %s
// RUN: fovea-opt %s --graph-pack-weights --split-input-file | FileCheck %s --check-prefix=NONE
// NONE-NOT: graph.pack

// [out, in] is transposed to [K, N] and packed.
// CHECK-LABEL: graph.func @linear
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[B, T, 8], f32>, %[[W:[^,]*]]: !graph.tensor<[20, 8], f32>
// CHECK: %[[T:.*]] = graph.transpose %[[W]] [1, 0] : <[20, 8], f32> -> <[8, 20], f32>
// CHECK: %[[P:.*]] = graph.pack %[[T]] {panel = 16 : i64} : <[8, 20], f32> -> <[2, 8, 16], f32>
// CHECK: graph.contract %[[X]] [0, 1, 2], %[[P]] [2, 3] -> [0, 1, 3] {packed} : <[B, T, 8], f32>, <[2, 8, 16], f32> -> <[B, T, 20], f32>
graph.func @linear<[B, T]>(%x: !graph.tensor<[B, T, 8], f32>, %w: !graph.tensor<[20, 8], f32> {graph.param = "w"}) -> !graph.tensor<[B, T, 20], f32> {
  %y = graph.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[20, 8], f32> -> !graph.tensor<[B, T, 20], f32>
  graph.return %y : !graph.tensor<[B, T, 20], f32>
}

// -----

// The weight on the left, several summed axes that are neighbours in x, several free axes.
// CHECK-LABEL: graph.func @many
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[B, 2, 4], f32>
// CHECK: %[[T:.*]] = graph.transpose %{{.*}} [1, 2, 0, 3] : <[3, 2, 4, 5], f32> -> <[2, 4, 3, 5], f32>
// CHECK: %[[M:.*]] = graph.reshape %[[T]] : <[2, 4, 3, 5], f32> -> <[8, 15], f32>
// CHECK: %[[P:.*]] = graph.pack %[[M]]
// CHECK: %[[R:.*]] = graph.reshape %[[X]] : <[B, 2, 4], f32> -> <[B, 8], f32>
// CHECK: %[[Y:.*]] = graph.contract %[[R]] [0, 1], %[[P]] [1, 3] -> [0, 3] {packed}
// CHECK: %[[S:.*]] = graph.reshape %[[Y]] : <[B, 15], f32> -> <[B, 3, 5], f32>
// CHECK: graph.transpose %[[S]] [1, 0, 2]
graph.func @many<[B]>(%x: !graph.tensor<[B, 2, 4], f32>, %w: !graph.tensor<[3, 2, 4, 5], f32> {graph.param = "w"}) -> !graph.tensor<[3, B, 5], f32> {
  %y = graph.contract %w [3, 1, 2, 4], %x [0, 1, 2] -> [3, 0, 4] : !graph.tensor<[3, 2, 4, 5], f32>, !graph.tensor<[B, 2, 4], f32> -> !graph.tensor<[3, B, 5], f32>
  graph.return %y : !graph.tensor<[3, B, 5], f32>
}

// -----

// Must not fire: an input, a batched weight, two params, summed axes that are apart in x.
// CHECK-LABEL: graph.func @misses
// CHECK-NOT: graph.pack
graph.func @misses<[B]>(%x: !graph.tensor<[2, B, 4], f32>, %i: !graph.tensor<[4, 4], f32>, %w: !graph.tensor<[2, 4, 4], f32> {graph.param = "w"}, %u: !graph.tensor<[4, 4], f32> {graph.param = "u"})
    -> (!graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, 4, 4], f32>, !graph.tensor<[B, 4], f32>) {
  %a = graph.contract %x [0, 1, 2], %i [2, 3] -> [0, 1, 3] : !graph.tensor<[2, B, 4], f32>, !graph.tensor<[4, 4], f32> -> !graph.tensor<[2, B, 4], f32>
  %b = graph.contract %x [0, 1, 2], %w [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, 4, 4], f32> -> !graph.tensor<[2, B, 4], f32>
  %c = graph.contract %w [0, 1, 2], %u [2, 3] -> [0, 1, 3] : !graph.tensor<[2, 4, 4], f32>, !graph.tensor<[4, 4], f32> -> !graph.tensor<[2, 4, 4], f32>
  %d = graph.contract %x [0, 1, 2], %w [0, 2, 3] -> [1, 3] : !graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, 4, 4], f32> -> !graph.tensor<[B, 4], f32>
  graph.return %a, %b, %c, %d : !graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, B, 4], f32>, !graph.tensor<[2, 4, 4], f32>, !graph.tensor<[B, 4], f32>
}
