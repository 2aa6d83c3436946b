// RUN: fovea-opt %s --graph-raise-statistics --split-input-file | FileCheck %s

// A sum over the keys of a function of the weights: a product with ones, of weights from the log-sum-exp.
// CHECK-LABEL: graph.func @entropy
// CHECK: %[[S:.*]] = graph.contract
// CHECK: %[[L:.*]] = graph.logsumexp %[[S]] {axis = 2 : i64} : <[H, T, S], f32> -> <[H, T], f32>
// CHECK: %[[G:.*]] = graph.select %{{.*}}, %{{.*}}, %[[L]] : <[H, T], i1>
// CHECK: %[[B:.*]] = graph.broadcast %[[G]] [0, 1]
// CHECK: %[[D:.*]] = graph.sub %[[S]], %[[B]]
// CHECK: %[[W:.*]] = graph.exp %[[D]]
// CHECK: %[[LOG:.*]] = graph.log %[[W]]
// CHECK: %[[P:.*]] = graph.mul %[[W]], %[[LOG]]
// CHECK: graph.contract %[[P]] [0, 1, 2], %{{.*}} [2] -> [0, 1] {graph.statistic} : <[H, T, S], f32>, <[S], f32> -> <[H, T], f32>
// CHECK-NOT: graph.softmax
// CHECK-NOT: graph.reduce
graph.func @entropy<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>) -> !graph.tensor<[H, T], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %l = graph.log %w : <[H, T, S], f32>
  %p = graph.mul %w, %l : <[H, T, S], f32>
  %e = graph.reduce "sum" %p [2] : <[H, T, S], f32> -> <[H, T], f32>
  graph.return %e : !graph.tensor<[H, T], f32>
}

// -----

// Over the queries and the heads: the queries go into the product, the heads are summed after it. A sink is one more logit.
// CHECK-LABEL: graph.func @mass
// CHECK-SAME: %[[SINK:[^ ]*]]: !graph.tensor<[H, T], f32>
// CHECK: %[[L:.*]] = graph.logsumexp
// CHECK: graph.max %[[L]], %[[SINK]]
// CHECK: graph.log
// CHECK: %[[W:.*]] = graph.exp %{{.*}} : <[H, T, S], f32>
// CHECK: %[[X:.*]] = graph.transpose %[[W]] [2, 0, 1]
// CHECK: %[[C:.*]] = graph.contract %[[X]] [0, 1, 2], %{{.*}} [2] -> [0, 1] {graph.statistic} : <[S, H, T], f32>, <[T], f32> -> <[S, H], f32>
// CHECK: graph.reduce "sum" %[[C]] [1]
graph.func @mass<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>, %sink: !graph.tensor<[H, T], f32>) -> !graph.tensor<[S], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s sink %sink {axis = 2} : <[H, T, S], f32>, !graph.tensor<[H, T], f32>
  %t = graph.transpose %w [2, 0, 1] : <[H, T, S], f32> -> <[S, H, T], f32>
  %e = graph.reduce "sum" %t [1, 2] : <[S, H, T], f32> -> <[S], f32>
  graph.return %e : !graph.tensor<[S], f32>
}

// -----

// The largest weights by the largest scores; where weights are NaN, all of a row are, and the first keys come first.
// CHECK-LABEL: graph.func @largest
// CHECK: %[[S:.*]] = graph.contract
// CHECK: %[[L:.*]] = graph.logsumexp %[[S]]
// CHECK: %[[V:.*]], %{{.*}} = graph.top_k %[[S]] {graph.statistic} : <[H, T, S], f32> -> <[H, T, 4], f32>, <[H, T, 4], i64>
// CHECK: %[[D:.*]] = graph.sub %[[V]]
// CHECK: graph.exp %[[D]] : <[H, T, 4], f32>
// CHECK: %{{.*}}, %[[I:.*]] = graph.top_k %[[S]] {graph.statistic} : <[H, T, S], f32> -> <[H, T, 1], f32>, <[H, T, 1], i64>
// CHECK: graph.compare "eq" %[[L]], %[[L]]
// CHECK: graph.select %{{.*}}, %[[I]], %{{.*}} : <[H, T, 1], i1>
// CHECK: graph.top_k %[[S]] {graph.statistic}
// CHECK: graph.dim <S>
// CHECK-NOT: graph.argmax
// CHECK-NOT: graph.reduce
graph.func @largest<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>) -> (!graph.tensor<[H, T, 4], f32>, !graph.tensor<[H, T], i64>, !graph.tensor<[H, T], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %v, %i = graph.top_k %w : <[H, T, S], f32> -> <[H, T, 4], f32>, <[H, T, 4], i64>
  %a = graph.argmax %w {axis = 2} : <[H, T, S], f32> -> <[H, T], i64>
  %m = graph.reduce "max" %w [2] : <[H, T, S], f32> -> <[H, T], f32>
  graph.return %v, %a, %m : !graph.tensor<[H, T, 4], f32>, !graph.tensor<[H, T], i64>, !graph.tensor<[H, T], f32>
}

