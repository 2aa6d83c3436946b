// A case for each numbered constraint of GraphOps.td, and for the text form of sizes.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

// type: element
// expected-error@+1 {{element type must be one of f32 f16 bf16 f64 i64 i32 i8 i1}}
graph.func private @f(%x: !graph.tensor<[2], i16>) {
  graph.return
}

// -----

// type: negative size
// expected-error@+1 {{sizes are at least 0}}
graph.func private @f(%x: !graph.tensor<[2-3], f32>) {
  graph.return
}

// -----

// type: overflow
// expected-error@+1 {{the size's coefficients leave 64 bits}}
graph.func private @f<[T]>(%x: !graph.tensor<[9223372036854775807*T+T], f32>) {
  graph.return
}

// -----

// type: no expression
// expected-error@+1 {{expected a size: a name, an integer or an expression of them}}
graph.func private @f(%x: !graph.tensor<[+], f32>) {
  graph.return
}

// -----

// type: unknown function
// expected-error@+1 {{unknown function of sizes: sqrt}}
graph.func private @f<[T]>(%x: !graph.tensor<[sqrt(T, T)], f32>) {
  graph.return
}

// -----

// require (C1)
// expected-error@+1 {{(C1) relation must be one of eq ne lt le gt ge, got ==}}
graph.func @f<[T]>() attributes {requirements = [#graph.require<T, "==", 3, "", "">]} {
  graph.return
}

// -----

// func (C1): undeclared in a type
graph.func @f<[B]>(%x: !graph.tensor<[B], f32>) {
  // expected-error@+1 {{(C1) uses the symbol 'T', which 'f' does not declare}}
  %0 = graph.iota : !graph.tensor<[T], i64>
  graph.return
}

// -----

// func (C1): undeclared in a precondition
// expected-error@+1 {{(C1) uses the symbol 'T', which 'f' does not declare}}
graph.func @f() attributes {requirements = [#graph.require<T, "le", 3, "", "">]} {
  graph.return
}

// -----

// func (C1): twice
// expected-error@+1 {{(C1) declares the symbol "B" twice}}
graph.func @f<[B, B]>() {
  graph.return
}

// -----

// func (C2)
// expected-error@+1 {{(C2) the body is one block that ends with graph.return}}
graph.func @f() {
  %0 = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
}

// -----

// return (C2)
graph.func @f(%x: !graph.tensor<[2], f32>) -> !graph.tensor<[3], f32> {
  // expected-error@+1 {{(C2) operand types must be the function's result types}}
  graph.return %x : !graph.tensor<[2], f32>
}

// -----

// call (C1)
graph.func @f() {
  // expected-error@+1 {{(C1) @g is not a graph.func}}
  graph.call @g[]() : () -> ()
  graph.return
}

// -----

// call (C2)
graph.func @g<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
  graph.return %x : !graph.tensor<[N], f32>
}
graph.func @f(%x: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C2) gives 2 sizes, but @g has 1 symbols}}
  %0 = graph.call @g[2, 2](%x) : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// call (C3): operand
graph.func @g<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
  graph.return %x : !graph.tensor<[N], f32>
}
graph.func @f(%x: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) operand 0 is '!graph.tensor<[2], f32>', but @g has '!graph.tensor<[3], f32>'}}
  %0 = graph.call @g[3](%x) : (!graph.tensor<[2], f32>) -> !graph.tensor<[3], f32>
  graph.return
}

// -----

// call (C3): result
graph.func @g<[N]>(%x: !graph.tensor<[N], f32>) -> !graph.tensor<[N], f32> {
  graph.return %x : !graph.tensor<[N], f32>
}
graph.func @f(%x: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) result 0 is}}
  %0 = graph.call @g[2](%x) : (!graph.tensor<[2], f32>) -> !graph.tensor<[3], f32>
  graph.return
}

// -----

// constant (C1)
graph.func @f() {
  // expected-error@+1 {{(C1) is a scalar}}
  %0 = graph.constant 1.0 : f32 : !graph.tensor<[2], f32>
  graph.return
}

// -----

// constant (C2)
graph.func @f() {
  // expected-error@+1 {{(C2) the value}}
  %0 = graph.constant 1.0 : f64 : !graph.tensor<[], f32>
  graph.return
}

// -----

// dim (C1)
graph.func @f() {
  // expected-error@+1 {{(C1) gives a rank-0 i64}}
  %0 = graph.dim <3> : !graph.tensor<[], f32>
  graph.return
}

// -----

// iota (C1)
graph.func @f() {
  // expected-error@+1 {{(C1) gives a rank-1 i64}}
  %0 = graph.iota : !graph.tensor<[2, 3], i64>
  graph.return
}

// -----

// elementwise (E1)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(E1) operands and result have one shape}}
  %0 = graph.cast %a : <[2], f32> -> <[3], f32>
  graph.return
}

// -----

// elementwise (E2): float op
graph.func @f(%a: !graph.tensor<[2], i64>) {
  // expected-error@+1 {{(E2) is not defined for elements of type}}
  %0 = graph.exp %a : <[2], i64>
  graph.return
}

// -----

// elementwise (E2): bool op
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(E2) is not defined for elements of type}}
  %0 = graph.and %a, %a : <[2], f32>
  graph.return
}

// -----

// elementwise (E2): number op
graph.func @f(%a: !graph.tensor<[2], i1>) {
  // expected-error@+1 {{(E2) is not defined for elements of type}}
  %0 = graph.add %a, %a : <[2], i1>
  graph.return
}

