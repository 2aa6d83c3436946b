// RUN: fovea-opt %s --graph-gather-keys --canonicalize --cse --split-input-file | FileCheck %s

// Rows by a table of pages: the buffer stays, the rows' numbers go the way that the rows went.
// CHECK-LABEL: graph.func @pages
// CHECK: %[[NUMBERS:.*]] = graph.iota : <[8*N], i64>
// CHECK: %[[BOX:.*]] = graph.reshape %[[NUMBERS]] : <[8*N], i64> -> <[N, 2, 4], i64>
// CHECK: %[[OF:.*]] = graph.gather %[[BOX]] at %{{.*}}, %{{.*}} [0, 2] : <[N, 2, 4], i64>
// CHECK: %[[ROWS:.*]] = graph.transpose %[[OF]] [0, 2, 1] : <[B, S, 2], i64> -> <[B, 2, S], i64>
// CHECK: %[[ALL:.*]] = graph.reshape %{{.*}} : <[N, 2, 4, 8], f32> -> <[8*N, 8], f32>
// CHECK: %[[K:.*]] = graph.broadcast %[[ALL]] [2, 3] : <[8*N, 8], f32> -> <[B, 2, 8*N, 8], f32>
// CHECK: graph.attention q(%{{.*}}) k(%[[K]]) v(%[[K]]) key_rows(%[[ROWS]]) value_rows(%[[ROWS]])
graph.func @pages<[B, T, S, N]>(%q: !graph.tensor<[B, 2, T, 8], f32>, %pages: !graph.tensor<[N, 2, 4, 8], f32>, %page: !graph.tensor<[B, S], i64>, %place: !graph.tensor<[B, S], i64>)
    -> !graph.tensor<[B, 2, T, 8], f32> {
  %g = graph.gather %pages at %page, %place [0, 2] : <[N, 2, 4, 8], f32>, !graph.tensor<[B, S], i64>, !graph.tensor<[B, S], i64> -> <[B, S, 2, 8], f32>
  %k = graph.transpose %g [0, 2, 1, 3] : <[B, S, 2, 8], f32> -> <[B, 2, S, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%k) score {
  ^bb0(%s: f32, %b: index, %h: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[B, 2, T, 8], f32>, !graph.tensor<[B, 2, S, 8], f32>, !graph.tensor<[B, 2, S, 8], f32>) -> !graph.tensor<[B, 2, T, 8], f32>
  graph.return %y : !graph.tensor<[B, 2, T, 8], f32>
}

// -----

// Columns that are gathered, rows without a gather, and rows of what is computed element by element stay.
// CHECK-LABEL: graph.func @declined
// CHECK-NOT: key_rows
// CHECK-NOT: value_rows
graph.func @declined<[T, S, N]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[N, 8], f32>, %rows: !graph.tensor<[S], i64>, %columns: !graph.tensor<[8], i64>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %k = graph.gather %x at %columns [1] : <[N, 8], f32>, !graph.tensor<[8], i64> -> <[N, 8], f32>
  %e = graph.exp %x : <[N, 8], f32>
  %v = graph.gather %e at %rows [0] : <[N, 8], f32>, !graph.tensor<[S], i64> -> <[S, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%x) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[N, 8], f32>, !graph.tensor<[N, 8], f32>) -> !graph.tensor<[T, 8], f32>
  %z = graph.attention q(%q) k(%v) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y, %z : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}

// -----

// Pages beside what is new: rows of the first piece.
// CHECK-LABEL: graph.func @beside
// CHECK: graph.attention q(%{{.*}}) k(%[[X:[^,]*]], %[[NEW:[^)]*]]) v(%[[X]], %[[NEW]]) key_rows(%[[ROWS:.*]]) value_rows(%[[ROWS]])
graph.func @beside<[T, S, P, N]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[N, 8], f32>, %rows: !graph.tensor<[P], i64>, %new: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %k = graph.gather %x at %rows [0] : <[N, 8], f32>, !graph.tensor<[P], i64> -> <[P, 8], f32>
  %y = graph.attention q(%q) k(%k, %new) v(%k, %new) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[P, 8], f32>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}
