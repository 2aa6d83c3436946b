// RUN: fovea-opt %s --graph-fuse-attention --split-input-file --verify-diagnostics | FileCheck %s
// Constants stay inside the regions, whatever runs later.
// RUN: fovea-opt %s --graph-fuse-attention --canonicalize --cse --split-input-file --verify-diagnostics > %t

// The causal mask is a region of its own, the scale stays in the score; nothing else is left of the chain.
// CHECK: graph.fusion_report = [{facts = [{{.*}}"softmax over the key axis"{{.*}}"mask: from indices alone{{.*}}"], function = "causal", fused, place = {{.*}}}]
// CHECK-LABEL: graph.func @causal
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[B, T, 64], f32>, %[[K:.*]]: !graph.tensor<[B, S, 64], f32>, %[[V:.*]]: !graph.tensor<[B, S, 32], f32>
// CHECK-NEXT: %[[Y:.*]] = graph.attention q(%[[Q]]) k(%[[K]]) v(%[[V]]) score {
// CHECK-NEXT: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-NEXT: %[[C:.*]] = arith.constant 1.250000e-01 : f32
// CHECK-NEXT: %[[D:.*]] = arith.mulf %[[S]], %[[C]] : f32
// CHECK-NEXT: graph.yield %[[D]] : f32
// CHECK-NEXT: } mask {
// CHECK-NEXT: ^bb0(%{{.*}}: index, %[[T:.*]]: index, %[[J:.*]]: index):
// CHECK-DAG: %[[TI:.*]] = arith.index_cast %[[T]] : index to i64
// CHECK-DAG: %[[JI:.*]] = arith.index_cast %[[J]] : index to i64
// CHECK-NEXT: %[[M:.*]] = arith.cmpi sge, %[[TI]], %[[JI]] : i64
// CHECK-NEXT: graph.yield %[[M]] : i1
// CHECK-NEXT: }
// CHECK-NEXT: graph.return %[[Y]]
graph.func @causal<[B, T, S]>(%q: !graph.tensor<[B, T, 64], f32>, %k: !graph.tensor<[B, S, 64], f32>, %v: !graph.tensor<[B, S, 32], f32>) -> !graph.tensor<[B, T, 32], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 64], f32>, !graph.tensor<[B, S, 64], f32> -> !graph.tensor<[B, T, S], f32>
  %c = graph.constant 0.125 : f32 : !graph.tensor<[], f32>
  %cb = graph.broadcast %c [] : !graph.tensor<[], f32> -> !graph.tensor<[B, T, S], f32>
  %d = graph.mul %s, %cb : !graph.tensor<[B, T, S], f32>
  %i = graph.iota : !graph.tensor<[T], i64>
  %ib = graph.broadcast %i [1] : !graph.tensor<[T], i64> -> !graph.tensor<[B, T, S], i64>
  %j = graph.iota : !graph.tensor<[S], i64>
  %jb = graph.broadcast %j [2] : !graph.tensor<[S], i64> -> !graph.tensor<[B, T, S], i64>
  %m = graph.compare "ge" %ib, %jb : !graph.tensor<[B, T, S], i64> -> !graph.tensor<[B, T, S], i1>
  %inf = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %infb = graph.broadcast %inf [] : !graph.tensor<[], f32> -> !graph.tensor<[B, T, S], f32>
  %w = graph.select %m, %d, %infb : !graph.tensor<[B, T, S], i1>, !graph.tensor<[B, T, S], f32>
  %p = graph.softmax %w {axis = 2} : !graph.tensor<[B, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[B, T, S], f32>, !graph.tensor<[B, S, 32], f32> -> !graph.tensor<[B, T, 32], f32>
  graph.return %y : !graph.tensor<[B, T, 32], f32>
}

// -----

// A padding mask before the scale, inverted, at its own place; a finite mask stays an addend.
// CHECK-LABEL: graph.func @padding
// CHECK-SAME: %[[PAD:[^,]*]]: !graph.tensor<[B, S], i1>, %[[BIAS:[^,]*]]: !graph.tensor<[S], f32>)
// CHECK: graph.attention q({{.*}}) k({{.*}}) v({{.*}}) captures(%{{.*}}, %{{.*}}) score {
// CHECK-NOT: select
// CHECK: graph.at %[[BIAS]]
// CHECK: } mask {
// CHECK: ^bb0(%[[B:.*]]: index, %[[T:.*]]: index, %[[J:.*]]: index):
// CHECK-NEXT: %[[P:.*]] = graph.at %[[PAD]][%[[B]], %[[J]]]
// CHECK: arith.xori %[[P]]
graph.func @padding<[B, T, S]>(%q: !graph.tensor<[B, T, 64], f32>, %k: !graph.tensor<[B, S, 64], f32>, %v: !graph.tensor<[B, S, 32], f32>, %pad: !graph.tensor<[B, S], i1>, %bias: !graph.tensor<[S], f32>) -> !graph.tensor<[B, T, 32], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 64], f32>, !graph.tensor<[B, S, 64], f32> -> !graph.tensor<[B, T, S], f32>
  %bb = graph.broadcast %bias [2] : !graph.tensor<[S], f32> -> !graph.tensor<[B, T, S], f32>
  %sb = graph.add %s, %bb : !graph.tensor<[B, T, S], f32>
  %inf = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %infb = graph.broadcast %inf [] : !graph.tensor<[], f32> -> !graph.tensor<[B, T, S], f32>
  %pb = graph.broadcast %pad [0, 2] : !graph.tensor<[B, S], i1> -> !graph.tensor<[B, T, S], i1>
  %w = graph.select %pb, %infb, %sb : !graph.tensor<[B, T, S], i1>, !graph.tensor<[B, T, S], f32>
  %c = graph.constant 8.0 : f32 : !graph.tensor<[], f32>
  %cb = graph.broadcast %c [] : !graph.tensor<[], f32> -> !graph.tensor<[B, T, S], f32>
  %d = graph.div %w, %cb : !graph.tensor<[B, T, S], f32>
  %p = graph.softmax %d {axis = 2} : !graph.tensor<[B, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[B, T, S], f32>, !graph.tensor<[B, S, 32], f32> -> !graph.tensor<[B, T, 32], f32>
  graph.return %y : !graph.tensor<[B, T, 32], f32>
}

// -----

