// RUN: fovea-opt %s --graph-form-groups --graph-rematerialize="max-memory=2560 at=B=8" | FileCheck %s

// %a and %b cost the same for a byte, and their bytes have one price. The memory runs short where %a is read already: only %b
// runs again.
// CHECK-LABEL: graph.func @needed
// CHECK-SAME: repeated = [{amount = {{[0-9]+}} : i64, count = 1 : i64, path = "", place = "{{[^"]*}}"}]}
// CHECK: graph.group "matmul"(%arg0, %arg1)
// CHECK: graph.group "matmul"(%arg0, %arg2)
// CHECK: graph.group "matmul"({{.*}}%arg3
// CHECK-NOT: (%arg0, %arg1)
// CHECK: %[[AGAIN:.*]] = graph.group "matmul"(%arg0, %arg2)
// CHECK-NOT: (%arg0, %arg1)
// CHECK: graph.return
graph.func @needed<[B]>(%x: !graph.tensor<[B, 16], f32> {graph.input = "x"}, %w1: !graph.tensor<[16, 16], f32> {graph.param = "w1"}, %w2: !graph.tensor<[16, 16], f32> {graph.param = "w2"}, %wide: !graph.tensor<[16, 64], f32> {graph.param = "wide"})
    -> (!graph.tensor<[B, 16], f32> {graph.output = "dx"}) attributes {entry} {
  %0 = graph.contract %x [0, 1], %w1 [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %a = graph.tanh %0 : !graph.tensor<[B, 16], f32>
  %1 = graph.contract %x [0, 1], %w2 [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %b = graph.tanh %1 : !graph.tensor<[B, 16], f32>
  %s = graph.contract %a [0, 1], %b [0, 2] -> [1, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[B, 16], f32> -> !graph.tensor<[16, 16], f32>
  %2 = graph.contract %x [0, 1], %s [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %h = graph.tanh %2 : !graph.tensor<[B, 16], f32>
  %g0 = graph.contract %h [0, 1], %w1 [2, 1] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":3:1])
  %g1 = graph.mul %g0, %a : !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":3:1])
  %g2 = graph.contract %g1 [0, 1], %wide [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 64], f32> -> !graph.tensor<[B, 64], f32> loc(fused<"gradient">["m.fov":2:1])
  %g3 = graph.contract %g2 [0, 1], %wide [2, 1] -> [0, 2] : !graph.tensor<[B, 64], f32>, !graph.tensor<[16, 64], f32> -> !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":2:1])
  %d = graph.mul %g3, %b : !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":1:1])
  graph.return %d : !graph.tensor<[B, 16], f32>
}
