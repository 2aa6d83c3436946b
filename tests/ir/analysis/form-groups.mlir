// RUN: fovea-opt %s --graph-form-groups --split-input-file | FileCheck %s

// A projection takes its bias along; heads are views of it; attention writes through the views after it.
// CHECK-LABEL: graph.func @heads
// CHECK: %[[P:.*]] = graph.group "matmul"
// CHECK: graph.contract
// CHECK: graph.add
// CHECK: graph.yield
// CHECK: %[[R:.*]] = graph.reshape %[[P]]
// CHECK: %[[H:.*]] = graph.transpose %[[R]]
// CHECK: %[[A:.*]] = graph.group "attention"(%[[H]])
// CHECK: %[[AT:.*]] = graph.transpose %[[A]]
// CHECK: %[[AR:.*]] = graph.reshape %[[AT]]
// CHECK-NOT: graph.group
// CHECK: graph.return %[[AR]]
graph.func @heads<[B, T]>(%x: !graph.tensor<[B, T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"},
                          %b: !graph.tensor<[8], f32> {graph.param = "b"}) -> (!graph.tensor<[B, T, 8], f32> {graph.output = "y"}) {
  %0 = graph.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, T, 8], f32>
  %1 = graph.broadcast %b [2] : !graph.tensor<[8], f32> -> !graph.tensor<[B, T, 8], f32>
  %2 = graph.add %0, %1 : !graph.tensor<[B, T, 8], f32>
  %3 = graph.reshape %2 : !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, T, 2, 4], f32>
  %q = graph.transpose %3 [0, 2, 1, 3] : !graph.tensor<[B, T, 2, 4], f32> -> !graph.tensor<[B, 2, T, 4], f32>
  %a = graph.attention q(%q) k(%q) v(%q) score {
  ^bb0(%s: f32, %bi: index, %h: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, 2, T, 4], f32>) -> !graph.tensor<[B, 2, T, 4], f32>
  %4 = graph.transpose %a [0, 2, 1, 3] : !graph.tensor<[B, 2, T, 4], f32> -> !graph.tensor<[B, T, 2, 4], f32>
  %5 = graph.reshape %4 : !graph.tensor<[B, T, 2, 4], f32> -> !graph.tensor<[B, T, 8], f32>
  graph.return %5 : !graph.tensor<[B, T, 8], f32>
}

// -----

