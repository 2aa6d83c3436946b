// RUN: fovea-opt %s --graph-raise-slices --split-input-file | FileCheck %s

// One query's weights: the slice is taken of the queries.
// CHECK-LABEL: graph.func @row
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[H, T, 64], f32>, %[[K:.*]]: !graph.tensor<[H, S, 64], f32>
// CHECK: %[[R:.*]] = graph.slice %[[Q]] {axis = 1 : i64, start = #graph.dim<0>} : <[H, T, 64], f32> -> <[H, 1, 64], f32>
// CHECK: %[[S:.*]] = graph.contract %[[R]] [0, 1, 3], %[[K]] [0, 2, 3] -> [0, 1, 2]
// CHECK: %[[X:.*]] = graph.mul %[[S]], %{{.*}} : <[H, 1, S], f32>
// CHECK: %[[W:.*]] = graph.softmax %[[X]] {axis = 2 : i64, graph.part} : <[H, 1, S], f32>
// CHECK-NEXT: graph.return %[[W]]
graph.func @row<[H, T, S]>(%q: !graph.tensor<[H, T, 64], f32>, %k: !graph.tensor<[H, S, 64], f32>, %scale: !graph.tensor<[T], f32>) -> !graph.tensor<[H, 1, S], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[H, T, 64], f32>, !graph.tensor<[H, S, 64], f32> -> !graph.tensor<[H, T, S], f32>
  %b = graph.broadcast %scale [1] : !graph.tensor<[T], f32> -> !graph.tensor<[H, T, S], f32>
  %x = graph.mul %s, %b : !graph.tensor<[H, T, S], f32>
  %p = graph.softmax %x {axis = 2} : !graph.tensor<[H, T, S], f32>
  %r = graph.slice %p {axis = 1, start = #graph.dim<0>} : !graph.tensor<[H, T, S], f32> -> !graph.tensor<[H, 1, S], f32>
  graph.return %r : !graph.tensor<[H, 1, S], f32>
}

// -----

// Scores of some keys, through a transposition; at an offset.
// CHECK-LABEL: graph.func @keys
// CHECK-SAME: %[[K:[^,]*]]: !graph.tensor<[S, 64], f32>, %[[AT:.*]]: !graph.tensor<[], i64>
// CHECK: %[[R:.*]] = graph.slice %[[K]] at %[[AT]] {axis = 0 : i64} : <[S, 64], f32>, !graph.tensor<[], i64> -> <[8, 64], f32>
// CHECK: graph.contract %[[R]]
// CHECK: graph.softmax %{{.*}} {axis = 1 : i64} : <[T, 8], f32>
graph.func @keys<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %at: !graph.tensor<[], i64>) -> !graph.tensor<[T, 8], f32> {
  %s = graph.contract %k [2, 3], %q [1, 3] -> [2, 1] : !graph.tensor<[S, 64], f32>, !graph.tensor<[T, 64], f32> -> !graph.tensor<[S, T], f32>
  %t = graph.transpose %s [1, 0] : !graph.tensor<[S, T], f32> -> !graph.tensor<[T, S], f32>
  %r = graph.slice %t at %at {axis = 1} : !graph.tensor<[T, S], f32>, !graph.tensor<[], i64> -> !graph.tensor<[T, 8], f32>
  %p = graph.softmax %r {axis = 1} : !graph.tensor<[T, 8], f32>
  graph.return %p : !graph.tensor<[T, 8], f32>
}

// -----

