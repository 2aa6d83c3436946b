// Masked accesses of 16-bit floats are ones of integers; all others stay as they are.
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
  // CHECK: llvm.load {{.*}} -> vector<8xf16>
  %2 = vector.load %y[%at] : memref<?xf16>, vector<8xf16>
  // CHECK: llvm.store {{.*}} : vector<8xf16>, !llvm.ptr
  vector.store %2, %y[%at] : memref<?xf16>, vector<8xf16>
  // CHECK: llvm.intr.masked.load {{.*}} -> vector<8xf32>
  %3 = vector.maskedload %f[%at], %mask, %z : memref<?xf32>, vector<8xi1>, vector<8xf32> into vector<8xf32>
  vector.store %3, %f[%at] : memref<?xf32>, vector<8xf32>
  return
}
