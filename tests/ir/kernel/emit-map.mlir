// What kernel.map becomes: contiguous accesses unmasked in whole vectors, masked in the tail; uniform ones scalar; every other element by a shuffle; others gathered.
// RUN: fovea-opt %s --split-input-file --kernel-emit=target=x86-64-v3 | FileCheck %s

// CHECK: module attributes {dlti.target_system_spec = {{.*}}"fovea.target" = "x86-64-v3"
kernel.func @scale(%x: memref<?x?xf32>, %s: memref<?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    %b = kernel.load %s[%i] : memref<?xf32> -> f32
    %c = arith.mulf %a, %b : f32
    kernel.store %c, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK-LABEL: func.func @scale.tasks(
// CHECK-SAME: -> index
// CHECK-LABEL: func.func @scale.scratch(
// CHECK: %[[ZERO:.*]] = arith.constant 0 : index
// CHECK: return %[[ZERO]]
// CHECK-LABEL: func.func @scale.run(
// CHECK-SAME: %{{.*}}: !llvm.ptr, %[[X:.*]]: memref<?x?xf32>, %[[S:.*]]: memref<?xf32>, %[[Y:.*]]: memref<?x?xf32>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: memref<?xi8>) -> i32
// The row's factor is read once an item, outside of the loop over lanes.
// CHECK: %[[B:.*]] = memref.load %[[S]]
// CHECK: scf.for
// CHECK-NOT: mask
// CHECK: vector.load %[[X]]{{.*}} : memref<?x?xf32>, vector<8xf32>
// CHECK: vector.broadcast %[[B]]
// CHECK: vector.store %{{.*}}, %[[Y]]
// CHECK: scf.if
// CHECK: %[[MASK:.*]] = vector.create_mask
// CHECK: vector.maskedload %[[X]]{{.*}}, %[[MASK]]
// CHECK: vector.maskedstore %[[Y]]{{.*}}, %[[MASK]]
// CHECK-NOT: memref.alloca

// -----

// The index differs from lane to lane: a gather under the check's mask, whose failure is reported in a branch.
kernel.func @take(%w: memref<?xf32>, %ids: memref<?xi64>, %y: memref<?xf32>, %v: index, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %c0 = arith.constant 0 : index
    %id = kernel.load %ids[%i] : memref<?xi64> -> i64
    %r = arith.index_cast %id : i64 to index
    kernel.check 1 %r in [%c0, %v) at "m.fov:1:2"
    %a = kernel.load %w[%r] : memref<?xf32> -> f32
    kernel.store %a, %y[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK: llvm.mlir.global internal constant @"fovea.place.m.fov:1:2"("m.fov:1:2\00")
// CHECK: func.func private @fovea_fail(!llvm.ptr, i32, !llvm.ptr, i64, i64, i64, i64)
// CHECK-LABEL: func.func @take.run(
// CHECK: vector.load %{{.*}} : memref<?xi64>, vector<8xi64>
// CHECK: %[[OK:.*]] = arith.andi
// CHECK: vector.reduction <or>
// CHECK: scf.if
// CHECK: func.call @fovea_fail
// CHECK: vector.gather {{.*}}, %[[OK]], {{.*}} : memref<?xf32, strided<[1], offset: ?>>, vector<8xindex>, vector<8xi1>, vector<8xf32> into vector<8xf32>

// -----

// Two passes and the write: the sum's loop carries four accumulators; the mean's division stands outside of the loops over lanes.
kernel.func @centre(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %m: index, %n: index, %count: f32) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    %s = kernel.reduce "sum" %a over [1] : f32
    %mean = arith.divf %s, %count : f32
    %d = arith.subf %a, %mean : f32
    kernel.store %d, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK-LABEL: func.func @centre.run(
// CHECK: scf.for {{.*}} -> (f32)
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK-COUNT-4: vector.load
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK: vector.maskedload
// CHECK: vector.extract_strided_slice
// CHECK: arith.divf {{.*}} : f32
// CHECK: scf.for
// CHECK: vector.load
// CHECK: vector.store

// -----

// Every other element: two loads and a shuffle while all lanes are there, a gather in the tail.
kernel.func @evens(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %two = arith.constant 2 : index
    %k = arith.muli %j, %two : index
    %a = kernel.load %x[%i, %k] : memref<?x?xf32> -> f32
    kernel.store %a, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK-LABEL: func.func @evens.run(
// CHECK: scf.for
// CHECK: %[[FIRST:.*]] = vector.load %{{.*}} : memref<?x?xf32>, vector<8xf32>
// CHECK: arith.constant 7 : index
// CHECK: %[[SECOND:.*]] = vector.load %{{.*}} : memref<?x?xf32>, vector<8xf32>
// CHECK: %[[EVENS:.*]] = vector.shuffle %[[FIRST]], %[[SECOND]] [0, 2, 4, 6, 9, 11, 13, 15] : vector<8xf32>, vector<8xf32>
// CHECK: vector.store %[[EVENS]]
// CHECK: scf.if
// CHECK: vector.gather

// -----

// Rows that are summed along the lanes are visited as they lie in memory, their heads within a token, whatever the order of the axes.
kernel.func @rows(%x: memref<?x?x12x32xf32>, %y: memref<?x12x?xf32>, %b: index, %t: index) {
  %h = arith.constant 12 : index
  %d = arith.constant 32 : index
  kernel.map in (%b, %h, %t, %d) {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    %a = kernel.load %x[%i, %k, %j, %l] : memref<?x?x12x32xf32> -> f32
    %s = kernel.reduce "sum" %a over [3] : f32
    kernel.store %s, %y[%i, %j, %k] : f32, memref<?x12x?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK-LABEL: func.func @rows.run(
// CHECK: scf.for %[[ITEM:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[HEAD:.*]] = arith.remui %[[ITEM]], %[[HEADS:.*]] : index
// CHECK: %[[TOKENS:.*]] = arith.divui %[[ITEM]], %[[HEADS]] : index
// CHECK: %[[TOKEN:.*]] = arith.remui %[[TOKENS]]
// CHECK: vector.load %{{.*}}[%{{.*}}, %[[TOKEN]], %[[HEAD]], %{{.*}}] : memref<?x?x12x32xf32>

// -----

// Nothing is known about strides that the type does not give: the axes stay in their order.
kernel.func @strided_rows(%x: memref<?x?x?x?xf32, strided<[?, ?, ?, 1]>>, %y: memref<?x?x?xf32>, %b: index, %h: index, %t: index, %d: index) {
  kernel.map in (%b, %h, %t, %d) {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    %a = kernel.load %x[%i, %k, %j, %l] : memref<?x?x?x?xf32, strided<[?, ?, ?, 1]>> -> f32
    %s = kernel.reduce "sum" %a over [3] : f32
    kernel.store %s, %y[%i, %j, %k] : f32, memref<?x?x?xf32>
    kernel.yield
  }
  kernel.return
}
// CHECK-LABEL: func.func @strided_rows.run(
// CHECK: scf.for %[[ITEM:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[TOKEN:.*]] = arith.remui %[[ITEM]]
// CHECK: %[[REST:.*]] = arith.divui %[[ITEM]]
// CHECK: %[[HEAD:.*]] = arith.remui %[[REST]]
// CHECK: vector.load %{{.*}}[%{{.*}}, %[[TOKEN]], %[[HEAD]], %{{.*}}] : memref<?x?x?x?xf32
