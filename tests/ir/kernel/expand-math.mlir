// Elementary functions become polynomials; what LLVM has instructions for stays.
// RUN: fovea-opt %s --kernel-expand-math=target=x86-64-v3 | FileCheck %s --check-prefixes=CHECK,FMA
// RUN: fovea-opt %s --kernel-expand-math=target=x86-64 | FileCheck %s --check-prefixes=CHECK,MUL

// CHECK-LABEL: func.func @exp(
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK-NOT: math.exp
  // FMA: math.fma
  // MUL-NOT: math.fma
  // MUL: arith.mulf
  %y = math.exp %x : vector<8xf32>
  return %y : vector<8xf32>
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