// A logit that is concatenated and dropped is a sink.
// CHECK-LABEL: graph.func @sink
// CHECK-SAME: %[[S:.*]]: !graph.tensor<[T, S], f32>, %[[C:.*]]: !graph.tensor<[T, 1], f32>
// CHECK: %[[L:.*]] = graph.reshape %[[C]] : <[T, 1], f32> -> <[T], f32>
// CHECK: graph.softmax %[[S]] sink %[[L]] {axis = 1 : i64} : <[T, S], f32>
graph.func @sink<[T, S]>(%s: !graph.tensor<[T, S], f32>, %c: !graph.tensor<[T, 1], f32>) -> !graph.tensor<[T, S], f32> {
  %all = graph.concat %c, %s {axis = 1} : !graph.tensor<[T, 1], f32>, !graph.tensor<[T, S], f32> -> !graph.tensor<[T, S+1], f32>
  %p = graph.softmax %all {axis = 1} : !graph.tensor<[T, S+1], f32>
  %r = graph.slice %p {axis = 1, start = #graph.dim<1>} : !graph.tensor<[T, S+1], f32> -> !graph.tensor<[T, S], f32>
  graph.return %r : !graph.tensor<[T, S], f32>
}

// -----

// Of several logits the log-sum-exp is, for as few rows as they differ in.
// CHECK-LABEL: graph.func @logits
// CHECK-SAME: %[[S:[^ ]*]]: !graph.tensor<[H, T, S], f32>, %[[C:[^ ]*]]: !graph.tensor<[H, 4], f32>
// CHECK: %[[L:.*]] = graph.logsumexp %[[C]] {axis = 1 : i64} : <[H, 4], f32> -> <[H], f32>
// CHECK: %[[B:.*]] = graph.broadcast %[[L]] [0] : <[H], f32> -> <[H, T], f32>
// CHECK: graph.softmax %[[S]] sink %[[B]] {axis = 2 : i64} : <[H, T, S], f32>
graph.func @logits<[H, T, S]>(%s: !graph.tensor<[H, T, S], f32>, %c: !graph.tensor<[H, 4], f32>) -> !graph.tensor<[H, T, S], f32> {
  %b = graph.broadcast %c [0, 2] : !graph.tensor<[H, 4], f32> -> !graph.tensor<[H, T, 4], f32>
  %all = graph.concat %s, %b {axis = 2} : !graph.tensor<[H, T, S], f32>, !graph.tensor<[H, T, 4], f32> -> !graph.tensor<[H, T, S+4], f32>
  %p = graph.softmax %all {axis = 2} : !graph.tensor<[H, T, S+4], f32>
  %r = graph.slice %p {axis = 2, start = #graph.dim<0>} : !graph.tensor<[H, T, S+4], f32> -> !graph.tensor<[H, T, S], f32>
  graph.return %r : !graph.tensor<[H, T, S], f32>
}

// -----

// Must not fire: a key is dropped, not the logit; along the keys; what is neither weights nor scores.
// CHECK-LABEL: graph.func @key
// CHECK: graph.slice %{{.*}} {axis = 1 : i64, start = #graph.dim<1>} : <[T, S+1], f32> -> <[T, S], f32>
// CHECK: graph.slice %{{.*}} {axis = 1 : i64, start = #graph.dim<0>} : <[T, S+1], f32> -> <[T, 4], f32>
graph.func @key<[T, S]>(%s: !graph.tensor<[T, S], f32>, %c: !graph.tensor<[T, 1], f32>) -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, 4], f32>) {
  %all = graph.concat %s, %c {axis = 1} : !graph.tensor<[T, S], f32>, !graph.tensor<[T, 1], f32> -> !graph.tensor<[T, S+1], f32>
  %p = graph.softmax %all {axis = 1} : !graph.tensor<[T, S+1], f32>
  %r = graph.slice %p {axis = 1, start = #graph.dim<1>} : !graph.tensor<[T, S+1], f32> -> !graph.tensor<[T, S], f32>
  %o = graph.slice %p {axis = 1, start = #graph.dim<0>} : !graph.tensor<[T, S+1], f32> -> !graph.tensor<[T, 4], f32>
  graph.return %r, %o : !graph.tensor<[T, S], f32>, !graph.tensor<[T, 4], f32>
}
// CHECK-LABEL: graph.func @projection
// CHECK: %[[P:.*]] = graph.contract
// CHECK: graph.slice %[[P]]
graph.func @projection<[T]>(%x: !graph.tensor<[T, 64], f32>, %w: !graph.tensor<[192, 64], f32>) -> !graph.tensor<[T, 64], f32> {
  %p = graph.contract %x [1, 3], %w [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[192, 64], f32> -> !graph.tensor<[T, 192], f32>
  %r = graph.slice %p {axis = 1, start = #graph.dim<64>} : !graph.tensor<[T, 192], f32> -> !graph.tensor<[T, 64], f32>
  graph.return %r : !graph.tensor<[T, 64], f32>
}

// -----

// Chosen rows of chosen heads: both gathers are taken of the queries, that of heads of the keys as well.
// CHECK-LABEL: graph.func @chosen
// CHECK-SAME: %[[Q:[^,]*]]: !graph.tensor<[H, T, 64], f32>, %[[K:[^,]*]]: !graph.tensor<[H, S, 64], f32>, %[[ROWS:[^,]*]]: !graph.tensor<[A, R], i64>, %[[HEADS:.*]]: !graph.tensor<[G], i64>
// CHECK-DAG: %[[QH:.*]] = graph.gather %[[Q]] at %[[HEADS]] [0]
// CHECK-DAG: %[[KH:.*]] = graph.gather %[[K]] at %[[HEADS]] [0]
// CHECK-DAG: %[[FLAT:.*]] = graph.reshape %[[ROWS]] : <[A, R], i64> -> <[A*R], i64>
// CHECK-DAG: %[[QR:.*]] = graph.gather %[[QH]] at %[[FLAT]] [1] : <[G, T, 64], f32>, !graph.tensor<[A*R], i64> -> <[G, A*R, 64], f32>
// CHECK: %[[S:.*]] = graph.contract %[[QR]] [0, 1, 3], %[[KH]] [0, 2, 3] -> [0, 1, 2]
// CHECK: %[[W:.*]] = graph.softmax %[[S]] {axis = 2 : i64, graph.part} : <[G, A*R, S], f32>
// CHECK: graph.reshape %[[W]] : <[G, A*R, S], f32> -> <[G, A, R, S], f32>
graph.func @chosen<[H, T, S, A, R, G]>(%q: !graph.tensor<[H, T, 64], f32>, %k: !graph.tensor<[H, S, 64], f32>, %rows: !graph.tensor<[A, R], i64>, %heads: !graph.tensor<[G], i64>) -> !graph.tensor<[G, A, R, S], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[H, T, 64], f32>, !graph.tensor<[H, S, 64], f32> -> !graph.tensor<[H, T, S], f32>
  %p = graph.softmax %s {axis = 2} : !graph.tensor<[H, T, S], f32>
  %h = graph.gather %p at %heads [0] : <[H, T, S], f32>, !graph.tensor<[G], i64> -> <[G, T, S], f32>
  %r = graph.gather %h at %rows [1] : <[G, T, S], f32>, !graph.tensor<[A, R], i64> -> <[G, A, R, S], f32>
  graph.return %r : !graph.tensor<[G, A, R, S], f32>
}

// -----

// A gather of scores may have more elements than these: it stays.
// CHECK-LABEL: graph.func @gathered_scores
// CHECK: graph.contract
// CHECK-NEXT: graph.gather
// CHECK-NEXT: graph.softmax
graph.func @gathered_scores<[T, S, U]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %i: !graph.tensor<[U], i64>) -> !graph.tensor<[T, U], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %g = graph.gather %s at %i [1] : <[T, S], f32>, !graph.tensor<[U], i64> -> <[T, U], f32>
  %p = graph.softmax %g {axis = 1} : !graph.tensor<[T, U], f32>
  graph.return %p : !graph.tensor<[T, U], f32>
}