// A mask under a negative factor is none: -inf would become inf. It stays in the score.
// CHECK-LABEL: graph.func @negative
// CHECK: graph.attention
// CHECK: arith.select
// CHECK: } mask {
// CHECK-NEXT: } :
graph.func @negative<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %pad: !graph.tensor<[S], i1>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %inf = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %infb = graph.broadcast %inf [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %pb = graph.broadcast %pad [1] : !graph.tensor<[S], i1> -> !graph.tensor<[T, S], i1>
  %w = graph.select %pb, %s, %infb : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %c = graph.constant -8.0 : f32 : !graph.tensor<[], f32>
  %cb = graph.broadcast %c [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %d = graph.div %w, %cb : !graph.tensor<[T, S], f32>
  %p = graph.softmax %d {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// Heads by reshape and transpose, scores merged to [B*H, T, S], keys shared by the heads: one attention over B, H.
// CHECK-LABEL: graph.func @heads
// CHECK-DAG: %[[Q:.*]] = graph.transpose %{{.*}} [0, 2, 1, 3] : <[B, T, 12, 64], f32> -> <[B, 12, T, 64], f32>
// CHECK-DAG: %[[K:.*]] = graph.broadcast %{{.*}} [0, 2, 3] : <[B, S, 64], f32> -> <[B, 12, S, 64], f32>
// CHECK: graph.attention
// CHECK: (!graph.tensor<[B, 12, T, 64], f32>, !graph.tensor<[B, 12, S, 64], f32>, !graph.tensor<[B, 12, S, 64], f32>) -> !graph.tensor<[B, 12, T, 64], f32>
graph.func @heads<[B, T, S]>(%q: !graph.tensor<[B, T, 12, 64], f32>, %k: !graph.tensor<[B, S, 64], f32>, %v: !graph.tensor<[B, S, 64], f32>) -> !graph.tensor<[B, T, 768], f32> {
  %s = graph.contract %q [0, 2, 1, 4], %k [0, 3, 4] -> [0, 1, 2, 3] : !graph.tensor<[B, T, 12, 64], f32>, !graph.tensor<[B, S, 64], f32> -> !graph.tensor<[B, 12, T, S], f32>
  %m = graph.reshape %s : !graph.tensor<[B, 12, T, S], f32> -> !graph.tensor<[12*B, T, S], f32>
  %p = graph.softmax %m {axis = 2} : !graph.tensor<[12*B, T, S], f32>
  %n = graph.reshape %p : !graph.tensor<[12*B, T, S], f32> -> !graph.tensor<[B, 12, T, S], f32>
  %y = graph.contract %n [0, 1, 2, 3], %v [0, 3, 4] -> [0, 2, 1, 4] : !graph.tensor<[B, 12, T, S], f32>, !graph.tensor<[B, S, 64], f32> -> !graph.tensor<[B, T, 12, 64], f32>
  %z = graph.reshape %y : !graph.tensor<[B, T, 12, 64], f32> -> !graph.tensor<[B, T, 768], f32>
  graph.return %z : !graph.tensor<[B, T, 768], f32>
}

// -----

// A relative-position table is read through its index arithmetic where the index is proved to be inside...
// CHECK-LABEL: graph.func @relative
// CHECK-SAME: %[[TABLE:[^,]*]]: !graph.tensor<[255], f32>)
// CHECK: graph.attention {{.*}} captures(%[[TABLE]]) score
// CHECK: graph.at %[[TABLE]][%{{.*}}]
graph.func @relative<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %table: !graph.tensor<[255], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %i = graph.iota : !graph.tensor<[T], i64>
  %ib = graph.broadcast %i [0] : !graph.tensor<[T], i64> -> !graph.tensor<[T, S], i64>
  %j = graph.iota : !graph.tensor<[S], i64>
  %jb = graph.broadcast %j [1] : !graph.tensor<[S], i64> -> !graph.tensor<[T, S], i64>
  %g = graph.sub %ib, %jb : !graph.tensor<[T, S], i64>
  %zero = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], i64> -> !graph.tensor<[T, S], i64>
  %top = graph.constant 254 : i64 : !graph.tensor<[], i64>
  %tops = graph.broadcast %top [] : !graph.tensor<[], i64> -> !graph.tensor<[T, S], i64>
  %lo = graph.max %g, %zeros : !graph.tensor<[T, S], i64>
  %index = graph.min %lo, %tops : !graph.tensor<[T, S], i64>
  %r = graph.gather %table at %index [0] : !graph.tensor<[255], f32>, !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], f32>
  %b = graph.add %s, %r : !graph.tensor<[T, S], f32>
  %p = graph.softmax %b {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// ... and gathered outside, where an index may fail the run, otherwise.
// CHECK-LABEL: graph.func @unproved
// CHECK: %[[R:.*]] = graph.gather
// CHECK: graph.attention {{.*}} captures(%[[R]]) score
graph.func @unproved<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %table: !graph.tensor<[255], f32>, %index: !graph.tensor<[T, S], i64>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %r = graph.gather %table at %index [0] : !graph.tensor<[255], f32>, !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], f32>
  %b = graph.add %s, %r : !graph.tensor<[T, S], f32>
  %p = graph.softmax %b {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// One query without an axis of its own, bf16 storage: the score is made f32.
// CHECK-LABEL: graph.func @one_query
// CHECK: graph.attention
// CHECK: arith.truncf
// CHECK: arith.extf
// CHECK: (!graph.tensor<[1, 64], bf16>, !graph.tensor<[S, 64], bf16>, !graph.tensor<[S, 32], bf16>) -> !graph.tensor<[1, 32], bf16>
graph.func @one_query<[S]>(%q: !graph.tensor<[64], bf16>, %k: !graph.tensor<[S, 64], bf16>, %v: !graph.tensor<[S, 32], bf16>) -> !graph.tensor<[32], bf16> {
  %s = graph.contract %q [3], %k [2, 3] -> [2] : !graph.tensor<[64], bf16>, !graph.tensor<[S, 64], bf16> -> !graph.tensor<[S], bf16>
  %p = graph.softmax %s {axis = 0} : !graph.tensor<[S], bf16>
  %y = graph.contract %p [2], %v [2, 3] -> [3] : !graph.tensor<[S], bf16>, !graph.tensor<[S, 32], bf16> -> !graph.tensor<[32], bf16>
  graph.return %y : !graph.tensor<[32], bf16>
}

// -----

// Two softmaxes of the same scores: each computes them (of the second, no other reads them any more).
// CHECK: "another softmax reads the scores: they are computed for each"{{.*}}function = "shared", fused{{.*}}function = "shared", fused
// CHECK-LABEL: graph.func @shared
// CHECK-NOT: graph.contract
// CHECK-COUNT-2: graph.attention
// CHECK-NOT: graph.contract
graph.func @shared<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %bias: !graph.tensor<[T, S], f32>) -> (!graph.tensor<[T, 32], f32>, !graph.tensor<[T, 32], f32>) {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  %b = graph.add %s, %bias : !graph.tensor<[T, S], f32>
  %r = graph.softmax %b {axis = 1} : !graph.tensor<[T, S], f32>
  %z = graph.contract %r [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y, %z : !graph.tensor<[T, 32], f32>, !graph.tensor<[T, 32], f32>
}

// -----

// Must not fire: a weighted sum without a contraction in the scores.
// CHECK: failure = "the scores do not come from a contraction"
// CHECK-LABEL: graph.func @pooling
// CHECK-NOT: graph.attention
graph.func @pooling<[B, T]>(%s: !graph.tensor<[B, T], f32>, %v: !graph.tensor<[B, T, 8], f32>) -> !graph.tensor<[B, 8], f32> {
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[B, T], f32>
  %y = graph.contract %p [0, 1], %v [0, 1, 2] -> [0, 2] : !graph.tensor<[B, T], f32>, !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, 8], f32>
  graph.return %y : !graph.tensor<[B, 8], f32>
}

// -----

// Must not fire: no contraction near. Not even a chain.
// CHECK-NOT: fusion_report
// CHECK-LABEL: graph.func @alone
graph.func @alone<[B, T]>(%s: !graph.tensor<[B, T], f32>) -> !graph.tensor<[B, T], f32> {
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[B, T], f32>
  graph.return %p : !graph.tensor<[B, T], f32>
}

// -----

// Must not fire: a reduction of the scores. The first fact that fails.
// CHECK: failure = "a reduction of the scores stands between the contraction and the softmax"
// CHECK-LABEL: graph.func @centred
// CHECK-NOT: graph.attention
graph.func @centred<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %r = graph.reduce "sum" %s [0] : !graph.tensor<[T, S], f32> -> !graph.tensor<[S], f32>
  %rb = graph.broadcast %r [1] : !graph.tensor<[S], f32> -> !graph.tensor<[T, S], f32>
  %c = graph.sub %s, %rb : !graph.tensor<[T, S], f32>
  %p = graph.softmax %c {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// Weights that are changed, and such as are normalised over the queries: the log-sum-exp comes first, without columns.
// CHECK-COUNT-2: "the weights are changed before they meet the values: their log-sum-exp comes first"
// CHECK-LABEL: graph.func @queries
// CHECK: %{{.*}}, %[[LSE:.*]] = graph.attention q(%arg1) k(%arg0)
// CHECK: graph.attention q(%arg0) k(%arg1) v(%arg2) captures(%[[LSE]]) score {
// CHECK: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %[[J:.*]]: index):
// CHECK: graph.at %[[LSE]][%[[J]]]
// CHECK: math.exp
// CHECK: {normalizer = "pointwise"}
// CHECK-NOT: graph.contract
// CHECK-LABEL: graph.func @between
// CHECK: graph.attention
// CHECK: graph.attention
// CHECK: math.absf
graph.func @queries<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 0} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}
graph.func @between<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %a = graph.abs %p : !graph.tensor<[T, S], f32>
  %y = graph.contract %a [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// What multiplies the weights key by key, and not their sum, is yielded beside the score; not where it depends on the weights.
// CHECK: "what multiplies the weights and not their sum is a factor of each, where it meets its value"
// CHECK-LABEL: graph.func @factor
// CHECK: graph.attention q(%arg0) k(%arg1) v(%arg2) captures({{.*}}) score {
// CHECK: ^bb0(%[[S:.*]]: f32, %[[T:.*]]: index, %[[J:.*]]: index):
// CHECK-DAG: graph.at %arg3[%[[T]], %[[J]]]
// CHECK-DAG: graph.at %arg4[%[[J]]]
// CHECK: graph.yield %[[S]], %{{.*}} : f32, f32
// CHECK-LABEL: graph.func @factor_of_weights
// CHECK-COUNT-2: graph.attention
// CHECK: {normalizer = "pointwise"}
graph.func @factor<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %g: !graph.tensor<[T, S], f32>, %m: !graph.tensor<[S], i1>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %w = graph.mul %p, %g : !graph.tensor<[T, S], f32>
  %c = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zero = graph.broadcast %c [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %mb = graph.broadcast %m [1] : !graph.tensor<[S], i1> -> !graph.tensor<[T, S], i1>
  %x = graph.select %mb, %w, %zero : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %y = graph.contract %x [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}
graph.func @factor_of_weights<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %w = graph.mul %p, %p : !graph.tensor<[T, S], f32>
  %y = graph.contract %w [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// Weights that are returned as well are computed again, from the log-sum-exp.
// CHECK: "the weights are also read by return: they are computed for it again, from the log-sum-exp"
// CHECK-LABEL: graph.func @shown
// CHECK: %[[S:.*]] = graph.contract
// CHECK: %[[Y:.*]], %[[LSE:.*]] = graph.attention
// CHECK: %[[EMPTY:.*]] = graph.compare "eq" %[[LSE]]
// CHECK: %[[SHIFT:.*]] = graph.select %[[EMPTY]], %{{.*}}, %[[LSE]]
// CHECK: %[[B:.*]] = graph.broadcast %[[SHIFT]] [0]
// CHECK: %[[D:.*]] = graph.sub %[[S]], %[[B]]
// CHECK: %[[W:.*]] = graph.exp %[[D]]
// CHECK: graph.return %[[Y]], %[[W]]
graph.func @shown<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> (!graph.tensor<[T, 32], f32>, !graph.tensor<[T, S], f32>) {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y, %p : !graph.tensor<[T, 32], f32>, !graph.tensor<[T, S], f32>
}

// -----

// A log-sum-exp of the same scores is a result of the attention, in another layout too; alone it has one without columns.
// CHECK: "the log-sum-exp of the scores is a result as well"
// CHECK-LABEL: graph.func @log_sum
// CHECK: %[[Y:.*]], %[[LSE:.*]] = graph.attention
// CHECK: graph.return %[[Y]], %[[LSE]]
// CHECK-LABEL: graph.func @log_sum_alone
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[T, 64], f32>, %[[K:.*]]: !graph.tensor<[S, 64], f32>
// CHECK: %[[V:.*]] = graph.slice %[[K]] {axis = 1 : i64, start = #graph.dim<0>} : <[S, 64], f32> -> <[S, 0], f32>
// CHECK: %{{.*}}, %[[LSE:.*]] = graph.attention q(%[[Q]]) k(%[[K]]) v(%[[V]])
// CHECK: graph.return %[[LSE]]
graph.func @log_sum<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> (!graph.tensor<[T, 32], f32>, !graph.tensor<[T], f32>) {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %t = graph.transpose %s [1, 0] : !graph.tensor<[T, S], f32> -> !graph.tensor<[S, T], f32>
  %l = graph.logsumexp %t {axis = 0} : !graph.tensor<[S, T], f32> -> !graph.tensor<[T], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y, %l : !graph.tensor<[T, 32], f32>, !graph.tensor<[T], f32>
}
graph.func @log_sum_alone<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>) -> !graph.tensor<[T], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %l = graph.logsumexp %s {axis = 1} : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  graph.return %l : !graph.tensor<[T], f32>
}

// -----

// Must not serve: of scores that are scaled otherwise; alone where the scores are read as well.
// CHECK-LABEL: graph.func @other_log_sum
// CHECK: graph.contract
// CHECK: graph.logsumexp
graph.func @other_log_sum<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> (!graph.tensor<[T, 32], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, S], f32>) {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %d = graph.add %s, %s : !graph.tensor<[T, S], f32>
  %l = graph.logsumexp %d {axis = 1} : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y, %l, %s : !graph.tensor<[T, 32], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, S], f32>
}