// -----

// compare (C1)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) predicate must be one of eq ne lt le gt ge}}
  %0 = graph.compare "less" %a, %a : <[2], f32> -> <[2], i1>
  graph.return
}

// -----

// compare (C2)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C2) gives i1}}
  %0 = graph.compare "lt" %a, %a : <[2], f32> -> <[2], i8>
  graph.return
}

// -----

// select (C1)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) the condition is i1}}
  %0 = graph.select %a, %a, %a : <[2], f32>, <[2], f32>
  graph.return
}

// -----

// broadcast (C1)
graph.func @f(%a: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C1) axes are ascending result axes, one for each of the operand}}
  %0 = graph.broadcast %a [1, 0] : <[2, 3], f32> -> <[3, 2], f32>
  graph.return
}

// -----

// broadcast (C1): out of range
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) axes are ascending result axes, one for each of the operand}}
  %0 = graph.broadcast %a [2] : <[2], f32> -> <[3, 2], f32>
  graph.return
}

// -----

// broadcast (C2): a size that may be 1 is not 1
graph.func @f<[B, T]>(%a: !graph.tensor<[B], f32>) {
  // expected-error@+1 {{(C2) operand axis 0 has size B, result axis 0 has T}}
  %0 = graph.broadcast %a [0] : <[B], f32> -> <[T], f32>
  graph.return
}

// -----

// broadcast (C3)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) element types differ}}
  %0 = graph.broadcast %a [0] : <[2], f32> -> <[2, 3], i64>
  graph.return
}

// -----

// reshape (C1)
graph.func @f<[B, T]>(%a: !graph.tensor<[B, T], f32>) {
  // expected-error@+1 {{(C1) has B*T elements, the result has 2*B}}
  %0 = graph.reshape %a : <[B, T], f32> -> <[2*B], f32>
  graph.return
}

// -----

// reshape (C2)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C2) element types differ}}
  %0 = graph.reshape %a : <[2], f32> -> <[2], i64>
  graph.return
}

// -----

// transpose (C1)
graph.func @f(%a: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C1) the permutation names each of the operand}}
  %0 = graph.transpose %a [1, 1] : <[2, 3], f32> -> <[3, 2], f32>
  graph.return
}

// -----

// transpose (C2)
graph.func @f(%a: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C2) gives}}
  %0 = graph.transpose %a [1, 0] : <[2, 3], f32> -> <[2, 3], f32>
  graph.return
}

// -----

// slice (C1)
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C1) axis 1 is not one of}}
  %0 = graph.slice %a {axis = 1, start = #graph.dim<0>} : <[4], f32> -> <[2], f32>
  graph.return
}

// -----

// slice (C1): negative
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C1) axis -1 is not one of}}
  %0 = graph.slice %a {axis = -1, start = #graph.dim<0>} : <[4], f32> -> <[2], f32>
  graph.return
}

// -----

// slice (C2)
graph.func @f(%a: !graph.tensor<[4, 4], f32>) {
  // expected-error@+1 {{(C2)}}
  %0 = graph.slice %a {axis = 1, start = #graph.dim<0>} : <[4, 4], f32> -> <[2, 2], f32>
  graph.return
}

// -----

// slice (C3): none
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C3) has exactly one start}}
  %0 = graph.slice %a {axis = 0} : <[4], f32> -> <[2], f32>
  graph.return
}

// -----

// slice (C3): two
graph.func @f(%a: !graph.tensor<[4], f32>, %b: !graph.tensor<[], i64>) {
  // expected-error@+1 {{(C3) has exactly one start}}
  %0 = graph.slice %a at %b {axis = 0, start = #graph.dim<0>} : <[4], f32>, !graph.tensor<[], i64> -> <[2], f32>
  graph.return
}

// -----

// slice (C3): type
graph.func @f(%a: !graph.tensor<[4], f32>, %b: !graph.tensor<[], i32>) {
  // expected-error@+1 {{(C3) the start is a rank-0 i64}}
  %0 = graph.slice %a at %b {axis = 0} : <[4], f32>, !graph.tensor<[], i32> -> <[2], f32>
  graph.return
}

// -----

// slice (C4)
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C4) step is not 0}}
  %0 = graph.slice %a {axis = 0, start = #graph.dim<0>, step = 0} : <[4], f32> -> <[2], f32>
  graph.return
}

// -----

// update_slice (C2)
graph.func @f(%a: !graph.tensor<[4], f32>, %b: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C2) the result's type is x's}}
  %0 = graph.update_slice %a, %b {axis = 0, start = #graph.dim<0>} : <[4], f32>, <[2], f32> -> <[2], f32>
  graph.return
}

// -----

// gather (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>) {
  // expected-error@+1 {{(C1) 1 index tensors for axes that are not as many ascending ones of}}
  %0 = graph.gather %a at %b [2] : <[4, 2], f32>, !graph.tensor<[3], i64> -> <[3, 2], f32>
  graph.return
}

// -----

// gather (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>) {
  // expected-error@+1 {{(C1) 2 index tensors for axes that are not as many ascending ones of}}
  %0 = graph.gather %a at %b, %b [1, 0] : <[4, 2], f32>, !graph.tensor<[3], i64>, !graph.tensor<[3], i64> -> <[3], f32>
  graph.return
}

// -----

