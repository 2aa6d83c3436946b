// RUN: fovea-opt %s --graph-read-pieces --canonicalize --cse --split-input-file | FileCheck %s

// A cache and what is new, each behind the layout and the cast that the whole was behind.
// CHECK-LABEL: graph.func @cache
// CHECK-SAME: %[[Q:[^:]*]]: !graph.tensor<[B, 2, 4, T, 8], f32>, %[[OLD:[^:]*]]: !graph.tensor<[B, P, 2, 8], bf16>, %[[NEW:[^:]*]]: !graph.tensor<[B, S, 2, 8], bf16>, %[[V:[^:]*]]: !graph.tensor<[B, 2, 4, P+S, 8], f32>
// CHECK-NOT: graph.concat
// CHECK: %[[WO:.*]] = graph.cast %[[OLD]]
// CHECK: %[[TO:.*]] = graph.transpose %[[WO]] [0, 2, 1, 3]
// CHECK: %[[KO:.*]] = graph.broadcast %[[TO]] [0, 1, 3, 4] : <[B, 2, P, 8], f32> -> <[B, 2, 4, P, 8], f32>
// CHECK: %[[WN:.*]] = graph.cast %[[NEW]]
// CHECK: %[[TN:.*]] = graph.transpose %[[WN]] [0, 2, 1, 3]
// CHECK: %[[KN:.*]] = graph.broadcast %[[TN]] [0, 1, 3, 4] : <[B, 2, S, 8], f32> -> <[B, 2, 4, S, 8], f32>
// CHECK: graph.attention q(%[[Q]]) k(%[[KO]], %[[KN]]) v(%[[V]]) score
graph.func @cache<[B, T, S, P]>(%q: !graph.tensor<[B, 2, 4, T, 8], f32>, %old: !graph.tensor<[B, P, 2, 8], bf16>, %new: !graph.tensor<[B, S, 2, 8], bf16>, %v: !graph.tensor<[B, 2, 4, P+S, 8], f32>)
    -> !graph.tensor<[B, 2, 4, T, 8], f32> {
  %c = graph.concat %old, %new {axis = 1} : !graph.tensor<[B, P, 2, 8], bf16>, !graph.tensor<[B, S, 2, 8], bf16> -> <[B, P+S, 2, 8], bf16>
  %w = graph.cast %c : <[B, P+S, 2, 8], bf16> -> <[B, P+S, 2, 8], f32>
  %t = graph.transpose %w [0, 2, 1, 3] : <[B, P+S, 2, 8], f32> -> <[B, 2, P+S, 8], f32>
  %k = graph.broadcast %t [0, 1, 3, 4] : <[B, 2, P+S, 8], f32> -> <[B, 2, 4, P+S, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%x: f32, %b: index, %g: index, %r: index, %i: index, %j: index):
    graph.yield %x : f32
  } mask {} : (!graph.tensor<[B, 2, 4, T, 8], f32>, !graph.tensor<[B, 2, 4, P+S, 8], f32>, !graph.tensor<[B, 2, 4, P+S, 8], f32>) -> !graph.tensor<[B, 2, 4, T, 8], f32>
  graph.return %y : !graph.tensor<[B, 2, 4, T, 8], f32>
}

// -----

// Two attentions over the same pieces; values that are the keys.
// CHECK-LABEL: graph.func @twice
// CHECK-NOT: graph.concat
// CHECK: graph.attention q(%{{.*}}) k(%[[A:[^,]*]], %[[B:[^)]*]]) v(%[[A]], %[[B]])
// CHECK: graph.attention q(%{{.*}}) k(%[[A]], %[[B]]) v(%[[A]], %[[B]])
graph.func @twice<[T, S, P]>(%q: !graph.tensor<[T, 8], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %k = graph.concat %a, %b {axis = 0} : !graph.tensor<[P, 8], f32>, !graph.tensor<[S, 8], f32> -> <[P+S, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%k) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  %z = graph.attention q(%y) k(%k) v(%k) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y, %z : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}

// -----

// What the state keeps is computed from the pieces as well.
// CHECK-LABEL: graph.func @rolled
// CHECK: %[[ALL:.*]] = graph.concat %[[OLD:[^ ,]*]], %[[NEW:[^ ]*]] {axis = 0 : i64}
// CHECK: graph.attention q(%{{.*}}) k(%[[OLD]], %[[NEW]]) v(%[[OLD]], %[[NEW]])
graph.func @rolled<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %old: !graph.tensor<[70, 8], f32>, %new: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[70, 8], f32>) {
  %k = graph.concat %old, %new {axis = 0} : !graph.tensor<[70, 8], f32>, !graph.tensor<[S, 8], f32> -> <[S+70, 8], f32>
  %kept = graph.slice %k {axis = 0, start = #graph.dim<S>} : <[S+70, 8], f32> -> <[70, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%k) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S+70, 8], f32>, !graph.tensor<[S+70, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y, %kept : !graph.tensor<[T, 8], f32>, !graph.tensor<[70, 8], f32>
}

// -----

// What is computed and returned is written once; columns that are joined are no keys.
// CHECK-LABEL: graph.func @kept
// CHECK: %[[K:.*]] = graph.concat
// CHECK: %[[V:.*]] = graph.concat
// CHECK: graph.attention q(%{{.*}}) k(%[[K]]) v(%[[V]])
graph.func @kept<[T, S, P]>(%q: !graph.tensor<[T, 8], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[S, 8], f32>, %c: !graph.tensor<[P+S, 3], f32>) -> (!graph.tensor<[T, 6], f32>, !graph.tensor<[P+S, 8], f32>) {
  %e = graph.exp %b : <[S, 8], f32>
  %k = graph.concat %a, %e {axis = 0} : !graph.tensor<[P, 8], f32>, !graph.tensor<[S, 8], f32> -> <[P+S, 8], f32>
  %v = graph.concat %c, %c {axis = 1} : !graph.tensor<[P+S, 3], f32>, !graph.tensor<[P+S, 3], f32> -> <[P+S, 6], f32>
  %y = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 6], f32>) -> !graph.tensor<[T, 6], f32>
  graph.return %y, %k : !graph.tensor<[T, 6], f32>, !graph.tensor<[P+S, 8], f32>
}
