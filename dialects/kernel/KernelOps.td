// The kernel dialect: how a group runs. Destinations are memrefs (strided, sizes in SSA); regions are point programs.
#ifndef FOVEA_KERNEL_OPS
#define FOVEA_KERNEL_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let cppNamespace = "::fovea::kernel";
  let summary = "How it runs: destination-style kernels as point programs over memrefs";
  let description = "Rationale and constraints: docs/kernel.md. Constraints are numbered; verifier and tests/ir/kernel/invalid.mlir use the numbers.";
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect"];
}
class Kernel_Op<string mnemonic, list<Trait> traits = []> : Op<Kernel_Dialect, mnemonic, traits>;

def Kernel_FuncOp : Kernel_Op<"func", [FunctionOpInterface, IsolatedFromAbove]> {
  let summary = "one kernel: sizes and views, then exactly one schedule op";
  let description = [{
    Arguments: memrefs (any strided layout), index (sizes), scalars. The body is index arithmetic and memref.dim, one of kernel.map, kernel.matmul,
    kernel.attention, kernel.attention_backward, kernel.linear_attention, and kernel.return. `place` goes to the profile.
      (C1) one block holding exactly one schedule op; what stands before it is pure index arithmetic, constants and memref.dim; (C2) no results.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, OptionalAttr<StrAttr>:$place,
                       OptionalAttr<StrAttr>:$sym_visibility, OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::FunctionType":$type)>];
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The schedule op, or null in a function that does not verify.
    ::mlir::Operation *getSchedule();
  }];
}
def Kernel_ReturnOp : Kernel_Op<"return", [Pure, HasParent<"FuncOp">, Terminator, ReturnLike]> {
  let summary = "ends a kernel.func";
  let assemblyFormat = "attr-dict";
}
def Kernel_LaunchOp : Kernel_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel on views; stands in func.func";
  let description = [{
    `flops` and `bytes` (#graph.dim, discardable) are for the profile. `path` is the module path.
      (C1) the callee is a kernel.func, or what emission made of one (@callee.run); (C2) operand types are a kernel.func's argument types.
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$operands, OptionalAttr<StrAttr>:$path);
  let assemblyFormat = "$kernel `(` $operands `)` attr-dict `:` type($operands)";
}

def Kernel_DumpOp : Kernel_Op<"dump"> {
  let summary = "offers a value for --dump; stands in func.func";
  let description = [{
    Runs where the run asks for values, and costs a test elsewhere. `path` is the source path within the function, `element` the value's type in
    the graph (bool is i8 in memory). The value may be a view.
      (C1) the memref's layout is an offset and strides; (C2) its elements are `element` as it lies in memory.
  }];
  let arguments = (ins AnyMemRef:$value, StrAttr:$path, TypeAttr:$element);
  let assemblyFormat = "$value `,` $path `of` $element attr-dict `:` type($value)";
  let hasVerifier = 1;
}

//===-- Schedule ops ----------------------------------------------------------------------------------------------===//

def Kernel_MapOp : Kernel_Op<"map", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "a point program over a box";
  let description = [{
    The block has one index argument per size. `kernel.reduce` inside is collective over axes. Points are independent otherwise:
    no point reads what another one stores. What does not depend on the reduced axes runs once for all points along them, even where
    there are none: a row's sum is stored once, and as 0 where the row is empty. With `ordered_from` points that differ along the axes from that
    one on may store to one place: the last of them in row-major order stays, or what they add is added in that order.
      (C1) one index argument a size; (C2) ends with kernel.yield without operands; (C3) all reductions have the same axes, ascending and in range;
      (C4) the body holds point-program ops only (arith, math, kernel.load, store, reduce, check, memref.dim), no regions; (C5) `ordered_from` is an axis, and
      nothing is reduced with it.
  }];
  let arguments = (ins Variadic<Index>:$sizes, OptionalAttr<I64Attr>:$ordered_from);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`in` `(` $sizes `)` $body attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The axes of the reductions inside; empty where there are none.
    ::llvm::ArrayRef<int64_t> getReducedAxes();
  }];
}

