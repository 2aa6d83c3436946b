// RUN: fovea-opt %s --split-input-file --graph-mark-variables --canonicalize --cse | FileCheck %s
// RUN: fovea-opt %s --split-input-file --graph-mark-variables --canonicalize --cse --graph-differentiate --canonicalize --cse | FileCheck %s --check-prefix=AFTER

// What a gradient is with respect to is not looked through: twice transposed, the loss would no longer depend on it.
// CHECK-LABEL: @transposed
// AFTER-LABEL: @transposed
graph.func @transposed(%x: !graph.tensor<[3, 2], f32> {graph.input = "x"}) -> (!graph.tensor<[2, 3], f32> {graph.output = "dy"}) attributes {entry} {
  // CHECK: %[[Y:.*]] = graph.transpose %{{.*}} [1, 0]
  // CHECK: %[[V:.*]] = graph.variable 0 %[[Y]]
  // CHECK: graph.grad %{{.*}} wrt(%[[V]])
  // AFTER-NOT: graph.variable
  // AFTER: %[[D:.*]] = graph.transpose %{{.*}} [1, 0]
  // AFTER: graph.return %[[D]]
  %y = graph.transpose %x [1, 0] : <[3, 2], f32> -> <[2, 3], f32>
  %z = graph.transpose %y [1, 0] : <[2, 3], f32> -> <[3, 2], f32>
  %s = graph.mul %z, %z : <[3, 2], f32>
  %loss = graph.reduce "sum" %s [0, 1] : <[3, 2], f32> -> <[], f32>
  %d = graph.grad %loss wrt(%y) : (!graph.tensor<[], f32>, !graph.tensor<[2, 3], f32>) -> !graph.tensor<[2, 3], f32>
  graph.return %d : !graph.tensor<[2, 3], f32>
}

// -----

// Equal values stay two; arguments are what they are.
// CHECK-LABEL: @equal
//  CHECK-SAME: (%[[X:.*]]: !graph.tensor<[3], f32> {
graph.func @equal(%x: !graph.tensor<[3], f32> {graph.input = "x"}) -> (!graph.tensor<[3], f32> {graph.output = "da"}, !graph.tensor<[3], f32> {graph.output = "dx"}) attributes {entry} {
  // CHECK: %[[A:.*]] = graph.exp %[[X]]
  // CHECK-DAG: %[[V:.*]] = graph.variable 0 %[[A]]
  // CHECK-DAG: %[[W:.*]] = graph.variable 1 %[[A]]
  // CHECK: graph.grad %{{.*}} wrt(%[[V]], %[[W]], %[[X]])
  %a = graph.exp %x : <[3], f32>
  %b = graph.exp %x : <[3], f32>
  %y = graph.mul %a, %b : <[3], f32>
  %loss = graph.reduce "sum" %y [0] : <[3], f32> -> <[], f32>
  %da, %db, %dx = graph.grad %loss wrt(%a, %b, %x) : (!graph.tensor<[], f32>, !graph.tensor<[3], f32>, !graph.tensor<[3], f32>, !graph.tensor<[3], f32>) -> (!graph.tensor<[3], f32>, !graph.tensor<[3], f32>, !graph.tensor<[3], f32>)
  graph.return %da, %dx : !graph.tensor<[3], f32>, !graph.tensor<[3], f32>
}
