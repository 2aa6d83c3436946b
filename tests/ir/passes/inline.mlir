// RUN: fovea-opt %s --graph-inline --mlir-print-debuginfo --split-input-file --verify-diagnostics | FileCheck %s

// A function is inlined under its substitution; what it requires goes to the caller; the path is a prefix of places.
// CHECK-LABEL: graph.func @main<[B, N]>
// CHECK-SAME: requirements = [#graph.require<N+1, "le", 512, "T <= 512", "m.fov:1:2">]
// CHECK: graph.dim <N+1> : <[], i64> loc(#[[DIM:.*]])
// CHECK: graph.exp %{{.*}} : <[B, N+1], f32>
// CHECK-NOT: graph.call
// CHECK-NOT: @helper
// CHECK-DAG: #[[DIM]] = loc("emb.size"
graph.func @main<[B, N]>(%x: !graph.tensor<[B, N+1], f32>) -> (!graph.tensor<[B, N+1], f32>, !graph.tensor<[], i64>) attributes {entry} {
  %0:2 = graph.call @helper[N+1, B](%x) {path = "emb"} : (!graph.tensor<[B, N+1], f32>) -> (!graph.tensor<[B, N+1], f32>, !graph.tensor<[], i64>)
  graph.return %0#0, %0#1 : !graph.tensor<[B, N+1], f32>, !graph.tensor<[], i64>
}
graph.func private @helper<[T, A]>(%x: !graph.tensor<[A, T], f32>) -> (!graph.tensor<[A, T], f32>, !graph.tensor<[], i64>)
    attributes {requirements = [#graph.require<T, "le", 512, "T <= 512", "m.fov:1:2">, #graph.require<T, "ge", 0, "T >= 0", "m.fov:1:2">]} {
  %s = graph.dim <T> : !graph.tensor<[], i64> loc("size")
  %0 = graph.exp %x : !graph.tensor<[A, T], f32>
  graph.return %0, %s : !graph.tensor<[A, T], f32>, !graph.tensor<[], i64>
}

// -----

// A layer that is called twice stays, what it calls is inlined into it.
// CHECK-LABEL: graph.func @two
// CHECK-COUNT-2: graph.call @layer
// CHECK-LABEL: graph.func private @layer
// CHECK: graph.exp
// CHECK-NOT: @inner
graph.func @two<[B]>(%x: !graph.tensor<[B], f32>) -> !graph.tensor<[B], f32> attributes {entry} {
  %0 = graph.call @layer[B](%x) {path = "layers.0"} : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  %1 = graph.call @layer[B](%0) {path = "layers.1"} : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  graph.return %1 : !graph.tensor<[B], f32>
}
graph.func private @layer<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> attributes {layer} {
  %0 = graph.call @inner[N](%x) : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32>
  graph.return %0 : !graph.tensor<[N], f32>
}
graph.func private @inner<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
  %0 = graph.exp %x : !graph.tensor<[N], f32>
  graph.return %0 : !graph.tensor<[N], f32>
}

// -----

// A layer that is called once from a function that runs twice stays as well; one that is called once is inlined.
// CHECK-LABEL: graph.func @nested
// CHECK-COUNT-2: graph.call @layer
// CHECK: graph.tanh
// CHECK-NOT: @once
graph.func @nested<[B]>(%x: !graph.tensor<[B], f32>) -> !graph.tensor<[B], f32> attributes {entry} {
  %0 = graph.call @block[B](%x) {path = "a"} : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  %1 = graph.call @block[B](%0) {path = "b"} : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  %2 = graph.call @once[B](%1) {path = "c"} : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  graph.return %2 : !graph.tensor<[B], f32>
}
graph.func private @block<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
  %0 = graph.call @layer[N](%x) : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32>
  graph.return %0 : !graph.tensor<[N], f32>
}
graph.func private @layer<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> attributes {layer} {
  %0 = graph.exp %x : !graph.tensor<[N], f32>
  graph.return %0 : !graph.tensor<[N], f32>
}
graph.func private @once<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> attributes {layer} {
  %0 = graph.tanh %x : !graph.tensor<[N], f32>
  graph.return %0 : !graph.tensor<[N], f32>
}

