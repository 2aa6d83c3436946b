// RUN: fovea-opt %s --graph-form-groups --graph-lower-to-kernel --split-input-file | FileCheck %s

// B and T become one M; the bias is read by column; the result goes straight into the output.
// CHECK-LABEL: func.func @linear
// CHECK-SAME: index {fovea.name = "B", fovea.role = "symbol"}
// CHECK-SAME: memref<?x?x8xf32> {fovea.name = "x", fovea.role = "input", fovea.type = {{[^}]*}}}
// CHECK-SAME: memref<20x8xf32> {fovea.name = "w", fovea.role = "param", fovea.type = {{[^}]*}}}
// CHECK-SAME: %[[Y:[^ ]*]]: memref<?x?x20xf32> {fovea.name = "y", fovea.role = "output", fovea.type = {{[^}]*}}}
// CHECK-SAME: memref<?xi8> {fovea.name = "arena", fovea.role = "arena"}) -> i32
// CHECK: memref.reinterpret_cast %[[Y]] {{.*}} to memref<?x20xf32>
// CHECK: kernel.launch @matmul_8x20_bias({{.*}}) {bytes = #graph.dim<{{.*}}>, flops = #graph.dim<320*B*T>}
// CHECK: func.func @linear.arena(%{{.*}}: index, %{{.*}}: index) -> index attributes {fovea.formula = "0"}
// CHECK: kernel.func @matmul_8x20_bias
// CHECK-SAME: memref<?x8xf32>, %{{.*}}: memref<8x20xf32, strided<[1, 8]>>
// CHECK: kernel.matmul
// CHECK: ^bb0(%[[ACC:.*]]: f32, %[[M:.*]]: index, %[[N:.*]]: index):
// CHECK-NEXT: %[[BIAS:.*]] = kernel.load %{{.*}}[%[[N]]] : memref<20xf32> -> f32
// CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[ACC]], %[[BIAS]]
// CHECK-NEXT: kernel.store %[[SUM]], %{{.*}}[%[[M]], %[[N]]]
graph.func @linear<[B, T]>(%x: !graph.tensor<[B, T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[20, 8], f32> {graph.param = "w"},
                           %b: !graph.tensor<[20], f32> {graph.param = "b"}) -> (!graph.tensor<[B, T, 20], f32> {graph.output = "y"}) {
  %0 = graph.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[20, 8], f32> -> !graph.tensor<[B, T, 20], f32>
  %1 = graph.broadcast %b [2] : !graph.tensor<[20], f32> -> !graph.tensor<[B, T, 20], f32>
  %2 = graph.add %0, %1 : !graph.tensor<[B, T, 20], f32>
  graph.return %2 : !graph.tensor<[B, T, 20], f32>
}

// -----

// Heads that are a transposed view keep B a batch axis; no element is copied.
// CHECK-LABEL: func.func @scores
// CHECK: kernel.launch @matmul
// CHECK-NOT: kernel.launch
// CHECK: kernel.matmul %{{.*}}, %{{.*}} n(
// CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
// CHECK: memref<?x2x?x4xf32, strided<[?, 4, 8, 1]>>, memref<?x2x4x?xf32, strided<[?, 4, 1, 8]>>
graph.func @scores<[B, T]>(%x: !graph.tensor<[B, T, 8], f32> {graph.input = "x"}) -> (!graph.tensor<[B, 2, T, T], f32> {graph.output = "y"}) {
  %0 = graph.reshape %x : !graph.tensor<[B, T, 8], f32> -> !graph.tensor<[B, T, 2, 4], f32>
  %1 = graph.transpose %0 [0, 2, 1, 3] : !graph.tensor<[B, T, 2, 4], f32> -> !graph.tensor<[B, 2, T, 4], f32>
  %2 = graph.contract %1 [0, 1, 2, 3], %1 [0, 1, 4, 3] -> [0, 1, 2, 4] : !graph.tensor<[B, 2, T, 4], f32>, !graph.tensor<[B, 2, T, 4], f32> -> !graph.tensor<[B, 2, T, T], f32>
  graph.return %2 : !graph.tensor<[B, 2, T, T], f32>
}

// -----

// Equal kernels are one; a layer works in a part of its caller's arena.
// CHECK-LABEL: func.func @layer(
// CHECK: kernel.launch @map_exp(
// CHECK: kernel.launch @matmul_8x8(
// CHECK: func.func @layer.arena{{.*}}fovea.formula = "64*floordiv(N+1, 2)"
// CHECK-LABEL: func.func @twice
// CHECK: memref.view %[[ARENA:.*]][%{{.*}}] : memref<?xi8> to memref<?x8xf32>
// CHECK: memref.view %{{.*}} : memref<?xi8> to memref<?xi8>
// CHECK: call @layer
// CHECK: call @layer
// CHECK: return
// CHECK-COUNT-2: kernel.func
// CHECK-NOT: kernel.func
graph.func @layer<[N]>(%x: !graph.tensor<[N, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[N, 8], f32> {graph.output = "y"}) attributes {layer} {
  %0 = graph.exp %x : !graph.tensor<[N, 8], f32>
  %1 = graph.contract %0 [0, 1], %w [1, 2] -> [0, 2] : !graph.tensor<[N, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[N, 8], f32>
  graph.return %1 : !graph.tensor<[N, 8], f32>
}
graph.func @twice<[T]>(%x: !graph.tensor<[T, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[T, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.call @layer [T] (%x, %w) : (!graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[T, 8], f32>
  %1 = graph.call @layer [T] (%0, %w) : (!graph.tensor<[T, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return %1 : !graph.tensor<[T, 8], f32>
}

// -----

// A cache is written where it lies, at rows that a size gives; the reader of the new value comes after.
// CHECK-LABEL: func.func @cache
// CHECK-SAME: %[[KEYS:[^ ]*]]: memref<64x8xf32> {fovea.name = "keys", fovea.role = "state", fovea.type = {{[^}]*}}}
// CHECK: kernel.launch @map_update_slice(%[[KEYS]]
// CHECK: kernel.launch @matmul
// CHECK: kernel.func @map_update_slice
// CHECK: kernel.map
// CHECK: ^bb0(%[[I:.*]]: index, %[[J:.*]]: index):
// CHECK: %[[AT:.*]] = arith.addi %[[I]]
// CHECK: kernel.store %{{.*}}, %{{.*}}[%[[AT]], %[[J]]]
graph.func @cache<[T, P]>(%k: !graph.tensor<[T, 8], f32> {graph.input = "k"}, %keys: !graph.tensor<[64, 8], f32> {graph.state = "keys"})
    -> (!graph.tensor<[T, P+T], f32> {graph.output = "y"}, !graph.tensor<[64, 8], f32> {graph.state = "keys"}) attributes {entry} {
  %new = graph.update_slice %keys, %k {axis = 0, start = #graph.dim<P>} : !graph.tensor<[64, 8], f32>, !graph.tensor<[T, 8], f32> -> !graph.tensor<[64, 8], f32>
  %seen = graph.slice %new {axis = 0, start = #graph.dim<0>} : !graph.tensor<[64, 8], f32> -> !graph.tensor<[P+T, 8], f32>
  %y = graph.contract %k [0, 1], %seen [2, 1] -> [0, 2] : !graph.tensor<[T, 8], f32>, !graph.tensor<[P+T, 8], f32> -> !graph.tensor<[T, P+T], f32>
  graph.return %y, %new : !graph.tensor<[T, P+T], f32>, !graph.tensor<[64, 8], f32>
}

// -----

// Weights are packed by a prepare step: columns beyond the last are 0.
// CHECK-LABEL: func.func @prepare
// CHECK-SAME: memref<3x8x16xf32> {fovea.name = "w.packed", fovea.role = "derived", fovea.type = {{[^}]*}}}
// CHECK: kernel.func @map_pack
// CHECK: %[[IN:.*]] = arith.cmpi ult
// CHECK: kernel.load %{{.*}} if %[[IN]]
// CHECK: arith.select %[[IN]]
graph.func @prepare(%w: !graph.tensor<[8, 40], f32> {graph.param = "w"}) -> (!graph.tensor<[3, 8, 16], f32> {graph.derived = "w.packed"}) attributes {prepare} {
  %0 = graph.pack %w {panel = 16} : !graph.tensor<[8, 40], f32> -> !graph.tensor<[3, 8, 16], f32>
  graph.return %0 : !graph.tensor<[3, 8, 16], f32>
}

// -----

// Rows at places that are proved to be inside need no check.
// CHECK-LABEL: func.func @inside
// CHECK: kernel.func
// CHECK-NOT: kernel.check
// CHECK: kernel.store
graph.func @inside<[N]>(%x: !graph.tensor<[2*N+1, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %i = graph.iota : !graph.tensor<[N], i64>
  %c = graph.constant 2 : i64 : !graph.tensor<[], i64>
  %two = graph.broadcast %c [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %even = graph.mul %i, %two : !graph.tensor<[N], i64>
  %rest = graph.mod %ids, %two : !graph.tensor<[N], i64>
  %place = graph.add %even, %rest : !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[2*N+1, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// Each side of a choice is bounded by its condition, through floats as well: T5's buckets, and numbers of an input.
// CHECK-LABEL: func.func @buckets
// CHECK: kernel.func
// CHECK-NOT: kernel.check
// CHECK: kernel.store
graph.func @buckets<[N]>(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %eight.0 = graph.constant 8 : i64 : !graph.tensor<[], i64>
  %eight = graph.broadcast %eight.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %last.0 = graph.constant 15 : i64 : !graph.tensor<[], i64>
  %last = graph.broadcast %last.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %size.0 = graph.constant 8.0 : f32 : !graph.tensor<[], f32>
  %size = graph.broadcast %size.0 [] : !graph.tensor<[], f32> -> !graph.tensor<[N], f32>
  %n = graph.iota : !graph.tensor<[N], i64>
  %f = graph.cast %n : !graph.tensor<[N], i64> -> !graph.tensor<[N], f32>
  %q = graph.div %f, %size : !graph.tensor<[N], f32>
  %l = graph.log %q : !graph.tensor<[N], f32>
  %i = graph.cast %l : !graph.tensor<[N], f32> -> !graph.tensor<[N], i64>
  %far = graph.add %i, %eight : !graph.tensor<[N], i64>
  %large = graph.min %far, %last : !graph.tensor<[N], i64>
  %near = graph.compare "lt" %n, %eight : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %place = graph.select %near, %n, %large : !graph.tensor<[N], i1>, !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// CHECK-LABEL: func.func @chosen
// CHECK: kernel.func
// CHECK-NOT: kernel.check
// CHECK: kernel.store
graph.func @chosen<[N]>(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %zero.0 = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %zero = graph.broadcast %zero.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %end.0 = graph.constant 16 : i64 : !graph.tensor<[], i64>
  %end = graph.broadcast %end.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %low = graph.compare "ge" %ids, %zero : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %high = graph.compare "gt" %end, %ids : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %in = graph.and %low, %high : !graph.tensor<[N], i1>
  %place = graph.select %in, %ids, %zero : !graph.tensor<[N], i1>, !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// The other way round, one place beyond, or where one of two conditions is enough, it is not.
// CHECK-LABEL: func.func @turned
// CHECK: kernel.check
graph.func @turned<[N]>(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %eight.0 = graph.constant 8 : i64 : !graph.tensor<[], i64>
  %eight = graph.broadcast %eight.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %last.0 = graph.constant 15 : i64 : !graph.tensor<[], i64>
  %last = graph.broadcast %last.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %size.0 = graph.constant 8.0 : f32 : !graph.tensor<[], f32>
  %size = graph.broadcast %size.0 [] : !graph.tensor<[], f32> -> !graph.tensor<[N], f32>
  %n = graph.iota : !graph.tensor<[N], i64>
  %f = graph.cast %n : !graph.tensor<[N], i64> -> !graph.tensor<[N], f32>
  %q = graph.div %f, %size : !graph.tensor<[N], f32>
  %l = graph.log %q : !graph.tensor<[N], f32>
  %i = graph.cast %l : !graph.tensor<[N], f32> -> !graph.tensor<[N], i64>
  %far = graph.add %i, %eight : !graph.tensor<[N], i64>
  %large = graph.min %far, %last : !graph.tensor<[N], i64>
  %near = graph.compare "lt" %n, %eight : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %place = graph.select %near, %large, %n : !graph.tensor<[N], i1>, !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// CHECK-LABEL: func.func @beyond
// CHECK: kernel.check
graph.func @beyond<[N]>(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %eight.0 = graph.constant 8 : i64 : !graph.tensor<[], i64>
  %eight = graph.broadcast %eight.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %last.0 = graph.constant 16 : i64 : !graph.tensor<[], i64>
  %last = graph.broadcast %last.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %size.0 = graph.constant 8.0 : f32 : !graph.tensor<[], f32>
  %size = graph.broadcast %size.0 [] : !graph.tensor<[], f32> -> !graph.tensor<[N], f32>
  %n = graph.iota : !graph.tensor<[N], i64>
  %f = graph.cast %n : !graph.tensor<[N], i64> -> !graph.tensor<[N], f32>
  %q = graph.div %f, %size : !graph.tensor<[N], f32>
  %l = graph.log %q : !graph.tensor<[N], f32>
  %i = graph.cast %l : !graph.tensor<[N], f32> -> !graph.tensor<[N], i64>
  %far = graph.add %i, %eight : !graph.tensor<[N], i64>
  %large = graph.min %far, %last : !graph.tensor<[N], i64>
  %near = graph.compare "lt" %n, %eight : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %place = graph.select %near, %n, %large : !graph.tensor<[N], i1>, !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// CHECK-LABEL: func.func @either
// CHECK: kernel.check
graph.func @either<[N]>(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %zero.0 = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %zero = graph.broadcast %zero.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %end.0 = graph.constant 16 : i64 : !graph.tensor<[], i64>
  %end = graph.broadcast %end.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[N], i64>
  %low = graph.compare "ge" %ids, %zero : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %high = graph.compare "gt" %end, %ids : !graph.tensor<[N], i64> -> !graph.tensor<[N], i1>
  %in = graph.or %low, %high : !graph.tensor<[N], i1>
  %place = graph.select %in, %ids, %zero : !graph.tensor<[N], i1>, !graph.tensor<[N], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// A condition says nothing of other places.
// CHECK-LABEL: func.func @elsewhere
// CHECK: kernel.check
graph.func @elsewhere(%x: !graph.tensor<[16, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[8], i64> {graph.input = "ids"})
    -> (!graph.tensor<[8, 4], f32> {graph.output = "y"}) attributes {entry} {
  %zero.0 = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %zero = graph.broadcast %zero.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[8], i64>
  %end.0 = graph.constant 16 : i64 : !graph.tensor<[], i64>
  %end = graph.broadcast %end.0 [] : !graph.tensor<[], i64> -> !graph.tensor<[8], i64>
  %low = graph.compare "ge" %ids, %zero : !graph.tensor<[8], i64> -> !graph.tensor<[8], i1>
  %high = graph.compare "gt" %end, %ids : !graph.tensor<[8], i64> -> !graph.tensor<[8], i1>
  %in = graph.and %low, %high : !graph.tensor<[8], i1>
  %flat = graph.reshape %ids : !graph.tensor<[8], i64> -> !graph.tensor<[2, 4], i64>
  %turned = graph.transpose %flat [1, 0] : !graph.tensor<[2, 4], i64> -> !graph.tensor<[4, 2], i64>
  %other = graph.reshape %turned : !graph.tensor<[4, 2], i64> -> !graph.tensor<[8], i64>
  %place = graph.select %in, %other, %zero : !graph.tensor<[8], i1>, !graph.tensor<[8], i64>
  %y = graph.gather %x at %place [0] : !graph.tensor<[16, 4], f32>, !graph.tensor<[8], i64> -> !graph.tensor<[8, 4], f32>
  graph.return %y : !graph.tensor<[8, 4], f32>
}

// -----

// Others are checked.
// CHECK-LABEL: func.func @outside
// CHECK: kernel.check
graph.func @outside<[N]>(%x: !graph.tensor<[N, 4], f32> {graph.input = "x"}, %ids: !graph.tensor<[N], i64> {graph.input = "ids"})
    -> (!graph.tensor<[N, 4], f32> {graph.output = "y"}) attributes {entry} {
  %y = graph.gather %x at %ids [0] : !graph.tensor<[N, 4], f32>, !graph.tensor<[N], i64> -> !graph.tensor<[N, 4], f32>
  graph.return %y : !graph.tensor<[N, 4], f32>
}

// -----

// Operands of other sizes than the buffer that they lie in, but of a memref type that is the same, are views of it nevertheless.
// CHECK-LABEL: func.func @regrouped
// CHECK-SAME: %[[Q:[^ ]*]]: memref<?x?x?x?xf32> {fovea.name = "q"
// CHECK-SAME: %[[Y:[^ ]*]]: memref<?x?x?x?xf32> {fovea.name = "y"
// CHECK-DAG: %[[ROWS:.*]] = memref.reinterpret_cast %[[Q]] {{.*}} : memref<?x?x?x?xf32> to memref<?x?x?x?xf32>
// CHECK-DAG: %[[RESULT:.*]] = memref.reinterpret_cast %[[Y]] {{.*}} : memref<?x?x?x?xf32> to memref<?x?x?x?xf32>
// CHECK: kernel.launch @matmul(%[[ROWS]], %{{.*}}, %[[RESULT]])
graph.func @regrouped<[B, H, T, D, S]>(%q: !graph.tensor<[B, 2*H, T, D], f32> {graph.input = "q"}, %k: !graph.tensor<[B, H, S, D], f32> {graph.input = "k"})
    -> (!graph.tensor<[B, 2*H, T, S], f32> {graph.output = "y"}) {
  %0 = graph.reshape %q : <[B, 2*H, T, D], f32> -> <[B, H, 2, T, D], f32>
  %1 = graph.contract %0 [0, 1, 2, 3, 4], %k [0, 1, 5, 4] -> [0, 1, 2, 3, 5] : <[B, H, 2, T, D], f32>, <[B, H, S, D], f32> -> <[B, H, 2, T, S], f32>
  %2 = graph.reshape %1 : <[B, H, 2, T, S], f32> -> <[B, 2*H, T, S], f32>
  graph.return %2 : !graph.tensor<[B, 2*H, T, S], f32>
}