// -----

// A function of each score, hidden by a choice of 0 after it and of -inf before it: both are masks. What makes 1 of 0 keeps no mask.
// CHECK: function = "pointwise", fused
// CHECK: function = "cosine", fused
// CHECK-LABEL: graph.func @pointwise
// CHECK: graph.attention {{.*}} captures(%{{.*}}) score {
// CHECK: math.exp
// CHECK-NOT: arith.select
// CHECK: } mask {
// CHECK: arith.cmpi sge
// CHECK: graph.at
// CHECK: arith.andi
// CHECK: } {normalizer = "pointwise"}
graph.func @pointwise<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %seen: !graph.tensor<[S], i1>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %low = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %lows = graph.broadcast %low [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %seens = graph.broadcast %seen [1] : !graph.tensor<[S], i1> -> !graph.tensor<[T, S], i1>
  %h = graph.select %seens, %s, %lows : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %w = graph.sigmoid %h : !graph.tensor<[T, S], f32>
  %t = graph.iota : !graph.tensor<[T], i64>
  %j = graph.iota : !graph.tensor<[S], i64>
  %ts = graph.broadcast %t [0] : !graph.tensor<[T], i64> -> !graph.tensor<[T, S], i64>
  %js = graph.broadcast %j [1] : !graph.tensor<[S], i64> -> !graph.tensor<[T, S], i64>
  %m = graph.compare "ge" %ts, %js : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.select %m, %w, %zeros : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}
