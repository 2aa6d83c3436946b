// RUN: fovea-opt %s --graph-join-keys --canonicalize --split-input-file | FileCheck %s

// Scores of a cache and of new keys, scaled alike, in another layout.
// CHECK-LABEL: graph.func @scores
// CHECK-SAME: %[[Q:[^ ]*]]: {{.*}}, %[[A:[^ ]*]]: {{.*}}, %[[B:[^ ]*]]: {{.*}}, %[[C:[^ ]*]]:
// CHECK: %[[K:.*]] = graph.concat %[[A]], %[[B]] {axis = 1 : i64} {{.*}} -> <[H, P+S, 8], f32>
// CHECK: %[[S:.*]] = graph.contract %[[K]] [0, 2, 3], %[[Q]] [0, 1, 3] -> [0, 2, 1] : {{.*}} -> <[H, P+S, T], f32>
// CHECK: %[[X:.*]] = graph.broadcast %[[C]] [0] : <[H], f32> -> <[H, P+S, T], f32>
// CHECK: %[[M:.*]] = graph.mul %[[S]], %[[X]]
// CHECK: %[[T:.*]] = graph.transpose %[[M]] [0, 2, 1]
// CHECK: graph.softmax %[[T]]
// CHECK-NOT: graph.concat
graph.func @scores<[H, T, S, P]>(%q: !graph.tensor<[H, T, 8], f32>, %a: !graph.tensor<[H, P, 8], f32>, %b: !graph.tensor<[H, S, 8], f32>, %c: !graph.tensor<[H], f32>) -> !graph.tensor<[H, T, P + S], f32> {
  %x = graph.contract %a [0, 2, 3], %q [0, 1, 3] -> [0, 2, 1] : <[H, P, 8], f32>, <[H, T, 8], f32> -> <[H, P, T], f32>
  %y = graph.contract %b [0, 2, 3], %q [0, 1, 3] -> [0, 2, 1] : <[H, S, 8], f32>, <[H, T, 8], f32> -> <[H, S, T], f32>
  %p = graph.broadcast %c [0] : <[H], f32> -> <[H, P, T], f32>
  %s = graph.broadcast %c [0] : <[H], f32> -> <[H, S, T], f32>
  %v = graph.mul %x, %p : <[H, P, T], f32>
  %w = graph.mul %y, %s : <[H, S, T], f32>
  %t = graph.transpose %v [0, 2, 1] : <[H, P, T], f32> -> <[H, T, P], f32>
  %u = graph.transpose %w [0, 2, 1] : <[H, S, T], f32> -> <[H, T, S], f32>
  %j = graph.concat %t, %u {axis = 2} : !graph.tensor<[H, T, P], f32>, !graph.tensor<[H, T, S], f32> -> <[H, T, P + S], f32>
  %z = graph.softmax %j {axis = 2} : <[H, T, P + S], f32>
  graph.return %z : !graph.tensor<[H, T, P + S], f32>
}

// -----

