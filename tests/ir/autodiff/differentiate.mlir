// RUN: fovea-opt %s --split-input-file --graph-differentiate --canonicalize --cse | FileCheck %s

// A product's gradients are products: with the other factor, summed over what the factor lacks.
// CHECK-LABEL: @linear
//  CHECK-SAME: (%[[X:.*]]: !graph.tensor<[B, 3], f32>{{.*}}, %[[W:.*]]: !graph.tensor<[4, 3], f32>
graph.func @linear<[B]>(%x: !graph.tensor<[B, 3], f32> {graph.input = "x"}, %w: !graph.tensor<[4, 3], f32> {graph.param = "w"})
    -> (!graph.tensor<[4, 3], f32> {graph.output = "dw"}) attributes {entry} {
  // CHECK: %[[Y:.*]] = graph.contract %[[X]] [0, 1], %[[W]] [2, 1] -> [0, 2]
  // CHECK: %[[G:.*]] = graph.add %[[Y]], %[[Y]]
  // CHECK: %[[D:.*]] = graph.contract %[[G]] [0, 2], %[[X]] [0, 1] -> [2, 1]
  // CHECK-NEXT: graph.return %[[D]]
  %y = graph.contract %x [0, 1], %w [2, 1] -> [0, 2] : <[B, 3], f32>, <[4, 3], f32> -> <[B, 4], f32>
  %s = graph.mul %y, %y : <[B, 4], f32>
  %loss = graph.reduce "sum" %s [0, 1] : <[B, 4], f32> -> <[], f32>
  %dw = graph.grad %loss wrt(%w) : (!graph.tensor<[], f32>, !graph.tensor<[4, 3], f32>) -> !graph.tensor<[4, 3], f32>
  graph.return %dw : !graph.tensor<[4, 3], f32>
}

// -----

// Nothing is computed for what is not asked for, nor on paths that end before the loss; what the loss doesn't depend on has 0.
// CHECK-LABEL: @unused
//  CHECK-SAME: (%{{.*}}, %[[B:[a-z0-9]+]]: !graph.tensor<[3], f32> {graph.input = "b"}
graph.func @unused(%a: !graph.tensor<[3], f32> {graph.input = "a"}, %b: !graph.tensor<[3], f32> {graph.input = "b"}, %c: !graph.tensor<[2], f32> {graph.input = "c"})
    -> (!graph.tensor<[3], f32> {graph.output = "da"}, !graph.tensor<[2], f32> {graph.output = "dc"}) attributes {entry} {
  // CHECK-NEXT: %[[ZERO:.*]] = graph.constant 0.0
  // CHECK-NEXT: %[[DC:.*]] = graph.broadcast %[[ZERO]] []{{.*}} -> <[2], f32>
  // CHECK-NEXT: graph.return %[[B]], %[[DC]]
  %y = graph.mul %a, %b : <[3], f32>
  %z = graph.exp %a : <[3], f32>
  %loss = graph.reduce "sum" %y [0] : <[3], f32> -> <[], f32>
  %d:2 = graph.grad %loss wrt(%a, %c) : (!graph.tensor<[], f32>, !graph.tensor<[3], f32>, !graph.tensor<[2], f32>) -> (!graph.tensor<[3], f32>, !graph.tensor<[2], f32>)
  graph.return %d#0, %d#1 : !graph.tensor<[3], f32>, !graph.tensor<[2], f32>
}
