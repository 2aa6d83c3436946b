// RUN: fovea-opt %s "--graph-round-operands=precision=bf16 k-block=2" --split-input-file | FileCheck %s --check-prefix=PAIRS
// RUN: fovea-opt %s --graph-round-operands=precision=bf16 --split-input-file | FileCheck %s --check-prefix=WIDE
// RUN: fovea-opt %s "--graph-round-operands=precision=i8 k-block=4" --split-input-file | FileCheck %s --check-prefix=I8
// RUN: fovea-opt %s --graph-round-operands --split-input-file | FileCheck %s --check-prefix=NONE
// RUN: not fovea-opt %s --graph-round-operands=precision=f64 --split-input-file 2>&1 | FileCheck %s --check-prefix=WRONG
// RUN: not fovea-opt %s "--graph-round-operands=precision=i8 k-block=0" --split-input-file 2>&1 | FileCheck %s --check-prefix=BLOCK
// NONE-NOT: graph.cast
// WRONG: graph-round-operands: precision is bf16 or i8, and k-block positive, not f64 and 1
// BLOCK: graph-round-operands: precision is bf16 or i8, and k-block positive, not i8 and 0

// PAIRS-LABEL: graph.func @linear
// PAIRS-SAME: %[[X:[^:]*]]: !graph.tensor<[B, 8], f32>, %[[W:[^:]*]]: !graph.tensor<[8, 20], f32>
// PAIRS-DAG: %[[NX:.*]] = graph.cast %[[X]] : <[B, 8], f32> -> <[B, 8], bf16>
// PAIRS-DAG: %[[NW:.*]] = graph.cast %[[W]] : <[8, 20], f32> -> <[8, 20], bf16>
// PAIRS: %[[P:.*]] = graph.pack %[[NW]] {k_block = 2 : i64, panel = 16 : i64} : <[8, 20], bf16> -> <[2, 4, 32], bf16>
// PAIRS: %[[Y:.*]] = graph.contract %[[NX]] [0, 1], %[[P]] [1, 2] -> [0, 2] {k_block = 2 : i64, packed} : <[B, 8], bf16>, <[2, 4, 32], bf16> -> <[B, 20], f32>
// PAIRS: graph.return %[[Y]]

// Without an instruction the same numbers are multiplied as f32.
// WIDE-LABEL: graph.func @linear
// WIDE-SAME: %[[X:[^:]*]]: !graph.tensor<[B, 8], f32>
// WIDE: %[[NX:.*]] = graph.cast %[[X]] : <[B, 8], f32> -> <[B, 8], bf16>
// WIDE: %[[WX:.*]] = graph.cast %[[NX]] : <[B, 8], bf16> -> <[B, 8], f32>
// WIDE: %[[P:.*]] = graph.pack %{{.*}} {panel = 16 : i64} : <[8, 20], bf16> -> <[2, 8, 16], bf16>
// WIDE: graph.contract %[[WX]] [0, 1], %[[P]] [1, 2] -> [0, 2] {packed} : <[B, 8], f32>, <[2, 8, 16], bf16> -> <[B, 20], f32>

// A scale and a zero for each row, a scale and a sum for each column.
// I8-LABEL: graph.func @linear
// I8-SAME: %[[X:[^:]*]]: !graph.tensor<[B, 8], f32>, %[[W:[^:]*]]: !graph.tensor<[8, 20], f32>
// I8: graph.reduce "max" %[[X]] [1] : <[B, 8], f32> -> <[B], f32>
// I8: graph.reduce "min" %[[X]] [1] : <[B, 8], f32> -> <[B], f32>
// I8: %[[ZERO:.*]] = graph.floor %{{.*}} : <[B], f32>
// I8: %[[WHOLE:.*]] = graph.cast %{{.*}} : <[B, 8], f32> -> <[B, 8], i32>
// I8: %[[U:.*]] = graph.cast %[[WHOLE]] : <[B, 8], i32> -> <[B, 8], i8>
// I8: %[[SCALE:.*]] = graph.select %{{.*}} : <[B], i1>, <[B], f32>
// I8: %[[S:.*]] = graph.mul %{{.*}} : <[20], f32>
// I8: %[[Q:.*]] = graph.cast %{{.*}} : <[8, 20], f32> -> <[8, 20], i8>
// I8: %[[P:.*]] = graph.pack %[[Q]] {k_block = 4 : i64, panel = 16 : i64} : <[8, 20], i8> -> <[2, 2, 64], i8>
// I8: %[[Y:.*]] = graph.contract %[[U]] [0, 1], %[[P]] [1, 2] -> [0, 2] {k_block = 4 : i64, packed} : <[B, 8], i8>, <[2, 2, 64], i8> -> <[B, 20], i32>
// I8: %[[F:.*]] = graph.cast %[[Y]] : <[B, 20], i32> -> <[B, 20], f32>
// I8: %[[SUMS:.*]] = graph.reduce "sum" %{{.*}} [0] : <[8, 20], f32> -> <[20], f32>
// I8: %[[Z0:.*]] = graph.broadcast %[[ZERO]] [0]
// I8: %[[C0:.*]] = graph.broadcast %[[SUMS]] [1]
// I8: %[[ZC:.*]] = graph.mul %[[Z0]], %[[C0]]
// I8: %[[D:.*]] = graph.sub %[[F]], %[[ZC]]
// I8: %[[SR:.*]] = graph.broadcast %[[SCALE]] [0]
// I8: %[[DR:.*]] = graph.mul %[[D]], %[[SR]]
// I8: %[[SC:.*]] = graph.broadcast %[[S]] [1]
// I8: %[[R:.*]] = graph.mul %[[DR]], %[[SC]]
// I8: graph.return %[[R]]
graph.func @linear<[B]>(%x: !graph.tensor<[B, 8], f32>, %w: !graph.tensor<[8, 20], f32> {graph.param = "w"}) -> !graph.tensor<[B, 20], f32> {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], f32> -> !graph.tensor<[2, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f32>, !graph.tensor<[2, 8, 16], f32> -> !graph.tensor<[B, 20], f32>
  graph.return %y : !graph.tensor<[B, 20], f32>
}

