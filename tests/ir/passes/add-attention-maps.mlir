// RUN: fovea-opt %s --graph-add-attention-maps=cells=16 --canonicalize --cse | FileCheck %s

// A layer stays as it is, and has a twin: weights by cells of keys, entropies, and the keys' masses with queries and keys exchanged.
// CHECK-LABEL: graph.func private @layer<
// CHECK-COUNT-1: graph.attention
// CHECK-NOT: graph.attention
// CHECK: graph.func private @"layer-attention-maps"
// CHECK-SAME: %[[Q:[^:]*]]: !graph.tensor<[B, T, 8], f32>
// CHECK-SAME: {graph.output = "attend.weights"}{{.*}} {graph.output = "attend.entropy"}{{.*}} {graph.output = "attend.mass"}) attributes {layer}
// CHECK: %[[Y:.*]], %[[LSE:.*]] = graph.attention q(%[[Q]])
// CHECK: graph.dim <floordiv(T+15, 16)>
// CHECK: graph.compare "eq" {{.*}} : <[T, 16], i64>
// CHECK: %[[W:.*]] = graph.attention q(%[[Q]]) {{.*}} captures(%[[SEEN:[^ ]*]]) score
// CHECK: -> !graph.tensor<[B, T, 16], f32>
// CHECK: graph.attention {{.*}} captures(%[[SEEN]], %[[LSE]]) score
// CHECK: graph.at %[[LSE]][%{{.*}}, %[[T:.*]]] : <[B, T], f32>
// CHECK: math.exp
// CHECK: mask {
// CHECK-NEXT: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index):
// CHECK-NEXT: graph.at %[[SEEN]][%{{.*}}, %[[J]]]
// CHECK: graph.attention {{.*}} captures(%[[SEEN]], %[[LSE]]) score
// CHECK: mask {
// CHECK-NEXT: ^bb0(%{{.*}}: index, %[[KEY:.*]]: index, %{{.*}}: index):
// CHECK-NEXT: graph.at %[[SEEN]][%{{.*}}, %[[KEY]]]
// CHECK: graph.return %[[Y]], %[[W]]

// An entry's twin has the maps of every call, by its path.
// CHECK-LABEL: graph.func @M.look<
// CHECK: graph.func @"M.look-attention-maps"
// CHECK-SAME: "layers.0.attend.weights"{{.*}}"layers.0.attend.entropy"{{.*}}"layers.0.attend.mass"{{.*}}"layers.1.attend.weights"
// CHECK: %[[A:.*]]:4 = graph.call @"layer-attention-maps" [2, T]
// CHECK: %[[B:.*]]:4 = graph.call @"layer-attention-maps" [2, T](%[[A]]#0
// CHECK: graph.return %[[B]]#0, %[[A]]#1, %[[A]]#2, %[[A]]#3, %[[B]]#1

// What attends to nothing has none.
// CHECK-LABEL: graph.func @M.plain<
// CHECK-NOT: attention-maps

graph.func private @layer<[B, T]>(%q: !graph.tensor<[B, T, 8], f32> {graph.input = "q"}, %seen: !graph.tensor<[B, T], i1> {graph.input = "seen"}) -> (!graph.tensor<[B, T, 8], f32> {graph.output = "y"}) attributes {layer} {
  %y = graph.attention q(%q) k(%q) v(%q) captures(%seen) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  ^bb0(%b: index, %t: index, %j: index):
    %m = graph.at %seen[%b, %j] : !graph.tensor<[B, T], i1> -> i1
    graph.yield %m : i1
  } : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, T], i1>) -> !graph.tensor<[B, T, 8], f32> loc("attend"("m.fov":1:1))
  graph.return %y : !graph.tensor<[B, T, 8], f32>
}
graph.func @M.look<[T]>(%x: !graph.tensor<[2, T, 8], f32> {graph.input = "x"}, %seen: !graph.tensor<[2, T], i1> {graph.input = "seen"}) -> (!graph.tensor<[2, T, 8], f32> {graph.output = "y"}) attributes {entry} {
  %a = graph.call @layer[2, T](%x, %seen) {path = "layers.0"} : (!graph.tensor<[2, T, 8], f32>, !graph.tensor<[2, T], i1>) -> !graph.tensor<[2, T, 8], f32>
  %b = graph.call @layer[2, T](%a, %seen) {path = "layers.1"} : (!graph.tensor<[2, T, 8], f32>, !graph.tensor<[2, T], i1>) -> !graph.tensor<[2, T, 8], f32>
  graph.return %b : !graph.tensor<[2, T, 8], f32>
}
graph.func @M.plain<[T]>(%x: !graph.tensor<[T], f32> {graph.input = "x"}) -> (!graph.tensor<[T], f32> {graph.output = "y"}) attributes {entry} {
  %y = graph.exp %x : <[T], f32>
  graph.return %y : !graph.tensor<[T], f32>
}