// -----

// Heads that share keys are joined with others in one axis: it is taken apart, and those that share come first.
// CHECK-LABEL: graph.func @joined_heads
// CHECK: %[[W:.*]] = graph.exp %{{.*}} : <[12, T, S], f32>
// CHECK: %[[X:.*]] = graph.reshape %[[W]] : <[12, T, S], f32> -> <[3, 4, T, S], f32>
// CHECK: %[[C:.*]] = graph.contract %[[X]] [0, 1, 2, 3], %{{.*}} [1] -> [0, 2, 3] {graph.statistic} : <[3, 4, T, S], f32>, <[4], f32> -> <[3, T, S], f32>
// CHECK: graph.reduce "sum" %[[C]] [0] : <[3, T, S], f32> -> <[T, S], f32>
// CHECK-NOT: graph.softmax
graph.func @joined_heads<[T, S]>(%q: !graph.tensor<[3, 4, T, 8], f32>, %k: !graph.tensor<[3, S, 8], f32>) -> !graph.tensor<[T, S], f32> {
  %s = graph.contract %q [0, 1, 2, 4], %k [0, 3, 4] -> [0, 1, 2, 3] : <[3, 4, T, 8], f32>, <[3, S, 8], f32> -> <[3, 4, T, S], f32>
  %j = graph.reshape %s : <[3, 4, T, S], f32> -> <[12, T, S], f32>
  %w = graph.softmax %j {axis = 2} : <[12, T, S], f32>
  %e = graph.reduce "sum" %w [0] : <[12, T, S], f32> -> <[T, S], f32>
  graph.return %e : !graph.tensor<[T, S], f32>
}

// -----

// Over joined queries and keys: the keys first. Over queries and heads that share keys: the queries.
// CHECK-LABEL: graph.func @joined_queries
// CHECK: graph.contract %{{.*}} [0, 1, 2], %{{.*}} [2] -> [0, 1] {graph.statistic} : <[H, T, S], f32>, <[S], f32> -> <[H, T], f32>
// CHECK: graph.reduce "sum" %{{.*}} [1] : <[H, T], f32> -> <[H], f32>
// CHECK: graph.contract %{{.*}} [0, 1, 2], %{{.*}} [1] -> [0, 2] {graph.statistic} : <[H, T, S], f32>, <[T], f32> -> <[H, S], f32>
// CHECK: graph.reduce "sum" %{{.*}} [0] : <[H, S], f32> -> <[S], f32>
graph.func @joined_queries<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[H], f32>, !graph.tensor<[S], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %j = graph.reshape %w : <[H, T, S], f32> -> <[H, T * S], f32>
  %p = graph.mul %j, %j : <[H, T * S], f32>
  %e = graph.reduce "sum" %p [1] : <[H, T * S], f32> -> <[H], f32>
  %r = graph.reshape %w : <[H, T, S], f32> -> <[H * T, S], f32>
  %m = graph.reduce "sum" %r [0] : <[H * T, S], f32> -> <[S], f32>
  graph.return %e, %m : !graph.tensor<[H], f32>, !graph.tensor<[S], f32>
}

// -----