// Activation and residual belong to the matmul; an activation that others read as well does not swallow its input.
// CHECK-LABEL: graph.func @epilogue
// CHECK: graph.group "matmul"
// CHECK: graph.contract
// CHECK: graph.tanh
// CHECK: graph.add
// CHECK: graph.yield
// CHECK-NOT: graph.group
graph.func @epilogue<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "y"}) {
  %0 = graph.contract %x [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %1 = graph.tanh %0 : !graph.tensor<[T, 8], f32>
  %2 = graph.add %1, %x : !graph.tensor<[T, 8], f32>
  graph.return %2 : !graph.tensor<[T, 8], f32>
}

// -----

// Must not: the other operand of the sum waits for the contraction itself.
// CHECK-LABEL: graph.func @no_cycle
// CHECK: %[[C:.*]] = graph.group "matmul"
// CHECK-NOT: graph.add
// CHECK: %[[S:.*]] = graph.group "map"(%[[C]])
// CHECK: graph.reduce
// CHECK: graph.add
graph.func @no_cycle<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "y"}) {
  %0 = graph.contract %x [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %1 = graph.reduce "sum" %0 [1] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[T], f32>
  %2 = graph.broadcast %1 [0] : !graph.tensor<[T], f32> -> !graph.tensor<[T, 8], f32>
  %3 = graph.add %0, %2 : !graph.tensor<[T, 8], f32>
  graph.return %3 : !graph.tensor<[T, 8], f32>
}

// -----

// Softmax is one map by the numerical contract: reduce, reduce, write.
// CHECK-LABEL: graph.func @softmax
// CHECK: graph.group "map"
// CHECK: graph.reduce "max"
// CHECK: graph.exp
// CHECK: graph.reduce "sum"
// CHECK: graph.select
// CHECK: {box = [#graph.dim<T>, #graph.dim<S>], reduced = array<i64: 1>}
// CHECK-NOT: graph.group
graph.func @softmax<[T, S]>(%x: !graph.tensor<[T, S], f32> {graph.input = "x"}) -> (!graph.tensor<[T, S], f32> {graph.output = "y"}) {
  %0 = graph.softmax %x {axis = 1} : !graph.tensor<[T, S], f32>
  graph.return %0 : !graph.tensor<[T, S], f32>
}

// -----

// A masked mean is one map over [B, 4] with T reduced; the norm of its rows reduces another axis and is a second one.
// CHECK-LABEL: graph.func @pool
// CHECK: graph.group "map"
// CHECK: graph.reduce "sum" {{.*}} [1] : <[B, T, 4], f32>
// CHECK: graph.reduce "sum" {{.*}} [1] : <[B, T], f32>
// CHECK: graph.div
// CHECK: {box = [#graph.dim<B>, #graph.dim<4>, #graph.dim<T>], reduced = array<i64: 2>}
// CHECK: graph.group "map"
// CHECK: graph.sqrt
// CHECK: {box = [#graph.dim<B>, #graph.dim<4>], reduced = array<i64: 1>}
// CHECK-NOT: graph.group
graph.func @pool<[B, T]>(%x: !graph.tensor<[B, T, 4], f32> {graph.input = "x"}, %mask: !graph.tensor<[B, T], i1> {graph.input = "mask"}) -> (!graph.tensor<[B, 4], f32> {graph.output = "y"}) {
  %m = graph.cast %mask : !graph.tensor<[B, T], i1> -> !graph.tensor<[B, T], f32>
  %mb = graph.broadcast %m [0, 1] : !graph.tensor<[B, T], f32> -> !graph.tensor<[B, T, 4], f32>
  %xm = graph.mul %x, %mb : !graph.tensor<[B, T, 4], f32>
  %s = graph.reduce "sum" %xm [1] : !graph.tensor<[B, T, 4], f32> -> !graph.tensor<[B, 4], f32>
  %c = graph.reduce "sum" %m [1] : !graph.tensor<[B, T], f32> -> !graph.tensor<[B], f32>
  %cb = graph.broadcast %c [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, 4], f32>
  %p = graph.div %s, %cb : !graph.tensor<[B, 4], f32>
  %p2 = graph.mul %p, %p : !graph.tensor<[B, 4], f32>
  %n2 = graph.reduce "sum" %p2 [1] : !graph.tensor<[B, 4], f32> -> !graph.tensor<[B], f32>
  %n = graph.sqrt %n2 : !graph.tensor<[B], f32>
  %nb = graph.broadcast %n [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, 4], f32>
  %y = graph.div %p, %nb : !graph.tensor<[B, 4], f32>
  graph.return %y : !graph.tensor<[B, 4], f32>
}

// -----

// Embeddings: a gather and a slice of positions in the map that norms them; their sum is stored by it as well.
// CHECK-LABEL: graph.func @embed
// CHECK: %[[G:.*]]:2 = graph.group "map"
// CHECK: graph.gather
// CHECK: graph.reduce
// CHECK: graph.return %[[G]]#{{[01]}}, %[[G]]#{{[01]}}
graph.func @embed<[B, T]>(%ids: !graph.tensor<[B, T], i64> {graph.input = "ids"}, %w: !graph.tensor<[30, 8], f32> {graph.param = "w"},
                          %p: !graph.tensor<[16, 8], f32> {graph.param = "p"}) -> (!graph.tensor<[B, T, 8], f32> {graph.output = "x"}, !graph.tensor<[B, T, 8], f32> {graph.output = "n"}) {
  %e = graph.gather %w at %ids [0] : !graph.tensor<[30, 8], f32>, !graph.tensor<[B, T], i64> -> !graph.tensor<[B, T, 8], f32>
  %s = graph.slice %p {axis = 0, start = #graph.dim<0>} : !graph.tensor<[16, 8], f32> -> !graph.tensor<[T, 8], f32>
  %sb = graph.broadcast %s [1, 2] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[B, T, 8], f32>
  %x = graph.add %e, %sb : !graph.tensor<[B, T, 8], f32>
  %m = graph.reduce "max" %x [2] : !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, T], f32>
  %mb = graph.broadcast %m [0, 1] : !graph.tensor<[B, T], f32> -> !graph.tensor<[B, T, 8], f32>
  %n = graph.sub %x, %mb : !graph.tensor<[B, T, 8], f32>
  graph.return %x, %n : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, 8], f32>
}

// -----

