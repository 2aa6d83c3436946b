// RUN: fovea-opt %s --split-input-file --graph-form-groups | FileCheck %s

// An optimiser's step is one group, which writes over the param and both moments.
// CHECK-LABEL: graph.func @adam(
// CHECK-SAME: %[[P:[^:]*]]: !graph.tensor<[8, 4], f32> {graph.state = "p"}, %[[M:[^:]*]]: {{[^%]*}}%[[V:[^:]*]]:
// CHECK: %[[G:.*]]:3 = graph.group "map"({{.*}}%[[P]]{{.*}})
// CHECK: in_place = array<i64: {{[0-3]}}, {{[0-3]}}, {{[0-3]}}>
// CHECK-NOT: graph.group
// CHECK: graph.return
graph.func @adam(%p: !graph.tensor<[8, 4], f32> {graph.state = "p"}, %m: !graph.tensor<[8, 4], f32> {graph.state = "m"}, %v: !graph.tensor<[8, 4], f32> {graph.state = "v"}, %g: !graph.tensor<[8, 4], f32> {graph.input = "g"})
    -> (!graph.tensor<[8, 4], f32> {graph.state = "p"}, !graph.tensor<[8, 4], f32> {graph.state = "m"}, !graph.tensor<[8, 4], f32> {graph.state = "v"}) {
  %m1 = graph.add %m, %g : !graph.tensor<[8, 4], f32>
  %gg = graph.mul %g, %g : !graph.tensor<[8, 4], f32>
  %v1 = graph.add %v, %gg : !graph.tensor<[8, 4], f32>
  %s = graph.sqrt %v1 : !graph.tensor<[8, 4], f32>
  %u = graph.div %m1, %s : !graph.tensor<[8, 4], f32>
  %p1 = graph.sub %p, %u : !graph.tensor<[8, 4], f32>
  graph.return %p1, %m1, %v1 : !graph.tensor<[8, 4], f32>, !graph.tensor<[8, 4], f32>, !graph.tensor<[8, 4], f32>
}

// -----

// A product that does not read the old value writes over it; what adds to the old value is left to a map, as a product keeps
// unfinished sums where its result lies.
// CHECK-LABEL: graph.func @products
// CHECK-DAG: graph.group "matmul"(%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}){{.*}}
// CHECK-DAG: graph.group "matmul"(%{{[^,]*}}, %{{[^,]*}}){{.*}}
// CHECK: graph.group "map"
// CHECK: graph.add
// CHECK: in_place = array<i64: {{[01]}}>
// CHECK-NOT: graph.group
// CHECK: graph.return
graph.func @products(%a: !graph.tensor<[8, 4], f32> {graph.state = "a"}, %b: !graph.tensor<[8, 4], f32> {graph.state = "b"}, %w: !graph.tensor<[8, 3], f32> {graph.input = "w"}, %x: !graph.tensor<[3, 4], f32> {graph.input = "x"})
    -> (!graph.tensor<[8, 4], f32> {graph.state = "a"}, !graph.tensor<[8, 4], f32> {graph.state = "b"}) {
  %0 = graph.contract %w [0, 1], %x [1, 2] -> [0, 2] : !graph.tensor<[8, 3], f32>, !graph.tensor<[3, 4], f32> -> !graph.tensor<[8, 4], f32>
  %1 = graph.cos %w : !graph.tensor<[8, 3], f32>
  %2 = graph.contract %1 [0, 1], %x [1, 2] -> [0, 2] : !graph.tensor<[8, 3], f32>, !graph.tensor<[3, 4], f32> -> !graph.tensor<[8, 4], f32>
  %3 = graph.add %b, %2 : !graph.tensor<[8, 4], f32>
  graph.return %0, %3 : !graph.tensor<[8, 4], f32>, !graph.tensor<[8, 4], f32>
}

// -----

// Each of two states that become each other's cosine can't be written before the other one is read: one goes by way of a
// copy.
// CHECK-LABEL: graph.func @swapped
// CHECK: graph.group "map"
// CHECK-NOT: in_place
// CHECK: graph.cos
// CHECK: in_place = array<i64: {{[01]}}>
// CHECK: graph.group "map"
// CHECK: graph.cos
// CHECK: graph.group "map"
// CHECK: in_place = array<i64: 1>
// CHECK: graph.return
graph.func @swapped(%a: !graph.tensor<[8, 4], f32> {graph.state = "a"}, %b: !graph.tensor<[8, 4], f32> {graph.state = "b"})
    -> (!graph.tensor<[8, 4], f32> {graph.state = "a"}, !graph.tensor<[8, 4], f32> {graph.state = "b"}) {
  %0 = graph.cos %b : !graph.tensor<[8, 4], f32>
  %1 = graph.cos %a : !graph.tensor<[8, 4], f32>
  graph.return %0, %1 : !graph.tensor<[8, 4], f32>, !graph.tensor<[8, 4], f32>
}