// -----

// The summed axis comes last, zeros behind it fill its last block, and the result's axes may be in any order.
// PAIRS-LABEL: graph.func @odd
// I8-LABEL: graph.func @odd
// I8: %[[T:.*]] = graph.transpose %{{.*}} [0, 2, 1] : <[B, 7, T], f32> -> <[B, T, 7], f32>
// I8: graph.reduce "max" %[[T]] [2] : <[B, T, 7], f32> -> <[B, T], f32>
// I8: graph.concat %{{.*}}, %{{.*}} {axis = 2 : i64} : !graph.tensor<[B, T, 7], i8>, !graph.tensor<[B, T, 1], i8> -> <[B, T, 8], i8>
// I8: graph.concat %{{.*}}, %{{.*}} {axis = 0 : i64} : !graph.tensor<[7, 20], i8>, !graph.tensor<[1, 20], i8> -> <[8, 20], i8>
// I8: graph.contract %{{.*}} [0, 2, 1], %{{.*}} [1, 3] -> [3, 2, 0] {k_block = 4 : i64, packed} : <[B, T, 8], i8>, <[2, 2, 64], i8> -> <[20, T, B], i32>
// I8: graph.transpose %{{.*}} [1, 0] : <[B, T], f32> -> <[T, B], f32>
// I8: graph.broadcast %{{.*}} [1, 2] : <[T, B], f32> -> <[20, T, B], f32>
// I8: graph.broadcast %{{.*}} [0] : <[20], f32> -> <[20, T, B], f32>
graph.func @odd<[B, T]>(%x: !graph.tensor<[B, 7, T], f32>, %w: !graph.tensor<[7, 20], f32> {graph.param = "w"}) -> !graph.tensor<[20, T, B], f32> {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[7, 20], f32> -> !graph.tensor<[2, 7, 16], f32>
  %y = graph.contract %x [0, 1, 2], %p [1, 3] -> [3, 2, 0] {packed} : !graph.tensor<[B, 7, T], f32>, !graph.tensor<[2, 7, 16], f32> -> !graph.tensor<[20, T, B], f32>
  graph.return %y : !graph.tensor<[20, T, B], f32>
}

// -----

// Operands that are bf16 already take the instruction where there is one.
// PAIRS-LABEL: graph.func @narrow
// PAIRS: %[[Y:.*]] = graph.contract %{{.*}} {k_block = 2 : i64, packed} : <[B, 8], bf16>, <[2, 4, 32], bf16> -> <[B, 20], f32>
// PAIRS: graph.cast %[[Y]] : <[B, 20], f32> -> <[B, 20], bf16>
// WIDE-LABEL: graph.func @narrow
// WIDE-NOT: graph.cast
// WIDE-LABEL: graph.func @misses
// I8-LABEL: graph.func @narrow
// I8-NOT: i8>
graph.func @narrow<[B]>(%x: !graph.tensor<[B, 8], bf16>, %w: !graph.tensor<[8, 20], bf16> {graph.param = "w"}) -> !graph.tensor<[B, 20], bf16> {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], bf16> -> !graph.tensor<[2, 8, 16], bf16>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], bf16>, !graph.tensor<[2, 8, 16], bf16> -> !graph.tensor<[B, 20], bf16>
  graph.return %y : !graph.tensor<[B, 20], bf16>
}

// -----

// Must not fire: f16; not packed; more terms than an i32 holds the sum of (as bf16 it may).
// PAIRS-LABEL: graph.func @misses
// PAIRS-COUNT-2: graph.cast
// PAIRS-NOT: graph.cast
// I8-LABEL: graph.func @misses
// I8-NOT: i8>
graph.func @misses<[B]>(%x: !graph.tensor<[B, 8], f16>, %w: !graph.tensor<[8, 20], f16> {graph.param = "w"}, %a: !graph.tensor<[B, 65538], f32>, %v: !graph.tensor<[65538, 20], f32> {graph.param = "v"})
    -> (!graph.tensor<[B, 20], f16>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, 20], f32>) {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 20], f16> -> !graph.tensor<[2, 8, 16], f16>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f16>, !graph.tensor<[2, 8, 16], f16> -> !graph.tensor<[B, 20], f16>
  %z = graph.contract %a [0, 1], %a [2, 1] -> [0, 2] : !graph.tensor<[B, 65538], f32>, !graph.tensor<[B, 65538], f32> -> !graph.tensor<[B, B], f32>
  %q = graph.pack %v {panel = 16} : !graph.tensor<[65538, 20], f32> -> !graph.tensor<[2, 65538, 16], f32>
  %u = graph.contract %a [0, 1], %q [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 65538], f32>, !graph.tensor<[2, 65538, 16], f32> -> !graph.tensor<[B, 20], f32>
  graph.return %y, %z, %u : !graph.tensor<[B, 20], f16>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, 20], f32>
}