// gather (C2)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>, %c: !graph.tensor<[1], i64>) {
  // expected-error@+1 {{(C2) indices are i64 or i32 of one shape}}
  %0 = graph.gather %a at %b, %c [0, 1] : <[4, 2], f32>, !graph.tensor<[3], i64>, !graph.tensor<[1], i64> -> <[3], f32>
  graph.return
}

// -----

// attention (C6)
graph.func @f<[T, S, R]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[R, 8], f32>, %rows: !graph.tensor<[S], i32>) {
  // expected-error@+1 {{(C6) rows are i64 [batch..., S]}}
  %y = graph.attention q(%q) k(%x) v(%x) key_rows(%rows) value_rows(%rows) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[R, 8], f32>, !graph.tensor<[R, 8], f32>, !graph.tensor<[S], i32>, !graph.tensor<[S], i32>) -> !graph.tensor<[T, 8], f32>
  graph.return
}

// -----

// attention (C7): pieces of other columns
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %x: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[S+3, 8], f32>) {
  // expected-error@+1 {{(C7) '!graph.tensor<[S, 8], f32>' and '!graph.tensor<[3, 4], f32>' are not pieces of one tensor}}
  %y = graph.attention q(%q) k(%k, %x) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[S+3, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return
}

// -----

// attention (C7): joined keys
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %x: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[2*S, 8], f32>) {
  // expected-error@+1 {{(C7) pieces of keys are not joined}}
  %y = graph.attention q(%q) k(%x, %x) joined(%q by %x) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[2*S, 8], f32>) -> !graph.tensor<[T, 8], f32>
  graph.return
}

// -----

// scatter (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>, %v: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C1) 1 index tensors for axes that are not as many ascending ones of}}
  %0 = graph.scatter %a, %v at %b [2] : <[4, 2], f32>, <[3, 2], f32>, !graph.tensor<[3], i64> -> <[4, 2], f32>
  graph.return
}

// -----

// scatter (C2)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], f32>, %v: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C2) indices are i64 or i32}}
  %0 = graph.scatter %a, %v at %b [0] : <[4, 2], f32>, <[3, 2], f32>, !graph.tensor<[3], f32> -> <[4, 2], f32>
  graph.return
}

// -----

// scatter (C5)
graph.func @f(%a: !graph.tensor<[4, 2], bf16>, %v: !graph.tensor<[3, 2], bf16>, %b: !graph.tensor<[3], i64>) {
  // expected-error@+1 {{(C5) adds f32, not 'bf16'}}
  %0 = graph.scatter %a, %v at %b [0] {adds} : <[4, 2], bf16>, <[3, 2], bf16>, !graph.tensor<[3], i64> -> <[4, 2], bf16>
  graph.return
}

// -----

// scatter (C3)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>, %v: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C3) takes}}
  %0 = graph.scatter %a, %v at %b [0] : <[4, 2], f32>, <[4, 2], f32>, !graph.tensor<[3], i64> -> <[4, 2], f32>
  graph.return
}

// -----

// scatter (C4)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>, %v: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C4) the result's type is x's}}
  %0 = graph.scatter %a, %v at %b [0] : <[4, 2], f32>, <[3, 2], f32>, !graph.tensor<[3], i64> -> <[3, 2], f32>
  graph.return
}

// -----

// gather (C2)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], f32>) {
  // expected-error@+1 {{(C2) indices are i64 or i32}}
  %0 = graph.gather %a at %b [0] : <[4, 2], f32>, !graph.tensor<[3], f32> -> <[3, 2], f32>
  graph.return
}

// -----

// gather (C3)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3], i64>) {
  // expected-error@+1 {{(C3) gives}}
  %0 = graph.gather %a at %b [1] : <[4, 2], f32>, !graph.tensor<[3], i64> -> <[3, 2], f32>
  graph.return
}

// -----

// concat (C1)
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C1) needs an operand and an axis in range}}
  %0 = graph.concat %a {axis = 1} : !graph.tensor<[4], f32> -> <[4], f32>
  graph.return
}

// -----

// concat (C2)
graph.func @f(%a: !graph.tensor<[4, 1], f32>, %b: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C2)}}
  %0 = graph.concat %a, %b {axis = 0} : !graph.tensor<[4, 1], f32>, !graph.tensor<[4, 2], f32> -> <[8, 1], f32>
  graph.return
}

// -----

// concat (C3)
graph.func @f<[T]>(%a: !graph.tensor<[T], f32>) {
  // expected-error@+1 {{(C3) sizes along axis 0 add up to 2*T, not T}}
  %0 = graph.concat %a, %a {axis = 0} : !graph.tensor<[T], f32>, !graph.tensor<[T], f32> -> <[T], f32>
  graph.return
}

// -----

// contract (C1): number
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C1) needs one label for each axis}}
  %0 = graph.contract %a [0], %a [0, 1] -> [0, 1] : <[4, 2], f32>, <[4, 2], f32> -> <[4, 2], f32>
  graph.return
}

// -----

// contract (C1): repeated
graph.func @f(%a: !graph.tensor<[4, 4], f32>) {
  // expected-error@+1 {{(C1) needs one label for each axis}}
  %0 = graph.contract %a [0, 0], %a [0, 1] -> [0, 1] : <[4, 4], f32>, <[4, 4], f32> -> <[4, 4], f32>
  graph.return
}

// -----

// contract (C2): unknown label
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C2) result label 7 is in neither operand}}
  %0 = graph.contract %a [0, 1], %a [0, 1] -> [7] : <[4, 2], f32>, <[4, 2], f32> -> <[4], f32>
  graph.return
}

