// RUN: fovea-opt %s --split-input-file --graph-differentiate --verify-diagnostics

graph.func @f(%a: !graph.tensor<[3, 2], f32> {graph.input = "a"}) -> (!graph.tensor<[3, 2], f32> {graph.output = "da"}) attributes {entry} {
  // expected-error@+1 {{`pack` has no derivative}}
  %y = graph.pack %a {panel = 2} : <[3, 2], f32> -> <[1, 3, 2], f32>
  %loss = graph.reduce "sum" %y [0, 1, 2] : <[1, 3, 2], f32> -> <[], f32>
  // expected-note@+1 {{a gradient is asked for here}}
  %d = graph.grad %loss wrt(%a) : (!graph.tensor<[], f32>, !graph.tensor<[3, 2], f32>) -> !graph.tensor<[3, 2], f32>
  graph.return %d : !graph.tensor<[3, 2], f32>
}