// CHECK-LABEL: graph.func @cosine
// CHECK: graph.attention
// CHECK: arith.select
// CHECK: } mask {
// CHECK-NEXT: } {normalizer = "pointwise"}
graph.func @cosine<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %seen: !graph.tensor<[S], i1>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %seens = graph.broadcast %seen [1] : !graph.tensor<[S], i1> -> !graph.tensor<[T, S], i1>
  %h = graph.select %seens, %s, %zeros : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %p = graph.cos %h : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// Must not fire: a perceptron, whose keys are params, and a linear layer before a product with something else; scores that are only scaled, whose products may be reordered.
// CHECK-LABEL: graph.func @perceptron
// CHECK-NOT: graph.attention
graph.func @perceptron<[T]>(%x: !graph.tensor<[T, 64], f32>, %up: !graph.tensor<[256, 64], f32> {graph.param = "up"}, %down: !graph.tensor<[256, 64], f32> {graph.param = "down"}) -> !graph.tensor<[T, 64], f32> {
  %s = graph.contract %x [1, 3], %up [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[256, 64], f32> -> !graph.tensor<[T, 256], f32>
  %w = graph.sigmoid %s : !graph.tensor<[T, 256], f32>
  %y = graph.contract %w [1, 2], %down [2, 3] -> [1, 3] : !graph.tensor<[T, 256], f32>, !graph.tensor<[256, 64], f32> -> !graph.tensor<[T, 64], f32>
  graph.return %y : !graph.tensor<[T, 64], f32>
}
// Params that an entry writes are params.
// CHECK-LABEL: graph.func @trained
// CHECK-NOT: graph.attention
graph.func @trained<[T]>(%x: !graph.tensor<[T, 64], f32>, %up: !graph.tensor<[256, 64], f32> {graph.state = "up", graph.written}, %down: !graph.tensor<[256, 64], f32> {graph.state = "down", graph.written}) -> !graph.tensor<[T, 64], f32> {
  %s = graph.contract %x [1, 3], %up [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[256, 64], f32> -> !graph.tensor<[T, 256], f32>
  %w = graph.sigmoid %s : !graph.tensor<[T, 256], f32>
  %y = graph.contract %w [1, 2], %down [2, 3] -> [1, 3] : !graph.tensor<[T, 256], f32>, !graph.tensor<[256, 64], f32> -> !graph.tensor<[T, 64], f32>
  graph.return %y : !graph.tensor<[T, 64], f32>
}
// CHECK-LABEL: graph.func @layer
// CHECK-NOT: graph.attention
graph.func @layer<[T, S]>(%x: !graph.tensor<[T, 64], f32>, %w: !graph.tensor<[32, 64], f32> {graph.param = "w"}, %b: !graph.tensor<[T, 32], f32>, %k: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, S], f32> {
  %p = graph.contract %x [1, 3], %w [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[32, 64], f32> -> !graph.tensor<[T, 32], f32>
  %q = graph.add %p, %b : !graph.tensor<[T, 32], f32>
  %y = graph.contract %q [1, 2], %k [3, 2] -> [1, 3] : !graph.tensor<[T, 32], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, S], f32>
  graph.return %y : !graph.tensor<[T, S], f32>
}
// CHECK-LABEL: graph.func @linear
// CHECK-NOT: graph.attention
graph.func @linear<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %half = graph.constant 0.5 : f32 : !graph.tensor<[], f32>
  %halves = graph.broadcast %half [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.mul %s, %halves : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// A sink of each head is an operand; one of each query scales the result by sigmoid(lse - sink).
// CHECK-LABEL: graph.func @sink_of_head
// CHECK: graph.attention {{.*}} sinks(%{{.*}}) score
graph.func @sink_of_head<[H, T, S]>(%q: !graph.tensor<[H, T, 64], f32>, %k: !graph.tensor<[H, S, 64], f32>, %v: !graph.tensor<[H, S, 32], f32>, %sink: !graph.tensor<[H], f32>) -> !graph.tensor<[H, T, 32], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[H, T, 64], f32>, !graph.tensor<[H, S, 64], f32> -> !graph.tensor<[H, T, S], f32>
  %sinks = graph.broadcast %sink [0] : !graph.tensor<[H], f32> -> !graph.tensor<[H, T], f32>
  %p = graph.softmax %s sink %sinks {axis = 2} : !graph.tensor<[H, T, S], f32>, !graph.tensor<[H, T], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[H, T, S], f32>, !graph.tensor<[H, S, 32], f32> -> !graph.tensor<[H, T, 32], f32>
  graph.return %y : !graph.tensor<[H, T, 32], f32>
}
// CHECK-LABEL: graph.func @sink_of_query
// CHECK: %[[Y:.*]], %[[LSE:.*]] = graph.attention
// CHECK-NOT: sinks
// CHECK: %[[D:.*]] = graph.sub %[[LSE]], %{{.*}}
// CHECK: %[[SHARE:.*]] = graph.sigmoid %[[D]]
// CHECK: %[[B:.*]] = graph.broadcast %[[SHARE]]
// CHECK: graph.mul %[[Y]], %[[B]]
graph.func @sink_of_query<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>, %sink: !graph.tensor<[T], f32>) -> !graph.tensor<[T, 32], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s sink %sink {axis = 1} : !graph.tensor<[T, S], f32>, !graph.tensor<[T], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// A miss is an error where the function says so.
graph.func @required<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>, %v: !graph.tensor<[S, 32], f32>) -> !graph.tensor<[T, 32], f32> attributes {require_fused} {
  %r = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  // expected-note @below {{this is why}}
  %m = graph.reduce "sum" %r [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %s = graph.sub %r, %mb : !graph.tensor<[T, S], f32>
  // expected-error @below {{attention is not fused: a reduction of the scores stands between the contraction and the softmax}}
  // expected-note @below {{help: leave it out (softmax subtracts the maximum itself)}}
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 32], f32> -> !graph.tensor<[T, 32], f32>
  graph.return %y : !graph.tensor<[T, 32], f32>
}

