// The kernel dialect: how a group runs. Destinations are memrefs (strided, sizes in SSA); regions are point programs.
#ifndef FOVEA_KERNEL_OPS
#define FOVEA_KERNEL_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let cppNamespace = "::fovea::kernel";
  let summary = "How it runs: destination-style kernels as point programs over memrefs";
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect"];
}
class Kernel_Op<string mnemonic, list<Trait> traits = []> : Op<Kernel_Dialect, mnemonic, traits>;

def Kernel_FuncOp : Kernel_Op<"func", [FunctionOpInterface, IsolatedFromAbove]> {
  let summary = "one kernel: sizes and views, then exactly one schedule op";
  let description = [{
    Arguments: memrefs (any strided layout), index (sizes), scalars. The body is index arithmetic and memref.dim, one of kernel.map, kernel.matmul,
    kernel.attention, and kernel.return. `kind` and `place` go to the profile. (C1) exactly one schedule op.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type, OptionalAttr<StrAttr>:$place,
                       OptionalAttr<StrAttr>:$sym_visibility, OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The schedule op.
    ::mlir::Operation *getSchedule();
  }];
}
def Kernel_ReturnOp : Kernel_Op<"return", [Pure, HasParent<"FuncOp">, Terminator, ReturnLike]> {
  let assemblyFormat = "attr-dict";
}
def Kernel_LaunchOp : Kernel_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel on views; stands in func.func";
  let description = "`flops` and `bytes` (index) are for the profile. `path` is the module path.";
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$operands, OptionalAttr<StrAttr>:$path);
  let assemblyFormat = "$kernel `(` $operands `)` attr-dict `:` type($operands)";
}

//===-- Schedule ops ----------------------------------------------------------------------------------------------===//

def Kernel_MapOp : Kernel_Op<"map", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "a point program over a box";
  let description = [{
    The block has one index argument per size. `kernel.reduce` inside is collective over axes. Points are independent otherwise:
    no point reads what another one stores. Ends with kernel.yield without operands.
  }];
  let arguments = (ins Variadic<Index>:$sizes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`in` `(` $sizes `)` $body attr-dict";
  let hasVerifier = 1;
}

def Kernel_MatmulOp : Kernel_Op<"matmul", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "acc[b..., m, n] = sum over k of lhs[b..., m, k] rhs[b..., k, n], handed to an epilogue";
  let description = [{
    lhs: memref [b..., M, K], any strides. rhs: [b..., K, N], any strides; or, with `packed`, [P, K, panel] (as graph.pack), shared by
    all b. `n` is N as an index. Broadcast batch axes have stride 0. acc is f32, one FMA chain in k order.
    The block (acc: f32, b..., m, n: index) is the epilogue, a point program that stores; ends with kernel.yield.
    Points outside [M, N] never run. No reductions inside.
  }];
  let arguments = (ins AnyMemRef:$lhs, AnyMemRef:$rhs, Index:$n, UnitAttr:$packed);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = "$lhs `,` $rhs (`packed` $packed^)? `n` `(` $n `)` $epilogue attr-dict `:` type($lhs) `,` type($rhs)";
  let hasVerifier = 1;
}

def Kernel_AttentionOp : Kernel_Op<"attention", [RecursiveMemoryEffects, AttrSizedOperandSegments]> {
  let summary = "graph.attention on views; never holds the T x S scores";
  let description = [{
    q [b..., T, D], k [b..., S, D], v [b..., S, E], out [b..., T, E], lse [b..., T] (f32), sinks [b...]; any strides.
    Regions as in graph.attention, with kernel.load for captures: score (s: f32, b..., t, j) -> f32, mask (b..., t, j) -> i1 (or empty).
  }];
  let arguments = (ins AnyMemRef:$q, AnyMemRef:$k, AnyMemRef:$v, AnyMemRef:$out, Optional<AnyMemRef>:$lse, Optional<AnyMemRef>:$sinks,
                       DefaultValuedAttr<StrAttr, "\"softmax\"">:$normalizer);
  let regions = (region SizedRegion<1>:$score, AnyRegion:$mask);
  let assemblyFormat = [{
    `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)` `out` `(` $out `)` (`lse` `(` $lse^ `)`)? (`sinks` `(` $sinks^ `)`)?
    `score` $score `mask` $mask attr-dict `:` type(operands)
  }];
  let hasVerifier = 1;
}

//===-- Point programs --------------------------------------------------------------------------------------------===//

def Kernel_LoadOp : Kernel_Op<"load", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "reads one element; where `mask` is false reads nothing and gives 0";
  let description = "(C1) one index an axis. The result is the memref's element type, except i1, which reads an i8 memref as != 0.";
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices, Optional<I1>:$mask);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$source `[` $indices `]` (`if` $mask^)? attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}
def Kernel_StoreOp : Kernel_Op<"store", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "writes one element (i1 into i8 memrefs as 0 or 1), where `mask` is true";
  let arguments = (ins AnyType:$value, AnyMemRef:$target, Variadic<Index>:$indices, Optional<I1>:$mask);
  let assemblyFormat = "$value `,` $target `[` $indices `]` (`if` $mask^)? attr-dict `:` type($value) `,` type($target)";
  let hasVerifier = 1;
}
def Kernel_ReduceOp : Kernel_Op<"reduce", [Pure, AllTypesMatch<["value", "result"]>]> {
  let summary = "collective over axes of the enclosing map: sum prod max min any all";
  let description = [{
    The same value at every point along `axes`. Order: spans of 1024 elements from index 0, one fixed tree within a span (lanes and
    accumulators of the target's record), spans merged in order.
  }];
  let arguments = (ins StrAttr:$kind, AnyType:$value, DenseI64ArrayAttr:$axes);
  let results = (outs AnyType:$result);
  let assemblyFormat = "$kind $value `over` $axes attr-dict `:` type($value)";
  let hasVerifier = 1;
}
def Kernel_CheckOp : Kernel_Op<"check"> {
  let summary = "fails the run where `low <= value < high` does not hold";
  let arguments = (ins I32Attr:$code, Index:$value, Index:$low, Index:$high, StrAttr:$place);
  let assemblyFormat = "$code $value `in` `[` $low `,` $high `)` `at` $place attr-dict";
}
def Kernel_YieldOp : Kernel_Op<"yield", [Pure, ReturnLike, Terminator, ParentOneOf<["MapOp", "MatmulOp", "AttentionOp"]>]> {
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}
#endif