// -----

// contract (C2): lost label
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C2) label 2 is in one operand alone and not in the result}}
  %0 = graph.contract %a [0, 1], %b [2, 1] -> [0] : <[4, 2], f32>, <[3, 2], f32> -> <[4], f32>
  graph.return
}

// -----

// contract (C3)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[3, 5], f32>) {
  // expected-error@+1 {{(C3) label 1 has the sizes}}
  %0 = graph.contract %a [0, 1], %b [2, 1] -> [0, 2] : <[4, 2], f32>, <[3, 5], f32> -> <[4, 3], f32>
  graph.return
}

// -----

// contract (C4)
graph.func @f(%a: !graph.tensor<[4, 2], i64>) {
  // expected-error@+1 {{(C4) element types are one float type}}
  %0 = graph.contract %a [0, 1], %a [2, 1] -> [0, 2] : <[4, 2], i64>, <[4, 2], i64> -> <[4, 4], i64>
  graph.return
}

// -----

// contract (C5): rank
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[2, 8], f32>) {
  // expected-error@+1 {{(C5) a packed rhs has rank 3 and two labels}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {packed} : <[4, 2], f32>, <[2, 8], f32> -> <[4, 8], f32>
  graph.return
}

// -----

// contract (C5): panels
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[2, 2, 8], f32>) {
  // expected-error@+1 {{(C5)}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {packed} : <[4, 2], f32>, <[2, 2, 8], f32> -> <[4, 8], f32>
  graph.return
}

// -----

// contract (C7)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %b: !graph.tensor<[2, 8], f32>) {
  // expected-error@+1 {{(C7) elements are hidden of one operand, which is not packed}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {hidden_lhs, hidden_rhs} : <[4, 2], f32>, <[2, 8], f32> -> <[4, 8], f32>
  graph.return
}

// -----

// contract (C5): panels of blocks
graph.func @f(%a: !graph.tensor<[4, 8], bf16>, %b: !graph.tensor<[2, 8, 16], bf16>) {
  // expected-error@+1 {{(C5)}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {k_block = 2, packed} : <[4, 8], bf16>, <[2, 8, 16], bf16> -> <[4, 16], f32>
  graph.return
}

// -----

// contract (C6): types
graph.func @f(%a: !graph.tensor<[4, 8], f32>, %b: !graph.tensor<[2, 4, 16], bf16>) {
  // expected-error@+1 {{(C6) a k_block is for packed operands of bf16 to f32 or of i8 to i32}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {k_block = 2, packed} : <[4, 8], f32>, <[2, 4, 16], bf16> -> <[4, 16], f32>
  graph.return
}

// -----

// contract (C6): the result's type
graph.func @f(%a: !graph.tensor<[4, 8], i8>, %b: !graph.tensor<[2, 2, 32], i8>) {
  // expected-error@+1 {{(C6) a k_block is for packed operands of bf16 to f32 or of i8 to i32}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {k_block = 4, packed} : <[4, 8], i8>, <[2, 2, 32], i8> -> <[4, 16], f32>
  graph.return
}

// -----

// contract (C6): not packed
graph.func @f(%a: !graph.tensor<[4, 8], bf16>, %b: !graph.tensor<[8, 16], bf16>) {
  // expected-error@+1 {{(C6) a k_block is for packed operands of bf16 to f32 or of i8 to i32}}
  %0 = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] {k_block = 2} : <[4, 8], bf16>, <[8, 16], bf16> -> <[4, 16], f32>
  graph.return
}

// -----

// contract (C6): the summed axis is not the last
graph.func @f(%a: !graph.tensor<[8, 4], i8>, %b: !graph.tensor<[2, 2, 32], i8>) {
  // expected-error@+1 {{(C6) with a k_block the last axis of lhs is summed}}
  %0 = graph.contract %a [1, 0], %b [1, 2] -> [0, 2] {k_block = 4, packed} : <[8, 4], i8>, <[2, 2, 32], i8> -> <[4, 16], i32>
  graph.return
}

// -----

// reduce (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C1) axes are ascending axes of}}
  %0 = graph.reduce "sum" %a [1, 0] : <[4, 2], f32> -> <[], f32>
  graph.return
}

// -----

// reduce (C2)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C2) gives}}
  %0 = graph.reduce "sum" %a [1] : <[4, 2], f32> -> <[2], f32>
  graph.return
}

// -----

// reduce (C3): kind
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C3) kind must be one of sum prod max min any all}}
  %0 = graph.reduce "mean" %a [1] : <[4, 2], f32> -> <[4], f32>
  graph.return
}

// -----

// reduce (C3): any of floats
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C3) any is not defined from}}
  %0 = graph.reduce "any" %a [1] : <[4, 2], f32> -> <[4], f32>
  graph.return
}

// -----

// reduce (C3): sum of bools
graph.func @f(%a: !graph.tensor<[4, 2], i1>) {
  // expected-error@+1 {{(C3) sum is not defined from}}
  %0 = graph.reduce "sum" %a [1] : <[4, 2], i1> -> <[4], i1>
  graph.return
}

// -----

// argmax (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C1) axis 2 is not one of}}
  %0 = graph.argmax %a {axis = 2} : <[4, 2], f32> -> <[4], i64>
  graph.return
}

// -----