// -----

// The largest scores: an op that sums nothing. A mask hides as it does before a softmax.
// CHECK-LABEL: graph.func @nearest
// CHECK: %[[N:.*]] = graph.slice %{{.*}} {axis = 1 : i64, start = #graph.dim<0>} : <[S, 8], f32> -> <[S, 0], f32>
// CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) v(%[[N]]) captures(%[[SEEN:.*]]) score {
// CHECK: } mask {
// CHECK: graph.at %[[SEEN]]
// CHECK: } {normalizer = "top_k"} : {{.*}} -> (!graph.tensor<[T, 3], f32>, !graph.tensor<[T, 3], i64>)
// CHECK-NOT: graph.top_k
graph.func @nearest<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %seen: !graph.tensor<[S], i1>) -> (!graph.tensor<[T, 3], f32>, !graph.tensor<[T, 3], i64>) {
  %s = graph.contract %q [0, 2], %k [1, 2] -> [0, 1] : <[T, 8], f32>, <[S, 8], f32> -> <[T, S], f32>
  %c = graph.constant 0xFF800000 : f32 : <[], f32>
  %n = graph.broadcast %c [] : <[], f32> -> <[T, S], f32>
  %m = graph.broadcast %seen [1] : <[S], i1> -> <[T, S], i1>
  %x = graph.select %m, %s, %n : <[T, S], i1>, <[T, S], f32>
  %v, %i = graph.top_k %x : <[T, S], f32> -> <[T, 3], f32>, <[T, 3], i64>
  graph.return %v, %i : !graph.tensor<[T, 3], f32>, !graph.tensor<[T, 3], i64>
}

// -----

// Scores that are held anyway, and a linear layer's, stay as they are.
// CHECK-LABEL: graph.func @held
// CHECK-NOT: graph.attention
// CHECK: graph.top_k
// CHECK: graph.top_k
graph.func @held<[T, S]>(%q: !graph.tensor<[T, 8], f32> {graph.input = "q"}, %k: !graph.tensor<[S, 8], f32> {graph.input = "k"}, %w: !graph.tensor<[50, 8], f32> {graph.param = "w"})
    -> (!graph.tensor<[T, S], f32> {graph.output = "s"}, !graph.tensor<[T, 3], i64> {graph.output = "i"}, !graph.tensor<[T, 3], i64> {graph.output = "j"}) attributes {entry} {
  %s = graph.contract %q [0, 2], %k [1, 2] -> [0, 1] : <[T, 8], f32>, <[S, 8], f32> -> <[T, S], f32>
  %v, %i = graph.top_k %s : <[T, S], f32> -> <[T, 3], f32>, <[T, 3], i64>
  %l = graph.contract %q [0, 2], %w [1, 2] -> [0, 1] : <[T, 8], f32>, <[50, 8], f32> -> <[T, 50], f32>
  %u, %j = graph.top_k %l : <[T, 50], f32> -> <[T, 3], f32>, <[T, 3], i64>
  graph.return %s, %i, %j : !graph.tensor<[T, S], f32>, !graph.tensor<[T, 3], i64>, !graph.tensor<[T, 3], i64>
}

// -----

// A product with ones that is marked as a sum becomes an attention with queries and keys exchanged where it is over the queries ...
// CHECK-LABEL: graph.func @mass
// CHECK-SAME: %[[Q:[^,]*]]: !graph.tensor<[T, 8], f32>, %[[K:[^,]*]]: !graph.tensor<[S, 8], f32>
// CHECK: graph.attention q(%[[K]]) k(%[[Q]]) v(%{{.*}}) score {
// CHECK: math.exp
// CHECK: } {normalizer = "pointwise"} : {{.*}} -> !graph.tensor<[S, 1], f32>
graph.func @mass<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[S], f32> {
  %s = graph.contract %q [0, 2], %k [1, 2] -> [0, 1] : <[T, 8], f32>, <[S, 8], f32> -> <[T, S], f32>
  %w = graph.exp %s : <[T, S], f32>
  %one = graph.constant 1.0 : f32 : <[], f32>
  %ones = graph.broadcast %one [] : <[], f32> -> <[T], f32>
  %c = graph.contract %w [0, 1], %ones [0] -> [1] {graph.statistic} : <[T, S], f32>, <[T], f32> -> <[S], f32>
  graph.return %c : !graph.tensor<[S], f32>
}

// -----

