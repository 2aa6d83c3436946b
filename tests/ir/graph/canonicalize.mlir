// Folds and canonical forms, and where they must not fire.
// RUN: fovea-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: @transposes
// CHECK-NEXT: %[[T:.*]] = graph.transpose %arg0 [2, 0, 1]
// CHECK-NEXT: graph.return %arg0, %[[T]], %arg0
graph.func @transposes(%x: !graph.tensor<[2, 3, 4], f32>)
    -> (!graph.tensor<[2, 3, 4], f32>, !graph.tensor<[4, 2, 3], f32>, !graph.tensor<[2, 3, 4], f32>) {
  %0 = graph.transpose %x [1, 2, 0] : <[2, 3, 4], f32> -> <[3, 4, 2], f32>
  %1 = graph.transpose %0 [2, 0, 1] : <[3, 4, 2], f32> -> <[2, 3, 4], f32>
  %2 = graph.transpose %0 [1, 2, 0] : <[3, 4, 2], f32> -> <[4, 2, 3], f32>
  %3 = graph.transpose %x [0, 1, 2] : <[2, 3, 4], f32> -> <[2, 3, 4], f32>
  graph.return %1, %2, %3 : !graph.tensor<[2, 3, 4], f32>, !graph.tensor<[4, 2, 3], f32>, !graph.tensor<[2, 3, 4], f32>
}

// CHECK-LABEL: @reshapes
// CHECK-NEXT: %[[R:.*]] = graph.reshape %arg0 : <[B, T], f32> -> <[T, B], f32>
// CHECK-NEXT: graph.return %[[R]], %arg0
graph.func @reshapes<[B, T]>(%x: !graph.tensor<[B, T], f32>) -> (!graph.tensor<[T, B], f32>, !graph.tensor<[B, T], f32>) {
  %0 = graph.reshape %x : <[B, T], f32> -> <[B*T], f32>
  %1 = graph.reshape %0 : <[B*T], f32> -> <[T, B], f32>
  %2 = graph.reshape %1 : <[T, B], f32> -> <[B, T], f32>
  graph.return %1, %2 : !graph.tensor<[T, B], f32>, !graph.tensor<[B, T], f32>
}

// CHECK-LABEL: @broadcasts
// CHECK-NEXT: %[[B:.*]] = graph.broadcast %arg0 [2] : <[4], f32> -> <[3, 2, 4], f32>
// CHECK-NEXT: graph.return %[[B]], %arg0
graph.func @broadcasts(%x: !graph.tensor<[4], f32>) -> (!graph.tensor<[3, 2, 4], f32>, !graph.tensor<[4], f32>) {
  %0 = graph.broadcast %x [1] : <[4], f32> -> <[2, 4], f32>
  %1 = graph.broadcast %0 [1, 2] : <[2, 4], f32> -> <[3, 2, 4], f32>
  %2 = graph.broadcast %x [0] : <[4], f32> -> <[4], f32>
  graph.return %1, %2 : !graph.tensor<[3, 2, 4], f32>, !graph.tensor<[4], f32>
}

// A transpose moves through a broadcast, and stays only for the axes that are x's own.
// CHECK-LABEL: @transpose_of_broadcast
// CHECK-DAG: %[[A:.*]] = graph.broadcast %arg0 [0, 2] : <[2, 3], f32> -> <[2, 5, 3], f32>
// CHECK-DAG: %[[T:.*]] = graph.transpose %arg0 [1, 0] : <[2, 3], f32> -> <[3, 2], f32>
// CHECK-DAG: %[[B:.*]] = graph.broadcast %[[T]] [0, 2] : <[3, 2], f32> -> <[3, 5, 2], f32>
// CHECK: graph.return %[[A]], %[[B]]
graph.func @transpose_of_broadcast(%x: !graph.tensor<[2, 3], f32>) -> (!graph.tensor<[2, 5, 3], f32>, !graph.tensor<[3, 5, 2], f32>) {
  %0 = graph.broadcast %x [1, 2] : <[2, 3], f32> -> <[5, 2, 3], f32>
  %1 = graph.transpose %0 [1, 0, 2] : <[5, 2, 3], f32> -> <[2, 5, 3], f32>
  %2 = graph.transpose %0 [2, 0, 1] : <[5, 2, 3], f32> -> <[3, 5, 2], f32>
  graph.return %1, %2 : !graph.tensor<[2, 5, 3], f32>, !graph.tensor<[3, 5, 2], f32>
}

