// The graph dialect's ops. Constraints are numbered (C1...); the verifier and tests/ir/graph/invalid.mlir use the numbers.
#ifndef FOVEA_GRAPH_OPS
#define FOVEA_GRAPH_OPS

include "dialects/graph/GraphBase.td"
include "dialects/graph/GraphInterfaces.td"

//===-- Structure -------------------------------------------------------------------------------------------------===//

def Graph_FuncOp : Graph_Op<"func", [FunctionOpInterface, IsolatedFromAbove, AutomaticAllocationScope]> {
  let summary = "a function with symbolic sizes";
  let description = [{
    `graph.func @forward<[B, T]>(%x: !graph.tensor<[B, T], f32> {graph.input = "x"}, %w: ... {graph.param = "layers.0.weight"}) -> (... {graph.output = "y"})`

    Argument roles (of entries): `graph.input`, `graph.param`, `graph.state`, `graph.derived` (name strings), result roles:
    `graph.output`, `graph.state`. `graph.scalar_symbol = "past"` on a rank-0 integer argument: its value is that symbol.
    Function attributes: `symbols` (array of strings), `requirements` (array of #graph.require), `entry`, `layer`, `prepare`,
    `require_fused` (unit), `doc`.
      (C1) every symbol used in the function's types and attributes is declared in `symbols`, once.
      (C2) the body is one block that ends with `graph.return`, which has the function's result types.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, StrArrayAttr:$symbols,
                       DefaultValuedAttr<TypedArrayAttrBase<Graph_RequireAttr, "preconditions">, "{}">:$requirements, UnitAttr:$entry, UnitAttr:$layer, UnitAttr:$prepare,
                       UnitAttr:$require_fused, OptionalAttr<StrAttr>:$doc, OptionalAttr<StrAttr>:$sym_visibility,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
  }];
}

def Graph_ReturnOp : Graph_Op<"return", [Pure, HasParent<"FuncOp">, ReturnLike, Terminator]> {
  let arguments = (ins Variadic<Graph_Tensor>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
  let hasVerifier = 1;
}

def Graph_CallOp : Graph_Op<"call", [CallOpInterface, Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "calls a graph.func, giving its symbols values";
  let description = [{
    `graph.call @layer[B, T+1](%x) : (…) -> …`: the substitution has one size for each of the callee's `symbols`, in order.
      (C1) the callee is a graph.func; (C2) one size for each of its symbols; (C3) operand and result types are the callee's
      under the substitution.
    `path` is the module path of the call ("layers.3").
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<Graph_Tensor>:$operands, TypedArrayAttrBase<Graph_DimAttr, "sizes">:$substitution,
                       OptionalAttr<StrAttr>:$path, OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let results = (outs Variadic<Graph_Tensor>:$results);
  let assemblyFormat = "$callee custom<Sizes>($substitution) `(` $operands `)` attr-dict `:` functional-type($operands, $results)";
  let extraClassDeclaration = [{
    ::mlir::CallInterfaceCallable getCallableForCallee() { return getCalleeAttr(); }
    void setCalleeFromCallable(::mlir::CallInterfaceCallable c) { setCalleeAttr(::llvm::cast<::mlir::FlatSymbolRefAttr>(::llvm::cast<::mlir::SymbolRefAttr>(c))); }
    ::mlir::Operation::operand_range getArgOperands() { return getOperands(); }
    ::mlir::MutableOperandRange getArgOperandsMutable() { return getOperandsMutable(); }
  }];
}

//===-- Values ----------------------------------------------------------------------------------------------------===//

class Graph_Pure<string mnemonic, list<Trait> traits = []> : Graph_Op<mnemonic, [Pure] # traits> {
  let results = (outs Graph_Tensor:$result);
}

def Graph_ConstantOp : Graph_Pure<"constant", [ConstantLike]> {
  let summary = "a scalar: (C1) rank 0; (C2) `value` has the element type";
  let arguments = (ins TypedAttrInterface:$value);
  let assemblyFormat = "$value attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Graph_DimOp : Graph_Pure<"dim"> {
  let summary = "a size as a value: (C1) rank 0, i64";
  let arguments = (ins Graph_DimAttr:$size);
  let assemblyFormat = "$size attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Graph_IotaOp : Graph_Pure<"iota"> {
  let summary = "0, 1, ... : (C1) rank 1, i64";
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

//===-- Elementwise -----------------------------------------------------------------------------------------------===//

class Graph_Unary<string mnemonic> : Graph_Pure<mnemonic, [SameOperandsAndResultType, DeclareOpInterfaceMethods<ElementwiseOpInterface>]> {
  let arguments = (ins Graph_Tensor:$x);
  let assemblyFormat = "$x attr-dict `:` type($result)";
}
class Graph_Binary<string mnemonic, list<Trait> traits = []>
    : Graph_Pure<mnemonic, [SameOperandsAndResultType, DeclareOpInterfaceMethods<ElementwiseOpInterface>] # traits> {
  let arguments = (ins Graph_Tensor:$lhs, Graph_Tensor:$rhs);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
}

def Graph_NegOp : Graph_Unary<"neg">;
def Graph_AbsOp : Graph_Unary<"abs">;
def Graph_ExpOp : Graph_Unary<"exp">;
def Graph_LogOp : Graph_Unary<"log">;
def Graph_SqrtOp : Graph_Unary<"sqrt">;
def Graph_RsqrtOp : Graph_Unary<"rsqrt">;
def Graph_TanhOp : Graph_Unary<"tanh">;
def Graph_ErfOp : Graph_Unary<"erf">;
def Graph_SinOp : Graph_Unary<"sin">;
def Graph_CosOp : Graph_Unary<"cos">;
def Graph_FloorOp : Graph_Unary<"floor">;
def Graph_CeilOp : Graph_Unary<"ceil">;
def Graph_NotOp : Graph_Unary<"not">;
def Graph_SigmoidOp : Graph_Unary<"sigmoid">;

def Graph_AddOp : Graph_Binary<"add", [Commutative]>;
def Graph_SubOp : Graph_Binary<"sub">;
def Graph_MulOp : Graph_Binary<"mul", [Commutative]>;
def Graph_DivOp : Graph_Binary<"div">;
def Graph_MaxOp : Graph_Binary<"max", [Commutative]>;
def Graph_MinOp : Graph_Binary<"min", [Commutative]>;
def Graph_PowOp : Graph_Binary<"pow">;
def Graph_ModOp : Graph_Binary<"mod">;
def Graph_FloorDivOp : Graph_Binary<"floordiv">;
def Graph_PhiloxOp : Graph_Binary<"philox"> {
  let summary = "32 random bits (0 to 2^32 - 1): the first word of Philox 4x32-10 with the key lhs and the counter rhs, i64 both";
}
def Graph_AndOp : Graph_Binary<"and", [Commutative]>;
def Graph_OrOp : Graph_Binary<"or", [Commutative]>;

def Graph_CompareOp : Graph_Pure<"compare", [AllTypesMatch<["lhs", "rhs"]>, DeclareOpInterfaceMethods<ElementwiseOpInterface>]> {
  let summary = "eq ne lt le gt ge; false where an operand is NaN, but ne is true: (C1) the predicate is known; (C2) the result is i1";
  let arguments = (ins StrAttr:$predicate, Graph_Tensor:$lhs, Graph_Tensor:$rhs);
  let assemblyFormat = "$predicate $lhs `,` $rhs attr-dict `:` type($lhs) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_SelectOp : Graph_Pure<"select", [DeclareOpInterfaceMethods<ElementwiseOpInterface>, AllTypesMatch<["lhs", "rhs", "result"]>]> {
  let summary = "lhs where the condition holds, else rhs: (C1) the condition is i1";
  let arguments = (ins Graph_Tensor:$condition, Graph_Tensor:$lhs, Graph_Tensor:$rhs);
  let assemblyFormat = "$condition `,` $lhs `,` $rhs attr-dict `:` type($condition) `,` type($result)";
  let hasVerifier = 1;
}

def Graph_CastOp : Graph_Pure<"cast", [DeclareOpInterfaceMethods<ElementwiseOpInterface>]> {
  let summary = "converts elements: float to int truncates (saturating, NaN to 0), bool to number is 0 or 1, number to bool is x != 0";
  let arguments = (ins Graph_Tensor:$x);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
}

//===-- Shape -----------------------------------------------------------------------------------------------------===//

def Graph_BroadcastOp : Graph_Pure<"broadcast"> {
  let summary = "adds axes";
  let description = [{
    `axes[i]` is the result axis of operand axis i; the result's other axes are new.
      (C1) `axes` is ascending, one for each operand axis; (C2) sizes agree along them; (C3) element types agree.
  }];
  let arguments = (ins Graph_Tensor:$x, DenseI64ArrayAttr:$axes);
  let assemblyFormat = "$x $axes attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}
def Graph_ReshapeOp : Graph_Pure<"reshape"> {
  let summary = "the same elements in row-major order: (C1) equal numbers of elements, as polynomials; (C2) element types agree";
  let arguments = (ins Graph_Tensor:$x);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}
def Graph_TransposeOp : Graph_Pure<"transpose"> {
  let summary = "result axis i is operand axis permutation[i]: (C1) a permutation; (C2) the result's type follows";
  let arguments = (ins Graph_Tensor:$x, DenseI64ArrayAttr:$permutation);
  let assemblyFormat = "$x $permutation attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}
def Graph_SliceOp : Graph_Pure<"slice"> {
  let summary = "every `step`-th element along one axis";
  let description = [{
    Element i along `axis` is x's element start + i * step. The start is the operand (rank-0 i64) or the attribute.
      (C1) axis in range; (C2) ranks, element types and the other sizes agree; (C3) exactly one start, the operand being a
      rank-0 i64; (C4) step is not 0.
    That the slice lies within x is a precondition (sema proves it or adds a requirement).
  }];
  let arguments = (ins Graph_Tensor:$x, Optional<Graph_Tensor>:$offset, I64Attr:$axis, OptionalAttr<Graph_DimAttr>:$start,
                       DefaultValuedAttr<I64Attr, "1">:$step);
  let assemblyFormat = "$x (`at` $offset^)? attr-dict `:` type($x) (`,` type($offset)^)? `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}
def Graph_UpdateSliceOp : Graph_Pure<"update_slice"> {
  let summary = "x with a slice replaced by v; constraints as graph.slice's; result type is x's";
  let arguments = (ins Graph_Tensor:$x, Graph_Tensor:$v, Optional<Graph_Tensor>:$offset, I64Attr:$axis, OptionalAttr<Graph_DimAttr>:$start,
                       DefaultValuedAttr<I64Attr, "1">:$step);
  let assemblyFormat = "$x `,` $v (`at` $offset^)? attr-dict `:` type($x) `,` type($v) (`,` type($offset)^)? `->` type($result)";
  let hasVerifier = 1;
}
def Graph_GatherOp : Graph_Pure<"gather"> {
  let summary = "x's sub-tensors at integer indices along `axes`; an index outside [0, size) fails the run";
  let description = [{
    An index tensor for each axis, all of one shape. The result has x's sizes without `axes`, and the sizes of the indices where the first of them was.
      (C1) axes ascending, in range, one for each index tensor, at least one; (C2) indices are i64 or i32, of one shape; (C3) the result's type follows.
  }];
  let arguments = (ins Graph_Tensor:$x, Variadic<Graph_Tensor>:$indices, DenseI64ArrayAttr:$axes);
  let assemblyFormat = "$x `at` $indices $axes attr-dict `:` type($x) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}
def Graph_ScatterOp : Graph_Pure<"scatter"> {
  let summary = "x with the sub-tensors that graph.gather would read replaced by those of v, or added to";
  let description = [{
    Where several indices name one place, the last of them in row-major order stays; with `adds` all of them are added, in that order. An index
    outside fails the run.
      (C1) axes ascending, in range, one for each index tensor, at least one; (C2) indices are i64 or i32, of one shape; (C3) v has the type of the gather's
      result; (C4) the result's type is x's; (C5) what adds is f32.
  }];
  let arguments = (ins Graph_Tensor:$x, Graph_Tensor:$v, Variadic<Graph_Tensor>:$indices, DenseI64ArrayAttr:$axes, UnitAttr:$adds);
  let assemblyFormat = "$x `,` $v `at` $indices $axes attr-dict `:` type($x) `,` type($v) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}
def Graph_ConcatOp : Graph_Pure<"concat"> {
  let summary = "tensors one after another along an axis";
  let description = "(C1) at least one operand, axis in range; (C2) element types and the other sizes agree; (C3) the result's size is the sum.";
  let arguments = (ins Variadic<Graph_Tensor>:$xs, I64Attr:$axis);
  let assemblyFormat = "$xs attr-dict `:` type($xs) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

//===-- Sums and products -----------------------------------------------------------------------------------------===//

def Graph_ContractOp : Graph_Pure<"contract"> {
  let summary = "sum of products over labelled axes (einsum of two operands)";
  let description = [{
    `lhs`, `rhs`, `out` give each axis an integer label. A label in lhs and rhs and out is a batch axis, in lhs and rhs alone
    it is summed; in one operand and out it is free.
      (C1) one label an axis, no repeats within an operand; (C2) out's labels are distinct and occur in lhs or rhs; a label of one operand only occurs in
      out; (C3) sizes of a label agree; (C4) element types agree and are float.
    Accumulates in f32, one chain over the summed axes in order.

    With `packed` (made by graph-pack-weights) rhs is a `graph.pack`'s result [P, K / k_block, panel k_block]; `rhs_labels` stays [k, n], of which k is
    summed and n is in `out`; n's size is the result's. (C5) packed: rhs has rank 3 and two labels, P is ceildiv(N, panel), K is lhs's size of k; its elements
    may be bf16 or i8 where lhs is f32. (C6) `k_block` above 1 only where packed: k is lhs's last axis, and elements are bf16, with a result in f32, or i8, with one in
    i32: then lhs's bytes are unsigned, rhs's signed, and the sum is exact (modulo 2^32). Sums of bf16 are taken by `k_block` products at a time.

    With `hidden_lhs` or `hidden_rhs` (made by graph-hide-weights) elements of that operand that are -0 take no part, whatever they would be
    multiplied by. (C7) not both, and no packed operand.
  }];
  let arguments = (ins Graph_Tensor:$lhs, Graph_Tensor:$rhs, DenseI64ArrayAttr:$lhs_labels, DenseI64ArrayAttr:$rhs_labels,
                       DenseI64ArrayAttr:$out_labels, UnitAttr:$packed, UnitAttr:$hidden_lhs, UnitAttr:$hidden_rhs,
                       DefaultValuedAttr<I64Attr, "1">:$k_block);
  let assemblyFormat = "$lhs $lhs_labels `,` $rhs $rhs_labels `->` $out_labels attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}
def Graph_ReduceOp : Graph_Pure<"reduce"> {
  let summary = "removes axes by sum prod max min any all";
  let description = "(C1) axes ascending, in range; (C2) the result's sizes are the others; (C3) kind is known; any and all take bool, the others numbers; the element type stays. max and min give NaN where an element is NaN.";
  let arguments = (ins StrAttr:$kind, Graph_Tensor:$x, DenseI64ArrayAttr:$axes);
  let assemblyFormat = "$kind $x $axes attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}
def Graph_ArgmaxOp : Graph_Pure<"argmax"> {
  let summary = "the first index of the maximum along an axis (a NaN is the maximum): (C1) axis in range; (C2) i64, x's sizes without the axis";
  let arguments = (ins Graph_Tensor:$x, I64Attr:$axis);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_TopKOp : Graph_Op<"top_k", [Pure]> {
  let summary = "the k largest elements along the last axis, descending, and their indices";
  let description = [{
    k is the size of the results' last axis, at most x's (a precondition). Of equal elements the one of the lower index comes first; NaNs come before
    all numbers.
      (C1) x has an axis, and its elements are numbers but f64; (C2) the results have x's sizes but for the last; (C3) values have x's element type, indices are i64.
  }];
  let arguments = (ins Graph_Tensor:$x);
  let results = (outs Graph_Tensor:$values, Graph_Tensor:$indices);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($values) `,` type($indices)";
  let hasVerifier = 1;
}

//===-- Derivatives -----------------------------------------------------------------------------------------------===//

def Graph_GradOp : Graph_Op<"grad", [Pure]> {
  let summary = "the gradients of a scalar with respect to values that it is computed from";
  let description = [{
    `%dx, %dw = graph.grad %loss wrt(%x, %w) : (…) -> (…)`: derivatives of `loss` by each element of the others; 0 for those that it does not
    depend on. What depends on one of `wrt` is followed through to the others. graph-differentiate replaces it by ops.
      (C1) loss is a float of rank 0; (C2) wrt are floats; (C3) the results have their types.
  }];
  let arguments = (ins Graph_Tensor:$loss, Variadic<Graph_Tensor>:$wrt);
  let results = (outs Variadic<Graph_Tensor>:$gradients);
  let assemblyFormat = "$loss `wrt` `(` $wrt `)` attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Graph_VariableOp : Graph_Op<"variable", [Pure, AllTypesMatch<["x", "result"]>]> {
  let summary = "x, as a value that a gradient is asked for with respect to: rewrites do not look through it";
  let description = [{
    Stands between a value and its uses from graph-mark-variables to graph-differentiate. `number` keeps equal ones apart.
  }];
  let arguments = (ins Graph_Tensor:$x, I64Attr:$number);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = "$number $x attr-dict `:` type($result)";
}

//===-- Made by passes --------------------------------------------------------------------------------------------===//

def Graph_SoftmaxOp : Graph_Pure<"softmax", [AllTypesMatch<["x", "result"]>]> {
  let summary = "softmax along an axis, by the numerical contract";
  let description = [{
    m = max; where m is -inf take 0; e = exp(x - m); 0 where the sum of e is 0; else e / sum. `sink` is one logit more in the maximum and the sum, of which
    no weight is given: softmax off by one has 0 there.
      (C1) axis in range; (C2) floats; (C3) the sink has x's sizes without the axis, and its element type.
  }];
  let arguments = (ins Graph_Tensor:$x, Optional<Graph_Tensor>:$sink, I64Attr:$axis);
  let assemblyFormat = "$x (`sink` $sink^)? attr-dict `:` type($result) (`,` type($sink)^)?";
  let hasVerifier = 1;
}

def Graph_LogSumExpOp : Graph_Pure<"logsumexp"> {
  let summary = "the logarithm of the sum of exponentials along an axis";
  let description = [{
    m = max; where m is -inf take 0; m + log(sum(exp(x - m))); -inf where the sum is 0.
      (C1) axis in range; (C2) floats; (C3) the result has x's sizes without the axis, and its element type.
  }];
  let arguments = (ins Graph_Tensor:$x, I64Attr:$axis);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_AttentionOp : Graph_Op<"attention", [Pure, AttrSizedOperandSegments]> {
  let summary = "normaliser(score(q k^T)) v with the score, the mask and the normaliser as regions";
  let description = [{
    q [batch..., T, D], k [batch..., S, D], v [batch..., S, E] -> y [batch..., T, E], and optionally lse [batch..., T].
    `score`: block (s: f32, batch index..., t: index, j: index) -> f32, where s is the raw product q[t] . k[j] in f32. `joined` pairs
    [batch..., T, Di] with [batch..., S, Di]: s is then one sum over the features of q and k and of each pair, in order, as of tensors joined along them.
    With "softmax" it may yield a factor as well, f32: the weight is multiplied by it where it meets its value, the sum of weights is not. A key whose factor is 0 adds
    nothing, whatever its value is.
    `mask` (may be empty: all visible): block (batch index..., t, j) -> i1, without the score.
    Regions are point programs: arith and math on scalars, and `graph.at` of the op's captures. Masked keys contribute nothing.
    `normalizer`: "softmax", or "pointwise" (then the score region's result multiplies v directly). `sinks` [batch...]: one extra
    logit in the softmax's denominator. "top_k": nothing is summed, E is 0; y [batch..., T, K] has the K largest scores of each query, in the order of
    graph.top_k, where masked keys have the score -inf, and in the place of lse stand their indices [batch..., T, K].
    With `key_rows` [batch..., S] (i64) k is [batch..., R, D], and key j is its row key_rows[batch..., j], which who makes
    the rows has found to be one of [0, R); `value_rows` likewise for v.
    `k(%a, %b)`: the keys are the rows of [batch..., Si, D], in order, S of them in all, and are read where they lie; values likewise. A table names rows of the first one then.
    Each operand, and the result, has an element type of its own: what is narrower than f32 is widened as it is loaded, and the result rounded once, in the end.
      (C1) batch sizes agree, and there are as many joined queries as keys; (C2) T, D, S agree, of each pair as well; (C3) regions have the blocks above, hold point programs and use nothing from outside
      but the captures through graph.at; (C4) elements are f32, f16 or bf16, lse is f32 (with top_k: y is f32, indices are i64); (C5) the normalizer is
      known; sinks and lse only with softmax, indices always with top_k; (C6) rows are i64 [batch..., S]; key_rows
      only where nothing is joined; (C7) pieces of keys, or values, differ in their numbers of rows alone; where there are several, nothing is joined to keys.
    softmax by the numerical contract; lse = m + log(sum), -inf where the sum is 0.
  }];
  let arguments = (ins Graph_Tensor:$q, Graph_Tensor:$k, Variadic<Graph_Tensor>:$moreK, Variadic<Graph_Tensor>:$joinedQ, Variadic<Graph_Tensor>:$joinedK,
                       Graph_Tensor:$v, Variadic<Graph_Tensor>:$moreV, Variadic<Graph_Tensor>:$captures, Optional<Graph_Tensor>:$sinks,
                       Optional<Graph_Tensor>:$key_rows, Optional<Graph_Tensor>:$value_rows,
                       DefaultValuedAttr<StrAttr, "\"softmax\"">:$normalizer);
  let regions = (region AnyRegion:$score, AnyRegion:$mask);
  let results = (outs Graph_Tensor:$result, Optional<Graph_Tensor>:$lse);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k (`,` $moreK^)? `)` (`joined` `(` $joinedQ^ `by` $joinedK `)`)? `v` `(` $v (`,` $moreV^)? `)` (`captures` `(` $captures^ `)`)?
    (`sinks` `(` $sinks^ `)`)? (`key_rows` `(` $key_rows^ `)`)? (`value_rows` `(` $value_rows^ `)`)? `score` $score `mask` $mask attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// S, the number of keys.
    ::fovea::DimExpr getKeyCount();
    /// k, or v, and the pieces behind it.
    llvm::SmallVector<mlir::Value> getKeyPieces() { return ::fovea::withMore(getK(), getMoreK()); }
    llvm::SmallVector<mlir::Value> getValuePieces() { return ::fovea::withMore(getV(), getMoreV()); }
    /// Queries and keys whose products are summed: q and k, and what is joined to them.
    ::fovea::QueriesAndKeys getParts() { return ::fovea::withJoined(getQ(), getK(), getJoinedQ(), getJoinedK()); }
  }];
}
def Graph_AttentionBackwardOp : Graph_Op<"attention_backward", [Pure, AttrSizedOperandSegments]> {
  let summary = "the gradients of a graph.attention, from its log-sum-exp";
  let description = [{
    q, k, v, what is joined, captures, `score`, `mask` and `normalizer` are those of the graph.attention; `gradient` [batch..., T, E] is what reaches its
    result y. With w(t, j) the weight of a key, which is exp(score - lse[t]) for "softmax" (0 where lse is -inf) and the score for "pointwise", 0 where it is masked:
      dv[j] = sum over t of w(t, j) gradient[t]
      g(t, j) = w(t, j) (gradient[t] . v[j] - delta[t]) for "softmax", gradient[t] . v[j] for "pointwise"
      dq[t] = sum over j of ds(t, j) k[j], dk[j] = sum over t of ds(t, j) q[t], likewise for what is joined.
    Where the score region yields a factor f(t, j) as well, dv takes w f, g is w (f gradient[t] . v[j] - delta[t]), and the adjoint's block has one argument more, behind g:
    what reaches the factor, w(t, j) gradient[t] . v[j].
    delta [batch..., T] is sum(gradient[t] y[t]) less what reaches the log-sum-exp itself; a sink is in lse.
    `adjoint`: block (s: f32, batch index..., t, j, g: f32) -> ds, the derivative by the raw product s, and for each of `sums` a number (f32), whether it is added at
    all (i1; left out where it always is), and the indices of the element that it is added to. sums begin at 0; masked keys add nothing. So captured tensors get their gradients.
    Results: dq, dk, those of the joined queries, those of the joined keys, dv, the sums.
      (C1) to (C4) as for graph.attention, results are like their operands, or in f32; the adjoint yields f32, and f32, perhaps i1, and one index an axis for each sum, which is f32; (C5) the normalizer is
      softmax or pointwise; lse and delta f32 [batch..., T] with softmax and only there.
  }];
  let arguments = (ins Graph_Tensor:$q, Graph_Tensor:$k, Variadic<Graph_Tensor>:$joinedQ, Variadic<Graph_Tensor>:$joinedK, Graph_Tensor:$v,
                       Variadic<Graph_Tensor>:$captures, Optional<Graph_Tensor>:$lse, Optional<Graph_Tensor>:$delta, Graph_Tensor:$gradient,
                       DefaultValuedAttr<StrAttr, "\"softmax\"">:$normalizer);
  let regions = (region AnyRegion:$score, AnyRegion:$mask, AnyRegion:$adjoint);
  let results = (outs Variadic<Graph_Tensor>:$gradients);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` (`joined` `(` $joinedQ^ `by` $joinedK `)`)? `v` `(` $v `)` (`captures` `(` $captures^ `)`)? (`lse` `(` $lse^ `)`)?
    (`delta` `(` $delta^ `)`)? `gradient` `(` $gradient `)` `score` $score `mask` $mask `adjoint` $adjoint attr-dict `:`
    functional-type(operands, results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    mlir::Value getDv() { return getGradients()[2 * getParts().size()]; }
    mlir::ValueRange getSums() { return getGradients().drop_front(2 * getParts().size() + 1); }
    /// As of graph.attention.
    ::fovea::QueriesAndKeys getParts() { return ::fovea::withJoined(getQ(), getK(), getJoinedQ(), getJoinedK()); }
  }];
}
def Graph_LinearAttentionOp : Graph_Op<"linear_attention", [Pure]> {
  let summary = "causal attention without a softmax: y[t] = sum of a(t) w(t, j) b(j) (q[t] . k[j]) v[j] over j <= t";
  let description = [{
    q [batch..., S, D], k [batch..., S, D], v [batch..., S, E] -> y [batch..., S, E]. Keys behind a query contribute nothing, NaN included.
    `queries`: block (batch index..., t) -> f32, a(t). `keys`: block (batch index..., j) -> f32, b(j). `decay`: block (batch index..., t, j) -> f32, w(t, j).
    Each may be empty: 1. They are point programs as those of graph.attention.
    The decay of two steps is the product of theirs, w(t, j) = w(t, r) w(r, j) for j <= r <= t, so that one matrix of D x E numbers stands for all keys
    and values before a place: gamma^(t - j), exp(c[t] - c[j]). Who makes the op proves that; the op may be computed by it, and then rounds where the
    decays do.
      (C1) batch sizes agree; (C2) S, D agree; (C3) regions have the blocks above, hold point programs and use nothing from outside
      but the captures through graph.at; (C4) elements are f32, f16 or bf16, each operand's its own.
  }];
  let arguments = (ins Graph_Tensor:$q, Graph_Tensor:$k, Graph_Tensor:$v, Variadic<Graph_Tensor>:$captures);
  let regions = (region AnyRegion:$queries, AnyRegion:$keys, AnyRegion:$decay);
  let results = (outs Graph_Tensor:$result);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)` (`captures` `(` $captures^ `)`)?
    `queries` $queries `keys` $keys `decay` $decay attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}
def Graph_AtOp : Graph_Op<"at", [Pure, AttrSizedOperandSegments]> {
  let summary = "reads one element of a captured tensor inside a region; where `guard` is false reads nothing and gives 0";
  let description = [{
    `graph.at %x[%b, %t, %r] if %inside`: with a guard the indices need not be in the tensor where it is false. So tensors for some of the keys are read
    where they lie.
      (C1) one index an axis; (C2) the result is the element type.
  }];
  let arguments = (ins Graph_Tensor:$x, Variadic<Index>:$indices, Optional<I1>:$guard);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$x `[` $indices `]` (`if` $guard^)? attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}
def Graph_DotOp : Graph_Op<"dot", [Pure, AttrSizedOperandSegments]> {
  let summary = "the product of a row of each of two captured tensors, inside a score region";
  let description = [{
    `graph.dot %a[%b, %t] by 2, %r[%p] by 1`: the sum over k of a[b, t, k] r[p, k], where k runs along the axes given, in f32, one chain in order. A product
    that scores read at places of their own, such as a distance, is computed where it is read and never held.
      (C1) one index for each other axis; (C2) the summed axes have one size; (C3) float elements, the result is f32.
  }];
  let arguments = (ins Graph_Tensor:$a, Graph_Tensor:$b, Variadic<Index>:$a_indices, Variadic<Index>:$b_indices,
                       I64Attr:$a_axis, I64Attr:$b_axis);
  let results = (outs F32:$result);
  let hasVerifier = 1;
  let assemblyFormat = "$a `[` $a_indices `]` `by` $a_axis `,` $b `[` $b_indices `]` `by` $b_axis attr-dict `:` type($a) `,` type($b)";
}
def Graph_SizeOp : Graph_Op<"size", [Pure]> {
  let summary = "a size as an index, inside a region";
  let arguments = (ins Graph_DimAttr:$size);
  let results = (outs Index:$result);
  let assemblyFormat = "$size attr-dict";
}
def Graph_YieldOp : Graph_Op<"yield", [Pure, ReturnLike, Terminator, ParentOneOf<["AttentionOp", "AttentionBackwardOp", "LinearAttentionOp", "GroupOp"]>]> {
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}

def Graph_PackOp : Graph_Pure<"pack"> {
  let summary = "a matmul's constant operand in the target's panels";
  let description = [{
    [K, N] -> [ceildiv(N, panel), K / k_block, panel k_block], zero beyond N: element [p, k, c k_block + i] is x[k k_block + i, p panel + c].
    Commutes with nothing; made by graph-pack-weights. (C1) the types follow; k_block divides K.
  }];
  let arguments = (ins Graph_Tensor:$x, I64Attr:$panel, DefaultValuedAttr<I64Attr, "1">:$k_block);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_GroupOp : Graph_Op<"group", [Pure, IsolatedFromAbove, SingleBlock]> {
  let summary = "ops that become one kernel";
  let description = [{
    `kind`: "map", "matmul", "attention" or "top_k". Block arguments stand for the inputs. (C1) types of block arguments and inputs agree;
    (C2) yields the results; (C3) matmul and top_k hold exactly one contract or top_k, attention exactly one attention, attention_backward or
    linear_attention, others none;
    (C4) no calls or groups inside.
  }];
  let arguments = (ins StrAttr:$kind, Variadic<Graph_Tensor>:$inputs);
  let regions = (region SizedRegion<1>:$body);
  let results = (outs Variadic<Graph_Tensor>:$results);
  let assemblyFormat = "$kind `(` $inputs `)` $body attr-dict `:` functional-type($inputs, $results)";
  let hasVerifier = 1;
}

#endif
