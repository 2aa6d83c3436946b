// RUN: fovea-opt %s --graph-form-groups --graph-rematerialize="max-memory=1536 at=B=8" | FileCheck %s --check-prefix=TIGHT
// RUN: fovea-opt %s --graph-form-groups --graph-rematerialize="max-memory=1000000 at=B=8" | FileCheck %s --check-prefix=WIDE
// RUN: not fovea-opt %s --graph-form-groups --graph-rematerialize="max-memory=64 at=B=8" 2>&1 | FileCheck %s --check-prefix=LEAST
// RUN: not fovea-opt %s --graph-form-groups --graph-rematerialize="max-memory=64 at=B" 2>&1 | FileCheck %s --check-prefix=SIZES

// h1 and h2 are read behind the loss. Where both do not fit, h1's kernel runs again, in front of what reads it there; the copy is no
// input of what runs before the loss, and the kernels of the gradient stay as they are.
// TIGHT-LABEL: graph.func @step
// TIGHT-SAME: graph.recomputation = {after = 1536 : i64, at = {B = 8 : i64}, before = 2048 : i64
// TIGHT-SAME: kept = [{amount
// TIGHT-SAME: limit = 1536 : i64, repeated = [{amount
// TIGHT-SAME: graph.sizes = {B = 8 : i64}
// TIGHT: %[[H1:.*]] = graph.group "matmul"(%arg0, %arg1)
// TIGHT: graph.group "matmul"(%[[H1]], %arg2)
// TIGHT-NOT: (%[[H1]]
// TIGHT: %[[AGAIN:.*]] = graph.group "matmul"(%arg0, %arg1)
// TIGHT: graph.group "map"({{.*}}%[[AGAIN]])
// TIGHT: graph.return

// With room for all nothing changes but what memory is planned for.
// WIDE-LABEL: graph.func @step
// WIDE-SAME: repeated = []
// WIDE-SAME: graph.sizes = {B = 8 : i64}
// WIDE: graph.group "matmul"(%arg0, %arg1)
// WIDE-NOT: graph.group "matmul"(%arg0, %arg1)
// WIDE: graph.return

// LEAST: `step` needs an arena of at least {{.*}} at B = 8, and --max-memory allows 0.1 KiB
// SIZES: `at` wants sizes such as T=128, found B
graph.func @step<[B]>(%x: !graph.tensor<[B, 16], f32> {graph.input = "x"}, %w1: !graph.tensor<[16, 16], f32> {graph.param = "w1"}, %w2: !graph.tensor<[16, 16], f32> {graph.param = "w2"})
    -> (!graph.tensor<[B, 16], f32> {graph.output = "dx"}) attributes {entry} {
  %0 = graph.contract %x [0, 1], %w1 [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %h1 = graph.tanh %0 : !graph.tensor<[B, 16], f32>
  %1 = graph.contract %h1 [0, 1], %w2 [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %h2 = graph.tanh %1 : !graph.tensor<[B, 16], f32>
  %2 = graph.contract %h2 [0, 1], %w1 [1, 2] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32>
  %h3 = graph.tanh %2 : !graph.tensor<[B, 16], f32>
  %g3 = graph.contract %h3 [0, 1], %w1 [2, 1] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":3:1])
  %d2 = graph.mul %g3, %h2 : !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":2:1])
  %g2 = graph.contract %d2 [0, 1], %w2 [2, 1] -> [0, 2] : !graph.tensor<[B, 16], f32>, !graph.tensor<[16, 16], f32> -> !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":2:1])
  %r = graph.reduce "sum" %g2 [1] : !graph.tensor<[B, 16], f32> -> !graph.tensor<[B], f32> loc(fused<"gradient">["m.fov":1:1])
  %rb = graph.broadcast %r [0] : !graph.tensor<[B], f32> -> !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":1:1])
  %d1 = graph.mul %rb, %h1 : !graph.tensor<[B, 16], f32> loc(fused<"gradient">["m.fov":1:1])
  graph.return %d1 : !graph.tensor<[B, 16], f32>
}
