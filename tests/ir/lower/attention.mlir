// RUN: fovea-opt %s --pass-pipeline="builtin.module(graph-form-groups,graph-lower-to-kernel,canonicalize,cse)" --split-input-file | FileCheck %s

// Queries are read as a transposed view and the result is written through one; the mask is a load by batch and key.
// CHECK-LABEL: func.func @attend
// CHECK: kernel.launch @attention_4_masked
// CHECK-NOT: kernel.launch
// CHECK: kernel.func @attention_4_masked
// CHECK: kernel.attention q(%{{.*}}) k(%{{.*}}) v(%{{.*}}) out(%{{.*}}) score
// CHECK: ^bb0(%[[S:.*]]: f32,
// CHECK: arith.mulf %[[S]]
// CHECK: mask {
// CHECK: ^bb0(%[[B:.*]]: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index):
// CHECK-NEXT: %[[M:.*]] = kernel.load %{{.*}}[%[[B]], %[[J]]] : memref<?x?xi8> -> i1
// CHECK-NEXT: kernel.yield %[[M]]
// CHECK: memref<?x2x?x4xf32, strided<[?, 4, 8, 1]>>
graph.func @attend<[B, T]>(%x: !graph.tensor<[B, T, 8], f32> {graph.input = "x"}, %m: !graph.tensor<[B, T], i1> {graph.input = "m"}) -> (!graph.tensor<[B, T, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.reshape %x : !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, T, 2, 4], f32>
  %q = graph.transpose %0 [0, 2, 1, 3] : !graph.tensor<[B, T, 2, 4], f32> -> !graph.tensor<[B, 2, T, 4], f32>
  %a = graph.attention q(%q) k(%q) v(%q) captures(%m) score {
  ^bb0(%s: f32, %b: index, %h: index, %t: index, %j: index):
    %c = arith.constant 0.5 : f32
    %1 = arith.mulf %s, %c : f32
    graph.yield %1 : f32
  } mask {
  ^bb0(%b: index, %h: index, %t: index, %j: index):
    %1 = graph.at %m[%b, %j] : !graph.tensor<[B, T], i1> -> i1
    graph.yield %1 : i1
  } : (!graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, T], i1>) -> !graph.tensor<[B, 2, T, 4], f32>
  %2 = graph.transpose %a [0, 2, 1, 3] : !graph.tensor<[B, 2, T, 4], f32> -> !graph.tensor<[B, T, 2, 4], f32>
  %3 = graph.reshape %2 : !graph.tensor<[B, T, 2, 4], f32> -> !graph.tensor<[B, T, 8], f32>
  graph.return %3 : !graph.tensor<[B, T, 8], f32>
}

// -----

// A tensor of some of the keys: a load where they are.
// CHECK-LABEL: kernel.func @attention_8
// CHECK: %[[INSIDE:.*]] = arith.cmpi sge
// CHECK: kernel.load %{{.*}}[%{{.*}}, %{{.*}}] if %[[INSIDE]] : memref<?x?xf32> -> f32
graph.func @piece<[T, P, S]>(%q: !graph.tensor<[T, 8], f32> {graph.input = "q"}, %k: !graph.tensor<[P+S, 8], f32> {graph.input = "k"}, %near: !graph.tensor<[T, S], f32> {graph.input = "near"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "y"}) attributes {entry} {
  %y = graph.attention q(%q) k(%k) v(%k) captures(%near) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %p = graph.size <P>
    %i = arith.subi %j, %p : index
    %inside = arith.cmpi sge, %j, %p : index
    %x = graph.at %near[%t, %i] if %inside : <[T, S], f32> -> f32
    %z = arith.addf %s, %x : f32
    graph.yield %z : f32
  } mask {} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[P+S, 8], f32>, !graph.tensor<[T, S], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %y : !graph.tensor<[T, 8], f32>
}