// argmax (C2)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C2) gives i64}}
  %0 = graph.argmax %a {axis = 1} : <[4, 2], f32> -> <[4], i32>
  graph.return
}

// -----

// softmax (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C1) axis 2 is not one of}}
  %0 = graph.softmax %a {axis = 2} : <[4, 2], f32>
  graph.return
}

// -----

// softmax (C2)
graph.func @f(%a: !graph.tensor<[4, 2], i64>) {
  // expected-error@+1 {{(C2) is defined for floats}}
  %0 = graph.softmax %a {axis = 1} : <[4, 2], i64>
  graph.return
}

// -----

// softmax (C3)
graph.func @f(%a: !graph.tensor<[4, 2], f32>, %s: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) has a sink of}}
  %0 = graph.softmax %a sink %s {axis = 1} : <[4, 2], f32>, !graph.tensor<[2], f32>
  graph.return
}

// -----

// logsumexp (C1)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C1) axis 2 is not one of}}
  %0 = graph.logsumexp %a {axis = 2} : <[4, 2], f32> -> <[4], f32>
  graph.return
}

// -----

// logsumexp (C2)
graph.func @f(%a: !graph.tensor<[4, 2], i64>) {
  // expected-error@+1 {{(C2) is defined for floats}}
  %0 = graph.logsumexp %a {axis = 1} : <[4, 2], i64> -> <[4], i64>
  graph.return
}

// -----

// logsumexp (C3)
graph.func @f(%a: !graph.tensor<[4, 2], f32>) {
  // expected-error@+1 {{(C3) gives}}
  %0 = graph.logsumexp %a {axis = 1} : <[4, 2], f32> -> <[2], f32>
  graph.return
}

// -----

// pack (C1): rank
graph.func @f(%a: !graph.tensor<[4], f32>) {
  // expected-error@+1 {{(C1) packs [K, N] in panels}}
  %0 = graph.pack %a {panel = 8} : <[4], f32> -> <[1, 4, 8], f32>
  graph.return
}

// -----

// pack (C1): k_block
graph.func @f(%a: !graph.tensor<[6, 8], f32>) {
  // expected-error@+1 {{(C1) packs rows by a k_block that divides their number}}
  %0 = graph.pack %a {k_block = 4, panel = 8} : <[6, 8], f32> -> <[1, 2, 32], f32>
  graph.return
}

// -----

// pack (C1): type
graph.func @f(%a: !graph.tensor<[4, 9], f32>) {
  // expected-error@+1 {{(C1) gives}}
  %0 = graph.pack %a {panel = 8} : <[4, 9], f32> -> <[1, 4, 8], f32>
  graph.return
}

// -----

// linear_attention (C1)
graph.func @f<[S, T]>(%q: !graph.tensor<[S, 8], f32>, %k: !graph.tensor<[1, S, 8], f32>, %v: !graph.tensor<[S, 8], f32>) {
  // expected-error @below {{(C1) q, k, v and the result have one rank, at least 2}}
  %0 = graph.linear_attention q(%q) k(%k) v(%v) queries {} keys {} decay {} : (!graph.tensor<[S, 8], f32>, !graph.tensor<[1, S, 8], f32>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[S, 8], f32>
  graph.return
}

// -----

// linear_attention (C2): queries and keys
graph.func @f<[S, T]>(%q: !graph.tensor<[S, 8], f32>, %k: !graph.tensor<[T, 8], f32>, %v: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C2) has queries and keys of different numbers}}
  %0 = graph.linear_attention q(%q) k(%k) v(%v) queries {} keys {} decay {} : (!graph.tensor<[S, 8], f32>, !graph.tensor<[T, 8], f32>, !graph.tensor<[T, 8], f32>) -> !graph.tensor<[S, 8], f32>
  graph.return
}

// -----

// linear_attention (C3): arguments
graph.func @f<[S, T]>(%q: !graph.tensor<[S, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>) {
  // expected-error @below {{(C3) the decay block's arguments do not have the types}}
  %0 = graph.linear_attention q(%q) k(%k) v(%v) queries {} keys {} decay {
  ^bb0(%t: index):
    %one = arith.constant 1.0 : f32
    graph.yield %one : f32
  } : (!graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[S, 8], f32>
  graph.return
}

// -----

// linear_attention (C4)
graph.func @f<[S, T]>(%q: !graph.tensor<[S, 8], f32>, %k: !graph.tensor<[S, 8], f64>, %v: !graph.tensor<[S, 8], f32>) {
  // expected-error @below {{(C4) elements are f32, f16 or bf16}}
  %0 = graph.linear_attention q(%q) k(%k) v(%v) queries {} keys {} decay {} : (!graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f64>, !graph.tensor<[S, 8], f32>) -> !graph.tensor<[S, 8], f32>
  graph.return
}

// -----

// attention (C1): rank
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[1, 3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C1) q, k, v and the result have one rank, at least 2}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[1, 3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C1): batch
graph.func @f(%q: !graph.tensor<[7, 2, 4], f32>, %k: !graph.tensor<[6, 3, 4], f32>, %v: !graph.tensor<[7, 3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C1) batch sizes of}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[7, 2, 4], f32>, !graph.tensor<[6, 3, 4], f32>, !graph.tensor<[7, 3, 5], f32>) -> !graph.tensor<[7, 2, 5], f32>
  graph.return
}

// -----

