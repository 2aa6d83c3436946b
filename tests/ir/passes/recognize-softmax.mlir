// RUN: fovea-opt %s --graph-recognize-softmax --split-input-file | FileCheck %s

// The library's spelling, with both guards.
// CHECK-LABEL: graph.func @guarded
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[B, S], f32>
// CHECK-NEXT: %[[Y:.*]] = graph.softmax %[[X]] {axis = 1 : i64}
// CHECK-NEXT: graph.return %[[Y]]
graph.func @guarded<[B, S]>(%x: !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S], f32> {
  %m = graph.reduce "max" %x [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %inf = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %infb = graph.broadcast %inf [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zerob = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %zerox = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[B, S], f32>
  %c = graph.compare "eq" %m, %infb : !graph.tensor<[B], f32> -> !graph.tensor<[B], i1>
  %g = graph.select %c, %zerob, %m : !graph.tensor<[B], i1>, !graph.tensor<[B], f32>
  %gb = graph.broadcast %g [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %d = graph.sub %x, %gb : !graph.tensor<[B, S], f32>
  %e = graph.exp %d : !graph.tensor<[B, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %q = graph.div %e, %zb : !graph.tensor<[B, S], f32>
  %cz = graph.compare "eq" %zb, %zerox : !graph.tensor<[B, S], f32> -> !graph.tensor<[B, S], i1>
  %y = graph.select %cz, %zerox, %q : !graph.tensor<[B, S], i1>, !graph.tensor<[B, S], f32>
  graph.return %y : !graph.tensor<[B, S], f32>
}

// -----

// Nothing subtracted, a sum with kept axis by reshape, the reciprocal.
// CHECK-LABEL: graph.func @plain
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[B, S], f32>
// CHECK-NEXT: graph.softmax %[[X]] {axis = 0 : i64}
// CHECK-NEXT: graph.return
graph.func @plain<[B, S]>(%x: !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S], f32> {
  %e = graph.exp %x : !graph.tensor<[B, S], f32>
  %t = graph.transpose %e [1, 0] : !graph.tensor<[B, S], f32> -> !graph.tensor<[S, B], f32>
  %z = graph.reduce "sum" %t [1] : !graph.tensor<[S, B], f32> -> !graph.tensor<[S], f32>
  %k = graph.reshape %z : !graph.tensor<[S], f32> -> !graph.tensor<[1, S], f32>
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %ones = graph.broadcast %one [] : !graph.tensor<[], f32> -> !graph.tensor<[1, S], f32>
  %r = graph.div %ones, %k : !graph.tensor<[1, S], f32>
  %s = graph.reshape %r : !graph.tensor<[1, S], f32> -> !graph.tensor<[S], f32>
  %b = graph.broadcast %s [1] : !graph.tensor<[S], f32> -> !graph.tensor<[B, S], f32>
  %y = graph.mul %b, %e : !graph.tensor<[B, S], f32>
  graph.return %y : !graph.tensor<[B, S], f32>
}

// -----

// exp(log_softmax(x)).
// CHECK-LABEL: graph.func @from_log
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[B, S], f32>
// CHECK-NEXT: graph.softmax %[[X]] {axis = 1 : i64}
graph.func @from_log<[B, S]>(%x: !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S], f32> {
  %m = graph.reduce "max" %x [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %d = graph.sub %x, %mb : !graph.tensor<[B, S], f32>
  %e = graph.exp %d : !graph.tensor<[B, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %l = graph.log %z : !graph.tensor<[B], f32>
  %lse = graph.add %l, %m : !graph.tensor<[B], f32>
  %lb = graph.broadcast %lse [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %o = graph.sub %x, %lb : !graph.tensor<[B, S], f32>
  %y = graph.exp %o : !graph.tensor<[B, S], f32>
  graph.return %y : !graph.tensor<[B, S], f32>
}

// -----

// Over two axes: along one axis of a relabelled tensor.
// CHECK-LABEL: graph.func @two_axes
// CHECK: graph.reshape %{{.*}} : <[B, S, U], f32> -> <[B, S*U], f32>
// CHECK: graph.softmax %{{.*}} {axis = 1 : i64} : <[B, S*U], f32>
graph.func @two_axes<[B, S, U]>(%x: !graph.tensor<[B, S, U], f32>) -> !graph.tensor<[B, S, U], f32> {
  %e = graph.exp %x : !graph.tensor<[B, S, U], f32>
  %z = graph.reduce "sum" %e [1, 2] : !graph.tensor<[B, S, U], f32> -> !graph.tensor<[B], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S, U], f32>
  %y = graph.div %e, %zb : !graph.tensor<[B, S, U], f32>
  graph.return %y : !graph.tensor<[B, S, U], f32>
}

// -----

// The normalisation moves before the contraction.
// CHECK-LABEL: graph.func @moved
// CHECK: %[[P:.*]] = graph.softmax
// CHECK: %[[Y:.*]] = graph.contract %[[P]] [0, 1], %{{.*}} [1, 2] -> [0, 2]
// CHECK-NEXT: graph.return %[[Y]]
graph.func @moved<[B, S]>(%x: !graph.tensor<[B, S], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[B, 8], f32> {
  %e = graph.exp %x : !graph.tensor<[B, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %c = graph.contract %e [0, 1], %v [1, 2] -> [0, 2] : !graph.tensor<[B, S], f32>, !graph.tensor<[S, 8], f32> -> !graph.tensor<[B, 8], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, 8], f32>
  %y = graph.div %c, %zb : !graph.tensor<[B, 8], f32>
  graph.return %y : !graph.tensor<[B, 8], f32>
}

// -----

// A maximum over another axis does not drop out; the softmax of the difference is what it is.
// CHECK-LABEL: graph.func @other_maximum
// CHECK: %[[D:.*]] = graph.sub
// CHECK: graph.softmax %[[D]] {axis = 1 : i64}
graph.func @other_maximum<[B, S]>(%x: !graph.tensor<[B, S], f32>) -> !graph.tensor<[B, S], f32> {
  %m = graph.reduce "max" %x [0] : !graph.tensor<[B, S], f32> -> !graph.tensor<[S], f32>
  %mb = graph.broadcast %m [1] : !graph.tensor<[S], f32> -> !graph.tensor<[B, S], f32>
  %d = graph.sub %x, %mb : !graph.tensor<[B, S], f32>
  %e = graph.exp %d : !graph.tensor<[B, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %y = graph.div %e, %zb : !graph.tensor<[B, S], f32>
  graph.return %y : !graph.tensor<[B, S], f32>
}

// -----

// Of several shares, in any order, the log-sum-exp is.
// CHECK-LABEL: graph.func @several
// CHECK-SAME: %[[X:[^ ]*]]: !graph.tensor<[H, T, S], f32>, %[[A:[^ ]*]]: !graph.tensor<[H, 3], f32>, %[[C:[^ ]*]]:
// CHECK-DAG: %[[ONE:.*]] = graph.reshape %[[C]] : <[H], f32> -> <[H, 1], f32>
// CHECK: %[[ALL:.*]] = graph.concat %{{.*}} {axis = 1 : i64} {{.*}} -> <[H, 4], f32>
// CHECK: %[[L:.*]] = graph.logsumexp %[[ALL]] {axis = 1 : i64}
// CHECK: %[[SINK:.*]] = graph.broadcast %[[L]] [0] : <[H], f32> -> <[H, T], f32>
// CHECK: graph.softmax %[[X]] sink %[[SINK]] {axis = 2 : i64}
graph.func @several<[H, T, S]>(%x: !graph.tensor<[H, T, S], f32>, %a: !graph.tensor<[H, 3], f32>, %c: !graph.tensor<[H], f32>) -> !graph.tensor<[H, T, S], f32> {
  %e = graph.exp %x : <[H, T, S], f32>
  %z = graph.reduce "sum" %e [2] : <[H, T, S], f32> -> <[H, T], f32>
  %ea = graph.exp %a : <[H, 3], f32>
  %sa = graph.reduce "sum" %ea [1] : <[H, 3], f32> -> <[H], f32>
  %ec = graph.exp %c : <[H], f32>
  %both = graph.add %sa, %ec : <[H], f32>
  %b = graph.broadcast %both [0] : <[H], f32> -> <[H, T], f32>
  %sum = graph.add %b, %z : <[H, T], f32>
  %d = graph.broadcast %sum [0, 1] : <[H, T], f32> -> <[H, T, S], f32>
  %w = graph.div %e, %d : <[H, T, S], f32>
  graph.return %w : !graph.tensor<[H, T, S], f32>
}

// -----

// A share of the sum that no weight is given of is a sink: an exponential, from which the maximum is taken as well, or a
// number, whose logarithm it is.
// CHECK-LABEL: graph.func @sinks
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[B, S], f32>, %[[SINK:.*]]: !graph.tensor<[B], f32>
// CHECK: graph.softmax %[[X]] sink %[[SINK]] {axis = 1 : i64}
// CHECK: %[[ZERO:.*]] = graph.constant 0.000000e+00
// CHECK: %[[ZEROS:.*]] = graph.broadcast %[[ZERO]] [] {{.*}} -> <[B], f32>
// CHECK: graph.softmax %[[X]] sink %[[ZEROS]] {axis = 1 : i64}
graph.func @sinks<[B, S]>(%x: !graph.tensor<[B, S], f32>, %s: !graph.tensor<[B], f32>) -> (!graph.tensor<[B, S], f32>, !graph.tensor<[B, S], f32>) {
  %m = graph.reduce "max" %x [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %d = graph.sub %x, %mb : !graph.tensor<[B, S], f32>
  %e = graph.exp %d : !graph.tensor<[B, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %c = graph.sub %s, %m : !graph.tensor<[B], f32>
  %share = graph.exp %c : !graph.tensor<[B], f32>
  %sum = graph.add %share, %z : !graph.tensor<[B], f32>
  %sumb = graph.broadcast %sum [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %y = graph.div %e, %sumb : !graph.tensor<[B, S], f32>
  %f = graph.exp %x : !graph.tensor<[B, S], f32>
  %zf = graph.reduce "sum" %f [1] : !graph.tensor<[B, S], f32> -> !graph.tensor<[B], f32>
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %ones = graph.broadcast %one [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %sum1 = graph.add %zf, %ones : !graph.tensor<[B], f32>
  %sum1b = graph.broadcast %sum1 [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, S], f32>
  %y1 = graph.div %f, %sum1b : !graph.tensor<[B, S], f32>
  graph.return %y, %y1 : !graph.tensor<[B, S], f32>, !graph.tensor<[B, S], f32>
}

// -----

// Must not fire: the sum of other exponentials, a share that the maximum is not taken from, another axis' sum, a mean, no exponential.
// CHECK-LABEL: graph.func @misses
// CHECK-NOT: graph.softmax
graph.func @misses<[B]>(%x: !graph.tensor<[B, B], f32>, %w: !graph.tensor<[B, B], f32>) -> (!graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>) {
  %e = graph.exp %x : !graph.tensor<[B, B], f32>
  %f = graph.exp %w : !graph.tensor<[B, B], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %zf = graph.reduce "sum" %f [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %zfb = graph.broadcast %zf [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %y0 = graph.div %e, %zfb : !graph.tensor<[B, B], f32>
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %ones = graph.broadcast %one [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %m = graph.reduce "max" %x [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %d = graph.sub %x, %mb : !graph.tensor<[B, B], f32>
  %ed = graph.exp %d : !graph.tensor<[B, B], f32>
  %zd = graph.reduce "sum" %ed [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %z1 = graph.add %zd, %ones : !graph.tensor<[B], f32>
  %z1b = graph.broadcast %z1 [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %y1 = graph.div %ed, %z1b : !graph.tensor<[B, B], f32>
  %zt = graph.broadcast %z [1] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %y2 = graph.div %e, %zt : !graph.tensor<[B, B], f32>
  %mx = graph.reduce "max" %e [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %mxb = graph.broadcast %mx [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %y3 = graph.div %e, %mxb : !graph.tensor<[B, B], f32>
  %zx = graph.reduce "sum" %x [1] : !graph.tensor<[B, B], f32> -> !graph.tensor<[B], f32>
  %zxb = graph.broadcast %zx [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, B], f32>
  %y4 = graph.div %x, %zxb : !graph.tensor<[B, B], f32>
  graph.return %y0, %y1, %y2, %y3, %y4 : !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>, !graph.tensor<[B, B], f32>
}

// -----

// A mask that multiplies the exponentials hides scores; a power of a constant has its logarithm as a factor.
// CHECK-LABEL: graph.func @masked
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[T, S], f32>, %[[M:[^,]*]]: !graph.tensor<[T, S], i1>
// CHECK: %[[HIDDEN:.*]] = graph.broadcast %{{.*}} [] : <[], f32> -> <[T, S], f32>
// CHECK: %[[SEEN:.*]] = graph.select %[[M]], %[[X]], %[[HIDDEN]]
// CHECK: graph.softmax %[[SEEN]]
// CHECK: %[[C:.*]] = graph.constant 0.693147182
// CHECK: graph.softmax
graph.func @masked<[T, S]>(%x: !graph.tensor<[T, S], f32>, %m: !graph.tensor<[T, S], i1>) -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>) {
  %e0 = graph.exp %x : !graph.tensor<[T, S], f32>
  %n = graph.cast %m : !graph.tensor<[T, S], i1> -> !graph.tensor<[T, S], f32>
  %e = graph.mul %e0, %n : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %zs = graph.broadcast %z [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.div %e, %zs : !graph.tensor<[T, S], f32>
  %two = graph.constant 2.0 : f32 : !graph.tensor<[], f32>
  %twos = graph.broadcast %two [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %f = graph.pow %twos, %x : !graph.tensor<[T, S], f32>
  %y = graph.reduce "sum" %f [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %ys = graph.broadcast %y [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %q = graph.div %f, %ys : !graph.tensor<[T, S], f32>
  graph.return %p, %q : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>
}

// -----

// No softmax: the numerator alone is masked; the powers are of what varies.
// CHECK-LABEL: graph.func @unmasked
// CHECK-NOT: graph.softmax
graph.func @unmasked<[T, S]>(%x: !graph.tensor<[T, S], f32>, %m: !graph.tensor<[T, S], i1>) -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>) {
  %e0 = graph.exp %x : !graph.tensor<[T, S], f32>
  %n = graph.cast %m : !graph.tensor<[T, S], i1> -> !graph.tensor<[T, S], f32>
  %e = graph.mul %e0, %n : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %e0 [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %zs = graph.broadcast %z [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %p = graph.div %e, %zs : !graph.tensor<[T, S], f32>
  %f = graph.pow %x, %x : !graph.tensor<[T, S], f32>
  %y = graph.reduce "sum" %f [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %ys = graph.broadcast %y [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %q = graph.div %f, %ys : !graph.tensor<[T, S], f32>
  graph.return %p, %q : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>
}

// -----

// The logarithm of the sum, where a contraction gives the scores: by way of the maximum, or not.
// CHECK-LABEL: graph.func @log_sum
// CHECK: %[[S:.*]] = graph.contract
// CHECK: graph.logsumexp %[[S]] {axis = 1 : i64} : <[T, S], f32> -> <[T], f32>
// CHECK: graph.logsumexp %[[S]] {axis = 1 : i64} : <[T, S], f32> -> <[T], f32>
graph.func @log_sum<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>) -> (!graph.tensor<[T], f32>, !graph.tensor<[T], f32>) {
  %x = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %m = graph.reduce "max" %x [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %d = graph.sub %x, %mb : !graph.tensor<[T, S], f32>
  %e = graph.exp %d : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %l = graph.log %z : !graph.tensor<[T], f32>
  %y = graph.add %l, %m : !graph.tensor<[T], f32>
  %f = graph.exp %x : !graph.tensor<[T, S], f32>
  %zf = graph.reduce "sum" %f [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %u = graph.log %zf : !graph.tensor<[T], f32>
  graph.return %y, %u : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>
}

// -----

// The guard that a logarithm's gradient wants. Must not fire where the guard alone is there: the logarithm of nothing would be 0.
// CHECK-LABEL: graph.func @guarded_log_sum
// CHECK: %[[S:.*]] = graph.contract
// CHECK: graph.logsumexp %[[S]] {axis = 1 : i64} : <[T, S], f32> -> <[T], f32>
// CHECK-NOT: graph.logsumexp
graph.func @guarded_log_sum<[T, S]>(%q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>) -> (!graph.tensor<[T], f32>, !graph.tensor<[T], f32>) {
  %x = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %e = graph.exp %x : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %c0 = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %c1 = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %ci = graph.constant 0xFF800000 : f32 : !graph.tensor<[], f32>
  %zero = graph.broadcast %c0 [] : !graph.tensor<[], f32> -> !graph.tensor<[T], f32>
  %one = graph.broadcast %c1 [] : !graph.tensor<[], f32> -> !graph.tensor<[T], f32>
  %low = graph.broadcast %ci [] : !graph.tensor<[], f32> -> !graph.tensor<[T], f32>
  %none = graph.compare "eq" %z, %zero : !graph.tensor<[T], f32> -> !graph.tensor<[T], i1>
  %safe = graph.select %none, %one, %z : !graph.tensor<[T], i1>, !graph.tensor<[T], f32>
  %l = graph.log %safe : !graph.tensor<[T], f32>
  %y = graph.select %none, %low, %l : !graph.tensor<[T], i1>, !graph.tensor<[T], f32>
  graph.return %y, %l : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>
}

// -----

// Must not fire: no contraction gives the scores; what is taken from the exponents is not added again (as in log_softmax).
// CHECK-LABEL: graph.func @no_log_sum
// CHECK-NOT: graph.logsumexp
graph.func @no_log_sum<[T, S]>(%x: !graph.tensor<[T, S], f32>, %q: !graph.tensor<[T, 64], f32>, %k: !graph.tensor<[S, 64], f32>) -> (!graph.tensor<[T], f32>, !graph.tensor<[T], f32>) {
  %f = graph.exp %x : !graph.tensor<[T, S], f32>
  %zf = graph.reduce "sum" %f [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %u = graph.log %zf : !graph.tensor<[T], f32>
  %s = graph.contract %q [1, 3], %k [2, 3] -> [1, 2] : !graph.tensor<[T, 64], f32>, !graph.tensor<[S, 64], f32> -> !graph.tensor<[T, S], f32>
  %m = graph.reduce "max" %s [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %d = graph.sub %s, %mb : !graph.tensor<[T, S], f32>
  %e = graph.exp %d : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %e [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %l = graph.log %z : !graph.tensor<[T], f32>
  graph.return %u, %l : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>
}

// -----

// Weights of which a mask leaves some, divided by their sum: the softmax of what is left. Of a sum over another axis: not.
// CHECK-LABEL: graph.func @renormalised
// CHECK: %[[X:.*]] = graph.select %{{.*}}, %arg0
// CHECK: graph.softmax %[[X]] {axis = 1 : i64}
// CHECK-LABEL: graph.func @renormalised_otherwise
// CHECK-COUNT-1: graph.softmax
// CHECK-NOT: graph.softmax
graph.func @renormalised<[T, S]>(%x: !graph.tensor<[T, S], f32>, %m: !graph.tensor<[T, S], i1>) -> !graph.tensor<[T, S], f32> {
  %p = graph.softmax %x {axis = 1} : !graph.tensor<[T, S], f32>
  %f = graph.cast %m : !graph.tensor<[T, S], i1> -> !graph.tensor<[T, S], f32>
  %w = graph.mul %p, %f : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %w [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %y = graph.div %w, %zb : !graph.tensor<[T, S], f32>
  graph.return %y : !graph.tensor<[T, S], f32>
}
graph.func @renormalised_otherwise<[T, S]>(%x: !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, S], f32> {
  %p = graph.softmax %x {axis = 0} : !graph.tensor<[T, S], f32>
  %z = graph.reduce "sum" %p [1] : !graph.tensor<[T, S], f32> -> !graph.tensor<[T], f32>
  %zb = graph.broadcast %z [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, S], f32>
  %y = graph.div %p, %zb : !graph.tensor<[T, S], f32>
  graph.return %y : !graph.tensor<[T, S], f32>
}