// A cheap mask is computed again by each reader; an exponential that two kernels read is written once.
// CHECK-LABEL: graph.func @written_once
// CHECK: %[[E:.*]] = graph.group "map"
// CHECK: graph.exp
// CHECK: graph.group "matmul"(%[[E]]
// CHECK-NOT: graph.exp
// CHECK: graph.return
graph.func @written_once<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "a"}, !graph.tensor<[T, 8], f32> {graph.output = "b"}) {
  %e = graph.exp %x : !graph.tensor<[T, 8], f32>
  %0 = graph.contract %e [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %1 = graph.contract %e [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  graph.return %0, %1 : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}

// -----

// A contraction that sums nothing is a map of products.
// CHECK-LABEL: graph.func @outer
// CHECK: graph.group "map"
// CHECK-NOT: graph.contract
// CHECK: graph.mul
graph.func @outer<[N, M]>(%a: !graph.tensor<[N], f32> {graph.input = "a"}, %b: !graph.tensor<[M], f32> {graph.input = "b"}) -> (!graph.tensor<[N, M], f32> {graph.output = "y"}) {
  %0 = graph.contract %a [0], %b [1] -> [0, 1] : !graph.tensor<[N], f32>, !graph.tensor<[M], f32> -> !graph.tensor<[N, M], f32>
  graph.return %0 : !graph.tensor<[N, M], f32>
}

// -----

// A cache is updated where it lies, another state overwritten after it was read; what is no view is copied.
// CHECK-LABEL: graph.func @state
// CHECK: graph.group "map"
// CHECK: graph.update_slice
// CHECK: in_place = array<i64: {{[01]}}>
// CHECK: %[[T:.*]] = graph.transpose %[[M:[^ ]*]] [1, 0]
// CHECK: %[[C:.*]] = graph.group "map"(%[[T]])
// CHECK-NOT: in_place
// CHECK: graph.group "map"(%[[C]], %[[M]])
// CHECK: in_place = array<i64: 1>
graph.func @state<[T, P]>(%k: !graph.tensor<[T, 8], f32> {graph.input = "k"}, %keys: !graph.tensor<[64, 8], f32> {graph.state = "keys"}, %m: !graph.tensor<[8, 8], f32> {graph.state = "m"})
    -> (!graph.tensor<[64, 8], f32> {graph.state = "keys"}, !graph.tensor<[8, 8], f32> {graph.state = "m"}) {
  %new = graph.update_slice %keys, %k {axis = 0, start = #graph.dim<P>} : !graph.tensor<[64, 8], f32>, !graph.tensor<[T, 8], f32> -> !graph.tensor<[64, 8], f32>
  %t = graph.transpose %m [1, 0] : !graph.tensor<[8, 8], f32> -> !graph.tensor<[8, 8], f32>
  graph.return %new, %t : !graph.tensor<[64, 8], f32>, !graph.tensor<[8, 8], f32>
}

// -----

// Places of a state are written where it lies, those of a value that is read as well in a copy.
// CHECK-LABEL: graph.func @scattered
// CHECK: graph.group "map"(%[[KEYS:.*]], %{{.*}}, %{{.*}}) {
// CHECK: graph.scatter
// CHECK: in_place = array<i64: 0>
// CHECK: %[[COPY:.*]] = graph.group "map"(%[[X:.*]]) {
// CHECK-NOT: in_place
// CHECK: graph.group "map"(%[[X]], %{{.*}}, %[[COPY]]) {
// CHECK: graph.gather
// CHECK: graph.scatter
// CHECK: in_place = array<i64: 2>
// CHECK-NOT: graph.group
graph.func @scattered<[T]>(%k: !graph.tensor<[T, 8], f32> {graph.input = "k"}, %i: !graph.tensor<[T], i64> {graph.input = "i"}, %x: !graph.tensor<[9, 8], f32> {graph.input = "x"}, %keys: !graph.tensor<[64, 8], f32> {graph.state = "keys"})
    -> (!graph.tensor<[9, 8], f32> {graph.output = "y"}, !graph.tensor<[64, 8], f32> {graph.state = "keys"}) {
  %new = graph.scatter %keys, %k at %i [0] : <[64, 8], f32>, <[T, 8], f32>, !graph.tensor<[T], i64> -> <[64, 8], f32>
  %g = graph.gather %x at %i [0] : <[9, 8], f32>, !graph.tensor<[T], i64> -> <[T, 8], f32>
  %y = graph.scatter %x, %g at %i [0] : <[9, 8], f32>, <[T, 8], f32>, !graph.tensor<[T], i64> -> <[9, 8], f32>
  graph.return %y, %new : !graph.tensor<[9, 8], f32>, !graph.tensor<[64, 8], f32>
}

// -----

// The front of a value is contiguous, but the output's buffer doesn't hold the whole value: it is copied.
// CHECK-LABEL: graph.func @front
// CHECK: graph.group "map"(%arg0)
// CHECK: graph.cos
// CHECK: %[[S:.*]] = graph.slice
// CHECK: %[[C:.*]] = graph.group "map"(%[[S]])
// CHECK: graph.return %[[C]]
graph.func @front<[A]>(%x: !graph.tensor<[6, A], f32> {graph.input = "x"}) -> (!graph.tensor<[2, A], f32> {graph.output = "y"}) {
  %0 = graph.cos %x : !graph.tensor<[6, A], f32>
  %1 = graph.slice %0 {axis = 0, start = #graph.dim<0>, step = 1} : !graph.tensor<[6, A], f32> -> !graph.tensor<[2, A], f32>
  graph.return %1 : !graph.tensor<[2, A], f32>
}

// -----

// The transpose is computed in both groups, the concat in the one whose result the other needs: elsewhere it would close a cycle.
// CHECK-LABEL: graph.func @computed_twice
// CHECK: %[[A:.*]]:2 = graph.group "map"(%arg0, %arg1)
// CHECK: graph.concat
// CHECK: graph.reduce
// CHECK: %[[B:.*]] = graph.group "map"(%[[A]]#1, %[[A]]#0)
// CHECK: graph.div
// CHECK: graph.return %[[B]], %[[A]]#0
graph.func @computed_twice(%w: !graph.tensor<[20, 8], f32> {graph.param = "w"}, %v: !graph.tensor<[20, 8], f32> {graph.param = "v"}) -> (!graph.tensor<[8, 40], f32>, !graph.tensor<[40], f32>) {
  %0 = graph.concat %w, %v {axis = 0 : i64} : !graph.tensor<[20, 8], f32>, !graph.tensor<[20, 8], f32> -> !graph.tensor<[40, 8], f32>
  %t = graph.transpose %0 [1, 0] : !graph.tensor<[40, 8], f32> -> !graph.tensor<[8, 40], f32>
  %a = graph.abs %t : !graph.tensor<[8, 40], f32>
  %m = graph.reduce "max" %a [0] : !graph.tensor<[8, 40], f32> -> !graph.tensor<[40], f32>
  %b = graph.broadcast %m [1] : !graph.tensor<[40], f32> -> !graph.tensor<[8, 40], f32>
  %d = graph.div %t, %b : !graph.tensor<[8, 40], f32>
  graph.return %d, %m : !graph.tensor<[8, 40], f32>, !graph.tensor<[40], f32>
}

// -----

// What attention reads in its regions alone is computed before it: the regions' uses are no uses of their own.
// CHECK-LABEL: graph.func @captured
// CHECK: %[[E:.*]] = graph.group "map"(%arg1)
// CHECK: graph.exp
// CHECK: graph.group "attention"(%arg0, %[[E]])
graph.func @captured<[B]>(%q: !graph.tensor<[B, 8, 16], f32> {graph.input = "q"}, %b: !graph.tensor<[8], f32> {graph.input = "b"}) -> (!graph.tensor<[B, 8, 16], f32> {graph.output = "y"}) {
  %e = graph.exp %b : !graph.tensor<[8], f32>
  %y = graph.attention q(%q) k(%q) v(%q) captures(%e) score {
  ^bb0(%s: f32, %i: index, %t: index, %j: index):
    %at = graph.at %e[%j] : <[8], f32> -> f32
    %twice = graph.at %e[%t] : <[8], f32> -> f32
    %0 = arith.addf %s, %at : f32
    %1 = arith.addf %0, %twice : f32
    graph.yield %1 : f32
  } mask {
  } : (!graph.tensor<[B, 8, 16], f32>, !graph.tensor<[B, 8, 16], f32>, !graph.tensor<[B, 8, 16], f32>, !graph.tensor<[8], f32>) -> !graph.tensor<[B, 8, 16], f32>
  graph.return %y : !graph.tensor<[B, 8, 16], f32>
}

// -----

// A row's statistic is written once, and what the epilogue makes of it is not written at all.
// CHECK-LABEL: graph.func @row_statistic
// CHECK: %[[MOST:.*]] = graph.group "map"(%arg0)
// CHECK: graph.reduce "max"
// CHECK: -> !graph.tensor<[B], f32>
// CHECK-NOT: graph.group "map"
// CHECK: graph.group "matmul"(%arg0, %arg1, %[[MOST]], %arg2)
// CHECK: graph.contract
// CHECK: graph.mul
// CHECK: graph.sub
// CHECK-NOT: graph.group
graph.func @row_statistic<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 16], f32> {graph.param = "w"}, %c: !graph.tensor<[16], f32> {graph.param = "c"}) -> (!graph.tensor<[B, 16], f32> {graph.output = "y"}) {
  %y = graph.contract %x [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[B, 8], f32>, !graph.tensor<[8, 16], f32> -> !graph.tensor<[B, 16], f32>
  %m = graph.reduce "max" %x [1] : !graph.tensor<[B, 8], f32> -> !graph.tensor<[B], f32>
  %mb = graph.broadcast %m [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, 16], f32>
  %cb = graph.broadcast %c [1] : !graph.tensor<[16], f32> -> !graph.tensor<[B, 16], f32>
  %p = graph.mul %mb, %cb : !graph.tensor<[B, 16], f32>
  %d = graph.sub %y, %p : !graph.tensor<[B, 16], f32>
  graph.return %d : !graph.tensor<[B, 16], f32>
}

// -----

// What only a gradient reads is computed before the loss, where it takes several tensors: with the activation, whose exponential it shares.
// CHECK-LABEL: graph.func @derivative
// CHECK: %[[Y:.*]]:2 = graph.group "map"
// CHECK: graph.sigmoid
// CHECK-NOT: graph.sigmoid
// CHECK: graph.yield
// CHECK: graph.group "matmul"(%[[Y]]#1, %arg1)
// CHECK: graph.group "matmul"({{.*}}%[[Y]]#0)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: graph.contract
// CHECK-NEXT: graph.mul
// CHECK-NEXT: graph.yield
graph.func @derivative<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "dx"}) attributes {entry} {
  %s = graph.sigmoid %x : !graph.tensor<[T, 8], f32>
  %y = graph.mul %x, %s : !graph.tensor<[T, 8], f32>
  %xs = graph.mul %y, %s : !graph.tensor<[T, 8], f32>
  %rest = graph.sub %y, %xs : !graph.tensor<[T, 8], f32>
  %d = graph.add %s, %rest : !graph.tensor<[T, 8], f32>
  %p = graph.contract %y [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %g = graph.contract %p [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32> loc(fused<"gradient">["m.fov":1:1])
  %dx = graph.mul %g, %d : !graph.tensor<[T, 8], f32> loc(fused<"gradient">["m.fov":1:1])
  graph.return %dx : !graph.tensor<[T, 8], f32>
}

// -----

// What only a gradient reads leaves the product together with the activation, which another product reads: the product itself is not written.
// CHECK-LABEL: graph.func @two_results
// CHECK: %[[Y:.*]]:2 = graph.group "matmul"(%arg0, %arg1)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: %[[C:.*]] = graph.contract
// CHECK: graph.sigmoid
// CHECK-NOT: graph.sigmoid
// CHECK: graph.yield
// CHECK-NOT: graph.group "map"
// CHECK: %[[P:.*]] = graph.group "matmul"(%[[Y]]#0, %arg1)
// CHECK: graph.group "matmul"(%[[P]], %arg1, %[[Y]]#1)
// CHECK-NOT: graph.group
graph.func @two_results<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "dx"}) attributes {entry} {
  %z = graph.contract %x [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %s = graph.sigmoid %z : !graph.tensor<[T, 8], f32>
  %y = graph.mul %z, %s : !graph.tensor<[T, 8], f32>
  %xs = graph.mul %y, %s : !graph.tensor<[T, 8], f32>
  %rest = graph.sub %y, %xs : !graph.tensor<[T, 8], f32>
  %d = graph.add %s, %rest : !graph.tensor<[T, 8], f32>
  %p = graph.contract %y [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %g = graph.contract %p [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32> loc(fused<"gradient">["m.fov":1:1])
  %dx = graph.mul %g, %d : !graph.tensor<[T, 8], f32> loc(fused<"gradient">["m.fov":1:1])
  graph.return %dx : !graph.tensor<[T, 8], f32>
}

// -----

// A product that others read as it is leaves with what is made of it; three results, two of them through views.
// CHECK-LABEL: graph.func @three_results
// CHECK: %[[C:.*]]:3 = graph.group "matmul"(%arg0, %arg1)
// CHECK: graph.contract
// CHECK: graph.tanh
// CHECK: graph.exp
// CHECK: graph.yield
// CHECK: graph.transpose %[[C]]#1
// CHECK: graph.group "matmul"
// CHECK-NOT: graph.group
// CHECK: graph.return %[[C]]#0, %[[C]]#2
graph.func @three_results<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"})
    -> (!graph.tensor<[T, 8], f32> {graph.output = "z"}, !graph.tensor<[T, 8], f32> {graph.output = "e"}, !graph.tensor<[T, T], f32> {graph.output = "p"}) {
  %z = graph.contract %x [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %t = graph.tanh %z : !graph.tensor<[T, 8], f32>
  %e = graph.exp %z : !graph.tensor<[T, 8], f32>
  %tt = graph.transpose %t [1, 0] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[8, T], f32>
  %p = graph.contract %x [0, 1], %tt [1, 2] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, T], f32> -> !graph.tensor<[T, T], f32>
  graph.return %z, %e, %p : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, T], f32>
}

// -----

// Must not: a value that is cheap to compute again where it is read, and nowhere needed in memory, is no further result.
// CHECK-LABEL: graph.func @cheap_value
// CHECK: %[[Z:.*]] = graph.group "matmul"(%arg0, %arg1)
// CHECK-NOT: graph.exp
// CHECK: graph.yield
// CHECK: graph.group "map"(%[[Z]])
// CHECK: graph.exp
// CHECK: graph.group "map"(%[[Z]])
// CHECK: graph.neg
// CHECK-NOT: graph.group
graph.func @cheap_value<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T], f32> {graph.output = "a"}, !graph.tensor<[T], f32> {graph.output = "b"}) {
  %z = graph.contract %x [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %e = graph.exp %z : !graph.tensor<[T, 8], f32>
  %n = graph.neg %z : !graph.tensor<[T, 8], f32>
  %a = graph.reduce "sum" %e [1] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[T], f32>
  %b = graph.reduce "max" %n [1] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[T], f32>
  graph.return %a, %b : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>
}

// -----

// Must not: what an output is made of is needed by a sum as well, which no product's kernel has: it would be a result that a map need not write.
// CHECK-LABEL: graph.func @shared_part
// CHECK: %[[Z:.*]] = graph.group "matmul"(%arg0, %arg1)
// CHECK-NOT: graph.exp
// CHECK: graph.yield
// CHECK: graph.group "map"(%[[Z]])
// CHECK: graph.exp
graph.func @shared_part<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "y"}, !graph.tensor<[T], f32> {graph.output = "s"}) {
  %z = graph.contract %x [0, 1], %w [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[T, 8], f32>
  %n = graph.neg %z : !graph.tensor<[T, 8], f32>
  %e = graph.exp %n : !graph.tensor<[T, 8], f32>
  %y = graph.mul %z, %e : !graph.tensor<[T, 8], f32>
  %s = graph.reduce "sum" %e [1] : !graph.tensor<[T, 8], f32> -> !graph.tensor<[T], f32>
  graph.return %y, %s : !graph.tensor<[T, 8], f32>, !graph.tensor<[T], f32>
}

// -----

// Must not: states are updated by a map, in place, also where their old values come through other ops; a sum that is not finished would lie in them.
// CHECK-LABEL: graph.func @optimizer
// CHECK: %[[G:.*]] = graph.group "matmul"(%arg1, %arg0)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: graph.contract
// CHECK-NEXT: graph.yield
// CHECK: graph.group "map"
// CHECK: in_place = array<i64: {{[0-9]}}, {{[0-9]}}>
// CHECK-NOT: graph.group
graph.func @optimizer<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %dy: !graph.tensor<[T, 8], f32> {graph.input = "dy"}, %m: !graph.tensor<[8, 8], f32> {graph.state = "m"}, %p: !graph.tensor<[8, 8], f32> {graph.state = "p"})
    -> (!graph.tensor<[8, 8], f32> {graph.state = "m"}, !graph.tensor<[8, 8], f32> {graph.state = "p"}) attributes {entry} {
  %g = graph.contract %dy [0, 1], %x [0, 2] -> [1, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32> -> !graph.tensor<[8, 8], f32>
  %c = graph.constant 0.5 : f32 : !graph.tensor<[], f32>
  %cb = graph.broadcast %c [] : !graph.tensor<[], f32> -> !graph.tensor<[8, 8], f32>
  %old = graph.mul %m, %cb : !graph.tensor<[8, 8], f32>
  %new = graph.add %old, %g : !graph.tensor<[8, 8], f32>
  %q = graph.sub %p, %new : !graph.tensor<[8, 8], f32>
  graph.return %new, %q : !graph.tensor<[8, 8], f32>, !graph.tensor<[8, 8], f32>
}