// ... and a sum again where it becomes none: there is one query only.
// CHECK-LABEL: graph.func @one_query
// CHECK: %[[W:.*]] = graph.exp
// CHECK: graph.reduce "sum" %[[W]] [0] : <[S], f32> -> <[], f32>
graph.func @one_query<[S]>(%q: !graph.tensor<[8], f32>, %k: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[], f32> {
  %s = graph.contract %q [2], %k [1, 2] -> [1] : <[8], f32>, <[S, 8], f32> -> <[S], f32>
  %w = graph.exp %s : <[S], f32>
  %one = graph.constant 1.0 : f32 : <[], f32>
  %ones = graph.broadcast %one [] : <[], f32> -> <[S], f32>
  %c = graph.contract %w [0], %ones [0] -> [] {graph.statistic} : <[S], f32>, <[S], f32> -> <[], f32>
  graph.return %c : !graph.tensor<[], f32>
}

// -----

// A product that is added to the scores, with the scale that they have: its features are joined to theirs, whatever the scale, which stays in the score.
// CHECK: "products that are added to the scores are computed with them: 2 are summed over the features of all"
// CHECK-LABEL: graph.func @joined
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[B, T, 8], f32>, %[[K:.*]]: !graph.tensor<[B, S, 8], f32>, %[[A:.*]]: !graph.tensor<[B, T, 3], f32>, %[[C:.*]]: !graph.tensor<[S, 3], f32>
// CHECK-NEXT: %[[CB:.*]] = graph.broadcast %[[C]] [1, 2]
// CHECK-NEXT: graph.attention q(%[[Q]]) k(%[[K]]) joined(%[[A]] by %[[CB]]) v(%{{.*}}) score {
// CHECK-NEXT: ^bb0(%[[S:[^:]*]]: f32
// CHECK-NEXT: %[[E:.*]] = arith.constant 1.250000e-01
// CHECK-NEXT: %[[R:.*]] = arith.mulf %[[S]], %[[E]]
// CHECK-NEXT: graph.yield %[[R]]
graph.func @joined<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %a: !graph.tensor<[B, T, 3], f32>, %c: !graph.tensor<[S, 3], f32>, %v: !graph.tensor<[B, S, 8], f32>) -> !graph.tensor<[B, T, 8], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, S], f32>
  %r = graph.contract %c [2, 3], %a [0, 1, 3] -> [0, 1, 2] : !graph.tensor<[S, 3], f32>, !graph.tensor<[B, T, 3], f32> -> !graph.tensor<[B, T, S], f32>
  %e = graph.constant 0.125 : f32 : !graph.tensor<[], f32>
  %eb = graph.broadcast %e [] : !graph.tensor<[], f32> -> !graph.tensor<[B, T, S], f32>
  %se = graph.mul %s, %eb : !graph.tensor<[B, T, S], f32>
  %re = graph.mul %r, %eb : !graph.tensor<[B, T, S], f32>
  %x = graph.add %se, %re : !graph.tensor<[B, T, S], f32>
  %p = graph.softmax %x {axis = 2} : !graph.tensor<[B, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[B, T, S], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, 8], f32>
  graph.return %y : !graph.tensor<[B, T, 8], f32>
}

// -----

// Each product has a scale of its own, one of the keys and one of the queries. What is added between them is read.
// CHECK-LABEL: graph.func @scaled
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[B, T, 8], f32>, %[[K:.*]]: !graph.tensor<[B, S, 8], f32>, %[[A:.*]]: !graph.tensor<[B, T, 3], f32>, %[[C:.*]]: !graph.tensor<[B, S, 3], f32>, %[[BYKEY:.*]]: !graph.tensor<[S], f32>, %[[BYQUERY:.*]]: !graph.tensor<[T], f32>
// CHECK-DAG: %[[KB:.*]] = graph.broadcast %[[BYKEY]] [1]
// CHECK-DAG: %[[KS:.*]] = graph.mul %[[K]], %[[KB]]
// CHECK-DAG: %[[QB:.*]] = graph.broadcast %[[BYQUERY]] [1]
// CHECK-DAG: %[[AS:.*]] = graph.div %[[A]], %[[QB]]
// CHECK-DAG: %[[QN:.*]] = graph.neg %[[Q]]
// CHECK: graph.attention q(%[[AS]]) k(%[[C]]) joined(%[[QN]] by %[[KS]]) v(%{{.*}}) captures(%{{.*}}) score {
// CHECK-NEXT: ^bb0(%[[S:[^:]*]]: f32
// CHECK-NEXT: %[[BIAS:.*]] = graph.at
// CHECK-NEXT: %[[R:.*]] = arith.subf %[[BIAS]], %[[S]]
// CHECK-NEXT: graph.yield %[[R]]
graph.func @scaled<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %a: !graph.tensor<[B, T, 3], f32>, %c: !graph.tensor<[B, S, 3], f32>, %bykey: !graph.tensor<[S], f32>, %byquery: !graph.tensor<[T], f32>, %bias: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[B, S, 8], f32>) -> !graph.tensor<[B, T, 8], f32> {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, S], f32>
  %r = graph.contract %a [0, 1, 3], %c [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 3], f32>, !graph.tensor<[B, S, 3], f32> -> !graph.tensor<[B, T, S], f32>
  %kb = graph.broadcast %bykey [2] : !graph.tensor<[S], f32> -> !graph.tensor<[B, T, S], f32>
  %qb = graph.broadcast %byquery [1] : !graph.tensor<[T], f32> -> !graph.tensor<[B, T, S], f32>
  %bb = graph.broadcast %bias [1, 2] : !graph.tensor<[T, S], f32> -> !graph.tensor<[B, T, S], f32>
  %sk = graph.mul %s, %kb : !graph.tensor<[B, T, S], f32>
  %rq = graph.div %r, %qb : !graph.tensor<[B, T, S], f32>
  %x = graph.add %sk, %bb : !graph.tensor<[B, T, S], f32>
  %z = graph.sub %x, %rq : !graph.tensor<[B, T, S], f32>
  %p = graph.softmax %z {axis = 2} : !graph.tensor<[B, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[B, T, S], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, 8], f32>
  graph.return %y : !graph.tensor<[B, T, 8], f32>
}

// -----

// A product that is read elsewhere as well, and one that all batches share and that is wider than the scores' own: held.
// CHECK: "another product is held: the score reads it at places of its own, or other ops do", "another product is held: {{[^"]*}}"]
// CHECK-LABEL: graph.func @held
// CHECK-COUNT-2: graph.contract
// CHECK-NOT: graph.contract
// CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) captures(%{{.*}}, %{{.*}}) score {
graph.func @held<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32>, %k: !graph.tensor<[B, S, 8], f32>, %a: !graph.tensor<[T, 9], f32>, %c: !graph.tensor<[S, 9], f32>, %v: !graph.tensor<[B, S, 8], f32>) -> (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, S], f32>) {
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, S], f32>
  %w = graph.contract %a [1, 3], %c [2, 3] -> [1, 2] : !graph.tensor<[T, 9], f32>, !graph.tensor<[S, 9], f32> -> !graph.tensor<[T, S], f32>
  %o = graph.contract %k [0, 2, 3], %q [0, 1, 3] -> [0, 1, 2] : !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, T, S], f32>
  %rb = graph.broadcast %w [1, 2] : !graph.tensor<[T, S], f32> -> !graph.tensor<[B, T, S], f32>
  %ot = graph.tanh %o : !graph.tensor<[B, T, S], f32>
  %x = graph.add %s, %rb : !graph.tensor<[B, T, S], f32>
  %z = graph.add %x, %o : !graph.tensor<[B, T, S], f32>
  %p = graph.softmax %z {axis = 2} : !graph.tensor<[B, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[B, T, S], f32>, !graph.tensor<[B, S, 8], f32> -> !graph.tensor<[B, T, 8], f32>
  graph.return %y, %ot : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, S], f32>
}

