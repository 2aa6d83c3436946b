// RUN: fovea-opt %s --graph-hide-weights | FileCheck %s

// CHECK-LABEL: graph.func @masked
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[T, S], f32>, %[[V:.*]]: !graph.tensor
// CHECK-DAG: %[[LOWEST:.*]] = graph.constant 0xFF800000
// CHECK: %[[HIDDEN:.*]] = graph.compare "eq" %[[X]],
// CHECK: %[[W:.*]] = graph.softmax %[[X]]
// CHECK: %[[ZERO:.*]] = graph.compare "eq" %[[W]],
// CHECK: %[[NEGATIVE:.*]] = graph.constant -0.000000e+00
// CHECK: %[[SPLAT:.*]] = graph.broadcast %[[NEGATIVE]]
// CHECK: %[[ZEROS:.*]] = graph.select %[[HIDDEN]], %[[SPLAT]],
// CHECK: %[[MARKED:.*]] = graph.select %[[ZERO]], %[[ZEROS]], %[[W]]
// CHECK: graph.contract %[[MARKED]] [0, 1], %[[V]] [1, 2] -> [0, 2] {hidden_lhs}
// What else reads the weights gets them as they are.
// CHECK: graph.return %{{.*}}, %[[W]]
graph.func @masked<[T, S]>(%x: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, S], f32>) {
  %w = graph.softmax %x {axis = 1} : !graph.tensor<[T, S], f32>
  %y = graph.contract %w [0, 1], %v [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  graph.return %y, %w : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, S], f32>
}

// Through elementwise and layout ops, on the right.
// CHECK-LABEL: graph.func @onTheRight
// CHECK: %[[A:.*]] = graph.compare "eq" %[[X:[^,]*]],
// CHECK: graph.exp %[[X]]
// CHECK: %[[MOVED:.*]] = graph.transpose %[[A]]
// CHECK: graph.transpose
// CHECK: graph.mul
// CHECK: graph.select %[[MOVED]],
// CHECK: graph.contract {{.*}} {hidden_rhs}
graph.func @onTheRight<[T, S]>(%x: !graph.tensor<[S, T], f32>, %gate: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[8, S], f32>) -> !graph.tensor<[8, T], f32> {
  %e = graph.exp %x : !graph.tensor<[S, T], f32>
  %t = graph.transpose %e [1, 0] : <[S, T], f32> -> <[T, S], f32>
  %w = graph.mul %t, %gate : !graph.tensor<[T, S], f32>
  %y = graph.contract %v [1, 2], %w [0, 2] -> [1, 0] : <[8, S], f32>, <[T, S], f32> -> <[8, T], f32>
  graph.return %y : !graph.tensor<[8, T], f32>
}

// Joined with others and cut out again.
// CHECK-LABEL: graph.func @pieces
// CHECK: %[[HIDDEN:.*]] = graph.compare "eq" %{{.*}},
// CHECK: %[[FALSE:.*]] = graph.constant false
// CHECK: %[[NONE:.*]] = graph.broadcast %[[FALSE]]
// CHECK: %[[BOTH:.*]] = graph.concat %[[HIDDEN]], %[[NONE]]
// CHECK: %[[PART:.*]] = graph.slice %[[BOTH]]
// CHECK: graph.select %[[PART]],
// CHECK: graph.contract {{.*}} {hidden_lhs}
graph.func @pieces<[T, S]>(%x: !graph.tensor<[T, S], f32>, %column: !graph.tensor<[T, 1], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %w = graph.softmax %x {axis = 1} : !graph.tensor<[T, S], f32>
  %both = graph.concat %w, %column {axis = 1} : !graph.tensor<[T, S], f32>, !graph.tensor<[T, 1], f32> -> !graph.tensor<[T, S+1], f32>
  %part = graph.slice %both {axis = 1, start = #graph.dim<1>, step = 1} : <[T, S+1], f32> -> <[T, S], f32>
  %y = graph.contract %part [0, 1], %v [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}

// Nothing is hidden without an exponential.
// CHECK-LABEL: graph.func @others
// CHECK-NOT: graph.select
// CHECK-NOT: hidden
graph.func @others<[T, S]>(%x: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[S, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) {
  %s = graph.sigmoid %x : !graph.tensor<[T, S], f32>
  %y = graph.contract %s [0, 1], %v [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  %l = graph.tanh %x : !graph.tensor<[T, S], f32>
  %z = graph.contract %l [0, 1], %v [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  graph.return %y, %z : !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>
}

// An exponential of what has a finite lower bound hides nothing.
// CHECK-LABEL: graph.func @bounded
// CHECK-NOT: graph.select
// CHECK: graph.contract
// CHECK-NOT: hidden
// CHECK: graph.return
graph.func @bounded<[T, S]>(%x: !graph.tensor<[T, S], f32>, %v: !graph.tensor<[S, 8], f32>) -> !graph.tensor<[T, 8], f32> {
  %least = graph.constant -2.000000e+02 : f32 : <[], f32>
  %all = graph.broadcast %least [] : <[], f32> -> <[T, S], f32>
  %m = graph.max %x, %all : <[T, S], f32>
  %w = graph.exp %m : <[T, S], f32>
  %y = graph.contract %w [0, 1], %v [1, 2] -> [0, 2] : <[T, S], f32>, <[S, 8], f32> -> <[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}
