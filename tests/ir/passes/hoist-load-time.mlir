// RUN: fovea-opt %s --graph-hoist-load-time --split-input-file | FileCheck %s

// Packing of a param moves to the prepare function; the param is no argument any more. Equal values of two entries are one.
// CHECK-LABEL: graph.func @a
// CHECK-SAME: (%[[X:[^,]*]]: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %[[P:[^,]*]]: !graph.tensor<[2, 8, 16], f32> {graph.derived = "w.pack"})
// CHECK-NEXT: graph.contract %[[X]] [0, 1], %[[P]] [1, 2] -> [0, 2] {packed}
// CHECK-LABEL: graph.func @b
// CHECK-SAME: {graph.derived = "w.pack"})
// CHECK-NOT: graph.pack
// CHECK-LABEL: graph.func @prepare
// CHECK-SAME: (%[[W:[^,]*]]: !graph.tensor<[20, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[2, 8, 16], f32> {graph.derived = "w.pack"})
// CHECK-SAME: prepare
// CHECK: graph.transpose %[[W]]
// CHECK: %[[R:.*]] = graph.pack
// CHECK-NOT: graph.pack
// CHECK: graph.return %[[R]] : !graph.tensor<[2, 8, 16], f32>
graph.func @a<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[20, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 20], f32> {graph.output = "y"}) attributes {entry} {
  %t = graph.transpose %w [1, 0] : !graph.tensor<[20, 8], f32> -> !graph.tensor<[8, 20], f32>
  %p = graph.pack %t {panel = 16} : !graph.tensor<[8, 20], f32> -> !graph.tensor<[2, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f32>, !graph.tensor<[2, 8, 16], f32> -> !graph.tensor<[B, 20], f32>
  graph.return %y : !graph.tensor<[B, 20], f32>
}
graph.func @b<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[20, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 20], f32> {graph.output = "y"}) attributes {entry} {
  %t = graph.transpose %w [1, 0] : !graph.tensor<[20, 8], f32> -> !graph.tensor<[8, 20], f32>
  %p = graph.pack %t {panel = 16} : !graph.tensor<[8, 20], f32> -> !graph.tensor<[2, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[B, 8], f32>, !graph.tensor<[2, 8, 16], f32> -> !graph.tensor<[B, 20], f32>
  graph.return %y : !graph.tensor<[B, 20], f32>
}

// -----

// A layer's derived values are computed for each of its calls, and passed to it.
// CHECK-LABEL: graph.func @main
// CHECK-SAME: %[[P0:[^,]*]]: !graph.tensor<[1, 8, 16], f32> {graph.derived = "layers.0.w.pack"}, %[[P1:[^,]*]]: !graph.tensor<[1, 8, 16], f32> {graph.derived = "layers.1.w.pack"})
// CHECK-NOT: @layer.prepare
// CHECK: %[[Y:.*]] = graph.call @layer [B](%{{[^,]*}}, %[[P0]])
// CHECK: graph.call @layer [B](%[[Y]], %[[P1]])
// CHECK-LABEL: graph.func private @layer
// CHECK-SAME: (%{{.*}}: !graph.tensor<[N, 8], f32>, %{{.*}}: !graph.tensor<[1, 8, 16], f32> {graph.derived = "w.pack"})
// CHECK-NOT: graph.pack
// CHECK-LABEL: graph.func private @layer.prepare
// CHECK: graph.pack
// CHECK-LABEL: graph.func @prepare
// CHECK-SAME: {graph.param = "layers.0.w"}, {{.*}} {graph.param = "layers.1.w"}
// CHECK-COUNT-2: graph.call @layer.prepare
graph.func @main<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w0: !graph.tensor<[8, 8], f32> {graph.param = "layers.0.w"}, %w1: !graph.tensor<[8, 8], f32> {graph.param = "layers.1.w"}) -> (!graph.tensor<[B, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.call @layer[B](%x, %w0) {path = "layers.0"} : (!graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, 8], f32>
  %1 = graph.call @layer[B](%0, %w1) {path = "layers.1"} : (!graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, 8], f32>
  graph.return %1 : !graph.tensor<[B, 8], f32>
}
graph.func private @layer<[N]>(%x: !graph.tensor<[N, 8], f32>, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> !graph.tensor<[N, 8], f32> attributes {layer} {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 8], f32> -> !graph.tensor<[1, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[N, 8], f32>, !graph.tensor<[1, 8, 16], f32> -> !graph.tensor<[N, 8], f32>
  graph.return %y : !graph.tensor<[N, 8], f32>
}

// -----

// Two entries call the layer with the same params at other paths: its values are derived once.
// CHECK-LABEL: graph.func @first
// CHECK-SAME: {graph.derived = "l.w.pack"}
// CHECK-LABEL: graph.func @second
// CHECK-SAME: {graph.derived = "l.w.pack"}
// CHECK-LABEL: graph.func @prepare
// CHECK-COUNT-1: graph.call @layer.prepare
// CHECK-NOT: graph.call
graph.func @first<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.call @layer[B](%x, %w) {path = "l"} : (!graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, 8], f32>
  graph.return %0 : !graph.tensor<[B, 8], f32>
}
graph.func @second<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.call @layer[B](%x, %w) {path = "first.l"} : (!graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, 8], f32>
  graph.return %0 : !graph.tensor<[B, 8], f32>
}
graph.func private @layer<[N]>(%x: !graph.tensor<[N, 8], f32>, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> !graph.tensor<[N, 8], f32> attributes {layer} {
  %p = graph.pack %w {panel = 16} : !graph.tensor<[8, 8], f32> -> !graph.tensor<[1, 8, 16], f32>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[N, 8], f32>, !graph.tensor<[1, 8, 16], f32> -> !graph.tensor<[N, 8], f32>
  graph.return %y : !graph.tensor<[N, 8], f32>
}

// -----

// Must not fire: a view, a widening cast, a state, an input, constants, a size that is a symbol, a param that is written.
// CHECK-LABEL: graph.func @misses
// CHECK-NOT: derived
// CHECK: graph.transpose
// CHECK: graph.cast
// CHECK-COUNT-5: graph.exp
// CHECK-NOT: @prepare
graph.func @misses<[T]>(%x: !graph.tensor<[T], f32> {graph.input = "x"}, %i: !graph.tensor<[8], f32> {graph.input = "i"}, %w: !graph.tensor<[4, 8], f32> {graph.param = "w"}, %s: !graph.tensor<[8], f32> {graph.state = "s"}, %h: !graph.tensor<[4], bf16> {graph.param = "h"}, %u: !graph.tensor<[8], f32> {graph.param = "u"}, %b: !graph.tensor<[], f32> {graph.param = "b"})
    -> (!graph.tensor<[8, 4], f32> {graph.output = "a"}, !graph.tensor<[4], f32> {graph.output = "b"}, !graph.tensor<[8], f32> {graph.output = "c"}, !graph.tensor<[8], f32> {graph.output = "d"}, !graph.tensor<[], f32> {graph.output = "e"}, !graph.tensor<[T], f32> {graph.output = "f"}, !graph.tensor<[8], f32> {graph.state = "u"}) attributes {entry} {
  %a = graph.transpose %w [1, 0] : !graph.tensor<[4, 8], f32> -> !graph.tensor<[8, 4], f32>
  %hc = graph.cast %h : !graph.tensor<[4], bf16> -> !graph.tensor<[4], f32>
  %c = graph.exp %s : !graph.tensor<[8], f32>
  %d = graph.exp %i : !graph.tensor<[8], f32>
  %one = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
  %e = graph.exp %one : !graph.tensor<[], f32>
  %bb = graph.broadcast %b [] : !graph.tensor<[], f32> -> !graph.tensor<[T], f32>
  %f = graph.exp %bb : !graph.tensor<[T], f32>
  %g = graph.exp %u : !graph.tensor<[8], f32>
  graph.return %a, %hc, %c, %d, %e, %f, %g : !graph.tensor<[8, 4], f32>, !graph.tensor<[4], f32>, !graph.tensor<[8], f32>, !graph.tensor<[8], f32>, !graph.tensor<[], f32>, !graph.tensor<[T], f32>, !graph.tensor<[8], f32>
}

// -----

// Integers stay, with what computes them; what they are computed from, and what is computed with them, moves.
// CHECK-LABEL: graph.func @indices
// CHECK-SAME: (%[[X:[^,]*]]: !graph.tensor<[10], f32> {graph.input = "x"}, %[[I:[^,]*]]: !graph.tensor<[8], i64> {graph.param = "i"}, %[[G:[^,]*]]: !graph.tensor<[8], f32> {graph.derived = "i+1.gather"}, %[[E:[^,]*]]: !graph.tensor<[8], f32> {graph.derived = "w.exp"})
// CHECK-DAG: %[[MAX:.*]] = graph.max %[[I]]
// CHECK-DAG: graph.gather %[[X]] at %[[MAX]]
// CHECK-DAG: %[[CAST:.*]] = graph.cast %[[E]]
// CHECK-DAG: graph.gather %[[X]] at %[[CAST]]
// CHECK-DAG: graph.slice %[[X]]
// CHECK-DAG: graph.add {{.*}}, %[[G]]
// CHECK-LABEL: graph.func @prepare
// CHECK-DAG: %[[R1:.*]] = graph.gather
// CHECK-DAG: %[[R2:.*]] = graph.exp
// CHECK: graph.return %[[R1]], %[[R2]] : !graph.tensor<[8], f32>, !graph.tensor<[8], f32>
graph.func @indices(%x: !graph.tensor<[10], f32> {graph.input = "x"}, %i: !graph.tensor<[8], i64> {graph.param = "i"}, %w: !graph.tensor<[8], f32> {graph.param = "w"})
    -> (!graph.tensor<[8], f32> {graph.output = "a"}, !graph.tensor<[8], f32> {graph.output = "b"}, !graph.tensor<[8], f32> {graph.output = "c"}) attributes {entry} {
  %zero = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], i64> -> !graph.tensor<[8], i64>
  %max = graph.max %i, %zeros : !graph.tensor<[8], i64>
  %a = graph.gather %x at %max [0] : !graph.tensor<[10], f32>, !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %exp = graph.exp %w : !graph.tensor<[8], f32>
  %cast = graph.cast %exp : !graph.tensor<[8], f32> -> !graph.tensor<[8], i64>
  %b = graph.gather %x at %cast [0] : !graph.tensor<[10], f32>, !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %s = graph.slice %x {axis = 0, start = #graph.dim<1>, step = 1} : !graph.tensor<[10], f32> -> !graph.tensor<[8], f32>
  %g = graph.gather %w at %max [0] : !graph.tensor<[8], f32>, !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %c = graph.add %s, %g : !graph.tensor<[8], f32>
  graph.return %a, %b, %c : !graph.tensor<[8], f32>, !graph.tensor<[8], f32>, !graph.tensor<[8], f32>
}

// -----

// Panels of integers move: nothing reads them as indices. So does what the prepare function of a layer makes of them.
// CHECK-LABEL: graph.func @narrow
// CHECK-SAME: !graph.tensor<[1, 8, 16], i8> {graph.derived = "l.w.pack"})
// CHECK-LABEL: graph.func private @layer
// CHECK-SAME: !graph.tensor<[1, 8, 16], i8> {graph.derived = "w.pack"})
// CHECK-LABEL: graph.func private @layer.prepare
// CHECK: graph.cast
// CHECK: graph.pack
// CHECK-LABEL: graph.func @prepare
graph.func @narrow<[B]>(%x: !graph.tensor<[B, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "l.w"}) -> (!graph.tensor<[B, 8], f32> {graph.output = "y"}) attributes {entry} {
  %0 = graph.call @layer[B](%x, %w) {path = "l"} : (!graph.tensor<[B, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, 8], f32>
  graph.return %0 : !graph.tensor<[B, 8], f32>
}
graph.func private @layer<[N]>(%x: !graph.tensor<[N, 8], f32>, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"}) -> !graph.tensor<[N, 8], f32> attributes {layer} {
  %i = graph.cast %w : !graph.tensor<[8, 8], f32> -> !graph.tensor<[8, 8], i8>
  %p = graph.pack %i {panel = 16} : !graph.tensor<[8, 8], i8> -> !graph.tensor<[1, 8, 16], i8>
  %y = graph.contract %x [0, 1], %p [1, 2] -> [0, 2] {packed} : !graph.tensor<[N, 8], f32>, !graph.tensor<[1, 8, 16], i8> -> !graph.tensor<[N, 8], f32>
  graph.return %y : !graph.tensor<[N, 8], f32>
}

// -----

// What is proved of a float may make an index as well, and stays; a float of a known range that makes none moves.
// CHECK-LABEL: graph.func @known
// CHECK-SAME: {graph.param = "i"}, %[[ABS:[^,]*]]: !graph.tensor<[8], f32> {graph.derived = "w.abs"})
// CHECK: %[[F:.*]] = graph.cast
// CHECK: %[[I:.*]] = graph.cast %[[F]]
// CHECK: graph.gather %{{.*}} %[[I]]
// CHECK: graph.add %{{.*}}, %[[ABS]]
// CHECK-LABEL: graph.func @prepare
// CHECK-SAME: (%{{.*}} {graph.param = "w"}) ->
graph.func @known(%x: !graph.tensor<[10], f32> {graph.input = "x"}, %y: !graph.tensor<[8], f32> {graph.input = "y"}, %i: !graph.tensor<[8], i64> {graph.param = "i"}, %w: !graph.tensor<[8], f32> {graph.param = "w"})
    -> (!graph.tensor<[8], f32> {graph.output = "a"}, !graph.tensor<[8], f32> {graph.output = "b"}) attributes {entry} {
  %zero = graph.constant 0 : i64 : !graph.tensor<[], i64>
  %nine = graph.constant 9 : i64 : !graph.tensor<[], i64>
  %zeros = graph.broadcast %zero [] : !graph.tensor<[], i64> -> !graph.tensor<[8], i64>
  %nines = graph.broadcast %nine [] : !graph.tensor<[], i64> -> !graph.tensor<[8], i64>
  %max = graph.max %i, %zeros : !graph.tensor<[8], i64>
  %min = graph.min %max, %nines : !graph.tensor<[8], i64>
  %f = graph.cast %min : !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %j = graph.cast %f : !graph.tensor<[8], f32> -> !graph.tensor<[8], i64>
  %a = graph.gather %x at %j [0] : !graph.tensor<[10], f32>, !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %abs = graph.abs %w : !graph.tensor<[8], f32>
  %b = graph.add %y, %abs : !graph.tensor<[8], f32>
  graph.return %a, %b : !graph.tensor<[8], f32>, !graph.tensor<[8], f32>
}

// -----

// Regions of attention may read by what they capture: of captures, those of a known range stay.
// CHECK-LABEL: graph.func @captures
// CHECK-SAME: {graph.param = "i"}, %[[E:[^,]*]]: !graph.tensor<[8], f32> {graph.derived = "w.exp"})
// CHECK: %[[F:.*]] = graph.cast
// CHECK: captures(%[[F]], %[[E]])
graph.func @captures<[B]>(%q: !graph.tensor<[B, 8, 16], f32> {graph.input = "q"}, %i: !graph.tensor<[8], i64> {graph.param = "i"}, %w: !graph.tensor<[8], f32> {graph.param = "w"}) -> (!graph.tensor<[B, 8, 16], f32> {graph.output = "y"}) attributes {entry} {
  %f = graph.cast %i : !graph.tensor<[8], i64> -> !graph.tensor<[8], f32>
  %e = graph.exp %w : !graph.tensor<[8], f32>
  %y = graph.attention q(%q) k(%q) v(%q) captures(%f, %e) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    %0 = graph.at %f[%j] : <[8], f32> -> f32
    %1 = arith.addf %s, %0 : f32
    %2 = graph.at %e[%j] : <[8], f32> -> f32
    %3 = arith.addf %1, %2 : f32
    graph.yield %3 : f32
  } mask {
  } : (!graph.tensor<[B, 8, 16], f32>, !graph.tensor<[B, 8, 16], f32>, !graph.tensor<[B, 8, 16], f32>, !graph.tensor<[8], f32>, !graph.tensor<[8], f32>) -> !graph.tensor<[B, 8, 16], f32>
  graph.return %y : !graph.tensor<[B, 8, 16], f32>
}
