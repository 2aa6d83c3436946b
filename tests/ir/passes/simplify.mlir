// RUN: fovea-opt %s --graph-simplify --split-input-file | FileCheck %s

// x * 1, x / 1, x - 0, a choice between equals, there and back.
// CHECK-LABEL: graph.func @units
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[B], f32>, %{{[^,]*}}: !graph.tensor<[B], i1>, %[[H:[^,]*]]: !graph.tensor<[B], bf16>
// CHECK-NEXT: graph.return %[[X]], %[[H]]
graph.func @units<[B]>(%x: !graph.tensor<[B], f32>, %c: !graph.tensor<[B], i1>, %h: !graph.tensor<[B], bf16>) -> (!graph.tensor<[B], f32>, !graph.tensor<[B], bf16>) {
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %ones = graph.broadcast %one [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %0 = graph.mul %ones, %x : !graph.tensor<[B], f32>
  %1 = graph.div %0, %ones : !graph.tensor<[B], f32>
  %2 = graph.sub %1, %zeros : !graph.tensor<[B], f32>
  %3 = graph.select %c, %2, %2 : !graph.tensor<[B], i1>, !graph.tensor<[B], f32>
  %4 = graph.neg %3 : !graph.tensor<[B], f32>
  %5 = graph.neg %4 : !graph.tensor<[B], f32>
  %6 = graph.cast %h : !graph.tensor<[B], bf16> -> !graph.tensor<[B], f32>
  %7 = graph.cast %6 : !graph.tensor<[B], f32> -> !graph.tensor<[B], bf16>
  graph.return %5, %7 : !graph.tensor<[B], f32>, !graph.tensor<[B], bf16>
}

// -----

// Not exact: -0 + 0 is 0, 0 * x may be NaN, a narrowing cast loses, 1/3 is rounded.
// CHECK-LABEL: graph.func @inexact
// CHECK: graph.add
// CHECK: graph.mul
// CHECK: graph.cast %{{.*}} : <[B], f32> -> <[B], bf16>
// CHECK: graph.div
graph.func @inexact<[B]>(%x: !graph.tensor<[B], f32>) -> (!graph.tensor<[B], f32>, !graph.tensor<[B], f32>, !graph.tensor<[B], f32>, !graph.tensor<[B], f32>) {
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %three = graph.constant 3.0 : f32 : !graph.tensor<[], f32>
  %threes = graph.broadcast %three [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %0 = graph.add %x, %zeros : !graph.tensor<[B], f32>
  %1 = graph.mul %x, %zeros : !graph.tensor<[B], f32>
  %2 = graph.cast %x : !graph.tensor<[B], f32> -> !graph.tensor<[B], bf16>
  %3 = graph.cast %2 : !graph.tensor<[B], bf16> -> !graph.tensor<[B], f32>
  %4 = graph.div %x, %threes : !graph.tensor<[B], f32>
  graph.return %0, %1, %3, %4 : !graph.tensor<[B], f32>, !graph.tensor<[B], f32>, !graph.tensor<[B], f32>, !graph.tensor<[B], f32>
}

// -----

// Scalars of sizes that are numbers are numbers; a division by a power of two is a multiplication.
// CHECK-LABEL: graph.func @scale
// CHECK: %[[C:.*]] = graph.constant 1.250000e-01 : f32
// CHECK: %[[B:.*]] = graph.broadcast %[[C]]
// CHECK: graph.mul %{{.*}}, %[[B]]
// CHECK-NOT: graph.sqrt
graph.func @scale<[B]>(%x: !graph.tensor<[B], f32>) -> !graph.tensor<[B], f32> {
  %d = graph.dim <64> : !graph.tensor<[], i64>
  %f = graph.cast %d : !graph.tensor<[], i64> -> !graph.tensor<[], f32>
  %s = graph.sqrt %f : !graph.tensor<[], f32>
  %b = graph.broadcast %s [] : !graph.tensor<[], f32> -> !graph.tensor<[B], f32>
  %y = graph.div %x, %b : !graph.tensor<[B], f32>
  graph.return %y : !graph.tensor<[B], f32>
}

// -----

// A gather at 0, 1, ... is a slice where a precondition says that it is inside; a constant row is a slice.
// CHECK-LABEL: graph.func @positions
// CHECK: graph.slice %{{.*}} {axis = 0 : i64, start = #graph.dim<0>{{.*}}} : <[512, 8], f32> -> <[T, 8], f32>
// CHECK: graph.slice %{{.*}} {axis = 0 : i64, start = #graph.dim<1>{{.*}}} : <[2, 8], f32> -> <[1, 8], f32>
// CHECK-NOT: graph.gather
graph.func @positions<[T]>(%w: !graph.tensor<[512, 8], f32>, %t: !graph.tensor<[2, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[8], f32>)
    attributes {requirements = [#graph.require<T, "le", 512, "T <= 512", "m.fov:1:2">]} {
  %i = graph.iota : !graph.tensor<[T], i64>
  %0 = graph.gather %w at %i [0] : !graph.tensor<[512, 8], f32>, !graph.tensor<[T], i64> -> !graph.tensor<[T, 8], f32>
  %c = graph.constant 1 : i64 : !graph.tensor<[], i64>
  %1 = graph.gather %t at %c [0] : !graph.tensor<[2, 8], f32>, !graph.tensor<[], i64> -> !graph.tensor<[8], f32>
  graph.return %0, %1 : !graph.tensor<[T, 8], f32>, !graph.tensor<[8], f32>
}

// -----

// Nothing says that T is at most 512; 2 is outside.
// CHECK-LABEL: graph.func @outside
// CHECK-COUNT-2: graph.gather
graph.func @outside<[T]>(%w: !graph.tensor<[512, 8], f32>, %t: !graph.tensor<[2, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[8], f32>) {
  %i = graph.iota : !graph.tensor<[T], i64>
  %0 = graph.gather %w at %i [0] : !graph.tensor<[512, 8], f32>, !graph.tensor<[T], i64> -> !graph.tensor<[T, 8], f32>
  %c = graph.constant 2 : i64 : !graph.tensor<[], i64>
  %1 = graph.gather %t at %c [0] : !graph.tensor<[2, 8], f32>, !graph.tensor<[], i64> -> !graph.tensor<[8], f32>
  graph.return %0, %1 : !graph.tensor<[T, 8], f32>, !graph.tensor<[8], f32>
}

// -----

// A sum of products of broadcasts is a contraction; of equal shapes, or with another use, it is not.
// CHECK-LABEL: graph.func @sums
// CHECK: graph.contract %{{.*}} [0, 2], %{{.*}} [1, 2] -> [0, 1] : <[A, K], f32>, <[B, K], f32> -> <[A, B], f32>
// CHECK: %[[M:.*]] = graph.mul
// CHECK: graph.reduce "sum" %[[M]]
graph.func @sums<[A, B, K]>(%x: !graph.tensor<[A, K], f32>, %y: !graph.tensor<[B, K], f32>) -> (!graph.tensor<[A, B], f32>, !graph.tensor<[A], f32>) {
  %xb = graph.broadcast %x [0, 2] : !graph.tensor<[A, K], f32> -> !graph.tensor<[A, B, K], f32>
  %yb = graph.broadcast %y [1, 2] : !graph.tensor<[B, K], f32> -> !graph.tensor<[A, B, K], f32>
  %m = graph.mul %xb, %yb : !graph.tensor<[A, B, K], f32>
  %s = graph.reduce "sum" %m [2] : !graph.tensor<[A, B, K], f32> -> !graph.tensor<[A, B], f32>
  %n = graph.mul %x, %x : !graph.tensor<[A, K], f32>
  %t = graph.reduce "sum" %n [1] : !graph.tensor<[A, K], f32> -> !graph.tensor<[A], f32>
  graph.return %s, %t : !graph.tensor<[A, B], f32>, !graph.tensor<[A], f32>
}

// -----

// All slices of a value in order are the value; with one missing, or out of order, they are not.
// CHECK-LABEL: graph.func @pieces
// CHECK-SAME: %[[X:.*]]: !graph.tensor<[8], f32>
// CHECK: %[[C:.*]] = graph.concat
// CHECK: graph.return %[[X]], %[[C]]
graph.func @pieces(%x: !graph.tensor<[8], f32>) -> (!graph.tensor<[8], f32>, !graph.tensor<[8], f32>) {
  %a = graph.slice %x {axis = 0, start = #graph.dim<0>} : !graph.tensor<[8], f32> -> !graph.tensor<[3], f32>
  %b = graph.slice %x {axis = 0, start = #graph.dim<3>} : !graph.tensor<[8], f32> -> !graph.tensor<[5], f32>
  %0 = graph.concat %a, %b {axis = 0} : !graph.tensor<[3], f32>, !graph.tensor<[5], f32> -> !graph.tensor<[8], f32>
  %1 = graph.concat %b, %a {axis = 0} : !graph.tensor<[5], f32>, !graph.tensor<[3], f32> -> !graph.tensor<[8], f32>
  graph.return %0, %1 : !graph.tensor<[8], f32>, !graph.tensor<[8], f32>
}

// -----

// Conditions that the interval rules decide: |t - s| is at most what the axis allows, s % 4 below 4, a root of a size not
// negative, and what the function requires counts.
// CHECK-LABEL: graph.func @decided
// CHECK-SAME: %[[X:[^,]*]]: !graph.tensor<[T, S], f32>, %[[Y:[^,]*]]: !graph.tensor<[T, S], f32>
// CHECK-NEXT: graph.return %[[X]], %[[X]], %[[Y]], %[[X]]
graph.func @decided<[T, S]>(%x: !graph.tensor<[T, S], f32>, %y: !graph.tensor<[T, S], f32>)
    -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>)
    attributes {requirements = [#graph.require<T, "le", 8, "", "">, #graph.require<S, "le", 4, "", "">]} {
  %ti = graph.iota : !graph.tensor<[T], i64>
  %si = graph.iota : !graph.tensor<[S], i64>
  %t = graph.broadcast %ti [0] : !graph.tensor<[T], i64> -> !graph.tensor<[T, S], i64>
  %s = graph.broadcast %si [1] : !graph.tensor<[S], i64> -> !graph.tensor<[T, S], i64>
  %0 = graph.sub %t, %s : !graph.tensor<[T, S], i64>
  %1 = graph.abs %0 : !graph.tensor<[T, S], i64>
  %c8 = graph.constant 8 : i64 : !graph.tensor<[], i64>
  %eights = graph.broadcast %c8 [] : !graph.tensor<[], i64> -> !graph.tensor<[T, S], i64>
  %near = graph.compare "lt" %1, %eights : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %a = graph.select %near, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %c4 = graph.constant 4 : i64 : !graph.tensor<[], i64>
  %fours = graph.broadcast %c4 [] : !graph.tensor<[], i64> -> !graph.tensor<[T, S], i64>
  %2 = graph.mod %0, %fours : !graph.tensor<[T, S], i64>
  %rest = graph.compare "ge" %fours, %2 : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %both = graph.and %near, %rest : !graph.tensor<[T, S], i1>
  %b = graph.select %both, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %size = graph.dim <S> : !graph.tensor<[], i64>
  %real = graph.cast %size : !graph.tensor<[], i64> -> !graph.tensor<[], f32>
  %root = graph.sqrt %real : !graph.tensor<[], f32>
  %minus = graph.constant -1.0 : f32 : !graph.tensor<[], f32>
  %wrong = graph.compare "lt" %root, %minus : !graph.tensor<[], f32> -> !graph.tensor<[], i1>
  %wide = graph.broadcast %wrong [] : !graph.tensor<[], i1> -> !graph.tensor<[T, S], i1>
  %c = graph.select %wide, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %low = graph.min %t, %s : !graph.tensor<[T, S], i64>
  %first = graph.compare "gt" %fours, %low : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %d = graph.select %first, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  graph.return %a, %b, %c, %d : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>
}

// -----

// Not decided: causal order, a size without a limit, an integer that may have wrapped, a number that may be NaN.
// CHECK-LABEL: graph.func @open
// CHECK-COUNT-4: graph.select
graph.func @open<[T, S]>(%x: !graph.tensor<[T, S], f32>, %y: !graph.tensor<[T, S], f32>, %n: !graph.tensor<[T, S], i8>)
    -> (!graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>) {
  %ti = graph.iota : !graph.tensor<[T], i64>
  %si = graph.iota : !graph.tensor<[S], i64>
  %t = graph.broadcast %ti [0] : !graph.tensor<[T], i64> -> !graph.tensor<[T, S], i64>
  %s = graph.broadcast %si [1] : !graph.tensor<[S], i64> -> !graph.tensor<[T, S], i64>
  %causal = graph.compare "ge" %t, %s : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %a = graph.select %causal, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %c8 = graph.constant 8 : i64 : !graph.tensor<[], i64>
  %eights = graph.broadcast %c8 [] : !graph.tensor<[], i64> -> !graph.tensor<[T, S], i64>
  %near = graph.compare "lt" %t, %eights : !graph.tensor<[T, S], i64> -> !graph.tensor<[T, S], i1>
  %b = graph.select %near, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %h = graph.constant 100 : i8 : !graph.tensor<[], i8>
  %hundreds = graph.broadcast %h [] : !graph.tensor<[], i8> -> !graph.tensor<[T, S], i8>
  %z = graph.constant 0 : i8 : !graph.tensor<[], i8>
  %zeros = graph.broadcast %z [] : !graph.tensor<[], i8> -> !graph.tensor<[T, S], i8>
  %m0 = graph.max %n, %zeros : !graph.tensor<[T, S], i8>
  %m1 = graph.add %m0, %hundreds : !graph.tensor<[T, S], i8>
  %up = graph.compare "ge" %m1, %zeros : !graph.tensor<[T, S], i8> -> !graph.tensor<[T, S], i1>
  %c = graph.select %up, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  %e = graph.exp %x : !graph.tensor<[T, S], f32>
  %f0 = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %f0s = graph.broadcast %f0 [] : !graph.tensor<[], f32> -> !graph.tensor<[T, S], f32>
  %positive = graph.compare "ge" %e, %f0s : !graph.tensor<[T, S], f32> -> !graph.tensor<[T, S], i1>
  %d = graph.select %positive, %x, %y : !graph.tensor<[T, S], i1>, !graph.tensor<[T, S], f32>
  graph.return %a, %b, %c, %d : !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>, !graph.tensor<[T, S], f32>
}