// attention (C1): joined
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>) {
  // expected-error@+1 {{(C1) joins 2 queries by 1 keys}}
  %0 = graph.attention q(%q) k(%k) joined(%q, %q by %k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[2, 4], f32>, !graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>,
               !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C2): joined
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %a: !graph.tensor<[2, 6], f32>, %v: !graph.tensor<[3, 5], f32>) {
  // expected-error@+1 {{cannot be joined to}}
  %0 = graph.attention q(%q) k(%k) joined(%a by %k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[2, 6], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>)
    -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C4): joined
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %a: !graph.tensor<[2, 4], i8>, %v: !graph.tensor<[3, 5], f32>) {
  // expected-error@+1 {{(C4) elements are f32, f16 or bf16}}
  %0 = graph.attention q(%q) k(%k) joined(%a by %k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[2, 4], i8>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>)
    -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C1): sinks
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>, %sinks: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) sinks have the batch sizes}}
  %0 = graph.attention q(%q) k(%k) v(%v) sinks(%sinks) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C2): D
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 8], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C2)}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 8], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C2): S
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[4, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C2)}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[4, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C2): lse
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C2) lse is [batch..., T]}}
  %0:2 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> (!graph.tensor<[2, 5], f32>, !graph.tensor<[3], f32>)
  graph.return
}

// -----

// attention (C3): arguments
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C3) the score block}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C3): a factor without a softmax
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>) {
  // expected-error@+1 {{(C3) the score region ends with graph.yield of one}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s, %s : f32, f32
  } mask {} {normalizer = "pointwise"} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C3): result
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C3) the score region ends with graph.yield of one}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %j : index
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C3): mask
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C3) the mask block}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  ^bb0(%s: f32, %t: index, %j: index):
    %m = arith.constant true
    graph.yield %m : i1
  } : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C3): op
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C3) cannot stand in the score region}}
    %x = graph.iota : !graph.tensor<[2], i64>
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C3): not a capture
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C3) uses a value from outside that is not a capture read by graph.at}}
    %x = graph.at %c[%t, %j] : <[2, 3], f32> -> f32
    graph.yield %x : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C4)
graph.func @f(%q: !graph.tensor<[2, 4], i64>, %k: !graph.tensor<[3, 4], i64>, %v: !graph.tensor<[3, 5], i64>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C4) elements are f32, f16 or bf16}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], i64>, !graph.tensor<[3, 4], i64>, !graph.tensor<[3, 5], i64>) -> !graph.tensor<[2, 5], i64>
  graph.return
}

// -----

// attention (C4): lse
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C4) lse is f32}}
  %0:2 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> (!graph.tensor<[2, 5], f32>, !graph.tensor<[2], f16>)
  graph.return
}

// -----

// dot (C1)
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %k: !graph.tensor<[S, 4], f32>, %r: !graph.tensor<[9, 4], f32>, %w: !graph.tensor<[9, 3], f32>, %n: !graph.tensor<[9, 4], i64>) {
  %0 = graph.attention q(%q) k(%k) v(%k) captures(%q, %r, %w, %n) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C1) needs an index for each axis of}}
    %x = graph.dot %q[%t, %j] by 1, %r[%j] by 1 : <[T, 4], f32>, <[9, 4], f32>
    graph.yield %x : f32
  } mask {
  } : (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[T, 4], f32>, !graph.tensor<[9, 4], f32>, !graph.tensor<[9, 3], f32>, !graph.tensor<[9, 4], i64>) -> !graph.tensor<[T, 4], f32>
  graph.return
}

// -----

// dot (C1): axis
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %k: !graph.tensor<[S, 4], f32>, %r: !graph.tensor<[9, 4], f32>, %w: !graph.tensor<[9, 3], f32>, %n: !graph.tensor<[9, 4], i64>) {
  %0 = graph.attention q(%q) k(%k) v(%k) captures(%q, %r, %w, %n) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C1) needs an index for each axis of}}
    %x = graph.dot %q[%t] by 2, %r[%j] by 1 : <[T, 4], f32>, <[9, 4], f32>
    graph.yield %x : f32
  } mask {
  } : (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[T, 4], f32>, !graph.tensor<[9, 4], f32>, !graph.tensor<[9, 3], f32>, !graph.tensor<[9, 4], i64>) -> !graph.tensor<[T, 4], f32>
  graph.return
}

// -----

// dot (C2)
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %k: !graph.tensor<[S, 4], f32>, %r: !graph.tensor<[9, 4], f32>, %w: !graph.tensor<[9, 3], f32>, %n: !graph.tensor<[9, 4], i64>) {
  %0 = graph.attention q(%q) k(%k) v(%k) captures(%q, %r, %w, %n) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C2) sums over 4 and 3}}
    %x = graph.dot %q[%t] by 1, %w[%j] by 1 : <[T, 4], f32>, <[9, 3], f32>
    graph.yield %x : f32
  } mask {
  } : (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[T, 4], f32>, !graph.tensor<[9, 4], f32>, !graph.tensor<[9, 3], f32>, !graph.tensor<[9, 4], i64>) -> !graph.tensor<[T, 4], f32>
  graph.return
}

// -----

