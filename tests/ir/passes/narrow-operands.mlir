// RUN: fovea-opt %s --graph-narrow-operands --canonicalize --cse --split-input-file | FileCheck %s

// Keys and values of a cache, a result that is rounded: through slices, transposes, reshapes, broadcasts.
// CHECK-LABEL: graph.func @cache
// CHECK-SAME: %[[Q:[^:]*]]: !graph.tensor<[B, 2, 4, T, 8], f32>, %[[KEYS:[^:]*]]: !graph.tensor<[B, C, 2, 8], bf16>
// CHECK-NOT: graph.cast
// CHECK: %[[Y:.*]] = graph.attention q(%[[Q]]) k(%[[K:.*]]) v(%{{.*}}) score
// CHECK: (!graph.tensor<[B, 2, 4, T, 8], f32>, !graph.tensor<[B, 2, 4, S, 8], bf16>, !graph.tensor<[B, 2, 4, S, 8], bf16>) -> !graph.tensor<[B, 2, 4, T, 8], f16>
// CHECK-NOT: graph.cast
// CHECK: graph.return
graph.func @cache<[B, T, S, C]>(%q: !graph.tensor<[B, 2, 4, T, 8], f32>, %keys: !graph.tensor<[B, C, 2, 8], bf16>, %values: !graph.tensor<[B, C, 2, 8], bf16>)
    -> !graph.tensor<[B, T, 64], f16> {
  %w = graph.cast %keys : <[B, C, 2, 8], bf16> -> <[B, C, 2, 8], f32>
  %s = graph.slice %w {axis = 1, start = #graph.dim<0>} : <[B, C, 2, 8], f32> -> <[B, S, 2, 8], f32>
  %t = graph.transpose %s [0, 2, 1, 3] : <[B, S, 2, 8], f32> -> <[B, 2, S, 8], f32>
  %k = graph.broadcast %t [0, 1, 3, 4] : <[B, 2, S, 8], f32> -> <[B, 2, 4, S, 8], f32>
  %sv = graph.slice %values {axis = 1, start = #graph.dim<0>} : <[B, C, 2, 8], bf16> -> <[B, S, 2, 8], bf16>
  %tv = graph.transpose %sv [0, 2, 1, 3] : <[B, S, 2, 8], bf16> -> <[B, 2, S, 8], bf16>
  %bv = graph.broadcast %tv [0, 1, 3, 4] : <[B, 2, S, 8], bf16> -> <[B, 2, 4, S, 8], bf16>
  %v = graph.cast %bv : <[B, 2, 4, S, 8], bf16> -> <[B, 2, 4, S, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%x: f32, %b: index, %g: index, %r: index, %i: index, %j: index):
    graph.yield %x : f32
  } mask {} : (!graph.tensor<[B, 2, 4, T, 8], f32>, !graph.tensor<[B, 2, 4, S, 8], f32>, !graph.tensor<[B, 2, 4, S, 8], f32>) -> !graph.tensor<[B, 2, 4, T, 8], f32>
  %o = graph.transpose %y [0, 3, 1, 2, 4] : <[B, 2, 4, T, 8], f32> -> <[B, T, 2, 4, 8], f32>
  %m = graph.reshape %o : <[B, T, 2, 4, 8], f32> -> <[B, T, 64], f32>
  %h = graph.cast %m : <[B, T, 64], f32> -> <[B, T, 64], f16>
  graph.return %h : !graph.tensor<[B, T, 64], f16>
}

// -----

// Rows that are gathered, pieces, padding, what one choice leaves: a tensor that has to be written is one of 16 bits.
// CHECK-LABEL: graph.func @moved
// CHECK-NOT: graph.cast
// CHECK: %[[ZERO:.*]] = graph.constant 0.000000e+00 : f16
// CHECK: %[[PAD:.*]] = graph.broadcast %[[ZERO]]
// CHECK: %[[G:.*]] = graph.gather %{{.*}} at %{{.*}} [0] : <[N, 8], f16>
// CHECK: %[[C:.*]] = graph.concat %{{.*}}, %[[PAD]], %[[G]] {{.*}} -> <[S+7, 8], f16>
// CHECK: %[[V:.*]] = graph.select %{{.*}} : <[S+7, 8], i1>, <[S+7, 8], f16>
// CHECK: graph.attention q(%{{.*}}) k(%[[C]]) v(%[[V]])
graph.func @moved<[T, S, N]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[N, 8], f16>, %old: !graph.tensor<[4, 8], f16>, %rows: !graph.tensor<[S], i64>, %seen: !graph.tensor<[S+7, 8], i1>)
    -> !graph.tensor<[T, 8], f32> {
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %pad = graph.broadcast %zero [] : <[], f32> -> <[3, 8], f32>
  %wx = graph.cast %x : <[N, 8], f16> -> <[N, 8], f32>
  %wold = graph.cast %old : <[4, 8], f16> -> <[4, 8], f32>
  %g = graph.gather %wx at %rows [0] : <[N, 8], f32>, !graph.tensor<[S], i64> -> <[S, 8], f32>
  %k = graph.concat %wold, %pad, %g {axis = 0} : !graph.tensor<[4, 8], f32>, !graph.tensor<[3, 8], f32>, !graph.tensor<[S, 8], f32> -> <[S+7, 8], f32>
  %none = graph.broadcast %zero [] : <[], f32> -> <[S+7, 8], f32>
  %v = graph.select %seen, %k, %none : <[S+7, 8], i1>, <[S+7, 8], f32>
  %y = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S+7, 8], f32>, !graph.tensor<[S+7, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// What regions read: a product's operand as it is, an element widened in the region.
// CHECK-LABEL: graph.func @captures
// CHECK-SAME: %[[Q:[^:]*]]: !graph.tensor<[T, 8], f32>, %[[K:[^:]*]]: !graph.tensor<[S, 8], f32>, %[[R:[^:]*]]: !graph.tensor<[S+T, 8], bf16>, %[[B:[^:]*]]: !graph.tensor<[S], f16>
// CHECK-NOT: graph.cast
// CHECK: graph.attention q(%[[Q]]) k(%[[K]]) v(%[[K]]) captures(%[[Q]], %[[R]], %[[B]])
// CHECK: graph.dot %[[Q]][%{{.*}}] by 1, %[[R]][%{{.*}}] by 1 : <[T, 8], f32>, <[S+T, 8], bf16>
// CHECK: %[[X:.*]] = graph.at %[[B]][%{{.*}}] : <[S], f16> -> f16
// CHECK: arith.extf %[[X]] : f16 to f32
graph.func @captures<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %r: !graph.tensor<[T+S, 8], bf16>, %bias: !graph.tensor<[S], f16>)
    -> !graph.tensor<[T, 8], f32> {
  %wr = graph.cast %r : <[T+S, 8], bf16> -> <[T+S, 8], f32>
  %wb = graph.cast %bias : <[S], f16> -> <[S], f32>
  %y = graph.attention q(%q) k(%k) v(%k) captures(%q, %wr, %wb) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %at = arith.addi %t, %j : index
    %d = graph.dot %q[%t] by 1, %wr[%at] by 1 : <[T, 8], f32>, <[T+S, 8], f32>
    %b = graph.at %wb[%j] : <[S], f32> -> f32
    %x = arith.addf %s, %d : f32
    %z = arith.addf %x, %b : f32
    graph.yield %z : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T+S, 8], f32>, !graph.tensor<[S], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// -----