def Kernel_MatmulOp : Kernel_Op<"matmul", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "acc[b..., m, n] = sum over k of lhs[b..., m, k] rhs[b..., k, n], handed to an epilogue";
  let description = [{
    lhs: memref [b..., M, K], any strides. rhs: [b..., K, N], any strides; or, with `packed`, [P, K / k_block, panel k_block] (as graph.pack), shared by
    all b. `n` is N as an index. Broadcast batch axes have stride 0. acc is f32, one FMA chain in k order; with a `k_block` above 1 operands are bf16, and acc is one
    chain of the target's dot products in k order, or i8, unsigned by signed, and acc is i32 and exact. Such an lhs has adjacent columns, their number a multiple of k_block.
    The block (acc: f32 or i32, b..., m, n: index) is the epilogue, a point program that stores; ends with kernel.yield.
    Points outside [M, N] never run. With `hidden_lhs` or `hidden_rhs` elements of that operand that are -0 take no part.
      (C1) float operands of one element type, or f32 and packed bf16 or i8; ranks as above, at least 2; (C2) the block's arguments are as above; (C3) ends with kernel.yield without operands;
      (C4) point-program ops only, no reductions; (C5) with a k_block operands are packed, both bf16 or both i8, and lhs's last stride is 1;
      (C6) one operand is hidden at most, and that is not packed.
  }];
  let arguments = (ins AnyMemRef:$lhs, AnyMemRef:$rhs, Index:$n, UnitAttr:$packed, UnitAttr:$hidden_lhs, UnitAttr:$hidden_rhs,
                       DefaultValuedAttr<I64Attr, "1">:$k_block);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = "$lhs `,` $rhs (`packed` $packed^)? `n` `(` $n `)` $epilogue attr-dict `:` type($lhs) `,` type($rhs)";
  let hasVerifier = 1;
}

def Kernel_AttentionOp : Kernel_Op<"attention", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>, AttrSizedOperandSegments]> {
  let summary = "graph.attention on views; never holds the T x S scores";
  let description = [{
    q [b..., T, D], k [b..., S, D], v [b..., S, E], out [b..., T, E], lse [b..., T] (f32), sinks [b...]; any strides. With "top_k" E is 0, out [b..., T, K]
    (f32), and indices [b..., T, K] (i64) stand in the place of lse.
    `joined`: further features of the queries [b..., T, Di], each `by` those of the keys [b..., S, Di].
    With key_rows [b..., S] (i64) k is [b..., R, D], and key j its row key_rows[b..., j]; value_rows likewise.
    `more_keys`: the keys behind those of k, [b..., Si, D] each; `more_values` likewise. A table names rows of k, or v, alone.
    Regions as in graph.attention, with kernel.load for captures: score (s: f32, b..., t, j) -> f32, with softmax perhaps a factor of the weight as well, mask (b..., t, j) -> i1 (or empty).
      (C1) ranks as above, as many joined queries as keys, float elements, lse f32; (C2) the score's block is as above and yields f32, with softmax perhaps two; (C3) the mask's is as above and yields i1, or is empty;
      (C4) `normalizer` is "softmax", "pointwise" or "top_k"; (C5) sinks and lse only with softmax, indices with top_k alone and always; (C6) point-program ops only, without reductions and stores;
      (C7) rows are i64 [b..., S]; key_rows only where nothing is joined; (C8) more keys only where nothing is joined.
  }];
  let arguments = (ins AnyMemRef:$q, AnyMemRef:$k, Variadic<AnyMemRef>:$moreK, Variadic<AnyMemRef>:$joinedQ, Variadic<AnyMemRef>:$joinedK, AnyMemRef:$v, Variadic<AnyMemRef>:$moreV,
                       AnyMemRef:$out, Optional<AnyMemRef>:$lse, Optional<AnyMemRef>:$sinks,
                       Optional<AnyMemRef>:$key_rows, Optional<AnyMemRef>:$value_rows,
                       DefaultValuedAttr<StrAttr, "\"softmax\"">:$normalizer);
  let regions = (region SizedRegion<1>:$score, AnyRegion:$mask);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` (`joined` `(` $joinedQ^ `:` type($joinedQ) `by` $joinedK `:` type($joinedK) `)`)? `v` `(` $v `)` `out` `(` $out `)` (`lse` `(` $lse^ `)`)? (`sinks` `(` $sinks^ `)`)?
    (`key_rows` `(` $key_rows^ `)`)? (`value_rows` `(` $value_rows^ `)`)? (`more_keys` `(` $moreK^ `:` type($moreK) `)`)? (`more_values` `(` $moreV^ `:` type($moreV) `)`)?
    `score` $score `mask` $mask attr-dict `:` type($q) `,` type($k) `,` type($v) `,` type($out) (`lse` type($lse)^)? (`sinks` type($sinks)^)?
    (`key_rows` type($key_rows)^)? (`value_rows` type($value_rows)^)?
  }];
  let extraClassDeclaration = [{
    /// k, or v, and the pieces behind it.
    llvm::SmallVector<mlir::Value> getKeyPieces() { return ::fovea::withMore(getK(), getMoreK()); }
    llvm::SmallVector<mlir::Value> getValuePieces() { return ::fovea::withMore(getV(), getMoreV()); }
    /// Queries and keys whose products are summed: q and k, and what is joined to them.
    ::fovea::QueriesAndKeys getParts() { return ::fovea::withJoined(getQ(), getK(), getJoinedQ(), getJoinedK()); }
  }];
  let hasVerifier = 1;
}

def Kernel_AttentionBackwardOp : Kernel_Op<"attention_backward", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>, AttrSizedOperandSegments]> {
  let summary = "graph.attention_backward on views; never holds the T x S weights";
  let description = [{
    q, k, v and what is joined as in kernel.attention; gradient [b..., T, E], lse and delta [b..., T] (f32, with "softmax"). `into`: dq, dk, those of what is joined
    (queries, then keys), dv, each of its operand's sizes, then the sums (f32); any strides. Regions as in graph.attention_backward, with kernel.load for captures. All
    of the sums are written: they begin at 0.
      (C1) ranks as above, float elements; (C2) the score's block is (s: f32, b..., t, j) and yields f32, with softmax perhaps two; (C3) the mask's is (b..., t, j) and yields i1, or is empty; (C4) the adjoint's is
      (s: f32, b..., t, j, g: f32, with a factor what reaches it: f32) and yields f32, and for each sum f32, perhaps i1, and one index an axis; (C5) `normalizer` is "softmax" with lse and delta, or "pointwise" without;
      (C6) point-program ops only, without reductions and stores.
  }];
  let arguments = (ins AnyMemRef:$q, AnyMemRef:$k, Variadic<AnyMemRef>:$joinedQ, Variadic<AnyMemRef>:$joinedK, AnyMemRef:$v, Optional<AnyMemRef>:$lse,
                       Optional<AnyMemRef>:$delta, AnyMemRef:$gradient, Variadic<AnyMemRef>:$into, DefaultValuedAttr<StrAttr, "\"softmax\"">:$normalizer);
  let regions = (region SizedRegion<1>:$score, AnyRegion:$mask, SizedRegion<1>:$adjoint);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` (`joined` `(` $joinedQ^ `:` type($joinedQ) `by` $joinedK `:` type($joinedK) `)`)? `v` `(` $v `)` (`lse` `(` $lse^ `)`)? (`delta` `(` $delta^ `)`)?
    `gradient` `(` $gradient `)` `into` `(` $into `)` `score` $score `mask` $mask `adjoint` $adjoint attr-dict `:` type($q) `,` type($k) `,` type($v)
    (`lse` type($lse)^)? (`delta` type($delta)^)? `,` type($gradient) `into` type($into)
  }];
  let extraClassDeclaration = [{
    /// As of kernel.attention.
    ::fovea::QueriesAndKeys getParts() { return ::fovea::withJoined(getQ(), getK(), getJoinedQ(), getJoinedK()); }
    /// Where the gradients of the parts' queries and keys go, in the order of getParts().
    llvm::SmallVector<std::pair<mlir::Value, mlir::Value>, 2> getPartGradients() {
      size_t joined = getJoinedQ().size();
      llvm::SmallVector<std::pair<mlir::Value, mlir::Value>, 2> parts{{getInto()[0], getInto()[1]}};
      for (size_t i = 0; i < joined; ++i)
        parts.push_back({getInto()[2 + i], getInto()[2 + joined + i]});
      return parts;
    }
    mlir::Value getDv() { return getInto()[2 + 2 * getJoinedQ().size()]; }
    mlir::ValueRange getSums() { return getInto().drop_front(3 + 2 * getJoinedQ().size()); }
  }];
  let hasVerifier = 1;
}