// -----

graph.func @f<[B]>(%x: !graph.tensor<[B], f32>) -> !graph.tensor<[B], f32> {
  // expected-error @below {{calls @f, which calls itself}}
  %0 = graph.call @f[B](%x) : (!graph.tensor<[B], f32>) -> !graph.tensor<[B], f32>
  graph.return %0 : !graph.tensor<[B], f32>
}

// -----

// Of one demand under two names the caller's words stay. An op keeps its own place and that of the call; a value without
// a name is called after its op, the function's result after the call.
// CHECK-LABEL: graph.func @said<[N]>
// CHECK-SAME: requirements = [#graph.require<N, "le", 512, "N <= 512", "m.fov:9:9">]
// CHECK: graph.exp %{{.*}} loc(#[[EXP:.*]])
// CHECK: graph.tanh %{{.*}} loc(#[[TANH:.*]])
// CHECK-DAG: #[[FILE:.*]] = loc("nn.fov":7:3)
// CHECK-DAG: #[[CALL:.*]] = loc("m.fov":3:5)
// CHECK-DAG: #[[CALLEE:.*]] = loc("soft$2"(#[[FILE]]))
// CHECK-DAG: #[[SITE:.*]] = loc(callsite(#[[CALLEE]] at #[[CALL]]))
// CHECK-DAG: #[[EXP]] = loc("a.exp"(#[[SITE]]))
// CHECK-DAG: #[[TANH]] = loc("a"(#
graph.func @said<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32>
    attributes {entry, requirements = [#graph.require<N, "le", 512, "N <= 512", "m.fov:9:9">]} {
  %0 = graph.call @soft$2[N](%x) {path = "a"} : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> loc("a"("m.fov":3:5))
  graph.return %0 : !graph.tensor<[N], f32>
}
graph.func private @soft$2<[T]>(%x: !graph.tensor<[T], f32>) -> !graph.tensor<[T], f32>
    attributes {requirements = [#graph.require<T, "le", 512, "T <= 512", "nn.fov:1:2">]} {
  %0 = graph.exp %x : !graph.tensor<[T], f32> loc("nn.fov":7:3)
  %1 = graph.tanh %0 : !graph.tensor<[T], f32> loc("nn.fov":8:3)
  graph.return %1 : !graph.tensor<[T], f32>
}

// -----

// A layer that stays keeps the place of its calls where all are one, as in a loop; where they differ, only its own.
// CHECK-LABEL: graph.func @loops
// CHECK-LABEL: graph.func private @same
// CHECK: graph.exp %{{.*}} loc(#[[$SAME:.*]])
// CHECK-LABEL: graph.func private @other
// CHECK: graph.exp %{{.*}} loc(#[[$OTHER:.*]])
// CHECK-DAG: #[[$OTHER]] = loc("nn.fov":8:3)
// CHECK-DAG: #[[$SAME]] = loc(callsite(#
graph.func @loops<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> attributes {entry} {
  %0 = graph.call @same[N](%x) {path = "a.0"} : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> loc("a.0"("m.fov":3:5))
  %1 = graph.call @same[N](%0) {path = "a.1"} : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> loc("a.1"("m.fov":3:5))
  %2 = graph.call @other[N](%1) {path = "b.0"} : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> loc("b.0"("m.fov":4:5))
  %3 = graph.call @other[N](%2) {path = "b.1"} : (!graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> loc("b.1"("m.fov":5:5))
  graph.return %3 : !graph.tensor<[N], f32>
}
graph.func private @same<[T]>(%x: !graph.tensor<[T], f32>) -> !graph.tensor<[T], f32> attributes {layer} {
  %0 = graph.exp %x : !graph.tensor<[T], f32> loc("nn.fov":7:3)
  graph.return %0 : !graph.tensor<[T], f32>
}
graph.func private @other<[T]>(%x: !graph.tensor<[T], f32>) -> !graph.tensor<[T], f32> attributes {layer} {
  %0 = graph.exp %x : !graph.tensor<[T], f32> loc("nn.fov":8:3)
  graph.return %0 : !graph.tensor<[T], f32>
}