// The way back reads 16 bits; gradients stay f32 but where they are rounded and nothing else. What it subtracts is f32.
// CHECK-LABEL: graph.func @gradients
// CHECK: %[[D:.*]]:3 = graph.attention_backward q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) lse(%{{.*}}) delta(%{{.*}}) gradient(%{{.*}}) score
// CHECK: (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], bf16>, !graph.tensor<[S, 8], bf16>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], bf16>)
// CHECK-SAME: -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], bf16>, !graph.tensor<[S, 8], f32>)
// CHECK: graph.return %[[D]]#0, %[[D]]#1, %[[D]]#2
graph.func @gradients<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], bf16>, %l: !graph.tensor<[T], f32>, %narrow: !graph.tensor<[T], bf16>, %g: !graph.tensor<[T, 8], bf16>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], bf16>, !graph.tensor<[S, 8], f32>) {
  %wk = graph.cast %k : <[S, 8], bf16> -> <[S, 8], f32>
  %wg = graph.cast %g : <[T, 8], bf16> -> <[T, 8], f32>
  %d = graph.cast %narrow : <[T], bf16> -> <[T], f32>
  %0:3 = graph.attention_backward q(%q) k(%wk) v(%wk) lse(%l) delta(%d) gradient(%wg) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %x: f32):
    graph.yield %x : f32
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  %dk = graph.cast %0#1 : <[S, 8], f32> -> <[S, 8], bf16>
  graph.return %0#0, %dk, %0#2 : !graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], bf16>, !graph.tensor<[S, 8], f32>
}

// -----

// Must not fire: rounded or computed operands; pieces of different types; a concatenation that is written in f32 for others as well; a result that is read in f32.
// CHECK-LABEL: graph.func @misses
// CHECK: %[[R:.*]] = graph.cast %{{.*}} : <[S, 8], f64> -> <[S, 8], f32>
// CHECK: %[[N:.*]] = graph.neg %{{.*}} : <[S, 8], f32>
// CHECK: graph.attention q(%{{.*}}) k(%[[R]]) v(%[[N]])
// CHECK: %[[C:.*]] = graph.concat %{{.*}} : {{.*}} -> <[2*S, 8], f32>
// CHECK: %[[E:.*]] = graph.concat %{{.*}} : {{.*}} -> <[2*S, 8], f32>
// CHECK: graph.attention q(%{{.*}}) k(%[[C]]) v(%[[E]]) {{.*}}score
// CHECK: -> !graph.tensor<[T, 8], f32>
graph.func @misses<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[S, 8], f64>, %h: !graph.tensor<[S, 8], f16>, %b: !graph.tensor<[S, 8], bf16>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f16>, !graph.tensor<[2*S, 8], f32>) {
  %r = graph.cast %x : <[S, 8], f64> -> <[S, 8], f32>
  %wh = graph.cast %h : <[S, 8], f16> -> <[S, 8], f32>
  %wb = graph.cast %b : <[S, 8], bf16> -> <[S, 8], f32>
  %n = graph.neg %wh : <[S, 8], f32>
  %y = graph.attention q(%q) k(%r) v(%n) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  %c = graph.concat %wh, %wb {axis = 0} : !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32> -> <[2*S, 8], f32>
  %e = graph.concat %wh, %wh {axis = 0} : !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32> -> <[2*S, 8], f32>
  %z = graph.attention q(%q) k(%c) v(%e) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[2*S, 8], f32>, !graph.tensor<[2*S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  %half = graph.cast %z : <[T, 8], f32> -> <[T, 8], f16>
  graph.return %y, %z, %half, %e : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f16>, !graph.tensor<[2*S, 8], f32>
}