// Values of a cache and new ones, in either order, and their difference.
// CHECK-LABEL: graph.func @values
// CHECK-SAME: %[[X:[^ ]*]]: {{.*}}, %[[A:[^ ]*]]: {{.*}}, %[[B:[^ ]*]]:
// CHECK: %[[W:.*]] = graph.softmax %[[X]]
// CHECK: %[[V:.*]] = graph.concat %[[A]], %[[B]] {axis = 0 : i64}
// CHECK: graph.contract %[[W]] [0, 1], %[[V]] [1, 2] -> [0, 2]
// CHECK: %[[V:.*]] = graph.concat %[[A]], %[[B]] {axis = 0 : i64}
// CHECK: graph.contract %[[W]] [0, 1], %[[V]] [1, 2] -> [0, 2]
// CHECK: %[[N:.*]] = graph.neg %[[A]]
// CHECK: %[[V:.*]] = graph.concat %[[N]], %[[B]] {axis = 0 : i64}
// CHECK: graph.contract %[[W]] [0, 1], %[[V]] [1, 2] -> [0, 2]
// CHECK-NOT: graph.add
// CHECK-NOT: graph.sub
graph.func @values<[T, S, P]>(%x: !graph.tensor<[T, P + S], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %w = graph.softmax %x {axis = 1} : <[T, P + S], f32>
  %l = graph.slice %w {axis = 1, start = #graph.dim<0>} : <[T, P + S], f32> -> <[T, P], f32>
  %r = graph.slice %w {axis = 1, start = #graph.dim<P>} : <[T, P + S], f32> -> <[T, S], f32>
  %c = graph.contract %l [0, 1], %a [1, 2] -> [0, 2] : <[T, P], f32>, <[P, 8], f32> -> <[T, 8], f32>
  %d = graph.contract %r [0, 1], %b [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  %y = graph.add %c, %d : <[T, 8], f32>
  %z = graph.add %d, %c : <[T, 8], f32>
  %u = graph.sub %d, %c : <[T, 8], f32>
  graph.return %y, %z, %u : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}

// -----

// A mask of one piece is a condition of its keys: a formula of indices stays one, where the first keys are all seen.
// CHECK-LABEL: graph.func @masked
// CHECK-SAME: %[[Q:[^ ]*]]: {{.*}}, %[[A:[^ ]*]]: {{.*}}, %[[B:[^ ]*]]:
// CHECK-DAG: %[[K:.*]] = graph.concat %[[A]], %[[B]] {axis = 0 : i64} {{.*}} -> <[P+T, 8], f32>
// CHECK-DAG: %[[S:.*]] = graph.contract %[[Q]] [0, 2], %[[K]] [1, 2] -> [0, 1] : {{.*}} -> <[T, P+T], f32>
// CHECK-DAG: %[[OLD:.*]] = graph.compare "lt" %{{.*}}, %{{.*}} : <[T, P+T], i64> -> <[T, P+T], i1>
// CHECK-DAG: %[[NEW:.*]] = graph.sub %{{.*}}, %{{.*}} : <[P+T], i64>
// CHECK-DAG: %[[C:.*]] = graph.compare "ge" %{{.*}}, %{{.*}} : <[T, P+T], i64> -> <[T, P+T], i1>
// CHECK-DAG: %[[M:.*]] = graph.or %[[OLD]], %[[C]]
// CHECK: %[[X:.*]] = graph.select %[[M]], %[[S]], %{{.*}} : <[T, P+T], i1>, <[T, P+T], f32>
// CHECK: graph.softmax %[[X]]
// CHECK-NOT: graph.concat
graph.func @masked<[T, P]>(%q: !graph.tensor<[T, 8], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[T, 8], f32>) -> !graph.tensor<[T, P + T], f32> {
  %x = graph.contract %q [0, 2], %a [1, 2] -> [0, 1] : <[T, 8], f32>, <[P, 8], f32> -> <[T, P], f32>
  %y = graph.contract %q [0, 2], %b [1, 2] -> [0, 1] : <[T, 8], f32>, <[T, 8], f32> -> <[T, T], f32>
  %i = graph.iota : !graph.tensor<[T], i64>
  %r = graph.broadcast %i [0] : <[T], i64> -> <[T, T], i64>
  %c = graph.broadcast %i [1] : <[T], i64> -> <[T, T], i64>
  %m = graph.compare "ge" %r, %c : <[T, T], i64> -> <[T, T], i1>
  %n = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %h = graph.broadcast %n [] : <[], f32> -> <[T, T], f32>
  %s = graph.select %m, %y, %h : <[T, T], i1>, <[T, T], f32>
  %j = graph.concat %x, %s {axis = 1} : !graph.tensor<[T, P], f32>, !graph.tensor<[T, T], f32> -> <[T, P + T], f32>
  %z = graph.softmax %j {axis = 1} : <[T, P + T], f32>
  graph.return %z : !graph.tensor<[T, P + T], f32>
}

// -----

// What tensors hold is joined as near to them as can be: a mask of keys, and biases; where there is none it is true, or 0. One product is the other turned round.
// CHECK-LABEL: graph.func @tensors
// CHECK-SAME: %[[Q:[^ ]*]]: {{.*}}, %[[A:[^ ]*]]: {{.*}}, %[[B:[^ ]*]]: {{.*}}, %[[SEEN:[^ ]*]]: {{.*}}, %[[BIAS:[^ ]*]]:
// CHECK-DAG: %[[K:.*]] = graph.concat %[[A]], %[[B]] {axis = 0 : i64}
// CHECK-DAG: %[[S:.*]] = graph.contract %[[Q]] [0, 2], %[[K]] [1, 2] -> [0, 1]
// CHECK-DAG: %[[M:.*]] = graph.concat %[[SEEN]], %{{.*}} {axis = 0 : i64} {{.*}} -> <[P+S], i1>
// CHECK-DAG: %[[MS:.*]] = graph.broadcast %[[M]] [1] : <[P+S], i1> -> <[T, P+S], i1>
// CHECK-DAG: %[[BS:.*]] = graph.concat %{{.*}}, %[[BIAS]] {axis = 1 : i64} {{.*}} -> <[T, P+S], f32>
// CHECK-DAG: %[[SUM:.*]] = graph.add %[[S]], %[[BS]]
// CHECK: %[[X:.*]] = graph.select %[[MS]], %[[SUM]], %{{.*}}
// CHECK: graph.softmax %[[X]]
graph.func @tensors<[T, S, P]>(%q: !graph.tensor<[T, 8], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[S, 8], f32>, %seen: !graph.tensor<[P], i1>, %bias: !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, P + S], f32> {
  %x = graph.contract %q [0, 2], %a [1, 2] -> [0, 1] : <[T, 8], f32>, <[P, 8], f32> -> <[T, P], f32>
  %m = graph.broadcast %seen [1] : <[P], i1> -> <[T, P], i1>
  %n = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %h = graph.broadcast %n [] : <[], f32> -> <[T, P], f32>
  %s = graph.select %m, %x, %h : <[T, P], i1>, <[T, P], f32>
  %u = graph.contract %b [1, 2], %q [0, 2] -> [1, 0] : <[S, 8], f32>, <[T, 8], f32> -> <[S, T], f32>
  %y = graph.transpose %u [1, 0] : <[S, T], f32> -> <[T, S], f32>
  %t = graph.add %bias, %y : <[T, S], f32>
  %j = graph.concat %s, %t {axis = 1} : !graph.tensor<[T, P], f32>, !graph.tensor<[T, S], f32> -> <[T, P + S], f32>
  %z = graph.softmax %j {axis = 1} : <[T, P + S], f32>
  graph.return %z : !graph.tensor<[T, P + S], f32>
}

// -----

// Must not fire: pieces of different functions, of queries, or for no softmax; slices with a gap between them, of what is no softmax's.
// CHECK-LABEL: graph.func @others
// CHECK: graph.concat {{.*}} -> <[T, P+S], f32>
// CHECK: graph.concat {{.*}} -> <[2*T, S], f32>
// CHECK: graph.concat {{.*}} -> <[T, P+S], f32>
// CHECK-COUNT-2: graph.add
graph.func @others<[T, S, P]>(%q: !graph.tensor<[T, 8], f32>, %a: !graph.tensor<[P, 8], f32>, %b: !graph.tensor<[S, 8], f32>, %w: !graph.tensor<[T, P + S + 1], f32>)
    -> (!graph.tensor<[T, P + S], f32>, !graph.tensor<[2 * T, S], f32>, !graph.tensor<[T, P + S], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %x = graph.contract %q [0, 2], %a [1, 2] -> [0, 1] : <[T, 8], f32>, <[P, 8], f32> -> <[T, P], f32>
  %y = graph.contract %q [0, 2], %b [1, 2] -> [0, 1] : <[T, 8], f32>, <[S, 8], f32> -> <[T, S], f32>
  %t = graph.tanh %y : <[T, S], f32>
  %c = graph.concat %x, %t {axis = 1} : !graph.tensor<[T, P], f32>, !graph.tensor<[T, S], f32> -> <[T, P + S], f32>
  %0 = graph.softmax %c {axis = 1} : <[T, P + S], f32>
  %d = graph.concat %y, %t {axis = 0} : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32> -> <[2 * T, S], f32>
  %1 = graph.softmax %d {axis = 1} : <[2 * T, S], f32>
  %2 = graph.concat %x, %y {axis = 1} : !graph.tensor<[T, P], f32>, !graph.tensor<[T, S], f32> -> <[T, P + S], f32>
  %z = graph.softmax %w {axis = 1} : <[T, P + S + 1], f32>
  %l = graph.slice %z {axis = 1, start = #graph.dim<0>} : <[T, P + S + 1], f32> -> <[T, P], f32>
  %r = graph.slice %z {axis = 1, start = #graph.dim<P+1>} : <[T, P + S + 1], f32> -> <[T, S], f32>
  %n = graph.slice %w {axis = 1, start = #graph.dim<P>} : <[T, P + S + 1], f32> -> <[T, S], f32>
  %m = graph.slice %w {axis = 1, start = #graph.dim<0>} : <[T, P + S + 1], f32> -> <[T, P], f32>
  %e = graph.contract %l [0, 1], %a [1, 2] -> [0, 2] : <[T, P], f32>, <[P, 8], f32> -> <[T, 8], f32>
  %f = graph.contract %r [0, 1], %b [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  %g = graph.contract %m [0, 1], %a [1, 2] -> [0, 2] : <[T, P], f32>, <[P, 8], f32> -> <[T, 8], f32>
  %h = graph.contract %n [0, 1], %b [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  %3 = graph.add %e, %f : <[T, 8], f32>
  %4 = graph.add %g, %h : <[T, 8], f32>
  graph.return %0, %1, %2, %3, %4 : !graph.tensor<[T, P + S], f32>, !graph.tensor<[2 * T, S], f32>, !graph.tensor<[T, P + S], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}