// -----

// Keys of several pieces along their features: one that heads share, and what lies in memory, are parts of their own; what is computed stays joined.
// CHECK: "keys that are joined along their features are read from where their pieces lie"
// CHECK-LABEL: graph.func @latent
// CHECK-SAME: %[[Q:.*]]: !graph.tensor<[H, T, 12], f32>, %[[N:.*]]: !graph.tensor<[H, S, 6], f32>, %[[R:.*]]: !graph.tensor<[S, 2], f32>
// CHECK-DAG: %[[RS:.*]] = graph.broadcast %[[R]] [1, 2]
// CHECK-DAG: %[[Q0:.*]] = graph.slice %[[Q]] {axis = 2 : i64, start = #graph.dim<0>} : <[H, T, 12], f32> -> <[H, T, 6], f32>
// CHECK-DAG: %[[Q1:.*]] = graph.slice %[[Q]] {axis = 2 : i64, start = #graph.dim<6>} : <[H, T, 12], f32> -> <[H, T, 2], f32>
// CHECK-DAG: %[[Q2:.*]] = graph.slice %[[Q]] {axis = 2 : i64, start = #graph.dim<8>} : <[H, T, 12], f32> -> <[H, T, 4], f32>
// CHECK-DAG: %[[K2:.*]] = graph.concat %{{.*}}, %{{.*}} {axis = 2 : i64}
// CHECK: graph.attention q(%[[Q0]]) k(%[[N]]) joined(%[[Q1]], %[[Q2]] by %[[RS]], %[[K2]]) v(
graph.func @latent<[H, T, S]>(%q: !graph.tensor<[H, T, 12], f32>, %n: !graph.tensor<[H, S, 6], f32>, %r: !graph.tensor<[S, 2], f32>, %v: !graph.tensor<[H, S, 8], f32>, %m: !graph.tensor<[H, S, 2], f32>) -> !graph.tensor<[H, T, 8], f32> {
  %rs = graph.broadcast %r [1, 2] : !graph.tensor<[S, 2], f32> -> !graph.tensor<[H, S, 2], f32>
  %sin = graph.sin %m : !graph.tensor<[H, S, 2], f32>
  %cos = graph.cos %m : !graph.tensor<[H, S, 2], f32>
  %k = graph.concat %n, %rs, %sin, %cos {axis = 2} : !graph.tensor<[H, S, 6], f32>, !graph.tensor<[H, S, 2], f32>, !graph.tensor<[H, S, 2], f32>, !graph.tensor<[H, S, 2], f32> -> !graph.tensor<[H, S, 12], f32>
  %s = graph.contract %q [0, 1, 3], %k [0, 2, 3] -> [0, 1, 2] : !graph.tensor<[H, T, 12], f32>, !graph.tensor<[H, S, 12], f32> -> !graph.tensor<[H, T, S], f32>
  %p = graph.softmax %s {axis = 2} : !graph.tensor<[H, T, S], f32>
  %y = graph.contract %p [0, 1, 2], %v [0, 2, 3] -> [0, 1, 3] : !graph.tensor<[H, T, S], f32>, !graph.tensor<[H, S, 8], f32> -> !graph.tensor<[H, T, 8], f32>
  graph.return %y : !graph.tensor<[H, T, 8], f32>
}

// -----

