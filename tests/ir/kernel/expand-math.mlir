// Elementary functions become polynomials; what LLVM has instructions for stays.
// RUN: fovea-opt %s --kernel-expand-math=target=x86-64-v3 | FileCheck %s --check-prefixes=CHECK,FMA
// RUN: fovea-opt %s --kernel-expand-math=target=x86-64 | FileCheck %s --check-prefixes=CHECK,MUL
// RUN: fovea-opt %s --kernel-expand-math=target=x86-64-v4 | FileCheck %s --check-prefix=SCALE

// CHECK-LABEL: func.func @exp(
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK-NOT: math.exp
  // FMA: math.fma
  // MUL-NOT: math.fma
  // MUL: arith.mulf
  %y = math.exp %x : vector<8xf32>
  return %y : vector<8xf32>
}

// A power of two is one instruction for a whole vector where there is one; for a number alone it is two products, of the same bits.
// SCALE-LABEL: func.func @scales(
func.func @scales(%x: vector<16xf32>, %y: f32) -> (vector<16xf32>, f32) {
  // SCALE: llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"
  // SCALE-NOT: arith.shli {{.*}} : vector
  %a = math.exp %x : vector<16xf32>
  // SCALE: arith.shli
  // SCALE-NOT: llvm.call_intrinsic
  %b = math.exp %y : f32
  // SCALE: return
  return %a, %b : vector<16xf32>, f32
}

// CHECK-LABEL: func.func @stays(
func.func @stays(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: math.sqrt
  %y = math.sqrt %x : vector<8xf32>
  // CHECK: math.absf
  %z = math.absf %y : vector<8xf32>
  // FMA: math.floor
  // MUL-NOT: math.floor
  %f = math.floor %z : vector<8xf32>
  return %f : vector<8xf32>
}

// CHECK-LABEL: func.func @halves(
func.func @halves(%x: vector<8xf16>, %y: vector<8xbf16>) -> (vector<8xf32>, vector<8xf32>) {
  // FMA: arith.extf %{{.*}} : vector<8xf16>
  // MUL-NOT: arith.extf
  %a = arith.extf %x : vector<8xf16> to vector<8xf32>
  // CHECK-NOT: arith.extf
  // CHECK: arith.shli
  %b = arith.extf %y : vector<8xbf16> to vector<8xf32>
  return %a, %b : vector<8xf32>, vector<8xf32>
}

// Arithmetic on 16-bit floats is done in f32: no call of a library's conversions remains.
// CHECK-LABEL: func.func @half_arithmetic(
func.func @half_arithmetic(%x: bf16, %y: vector<8xbf16>, %i: i32) -> (bf16, vector<8xbf16>, bf16) {
  // CHECK: arith.addf %{{.*}} : f32
  %a = arith.addf %x, %x : bf16
  // CHECK: arith.mulf %{{.*}} : vector<8xf32>
  %b = arith.mulf %y, %y : vector<8xbf16>
  // CHECK: arith.sitofp %{{.*}} : i32 to f32
  %c = arith.sitofp %i : i32 to bf16
  // CHECK-NOT: arith.truncf
  return %a, %b, %c : bf16, vector<8xbf16>, bf16
}