// dot (C3)
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 4], f32>, %k: !graph.tensor<[S, 4], f32>, %r: !graph.tensor<[9, 4], f32>, %w: !graph.tensor<[9, 3], f32>, %n: !graph.tensor<[9, 4], i64>) {
  %0 = graph.attention q(%q) k(%k) v(%k) captures(%q, %r, %w, %n) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C3) float elements}}
    %x = graph.dot %q[%t] by 1, %n[%j] by 1 : <[T, 4], f32>, <[9, 4], i64>
    graph.yield %x : f32
  } mask {
  } : (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[S, 4], f32>, !graph.tensor<[T, 4], f32>, !graph.tensor<[9, 4], f32>, !graph.tensor<[9, 3], f32>, !graph.tensor<[9, 4], i64>) -> !graph.tensor<[T, 4], f32>
  graph.return
}

// -----

// attention (C5): name
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  // expected-error@+1 {{(C5) normalizer must be softmax, pointwise or top_k}}
  %0 = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "relu"} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention (C5): sinks
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>, %sinks: !graph.tensor<[], f32>) {
  // expected-error@+1 {{(C5) sinks and lse go with softmax only}}
  %0 = graph.attention q(%q) k(%k) v(%v) sinks(%sinks) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "pointwise"} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>, !graph.tensor<[], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// at (C1)
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  %0 = graph.attention q(%q) k(%k) v(%v) captures(%c) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C1) has 1 indices for}}
    %x = graph.at %c[%t] : <[2, 3], f32> -> f32
    graph.yield %x : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>, !graph.tensor<[2, 3], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// at (C2)
graph.func @f(%q: !graph.tensor<[2, 4], f32>, %k: !graph.tensor<[3, 4], f32>, %v: !graph.tensor<[3, 5], f32>, %c: !graph.tensor<[2, 3], f32>) {
  %0 = graph.attention q(%q) k(%k) v(%v) captures(%c) score {
  ^bb0(%s: f32, %t: index, %j: index):
    // expected-error@+1 {{(C2) reads 'f32', not 'i64'}}
    %x = graph.at %c[%t, %j] : <[2, 3], f32> -> i64
    graph.yield %s : f32
  } mask {} : (!graph.tensor<[2, 4], f32>, !graph.tensor<[3, 4], f32>, !graph.tensor<[3, 5], f32>, !graph.tensor<[2, 3], f32>) -> !graph.tensor<[2, 5], f32>
  graph.return
}

// -----

// attention_backward (C4): two conditions
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>) {
  // expected-error @below {{(C3) the adjoint region ends with graph.yield of 'f32', 'f32', 'i1', 'index'}}
  %0:4 = graph.attention_backward q(%q) k(%k) v(%k) lse(%l) delta(%l) gradient(%q) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    %seen = arith.cmpi sle, %j, %t : index
    graph.yield %d, %d, %seen, %seen, %t : f32, f32, i1, i1, index
  } : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>)
    -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>)
  graph.return
}

// -----

// group (C1)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) the block's arguments have the types of the inputs}}
  %0 = graph.group "map"(%a) {
  ^bb0(%x: !graph.tensor<[3], f32>):
    %y = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
    graph.yield %y : !graph.tensor<[], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[], f32>
  graph.return
}

// -----

// group (C2)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C2) the body ends with graph.yield of the results}}
  %0 = graph.group "map"(%a) {
  ^bb0(%x: !graph.tensor<[2], f32>):
    graph.yield %x : !graph.tensor<[2], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[3], f32>
  graph.return
}

// -----

// group (C3): kind
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) kind must be map, matmul, attention or top_k}}
  %0 = graph.group "fused"(%a) {
  ^bb0(%x: !graph.tensor<[2], f32>):
    graph.yield %x : !graph.tensor<[2], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// group (C3): contract
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) a matmul group does not hold 0 contracts}}
  %0 = graph.group "matmul"(%a) {
  ^bb0(%x: !graph.tensor<[2], f32>):
    graph.yield %x : !graph.tensor<[2], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// group (C4)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  %0 = graph.group "map"(%a) {
  ^bb0(%x: !graph.tensor<[2], f32>):
    // expected-error@+1 {{(C4) cannot stand in a graph.group}}
    %y = graph.group "map"(%x) {
    ^bb0(%z: !graph.tensor<[2], f32>):
      graph.yield %z : !graph.tensor<[2], f32>
    } : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
    graph.yield %y : !graph.tensor<[2], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// top_k (C1)
graph.func @f(%a: !graph.tensor<[2], f64>) {
  // expected-error@+1 {{(C1) is defined for numbers but f64 with an axis}}
  %v, %i = graph.top_k %a : <[2], f64> -> <[1], f64>, <[1], i64>
  graph.return
}

// -----

// top_k (C2)
graph.func @f(%a: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C2) '!graph.tensor<[3, 1], f32>' and '!graph.tensor<[3, 2], i64>' are not rows of}}
  %v, %i = graph.top_k %a : <[3, 2], f32> -> <[3, 1], f32>, <[3, 2], i64>
  graph.return
}

// -----

// top_k (C3)
graph.func @f(%a: !graph.tensor<[3, 2], f32>) {
  // expected-error@+1 {{(C3) gives 'f32' and i64}}
  %v, %i = graph.top_k %a : <[3, 2], f32> -> <[3, 1], f32>, <[3, 1], i32>
  graph.return
}

// -----

// group (C3): top_k
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) a top_k group does not hold 0 contracts, 0 attentions and 0 top_ks}}
  %0 = graph.group "top_k"(%a) {
  ^bb0(%x: !graph.tensor<[2], f32>):
    graph.yield %x : !graph.tensor<[2], f32>
  } : (!graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// attention (C2): top_k sums no values
graph.func @f(%q: !graph.tensor<[2, 8], f32>, %k: !graph.tensor<[5, 8], f32>, %v: !graph.tensor<[5, 4], f32>) {
  // expected-error@+1 {{(C2)}}
  %y, %i = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "top_k"} : (!graph.tensor<[2, 8], f32>, !graph.tensor<[5, 8], f32>, !graph.tensor<[5, 4], f32>)
    -> (!graph.tensor<[2, 3], f32>, !graph.tensor<[2, 3], i64>)
  graph.return
}