// -----

// Where a point reads more of the old value than it writes, the new one is copied.
// CHECK-LABEL: graph.func @reduced
// CHECK: graph.reduce
// CHECK-NOT: in_place
// CHECK: graph.group "map"(%{{.*}}, %arg0) {
// CHECK-NEXT: ^bb0
// CHECK-NEXT: graph.yield
// CHECK: in_place = array<i64: 1>
graph.func @reduced(%a: !graph.tensor<[8, 4], f32> {graph.state = "a"})
    -> (!graph.tensor<[8, 4], f32> {graph.state = "a"}) {
  %0 = graph.reduce "sum" %a [1] : !graph.tensor<[8, 4], f32> -> !graph.tensor<[8], f32>
  %1 = graph.broadcast %0 [0] : !graph.tensor<[8], f32> -> !graph.tensor<[8, 4], f32>
  %2 = graph.sub %a, %1 : !graph.tensor<[8, 4], f32>
  graph.return %2 : !graph.tensor<[8, 4], f32>
}

// -----

// What comes after the new value reads the old one: that has to stay until then.
// CHECK-LABEL: graph.func @read_later
// CHECK: %[[NEW:.*]] = graph.group "map"(%arg0)
// CHECK-NOT: in_place
// CHECK: graph.group "matmul"(%[[NEW]], %arg0)
// CHECK: graph.group "map"(%[[NEW]], %arg0)
// CHECK: in_place = array<i64: 1>
graph.func @read_later(%a: !graph.tensor<[8, 4], f32> {graph.state = "a"})
    -> (!graph.tensor<[8, 8], f32> {graph.output = "y"}, !graph.tensor<[8, 4], f32> {graph.state = "a"}) {
  %0 = graph.cos %a : !graph.tensor<[8, 4], f32>
  %1 = graph.contract %0 [0, 1], %a [2, 1] -> [0, 2] : !graph.tensor<[8, 4], f32>, !graph.tensor<[8, 4], f32> -> !graph.tensor<[8, 8], f32>
  graph.return %1, %0 : !graph.tensor<[8, 8], f32>, !graph.tensor<[8, 4], f32>
}

// -----

// What a call has left in the state's buffer is overwritten, not what lay there before.
graph.func private @doubled(%a: !graph.tensor<[8], f32> {graph.state = "a"}) -> (!graph.tensor<[8], f32> {graph.state = "a"}) attributes {layer} {
  %0 = graph.add %a, %a : !graph.tensor<[8], f32>
  graph.return %0 : !graph.tensor<[8], f32>
}
// CHECK-LABEL: graph.func @after_a_call
// CHECK: %[[A:.*]] = graph.call @doubled{{.*}}(%arg0)
// CHECK: graph.group "map"(%[[A]])
// CHECK: in_place = array<i64: 0>
// CHECK: %[[B:.*]] = graph.call @doubled{{.*}}(%arg1)
// CHECK: %[[SUM:.*]] = graph.group "map"(%[[B]])
// CHECK: graph.group "map"({{.*}}%[[B]])
// CHECK: in_place = array<i64: 1>
graph.func @after_a_call(%a: !graph.tensor<[8], f32> {graph.state = "a"}, %b: !graph.tensor<[8], f32> {graph.state = "b"})
    -> (!graph.tensor<[8], f32> {graph.state = "a"}, !graph.tensor<[8], f32> {graph.state = "b"}) {
  %0 = graph.call @doubled[](%a) : (!graph.tensor<[8], f32>) -> !graph.tensor<[8], f32>
  %1 = graph.cos %0 : !graph.tensor<[8], f32>
  %2 = graph.call @doubled[](%b) : (!graph.tensor<[8], f32>) -> !graph.tensor<[8], f32>
  %3 = graph.reduce "sum" %2 [0] : !graph.tensor<[8], f32> -> !graph.tensor<[], f32>
  %4 = graph.broadcast %3 [] : !graph.tensor<[], f32> -> !graph.tensor<[8], f32>
  %5 = graph.sub %2, %4 : !graph.tensor<[8], f32>
  graph.return %1, %5 : !graph.tensor<[8], f32>, !graph.tensor<[8], f32>
}
