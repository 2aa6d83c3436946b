// 16-bit floats that are only moved are integers: LLVM's code for vectors of them calls what no program has.
// RUN: fovea-opt %s --kernel-to-llvm=target=x86-64-v3 | FileCheck %s

// CHECK-LABEL: llvm.func @halves(
func.func @halves(%x: memref<?xbf16>, %y: memref<?xf16>, %f: memref<?xf32>, %at: index, %lanes: vector<8xindex>, %mask: vector<8xi1>) {
  %b = arith.constant dense<0.0> : vector<8xbf16>
  %h = arith.constant dense<0.0> : vector<8xf16>
  %z = arith.constant dense<0.0> : vector<8xf32>
  // CHECK: llvm.intr.masked.load {{.*}} -> vector<8xi16>
  %0 = vector.maskedload %x[%at], %mask, %b : memref<?xbf16>, vector<8xi1>, vector<8xbf16> into vector<8xbf16>
  // CHECK: llvm.intr.masked.store {{.*}} : vector<8xi16>, vector<8xi1> into !llvm.ptr
  vector.maskedstore %x[%at], %mask, %0 : memref<?xbf16>, vector<8xi1>, vector<8xbf16>
  // CHECK: %[[BITS:.*]] = llvm.intr.masked.gather {{.*}} -> vector<8xi16>
  %1 = vector.gather %y[%at][%lanes], %mask, %h : memref<?xf16>, vector<8xindex>, vector<8xi1>, vector<8xf16> into vector<8xf16>
  // CHECK: llvm.intr.masked.scatter %[[BITS]], {{.*}} : vector<8xi16>, vector<8xi1> into vector<8x!llvm.ptr>
  vector.scatter %y[%at][%lanes], %mask, %1 : memref<?xf16>, vector<8xindex>, vector<8xi1>, vector<8xf16>
  // CHECK: llvm.load {{.*}} -> vector<8xi16>
  %2 = vector.load %y[%at] : memref<?xf16>, vector<8xf16>
  // CHECK: llvm.store {{.*}} : vector<8xi16>, !llvm.ptr
  vector.store %2, %y[%at] : memref<?xf16>, vector<8xf16>
  // CHECK: llvm.intr.masked.load {{.*}} -> vector<8xf32>
  %3 = vector.maskedload %f[%at], %mask, %z : memref<?xf32>, vector<8xi1>, vector<8xf32> into vector<8xf32>
  vector.store %3, %f[%at] : memref<?xf32>, vector<8xf32>
  return
}

// What is chosen and merged is integers, what is computed and passed floats.
// CHECK-LABEL: llvm.func @merged(
// CHECK-SAME: %[[ARG:[a-z0-9]+]]: bf16)
// CHECK: llvm.mlir.constant(dense<16256> : vector<4xi16>)
func.func @merged(%x: memref<?xbf16>, %at: index, %lanes: vector<4xi1>, %which: i1, %c: bf16) -> bf16 {
  %one = arith.constant dense<1.0> : vector<4xbf16>
  // CHECK: %[[X:.*]] = llvm.load {{.*}} -> vector<4xi16>
  %0 = vector.load %x[%at] : memref<?xbf16>, vector<4xbf16>
  // CHECK: llvm.select {{.*}}, %[[X]], {{.*}} : vector<4xi1>, vector<4xi16>
  %1 = arith.select %lanes, %0, %one : vector<4xi1>, vector<4xbf16>
  cf.cond_br %which, ^bb1(%1 : vector<4xbf16>), ^bb2
^bb2:
  %wide = arith.extf %0 : vector<4xbf16> to vector<4xf32>
  %twice = arith.addf %wide, %wide : vector<4xf32>
  %narrow = arith.truncf %twice : vector<4xf32> to vector<4xbf16>
  cf.br ^bb1(%narrow : vector<4xbf16>)
// CHECK: ^{{.*}}(%{{.*}}: vector<4xi16>)
^bb1(%y: vector<4xbf16>):
  vector.store %y, %x[%at] : memref<?xbf16>, vector<4xbf16>
  memref.store %c, %x[%at] : memref<?xbf16>
  // CHECK: %[[MOVED:.*]] = llvm.bitcast %[[ARG]] : bf16 to i16
  // CHECK-NEXT: llvm.store %[[MOVED]]
  // CHECK: llvm.return %[[ARG]] : bf16
  return %c : bf16
}