// -----

// attention (C4): indices of top_k
graph.func @f(%q: !graph.tensor<[2, 8], f32>, %k: !graph.tensor<[5, 8], f32>, %v: !graph.tensor<[5, 0], f32>) {
  // expected-error@+1 {{(C4) indices are i64}}
  %y, %i = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "top_k"} : (!graph.tensor<[2, 8], f32>, !graph.tensor<[5, 8], f32>, !graph.tensor<[5, 0], f32>)
    -> (!graph.tensor<[2, 3], f32>, !graph.tensor<[2, 3], f32>)
  graph.return
}

// -----

// attention (C4): scores of top_k
graph.func @f(%q: !graph.tensor<[2, 8], f16>, %k: !graph.tensor<[5, 8], f16>, %v: !graph.tensor<[5, 0], f16>) {
  // expected-error@+1 {{(C4) scores are f32}}
  %y, %i = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "top_k"} : (!graph.tensor<[2, 8], f16>, !graph.tensor<[5, 8], f16>, !graph.tensor<[5, 0], f16>)
    -> (!graph.tensor<[2, 3], f16>, !graph.tensor<[2, 3], i64>)
  graph.return
}

// -----

// attention (C5): indices of top_k
graph.func @f(%q: !graph.tensor<[2, 8], f32>, %k: !graph.tensor<[5, 8], f32>, %v: !graph.tensor<[5, 0], f32>) {
  // expected-error@+1 {{(C5) top_k has indices}}
  %y = graph.attention q(%q) k(%k) v(%v) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} {normalizer = "top_k"} : (!graph.tensor<[2, 8], f32>, !graph.tensor<[5, 8], f32>, !graph.tensor<[5, 0], f32>)
    -> !graph.tensor<[2, 3], f32>
  graph.return
}

// -----

// grad (C1)
graph.func @f(%a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C1) the loss is a float of rank 0}}
  %0 = graph.grad %a wrt(%a) : (!graph.tensor<[2], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[2], f32>
  graph.return
}

// -----

// grad (C2)
graph.func @f(%l: !graph.tensor<[], f32>, %a: !graph.tensor<[2], i64>) {
  // expected-error@+1 {{(C2) gradients are with respect to floats}}
  %0 = graph.grad %l wrt(%a) : (!graph.tensor<[], f32>, !graph.tensor<[2], i64>) -> !graph.tensor<[2], i64>
  graph.return
}

// -----

// grad (C3)
graph.func @f(%l: !graph.tensor<[], f32>, %a: !graph.tensor<[2], f32>) {
  // expected-error@+1 {{(C3) gradients have the types of what they are with respect to}}
  %0 = graph.grad %l wrt(%a) : (!graph.tensor<[], f32>, !graph.tensor<[2], f32>) -> !graph.tensor<[3], f32>
  graph.return
}

// -----

// attention_backward (C1): results
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C1) results begin with gradients of the types}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 4], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  graph.return
}

// -----

// attention_backward (C1): types of results
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f16>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C1) results begin with gradients of the types}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f16>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f16>, !graph.tensor<[S, 8], i64>, !graph.tensor<[S, 8], f32>)
  graph.return
}

// -----

// attention_backward (C3): the adjoint's results
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C3) the adjoint region ends with graph.yield of}}
  %0:4 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[4], f32>)
  graph.return
}

// -----

// attention_backward (C4): sums
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C4) sums are f32}}
  %0:4 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[4], f16>)
  graph.return
}

// -----

// attention_backward (C5): normalizer
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C5) normalizer must be softmax or pointwise}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "top_k"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  graph.return
}

// -----

// attention_backward (C5): rows with pointwise
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C5) lse and delta are f32 [batch..., T] with softmax, and only there}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "pointwise"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  graph.return
}

// -----

// attention_backward (C5): rows without
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[T], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C5) lse and delta are f32 [batch..., T] with softmax, and only there}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  graph.return
}

// -----

// attention_backward (C5): their sizes
graph.func @f<[T, S]>(%q: !graph.tensor<[T, 8], f32>, %k: !graph.tensor<[S, 8], f32>, %v: !graph.tensor<[S, 8], f32>, %l: !graph.tensor<[S], f32>, %g: !graph.tensor<[T, 8], f32>) {
  // expected-error @below {{(C5) lse and delta are f32 [batch..., T] with softmax, and only there}}
  %0:3 = graph.attention_backward q(%q) k(%k) v(%v) lse(%l) delta(%l) gradient(%g) score {
  ^bb0(%s: f32, %t: index, %j: index):
    graph.yield %s : f32
  } mask {} adjoint {
  ^bb0(%s: f32, %t: index, %j: index, %d: f32):
    graph.yield %d : f32
  } {normalizer = "softmax"} : (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S], f32>, !graph.tensor<[S], f32>, !graph.tensor<[T, 8], f32>) -> (!graph.tensor<[T, 8], f32>, !graph.tensor<[S, 8], f32>, !graph.tensor<[S, 8], f32>)
  graph.return
}