// Rotated keys: both halves are computed, in one buffer. Nothing is gained by taking them apart.
// CHECK-LABEL: graph.func @rotated
// CHECK: %[[K:.*]] = graph.concat
// CHECK: graph.attention q(%{{.*}}) k(%[[K]]) v(
graph.func @rotated<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %a: !graph.tensor<[S, 2], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %sin = graph.sin %a : !graph.tensor<[S, 2], f32>
  %cos = graph.cos %a : !graph.tensor<[S, 2], f32>
  %k = graph.concat %sin, %cos {axis = 1} : !graph.tensor<[S, 2], f32>, !graph.tensor<[S, 2], f32> -> !graph.tensor<[S, 4], f32>
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// Pairs that are rotated and interleaved, the order of the rotary positions' paper: evens by evens and odds by odds. Nothing is woven.
// CHECK-LABEL: graph.func @interleaved
// CHECK-SAME: %[[Q0:.*]]: !graph.tensor<[T, 4], f32>, %[[Q1:.*]]: !graph.tensor<[T, 4], f32>, %[[K0:.*]]: !graph.tensor<[S, 4], f32>, %[[K1:.*]]: !graph.tensor<[S, 4], f32>
// CHECK: graph.attention q(%{{.*}}) k(%{{.*}}) joined(%{{.*}} by %{{.*}}) v({{.*}}) score {
// CHECK: } : (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[S, 8], f32>)
graph.func @interleaved<[T, S]>(%q0: !graph.tensor<[T, 4], f32>, %q1: !graph.tensor<[T, 4], f32>, %k0: !graph.tensor<[S, 4], f32>, %k1: !graph.tensor<[S, 4], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %a0 = graph.reshape %q0 : <[T, 4], f32> -> <[T, 4, 1], f32>
  %a1 = graph.reshape %q1 : <[T, 4], f32> -> <[T, 4, 1], f32>
  %a = graph.concat %a0, %a1 {axis = 2} : !graph.tensor<[T, 4, 1], f32>, !graph.tensor<[T, 4, 1], f32> -> !graph.tensor<[T, 4, 2], f32>
  %q = graph.reshape %a : <[T, 4, 2], f32> -> <[T, 8], f32>
  %b0 = graph.reshape %k0 : <[S, 4], f32> -> <[S, 4, 1], f32>
  %b1 = graph.reshape %k1 : <[S, 4], f32> -> <[S, 4, 1], f32>
  %b = graph.concat %b0, %b1 {axis = 2} : !graph.tensor<[S, 4, 1], f32>, !graph.tensor<[S, 4, 1], f32> -> !graph.tensor<[S, 4, 2], f32>
  %k = graph.reshape %b : <[S, 4, 2], f32> -> <[S, 8], f32>
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.softmax %s {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %p [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// A sum of products without anything between it and the values may be taken in another order: no attention.
// CHECK-LABEL: graph.func @linear_sum
// CHECK-NOT: graph.attention
graph.func @linear_sum<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %k: !graph.tensor<[S, 4], f32>, %a: !graph.tensor<[T, 3], f32>, %c: !graph.tensor<[S, 3], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32> -> !graph.tensor<[T, S], f32>
  %r = graph.contract %a [1, 3], %c [2, 3] -> [1, 2] : !graph.tensor<[T, 3], f32>, !graph.tensor<[S, 3], f32> -> !graph.tensor<[T, S], f32>
  %x = graph.sub %s, %r : !graph.tensor<[T, S], f32>
  %y = graph.contract %x [1, 2], %v [2, 3] -> [1, 3] : !graph.tensor<[T, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// A list of one that found no attention is a maximum again.
// CHECK-LABEL: graph.func @maximum
// CHECK: %[[M:.*]] = graph.reduce "max" %{{.*}} [1] : <[T, S], f32> -> <[T], f32>
// CHECK: graph.reshape %[[M]] : <[T], f32> -> <[T, 1], f32>
// CHECK-NOT: graph.top_k
graph.func @maximum<[T, S]>(%s: !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, 1], f32> {
  %v, %i = graph.top_k %s {graph.statistic} : <[T, S], f32> -> <[T, 1], f32>, <[T, 1], i64>
  graph.return %v : !graph.tensor<[T, 1], f32>
}

// -----

// Tensors that are joined along the keys are read apart, each for its keys alone; as conditions, each with the range of
// its keys, so that tiles of them can be decided. Those that have no keys are read as one.
// CHECK-LABEL: graph.func @pieces
// CHECK-SAME: %[[FAR:[^ ]*]]: !graph.tensor<[A+B, P], f32>, %[[NEAR:[^ ]*]]: !graph.tensor<[S], f32>, %[[SEEN:[^ ]*]]: !graph.tensor<[P], i1>, %[[X:[^ ]*]]: !graph.tensor<[A], f32>
// CHECK: %[[ROWS:.*]] = graph.concat %[[X]],
// CHECK-NOT: graph.concat
// CHECK: graph.attention {{.*}} captures(
// CHECK-NEXT: ^bb0(%{{.*}}: f32, %[[T:.*]]: index, %[[J:.*]]: index):
// CHECK: %[[P:.*]] = graph.size <P>
// CHECK: %[[IS_FAR:.*]] = arith.cmpi slt, %[[J]], %[[P]]
// CHECK: %[[F:.*]] = graph.at %[[FAR]][%[[T]], %[[J]]] if %[[IS_FAR]]
// CHECK: %[[BEHIND:.*]] = arith.subi %[[J]], %[[P]]
// CHECK: %[[N:.*]] = graph.at %[[NEAR]][%[[BEHIND]]] if
// CHECK: arith.select %[[IS_FAR]], %[[F]], %[[N]]
// CHECK: graph.at %[[ROWS]][%[[T]]] :
// CHECK: mask {
// CHECK: %[[M:.*]] = graph.at %[[SEEN]][%{{.*}}] if %[[IN:.*]] :
// CHECK: arith.andi %[[IN]], %[[M]]
// CHECK: arith.ori
graph.func @pieces<[A, B, P, S]>(%q: !graph.tensor<[A+B, 8], f32>, %k: !graph.tensor<[P+S, 8], f32>, %far: !graph.tensor<[A+B, P], f32>, %near: !graph.tensor<[S], f32>, %seen: !graph.tensor<[P], i1>, %a: !graph.tensor<[A], f32>, %b: !graph.tensor<[B], f32>) -> !graph.tensor<[A+B, 8], f32> {
  %s = graph.contract %q [0, 2], %k [1, 2] -> [0, 1] : <[A+B, 8], f32>, <[P+S, 8], f32> -> <[A+B, P+S], f32>
  %nb = graph.broadcast %near [1] : <[S], f32> -> <[A+B, S], f32>
  %bias = graph.concat %far, %nb {axis = 1} : !graph.tensor<[A+B, P], f32>, !graph.tensor<[A+B, S], f32> -> <[A+B, P+S], f32>
  %x = graph.add %s, %bias : <[A+B, P+S], f32>
  %rows = graph.concat %a, %b {axis = 0} : !graph.tensor<[A], f32>, !graph.tensor<[B], f32> -> <[A+B], f32>
  %rb = graph.broadcast %rows [0] : <[A+B], f32> -> <[A+B, P+S], f32>
  %z = graph.add %x, %rb : <[A+B, P+S], f32>
  %true = graph.constant true : !graph.tensor<[], i1>
  %all = graph.broadcast %true [] : <[], i1> -> <[S], i1>
  %m = graph.concat %seen, %all {axis = 0} : !graph.tensor<[P], i1>, !graph.tensor<[S], i1> -> <[P+S], i1>
  %mb = graph.broadcast %m [1] : <[P+S], i1> -> <[A+B, P+S], i1>
  %inf = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %infb = graph.broadcast %inf [] : <[], f32> -> <[A+B, P+S], f32>
  %w = graph.select %mb, %z, %infb : <[A+B, P+S], i1>, <[A+B, P+S], f32>
  %p = graph.softmax %w {axis = 1} : <[A+B, P+S], f32>
  %y = graph.contract %p [0, 1], %k [1, 2] -> [0, 2] : <[A+B, P+S], f32>, <[P+S, 8], f32> -> <[A+B, 8], f32>
  graph.return %y : !graph.tensor<[A+B, 8], f32>
}

// -----

// Of many each element would be chosen among all: they are read as one.
// CHECK-LABEL: graph.func @many
// CHECK: graph.concat
// CHECK: graph.attention
// CHECK-NOT: arith.select
graph.func @many<[T]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[18, 8], f32>, %x: !graph.tensor<[T, 2], f32>) -> !graph.tensor<[T, 8], f32> {
  %s = graph.contract %q [0, 2], %k [1, 2] -> [0, 1] : <[T, 8], f32>, <[18, 8], f32> -> <[T, 18], f32>
  %bias = graph.concat %x, %x, %x, %x, %x, %x, %x, %x, %x {axis = 1} : !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32>, !graph.tensor<[T, 2], f32> -> <[T, 18], f32>
  %z = graph.add %s, %bias : <[T, 18], f32>
  %p = graph.softmax %z {axis = 1} : <[T, 18], f32>
  %y = graph.contract %p [0, 1], %k [1, 2] -> [0, 2] : <[T, 18], f32>, <[18, 8], f32> -> <[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}