def Kernel_TopKOp : Kernel_Op<"top_k"> {
  let summary = "graph.top_k on views";
  let description = [{
    x [r..., n], values and indices [r..., k]; any strides. k is at most n.
      (C1) one rank, at least 1; (C2) x and values have one element type, indices i64.
  }];
  let arguments = (ins Arg<AnyMemRef, "", [MemRead]>:$x, Arg<AnyMemRef, "", [MemWrite]>:$values, Arg<AnyMemRef, "", [MemWrite]>:$indices);
  let assemblyFormat = "$x `values` `(` $values `)` `indices` `(` $indices `)` attr-dict `:` type($x) `,` type($values) `,` type($indices)";
  let hasVerifier = 1;
}

def Kernel_LinearAttentionOp : Kernel_Op<"linear_attention", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "graph.linear_attention on views, by chunks of keys";
  let description = [{
    q, k [b..., S, D], v, out [b..., S, E]; any strides. Regions as in graph.linear_attention, with kernel.load for captures; any may be empty.
    Within a chunk of `chunk` keys each query meets each key before it; all chunks before are one matrix of D x E. Chunks begin at key 0.
      (C1) ranks as above, float elements; (C2) regions are queries (b..., t), keys (b..., j), decay (b..., t, j), each -> f32 or empty;
      (C3) point-program ops only, without reductions and stores; (C4) `chunk` is a positive multiple of 64.
  }];
  let arguments = (ins AnyMemRef:$q, AnyMemRef:$k, AnyMemRef:$v, AnyMemRef:$out, I64Attr:$chunk);
  let regions = (region AnyRegion:$queries, AnyRegion:$keys, AnyRegion:$decay);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)` `out` `(` $out `)` `chunk` $chunk
    `queries` $queries `keys` $keys `decay` $decay attr-dict `:` type($q) `,` type($k) `,` type($v) `,` type($out)
  }];
  let hasVerifier = 1;
}

//===-- Point programs --------------------------------------------------------------------------------------------===//

def Kernel_DotOp : Kernel_Op<"dot", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "graph.dot on views, whose last axes are summed: sum over k of a[i..., k] b[j..., k]";
  let description = [{
    Stands in the score region of an attention. Its row of `a` is the region's query or key, and its row of `b` moves with both by steps, so that a block of queries and keys
    reads few rows of `b` (see IndexSpread.h).
      (C1) an index for each axis but the last; float elements; (C2) the last index of `a` is the region's query or key; (C3) stands in the score region of kernel.attention.
  }];
  let arguments = (ins AnyMemRef:$a, AnyMemRef:$b, Variadic<Index>:$a_indices, Variadic<Index>:$b_indices);
  let results = (outs F32:$result);
  let assemblyFormat = "$a `[` $a_indices `]` `,` $b `[` $b_indices `]` attr-dict `:` type($a) `,` type($b)";
  let hasVerifier = 1;
}
def Kernel_LoadOp : Kernel_Op<"load", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "reads one element; where `mask` is false reads nothing and gives 0";
  let description = [{
    A load by an index that an earlier kernel.check of the block found out of range also reads nothing.
      (C1) one index an axis; (C2) the result is the memref's element type, except i1, which reads an i8 memref as != 0.
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices, Optional<I1>:$mask);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$source `[` $indices `]` (`if` $mask^)? attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}
def Kernel_StoreOp : Kernel_Op<"store", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "writes one element, or adds to it, where `mask` is true";
  let description = [{
    With `adds` points that store to one place are added to it one after the other, in the order of the map's `ordered_from`.
      (C1) one index an axis; (C2) the value has the memref's element type, except i1, which writes 0 or 1 into an i8 memref; (C3) what adds is f32, in a map
      with `ordered_from`.
  }];
  let arguments = (ins AnyType:$value, AnyMemRef:$target, Variadic<Index>:$indices, Optional<I1>:$mask, UnitAttr:$adds);
  let assemblyFormat = "$value `,` $target `[` $indices `]` (`if` $mask^)? attr-dict `:` type($value) `,` type($target)";
  let hasVerifier = 1;
}
def Kernel_ReduceOp : Kernel_Op<"reduce", [Pure, InferTypeOpAdaptor]> {
  let summary = "collective over axes of the enclosing map: sum prod max min any all argmax";
  let description = [{
    The same value at every point along `axes`. Order: spans of 1024 elements from index 0 of the innermost axis, one fixed tree within a span (lanes and
    accumulators of the target's record), spans merged in order, then the outer axes in order.
    Over nothing: 0, 1, -inf (or the smallest integer), +inf (or the largest), false, true, 0. max and min give NaN where an element is NaN.
    argmax gives the first index of the maximum as i64; a NaN is the maximum.
      (C1) kind is one of these; (C2) any and all take i1, the others f32, f64, i32 or i64; (C3) argmax has one axis; (C4) stands in a kernel.map.
  }];
  let arguments = (ins StrAttr:$kind, AnyType:$value, DenseI64ArrayAttr:$axes);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$kind $value `over` $axes attr-dict `:` type($value)";
  let hasVerifier = 1;
}
def Kernel_CheckOp : Kernel_Op<"check"> {
  let summary = "fails the run where `low <= value < high` does not hold (and `mask`, if given, does)";
  let description = [{
    Execution goes on; loads and stores of the block that use `value` as an index do nothing at that point. `code` is of abi.h's FOVEA_FAIL_*,
    `place` a "file:line:column". (C1) code is positive.
  }];
  let arguments = (ins I32Attr:$code, Index:$value, Index:$low, Index:$high, Optional<I1>:$mask, StrAttr:$place);
  let assemblyFormat = "$code $value `in` `[` $low `,` $high `)` (`if` $mask^)? `at` $place attr-dict";
  let hasVerifier = 1;
}
def Kernel_YieldOp : Kernel_Op<"yield", [Pure, ReturnLike, Terminator, ParentOneOf<["MapOp", "MatmulOp", "AttentionOp", "AttentionBackwardOp", "LinearAttentionOp"]>]> {
  let summary = "ends a point program";
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}
#endif
