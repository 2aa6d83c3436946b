// RUN: fovea-opt %s --graph-narrow-weights=dtype=bf16 --split-input-file | FileCheck %s --check-prefix=BF16
// RUN: fovea-opt %s --graph-narrow-weights=dtype=i8 --split-input-file | FileCheck %s --check-prefix=I8
// RUN: fovea-opt %s --graph-narrow-weights --split-input-file | FileCheck %s --check-prefix=NONE
// RUN: not fovea-opt %s --graph-narrow-weights=dtype=f64 --split-input-file 2>&1 | FileCheck %s --check-prefix=WRONG
// NONE-NOT: bf16
// NONE-NOT: i8
// WRONG: graph-narrow-weights: dtype is bf16 or i8, not f64

// BF16-LABEL: graph.func @linear
// BF16-SAME: %[[X:[^:]*]]: !graph.tensor<[B, 8], f32>, %[[W:[^:]*]]: !graph.tensor<[8, 20], f32>
// BF16: %[[N:.*]] = graph.cast %[[W]] : <[8, 20], f32> -> <[8, 20], bf16>
// BF16: %[[P:.*]] = graph.pack %[[N]] {panel = 16 : i64} : <[8, 20], bf16> -> <[2, 8, 16], bf16>
// BF16: %[[Y:.*]] = graph.contract %[[X]] [0, 1], %[[P]] [1, 2] -> [0, 2] {packed}
// BF16: graph.return %[[Y]]

// A scale for each row of W, which the input takes, and one for each column, which the result takes.
// I8-LABEL: graph.func @linear
// I8-SAME: %[[X:[^:]*]]: !graph.tensor<[B, 8], f32>, %[[W:[^:]*]]: !graph.tensor<[8, 20], f32>
// I8: graph.reduce "max" %{{.*}} [1] : <[8, 20], f32> -> <[8], f32>
// I8: graph.sqrt
// I8: %[[R:.*]] = graph.select %{{.*}} : <[8], i1>, <[8], f32>
// I8: %[[E:.*]] = graph.div %[[W]], %{{.*}} : <[8, 20], f32>
// I8: graph.reduce "max" %{{.*}} [0] : <[8, 20], f32> -> <[20], f32>
// I8: %[[S:.*]] = graph.mul %{{.*}} : <[20], f32>
// I8: graph.div %[[E]], %{{.*}} : <[8, 20], f32>
// I8: %[[Q:.*]] = graph.floor
// I8: %[[I:.*]] = graph.cast %[[Q]] : <[8, 20], f32> -> <[8, 20], i8>
// I8: %[[P:.*]] = graph.pack %[[I]]
// I8: %[[RX:.*]] = graph.broadcast %[[R]] [1] : <[8], f32> -> <[B, 8], f32>
// I8: %[[XR:.*]] = graph.mul %[[X]], %[[RX]]
// I8: %[[Y:.*]] = graph.contract %[[XR]] [0, 1], %[[P]] [1, 2] -> [0, 2] {packed} : <[B, 8], f32>, <[2, 8, 16], i8> -> <[B, 20], f32>
// I8: %[[SY:.*]] = graph.broadcast %[[S]] [1] : <[20], f32> -> <[B, 20], f32>
// I8: %[[Z:.*]] = graph.mul %[[Y]], %[[SY]]
// I8: graph.return %[[Z]]
graph.func @linear<[B]>(%x: !graph.tensor<[B, 8], f32>, %w: !graph.tensor<[8, 20], f32> {graph.param = "w"}) -> !graph.tensor<[B, 20], f32> {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], f32> -> !graph.tensor<[2, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f32>, !graph.tensor<[2, 8, 16], f32> -> !graph.tensor<[B, 20], f32>
  graph.return %y : !graph.tensor<[B, 20], f32>
}

// -----

// The result's axes may be in any order.
// I8-LABEL: graph.func @transposed
// I8: graph.contract %{{.*}} [0, 1], %{{.*}} [1, 2] -> [2, 0] {packed}
// I8: graph.broadcast %{{.*}} [0] : <[20], f32> -> <[20, B], f32>
graph.func @transposed<[B]>(%x: !graph.tensor<[B, 8], f32>, %w: !graph.tensor<[8, 20], f32> {graph.param = "w"}) -> !graph.tensor<[20, B], f32> {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], f32> -> !graph.tensor<[2, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [2, 0] {packed} : !graph.tensor<[B, 8], f32>, !graph.tensor<[2, 8, 16], f32> -> !graph.tensor<[20, B], f32>
  graph.return %y : !graph.tensor<[20, B], f32>
}

// -----

// Must not fire: 16 bits already; not packed.
// BF16-LABEL: graph.func @misses
// BF16-NOT: graph.cast
// I8-LABEL: graph.func @misses
// I8-NOT: i8
graph.func @misses<[B]>(%x: !graph.tensor<[B, 8], f16>, %w: !graph.tensor<[8, 20], f16> {graph.param = "w"}, %a: !graph.tensor<[B, 8], f32>) -> (!graph.tensor<[B, 20], f16>, !graph.tensor<[B, B], f32>) {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], f16> -> !graph.tensor<[2, 8, 16], f16>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f16>, !graph.tensor<[2, 8, 16], f16> -> !graph.tensor<[B, 20], f16>
  %z = graph.contract %a [0, 1], %a [2, 1] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[B, 8], f32> -> !graph.tensor<[B, B], f32>
  graph.return %y, %z : !graph.tensor<[B, 20], f16>, !graph.tensor<[B, B], f32>
}