// CHECK-LABEL: @slices
// CHECK-NEXT: %[[R:.*]] = graph.slice %arg0 {axis = 0 : i64, start = #graph.dim<T-1>, step = -1 : i64}
// CHECK-DAG: %[[B:.*]] = graph.broadcast %arg0 [1] : <[T], f32> -> <[2, T], f32>
// CHECK-DAG: %[[D:.*]] = graph.broadcast %arg0 [1] : <[T], f32> -> <[4, T], f32>
// CHECK: %[[C:.*]] = graph.slice %[[D]] at %arg1
// CHECK-NEXT: graph.return %arg0, %[[R]], %[[B]], %[[C]]
graph.func @slices<[T]>(%x: !graph.tensor<[T], f32>, %s: !graph.tensor<[], i64>)
    -> (!graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[2, T], f32>, !graph.tensor<[2, T], f32>) {
  %0 = graph.slice %x {axis = 0, start = #graph.dim<0>} : <[T], f32> -> <[T], f32>
  %1 = graph.slice %x {axis = 0, start = #graph.dim<T-1>, step = -1} : <[T], f32> -> <[T], f32>
  %2 = graph.broadcast %x [1] : <[T], f32> -> <[4, T], f32>
  %3 = graph.slice %2 {axis = 0, start = #graph.dim<1>} : <[4, T], f32> -> <[2, T], f32>
  // Whether a start that is a value lies inside is found when the program runs: the slice stays.
  %4 = graph.slice %2 at %s {axis = 0} : <[4, T], f32>, !graph.tensor<[], i64> -> <[2, T], f32>
  graph.return %0, %1, %3, %4 : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[2, T], f32>, !graph.tensor<[2, T], f32>
}

// CHECK-LABEL: @concats
// CHECK-NEXT: graph.return %arg0
graph.func @concats<[T]>(%x: !graph.tensor<[T], f32>, %y: !graph.tensor<[0], f32>) -> !graph.tensor<[T], f32> {
  %0 = graph.concat %y, %x {axis = 0} : !graph.tensor<[0], f32>, !graph.tensor<[T], f32> -> <[T], f32>
  graph.return %0 : !graph.tensor<[T], f32>
}

// CHECK-LABEL: @sizes
// CHECK-DAG: %[[C:.*]] = graph.constant 12 : i64
// CHECK-DAG: %[[T:.*]] = graph.dim <T>
// CHECK: graph.return %[[C]], %[[T]]
graph.func @sizes<[T]>() -> (!graph.tensor<[], i64>, !graph.tensor<[], i64>) {
  %0 = graph.dim <T-T+12> : !graph.tensor<[], i64>
  %1 = graph.dim <T> : !graph.tensor<[], i64>
  graph.return %0, %1 : !graph.tensor<[], i64>, !graph.tensor<[], i64>
}

// CHECK-LABEL: @neutral
// CHECK-NEXT: graph.return %arg0, %arg0, %arg0, %arg0, %arg0
graph.func @neutral(%x: !graph.tensor<[4], f32>)
    -> (!graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>) {
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %minus_zero = graph.constant -0.0 : f32 : !graph.tensor<[], f32>
  %ones = graph.broadcast %one [] : <[], f32> -> <[4], f32>
  %zeros = graph.broadcast %zero [] : <[], f32> -> <[4], f32>
  %minus_zeros = graph.broadcast %minus_zero [] : <[], f32> -> <[4], f32>
  %0 = graph.mul %ones, %x : <[4], f32>
  %1 = graph.div %x, %ones : <[4], f32>
  %2 = graph.sub %x, %zeros : <[4], f32>
  %3 = graph.add %x, %minus_zeros : <[4], f32>
  %4 = graph.neg %x : <[4], f32>
  %5 = graph.neg %4 : <[4], f32>
  graph.return %0, %1, %2, %3, %5
      : !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>
}

// x + 0 is not x for -0; x - -0 isn't either; x * 0 is not 0 for NaN; x - x is not 0 for infinity.
// CHECK-LABEL: @not_neutral
// CHECK: graph.add
// CHECK: graph.sub
// CHECK: graph.mul
// CHECK: graph.sub
// CHECK: graph.return
graph.func @not_neutral(%x: !graph.tensor<[], f32>)
    -> (!graph.tensor<[], f32>, !graph.tensor<[], f32>, !graph.tensor<[], f32>, !graph.tensor<[], f32>) {
  %zero = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %minus_zero = graph.constant -0.0 : f32 : !graph.tensor<[], f32>
  %0 = graph.add %x, %zero : <[], f32>
  %1 = graph.sub %x, %minus_zero : <[], f32>
  %2 = graph.mul %x, %zero : <[], f32>
  %3 = graph.sub %x, %x : <[], f32>
  graph.return %0, %1, %2, %3 : !graph.tensor<[], f32>, !graph.tensor<[], f32>, !graph.tensor<[], f32>, !graph.tensor<[], f32>
}

// CHECK-LABEL: @logic
// CHECK-NEXT: graph.return %arg0, %arg0, %arg0, %arg1, %arg2
graph.func @logic(%b: !graph.tensor<[4], i1>, %x: !graph.tensor<[4], f32>, %y: !graph.tensor<[4], f32>)
    -> (!graph.tensor<[4], i1>, !graph.tensor<[4], i1>, !graph.tensor<[4], i1>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>) {
  %t = graph.constant true : !graph.tensor<[], i1>
  %f = graph.constant false : !graph.tensor<[], i1>
  %trues = graph.broadcast %t [] : <[], i1> -> <[4], i1>
  %falses = graph.broadcast %f [] : <[], i1> -> <[4], i1>
  %0 = graph.and %b, %trues : <[4], i1>
  %1 = graph.or %b, %falses : <[4], i1>
  %n = graph.not %b : <[4], i1>
  %2 = graph.not %n : <[4], i1>
  %3 = graph.select %trues, %x, %y : <[4], i1>, <[4], f32>
  %4 = graph.select %falses, %x, %y : <[4], i1>, <[4], f32>
  graph.return %0, %1, %2, %3, %4
      : !graph.tensor<[4], i1>, !graph.tensor<[4], i1>, !graph.tensor<[4], i1>, !graph.tensor<[4], f32>, !graph.tensor<[4], f32>
}

// Scalars fold where f32 code gives the same bits; exp is left to the kernel's own.
// CHECK-LABEL: @constants
// CHECK-DAG: %[[A:.*]] = graph.constant 1.250000e-01 : f32
// CHECK-DAG: %[[B:.*]] = graph.broadcast %[[A]] [] : <[], f32> -> <[4, 8], f32>
// CHECK-DAG: %[[I:.*]] = graph.constant -4 : i64
// CHECK-DAG: %[[L:.*]] = graph.constant true
// CHECK-DAG: %[[E:.*]] = graph.exp
// CHECK: graph.return %[[B]], %[[I]], %[[L]], %[[E]]
graph.func @constants() -> (!graph.tensor<[4, 8], f32>, !graph.tensor<[], i64>, !graph.tensor<[], i1>, !graph.tensor<[], f32>) {
  %d = graph.constant 64 : i64 : !graph.tensor<[], i64>
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %f = graph.cast %d : <[], i64> -> <[], f32>
  %r = graph.sqrt %f : <[], f32>
  %rw = graph.broadcast %r [] : <[], f32> -> <[8, 4], f32>
  %ow = graph.broadcast %one [] : <[], f32> -> <[8, 4], f32>
  %0 = graph.div %ow, %rw : <[8, 4], f32>
  %1 = graph.transpose %0 [1, 0] : <[8, 4], f32> -> <[4, 8], f32>
  %minus7 = graph.constant -7 : i64 : !graph.tensor<[], i64>
  %two = graph.constant 2 : i64 : !graph.tensor<[], i64>
  %2 = graph.floordiv %minus7, %two : <[], i64>
  %3 = graph.compare "lt" %minus7, %two : <[], i64> -> <[], i1>
  %4 = graph.exp %one : <[], f32>
  graph.return %1, %2, %3, %4 : !graph.tensor<[4, 8], f32>, !graph.tensor<[], i64>, !graph.tensor<[], i1>, !graph.tensor<[], f32>
}

// CHECK-LABEL: @casts
// CHECK-SAME: %[[H:.*]]: !graph.tensor<[4], f16>, %[[F:.*]]: !graph.tensor<[4], f32>
// CHECK-DAG: %[[B:.*]] = graph.cast %[[H]] : <[4], f16> -> <[4], i64>
// CHECK-DAG: %[[N:.*]] = graph.cast %[[F]] : <[4], f32> -> <[4], f16>
// CHECK-DAG: %[[W:.*]] = graph.cast %[[N]] : <[4], f16> -> <[4], f32>
// CHECK: graph.return %[[F]], %[[H]], %[[B]], %[[W]]
graph.func @casts(%h: !graph.tensor<[4], f16>, %f: !graph.tensor<[4], f32>)
    -> (!graph.tensor<[4], f32>, !graph.tensor<[4], f16>, !graph.tensor<[4], i64>, !graph.tensor<[4], f32>) {
  %0 = graph.cast %f : <[4], f32> -> <[4], f32>
  %1 = graph.cast %h : <[4], f16> -> <[4], f32>
  %2 = graph.cast %1 : <[4], f32> -> <[4], f16>
  %3 = graph.cast %1 : <[4], f32> -> <[4], i64>
  // f16 in the middle rounds: both casts stay.
  %4 = graph.cast %f : <[4], f32> -> <[4], f16>
  %5 = graph.cast %4 : <[4], f16> -> <[4], f32>
  graph.return %0, %2, %3, %5 : !graph.tensor<[4], f32>, !graph.tensor<[4], f16>, !graph.tensor<[4], i64>, !graph.tensor<[4], f32>
}

// CHECK-LABEL: @contract_of_transpose
// CHECK-NEXT: %[[C:.*]] = graph.contract %arg0 [0, 1], %arg1 [2, 1] -> [0, 2]
// CHECK-NEXT: graph.return %[[C]]
graph.func @contract_of_transpose(%q: !graph.tensor<[4, 8], f32>, %k: !graph.tensor<[6, 8], f32>) -> !graph.tensor<[4, 6], f32> {
  %t = graph.transpose %k [1, 0] : <[6, 8], f32> -> <[8, 6], f32>
  %0 = graph.contract %q [0, 1], %t [1, 2] -> [0, 2] : <[4, 8], f32>, <[8, 6], f32> -> <[4, 6], f32>
  graph.return %0 : !graph.tensor<[4, 6], f32>
}

// Grouped heads: the broadcast batch axis of the keys goes.
// CHECK-LABEL: @contract_of_batch_broadcast
// CHECK-NEXT: %[[C:.*]] = graph.contract %arg0 [0, 1, 2], %arg1 [3, 2] -> [0, 1, 3]
// CHECK-NEXT: graph.return %[[C]]
graph.func @contract_of_batch_broadcast<[G]>(%q: !graph.tensor<[G, 4, 8], f32>, %k: !graph.tensor<[6, 8], f32>) -> !graph.tensor<[G, 4, 6], f32> {
  %b = graph.broadcast %k [1, 2] : <[6, 8], f32> -> <[G, 6, 8], f32>
  %0 = graph.contract %q [0, 1, 2], %b [0, 3, 2] -> [0, 1, 3] : <[G, 4, 8], f32>, <[G, 6, 8], f32> -> <[G, 4, 6], f32>
  graph.return %0 : !graph.tensor<[G, 4, 6], f32>
}

// A summed axis and one that only the broadcast gives to the result stay.
// CHECK-LABEL: @contract_keeps_broadcasts
// CHECK-NEXT: %[[S:.*]] = graph.broadcast %arg1 [0] : <[6], f32> -> <[6, 8], f32>
// CHECK-NEXT: %[[C:.*]] = graph.contract %arg0 [0, 1], %[[S]] [2, 1] -> [0, 2]
// CHECK-NEXT: %[[F:.*]] = graph.broadcast %arg2 [0] : <[8], f32> -> <[8, 5], f32>
// CHECK-NEXT: %[[D:.*]] = graph.contract %arg0 [0, 1], %[[F]] [1, 2] -> [0, 2]
// CHECK-NEXT: graph.return %[[C]], %[[D]]
graph.func @contract_keeps_broadcasts(%x: !graph.tensor<[4, 8], f32>, %s: !graph.tensor<[6], f32>, %f: !graph.tensor<[8], f32>)
    -> (!graph.tensor<[4, 6], f32>, !graph.tensor<[4, 5], f32>) {
  %b = graph.broadcast %s [0] : <[6], f32> -> <[6, 8], f32>
  %0 = graph.contract %x [0, 1], %b [2, 1] -> [0, 2] : <[4, 8], f32>, <[6, 8], f32> -> <[4, 6], f32>
  %c = graph.broadcast %f [0] : <[8], f32> -> <[8, 5], f32>
  %1 = graph.contract %x [0, 1], %c [1, 2] -> [0, 2] : <[4, 8], f32>, <[8, 5], f32> -> <[4, 5], f32>
  graph.return %0, %1 : !graph.tensor<[4, 6], f32>, !graph.tensor<[4, 5], f32>
}

// Heads of keys that are repeated for the queries' get their axis of groups again, on either side, next to which a repetition is a broadcast.
// CHECK-LABEL: @contract_of_repeats
// CHECK-NEXT: %[[Q:.*]] = graph.reshape %arg0 : <[B, 3*H, 4, 8], f32> -> <[B, H, 3, 4, 8], f32>
// CHECK-NEXT: %[[C:.*]] = graph.contract %[[Q]] [0, 1, [[G:.*]], 2, 3], %arg1 [0, 1, 4, 3] -> [0, 1, [[G]], 2, 4]
// CHECK-NEXT: %[[S:.*]] = graph.reshape %[[C]] : <[B, H, 3, 4, 6], f32> -> <[B, 3*H, 4, 6], f32>
// CHECK-NEXT: %[[R:.*]] = graph.reshape %arg0 : <[B, 3*H, 4, 8], f32> -> <[B, H, 3, 4, 8], f32>
// CHECK-NEXT: %[[D:.*]] = graph.contract %arg1 [0, 1, 3, 4], %[[R]] [0, 1, [[G]], 2, 4] -> [0, 1, [[G]], 2, 3]
// CHECK-NEXT: %[[T:.*]] = graph.reshape %[[D]] : <[B, H, 3, 4, 6], f32> -> <[B, 3*H, 4, 6], f32>
// CHECK-NEXT: graph.return %[[S]], %[[T]]
graph.func @contract_of_repeats<[B, H]>(%q: !graph.tensor<[B, 3*H, 4, 8], f32>, %k: !graph.tensor<[B, H, 6, 8], f32>)
    -> (!graph.tensor<[B, 3*H, 4, 6], f32>, !graph.tensor<[B, 3*H, 4, 6], f32>) {
  %b = graph.broadcast %k [0, 1, 3, 4] : <[B, H, 6, 8], f32> -> <[B, H, 3, 6, 8], f32>
  %r = graph.reshape %b : <[B, H, 3, 6, 8], f32> -> <[B, 3*H, 6, 8], f32>
  %t = graph.transpose %r [0, 1, 3, 2] : <[B, 3*H, 6, 8], f32> -> <[B, 3*H, 8, 6], f32>
  %0 = graph.contract %q [0, 1, 2, 3], %t [0, 1, 3, 4] -> [0, 1, 2, 4] : <[B, 3*H, 4, 8], f32>, <[B, 3*H, 8, 6], f32> -> <[B, 3*H, 4, 6], f32>
  %1 = graph.contract %r [0, 1, 3, 4], %q [0, 1, 2, 4] -> [0, 1, 2, 3] : <[B, 3*H, 6, 8], f32>, <[B, 3*H, 4, 8], f32> -> <[B, 3*H, 4, 6], f32>
  graph.return %0, %1 : !graph.tensor<[B, 3*H, 4, 6], f32>, !graph.tensor<[B, 3*H, 4, 6], f32>
}

// The other order of heads, [G, H], is one too. A free axis and a summed one stay joined, and so do axes that both are the operand's own.
// CHECK-LABEL: @contract_keeps_repeats
// CHECK: graph.contract %{{.*}} [{{.*}}], %arg1 [{{[0-9]+, [0-9]+, [0-9]+}}] -> [{{.*}}] : <[3, 2, 4, 8], f32>, <[2, 6, 8], f32> -> <[3, 2, 4, 6], f32>
// CHECK: %[[R:.*]] = graph.reshape %{{.*}} : <[2, 3, 6, 8], f32> -> <[6, 6, 8], f32>
// CHECK: graph.contract %arg2 [0, 1], %[[R]] [2, 3, 1] -> [0, 2, 3]
// CHECK: graph.contract %arg3 [0, 1], %[[R]] [1, 2, 3] -> [0, 2, 3]
// CHECK: %[[O:.*]] = graph.reshape %arg4 : <[2, 3, 6, 8], f32> -> <[6, 6, 8], f32>
// CHECK: graph.contract %arg0 [0, 1, 2], %[[O]] [0, 3, 2] -> [0, 1, 3]
graph.func @contract_keeps_repeats(%q: !graph.tensor<[6, 4, 8], f32>, %k: !graph.tensor<[2, 6, 8], f32>, %x: !graph.tensor<[5, 8], f32>,
                                   %y: !graph.tensor<[5, 6], f32>, %own: !graph.tensor<[2, 3, 6, 8], f32>)
    -> (!graph.tensor<[6, 4, 6], f32>, !graph.tensor<[5, 6, 6], f32>, !graph.tensor<[5, 6, 8], f32>, !graph.tensor<[6, 4, 6], f32>) {
  %b = graph.broadcast %k [1, 2, 3] : <[2, 6, 8], f32> -> <[3, 2, 6, 8], f32>
  %r = graph.reshape %b : <[3, 2, 6, 8], f32> -> <[6, 6, 8], f32>
  %0 = graph.contract %q [0, 1, 2], %r [0, 3, 2] -> [0, 1, 3] : <[6, 4, 8], f32>, <[6, 6, 8], f32> -> <[6, 4, 6], f32>
  %c = graph.broadcast %k [0, 2, 3] : <[2, 6, 8], f32> -> <[2, 3, 6, 8], f32>
  %s = graph.reshape %c : <[2, 3, 6, 8], f32> -> <[6, 6, 8], f32>
  %1 = graph.contract %x [0, 1], %s [2, 3, 1] -> [0, 2, 3] : <[5, 8], f32>, <[6, 6, 8], f32> -> <[5, 6, 6], f32>
  %2 = graph.contract %y [0, 1], %s [1, 2, 3] -> [0, 2, 3] : <[5, 6], f32>, <[6, 6, 8], f32> -> <[5, 6, 8], f32>
  %o = graph.reshape %own : <[2, 3, 6, 8], f32> -> <[6, 6, 8], f32>
  %3 = graph.contract %q [0, 1, 2], %o [0, 3, 2] -> [0, 1, 3] : <[6, 4, 8], f32>, <[6, 6, 8], f32> -> <[6, 4, 6], f32>
  graph.return %0, %1, %2, %3 : !graph.tensor<[6, 4, 6], f32>, !graph.tensor<[5, 6, 6], f32>, !graph.tensor<[5, 6, 8], f32>, !graph.tensor<[6, 4, 6], f32>
}

// A choice between 1 and 0 is a condition as a number, and so is 1 less such a number. Integers, whose range is known, and -0 stay.
// CHECK-LABEL: @conditions_as_numbers
// CHECK: %[[A:.*]] = graph.cast %arg0 : <[T], i1> -> <[T], f32>
// CHECK: %[[N:.*]] = graph.not %arg0
// CHECK: %[[B:.*]] = graph.cast %[[N]] : <[T], i1> -> <[T], f32>
// CHECK: %[[M:.*]] = graph.not %arg0
// CHECK: %[[C:.*]] = graph.cast %[[M]] : <[T], i1> -> <[T], f32>
// CHECK: %[[D:.*]] = graph.select %arg0, %{{.*}} : <[T], i1>, <[T], i64>
// CHECK: %[[E:.*]] = graph.select %arg0, %{{.*}} : <[T], i1>, <[T], f32>
// CHECK: graph.return %[[A]], %[[B]], %[[C]], %[[D]], %[[E]]
graph.func @conditions_as_numbers<[T]>(%c: !graph.tensor<[T], i1>)
    -> (!graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], i64>, !graph.tensor<[T], f32>) {
  %1 = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %0 = graph.constant 0.0 : f32 : !graph.tensor<[], f32>
  %m = graph.constant -0.0 : f32 : !graph.tensor<[], f32>
  %i = graph.constant 1 : i64 : !graph.tensor<[], i64>
  %j = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %one = graph.broadcast %1 [] : <[], f32> -> <[T], f32>
  %zero = graph.broadcast %0 [] : <[], f32> -> <[T], f32>
  %minus = graph.broadcast %m [] : <[], f32> -> <[T], f32>
  %ione = graph.broadcast %i [] : <[], i64> -> <[T], i64>
  %izero = graph.broadcast %j [] : <[], i64> -> <[T], i64>
  %a = graph.select %c, %one, %zero : <[T], i1>, !graph.tensor<[T], f32>
  %b = graph.select %c, %zero, %one : <[T], i1>, !graph.tensor<[T], f32>
  %n = graph.cast %c : <[T], i1> -> <[T], f32>
  %s = graph.sub %one, %n : <[T], f32>
  %d = graph.select %c, %ione, %izero : <[T], i1>, !graph.tensor<[T], i64>
  %e = graph.select %c, %one, %minus : <[T], i1>, !graph.tensor<[T], f32>
  graph.return %a, %b, %s, %d, %e : !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], i64>, !graph.tensor<[T], f32>
}
