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

// -----

// x sigmoid(x) is a function of one tensor: its derivative, s + x s (1 - s), is computed before the loss, in place of keeping both x and s.
// CHECK-LABEL: @kept
//  CHECK-SAME: (%[[X:.*]]: !graph.tensor<[B, 3], f32> {graph.input = "x"}
// CHECK: %[[S:.*]] = graph.sigmoid %[[X]]
// CHECK: %[[REST:.*]] = graph.sub %{{.*}}, %[[S]]
// CHECK: %[[SLOPE:.*]] = graph.mul %[[S]], %[[REST]]
// CHECK: %[[OF_S:.*]] = graph.mul %[[X]], %[[SLOPE]]
// CHECK: %[[D:.*]] = graph.add %[[S]], %[[OF_S]]
// CHECK: %[[DY:.*]] = graph.contract
// CHECK-NEXT: %[[DX:.*]] = graph.mul %[[DY]], %[[D]]
// CHECK-NEXT: graph.return %[[DX]]
graph.func @kept<[B]>(%x: !graph.tensor<[B, 3], f32> {graph.input = "x"}, %w: !graph.tensor<[4, 3], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 3], f32> {graph.output = "dx"}) attributes {entry} {
  %s = graph.sigmoid %x : <[B, 3], f32>
  %y = graph.mul %x, %s : <[B, 3], f32>
  %p = graph.contract %y [0, 1], %w [2, 1] -> [0, 2] : <[B, 3], f32>, <[4, 3], f32> -> <[B, 4], f32>
  %loss = graph.reduce "sum" %p [0, 1] : <[B, 4], f32> -> <[], f32>
  %dx = graph.grad %loss wrt(%x) : (!graph.tensor<[], f32>, !graph.tensor<[B, 3], f32>) -> !graph.tensor<[B, 3], f32>
  graph.return %dx : !graph.tensor<[B, 3], f32>
}

// -----

// Must not: the derivative of a sigmoid is made of what comes out of it, which is one tensor already.
// CHECK-LABEL: @result_serves
// CHECK: %[[S:.*]] = graph.sigmoid
// CHECK: graph.contract
// CHECK: graph.sub %{{.*}}, %[[S]]
graph.func @result_serves<[B]>(%x: !graph.tensor<[B, 3], f32> {graph.input = "x"}, %w: !graph.tensor<[4, 3], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 3], f32> {graph.output = "dx"}) attributes {entry} {
  %y = graph.sigmoid %x : <[B, 3], f32>
  %p = graph.contract %y [0, 1], %w [2, 1] -> [0, 2] : <[B, 3], f32>, <[4, 3], f32> -> <[B, 4], f32>
  %loss = graph.reduce "sum" %p [0, 1] : <[B, 4], f32> -> <[], f32>
  %dx = graph.grad %loss wrt(%x) : (!graph.tensor<[], f32>, !graph.tensor<[B, 3], f32>) -> !graph.tensor<[B, 3], f32>
  graph.return %dx : !graph.tensor<[B, 3], f32>
}

// -----

// Must not: the product of x with itself keeps x anyway, so that the derivative would be one tensor for another.
// CHECK-LABEL: @kept_for_others
//  CHECK-SAME: (%[[X:.*]]: !graph.tensor<[B, 3], f32> {graph.input = "x"}, %[[W:.*]]: !graph.tensor<[4, 3], f32>
// CHECK: %[[S:.*]] = graph.sigmoid
// CHECK: %[[DY:.*]] = graph.contract %{{.*}} [0, 2], %[[W]] [2, 1] -> [0, 1]
// CHECK-NEXT: graph.mul %[[DY]], %[[S]]
// CHECK-NEXT: graph.mul %[[DY]], %[[X]]
graph.func @kept_for_others<[B]>(%x: !graph.tensor<[B, 3], f32> {graph.input = "x"}, %w: !graph.tensor<[4, 3], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 3], f32> {graph.output = "dx"}) attributes {entry} {
  %s = graph.sigmoid %x : <[B, 3], f32>
  %y = graph.mul %x, %s : <[B, 3], f32>
  %p = graph.contract %y [0, 1], %w [2, 1] -> [0, 2] : <[B, 3], f32>, <[4, 3], f32> -> <[B, 4], f32>
  %q = graph.contract %x [0, 1], %x [2, 1] -> [0, 2] : <[B, 3], f32>, <[B, 3], f32> -> <[B, B], f32>
  %square = graph.mul %q, %q : <[B, B], f32>
  %of_q = graph.reduce "sum" %square [0, 1] : <[B, B], f32> -> <[], f32>
  %of_p = graph.reduce "sum" %p [0, 1] : <[B, 4], f32> -> <[], f32>
  %loss = graph.add %of_p, %of_q : <[], f32>
  %dx = graph.grad %loss wrt(%x) : (!graph.tensor<[], f32>, !graph.tensor<[B, 3], f32>) -> !graph.tensor<[B, 3], f32>
  graph.return %dx : !graph.tensor<[B, 3], f32>
}