// Maxima and minima over queries, over heads that share keys, and of functions of the weights: the first of a list.
// CHECK-LABEL: graph.func @extremes
// CHECK: %[[W:.*]] = graph.exp %{{.*}} : <[12, T, S], f32>
// CHECK: %[[Q:.*]] = graph.transpose %[[W]] [0, 2, 1]
// CHECK: graph.top_k %[[Q]] {graph.statistic} : <[12, S, T], f32> -> <[12, S, 1], f32>, <[12, S, 1], i64>
// CHECK: %[[A:.*]] = graph.reshape %[[W]] : <[12, T, S], f32> -> <[3, 4, T, S], f32>
// CHECK: %[[H:.*]] = graph.transpose %[[A]] [0, 2, 3, 1]
// CHECK: %[[V:.*]], %{{.*}} = graph.top_k %[[H]] {graph.statistic} : <[3, T, S, 4], f32> -> <[3, T, S, 1], f32>, <[3, T, S, 1], i64>
// CHECK: %[[R:.*]] = graph.reshape %[[V]] : <[3, T, S, 1], f32> -> <[3, T, S], f32>
// CHECK: graph.reduce "max" %[[R]] [0]
// CHECK: %[[N:.*]] = graph.neg %{{.*}} : <[12, T, S], f32>
// CHECK: graph.top_k %[[N]] {graph.statistic}
// CHECK: graph.neg %{{.*}} : <[12, T], f32>
// CHECK-NOT: graph.softmax
graph.func @extremes<[T, S]>(%q: !graph.tensor<[3, 4, T, 8], f32>, %k: !graph.tensor<[3, S, 8], f32>) -> (!graph.tensor<[12, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[12, T], f32>) {
  %s = graph.contract %q [0, 1, 2, 4], %k [0, 3, 4] -> [0, 1, 2, 3] : <[3, 4, T, 8], f32>, <[3, S, 8], f32> -> <[3, 4, T, S], f32>
  %j = graph.reshape %s : <[3, 4, T, S], f32> -> <[12, T, S], f32>
  %w = graph.softmax %j {axis = 2} : <[12, T, S], f32>
  %c = graph.reduce "max" %w [1] : <[12, T, S], f32> -> <[12, S], f32>
  %h = graph.reduce "max" %w [0] : <[12, T, S], f32> -> <[T, S], f32>
  %l = graph.reduce "min" %w [2] : <[12, T, S], f32> -> <[12, T], f32>
  graph.return %c, %h, %l : !graph.tensor<[12, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[12, T], f32>
}

// -----

// Of the weights over keys and more, in another layout: each row's by its largest score, and of these the largest.
// CHECK-LABEL: graph.func @largest_of_all
// CHECK: %[[S:.*]] = graph.contract
// CHECK: graph.top_k %[[S]] {graph.statistic} : <[H, T, S], f32> -> <[H, T, 1], f32>
// CHECK: %[[T:.*]] = graph.transpose %{{.*}} [1, 0] : <[H, T], f32> -> <[T, H], f32>
// CHECK: graph.reduce "max" %[[T]] [1] : <[T, H], f32> -> <[T], f32>
// CHECK-NOT: graph.softmax
graph.func @largest_of_all<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>) -> !graph.tensor<[T], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %t = graph.transpose %w [1, 0, 2] : <[H, T, S], f32> -> <[T, H, S], f32>
  %r = graph.reshape %t : <[T, H, S], f32> -> <[T, H * S], f32>
  %m = graph.reduce "max" %r [1] : <[T, H * S], f32> -> <[T], f32>
  graph.return %m : !graph.tensor<[T], f32>
}

// -----

// A sum over heads alone is as large as the weights.
// CHECK-LABEL: graph.func @heads
// CHECK: graph.softmax
// CHECK-NEXT: graph.reduce "sum" %{{.*}} [0]
// CHECK-NEXT: graph.reduce "max" %{{.*}} [0]
// CHECK-NEXT: graph.reduce "prod" %{{.*}} [2]
graph.func @heads<[H, T, S]>(%q: !graph.tensor<[H, T, 8], f32>, %k: !graph.tensor<[H, S, 8], f32>) -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[H, T], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : <[H, T, 8], f32>, <[H, S, 8], f32> -> <[H, T, S], f32>
  %w = graph.softmax %s {axis = 2} : <[H, T, S], f32>
  %e = graph.reduce "sum" %w [0] : <[H, T, S], f32> -> <[T, S], f32>
  %m = graph.reduce "max" %w [0] : <[H, T, S], f32> -> <[T, S], f32>
  %p = graph.reduce "prod" %w [2] : <[H, T, S], f32> -> <[H, T], f32>
  graph.return %e, %m, %p : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[H, T], f32>
}

// -----

// Scores that come from memory are there in full.
// CHECK-LABEL: graph.func @no_scores
// CHECK-NEXT: graph.softmax
// CHECK-NEXT: graph.reduce "sum"
// CHECK-NEXT: graph.top_k %{{.*}} : <[T, S], f32>
graph.func @no_scores<[T, S]>(%s: !graph.tensor<[T, S], f32>) -> (!graph.tensor<[T], f32>, !graph.tensor<[T, 4], i64>) {
  %w = graph.softmax %s {axis = 1} : <[T, S], f32>
  %e = graph.reduce "sum" %w [1] : <[T, S], f32> -> <[T], f32>
  %v, %i = graph.top_k %w : <[T, S], f32> -> <[T, 4], f32>, <[T, 4], i64>
  graph.return %e, %i : !graph.tensor<[T], f32>, !graph.tensor<[T, 4], i64>
}
