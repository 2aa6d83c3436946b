// The graph dialect: what a model means. Types, attributes, op classes.
#ifndef FOVEA_GRAPH_BASE
#define FOVEA_GRAPH_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Graph_Dialect : Dialect {
  let name = "graph";
  let cppNamespace = "::fovea::graph";
  let summary = "What a model means: value semantics, symbolic dimensions";
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
  let hasConstantMaterializer = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerTypes();
    void registerFolds();
  }];
}

class Graph_Type<string name, string mnem> : TypeDef<Graph_Dialect, name> { let mnemonic = mnem; }
class Graph_Attr<string name, string mnem> : AttrDef<Graph_Dialect, name> { let mnemonic = mnem; }

def Graph_TensorType : Graph_Type<"Tensor", "tensor"> {
  let summary = "a tensor with symbolic dimensions";
  let description = [{
    `!graph.tensor<[B, T+1, 384], f32>`. Dimensions are canonical expressions (`fovea::DimExpr`) over symbols that the
    enclosing function declares. Element types: f32, f16, bf16, f64 (stored and cast), i64, i32, i8, i1. Rank 0 is a scalar.
  }];
  let parameters = (ins ArrayRefParameter<"::fovea::DimExpr">:$dims, "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t getRank() const { return getDims().size(); }
    ::fovea::DimExpr getDim(int64_t i) const { return getDims()[i]; }
    /// The product of all dimensions.
    ::fovea::DimExpr getNumElements() const;
    TensorType cloneWith(::mlir::Type elementType) const { return get(getContext(), getDims(), elementType); }
    TensorType cloneWith(::llvm::ArrayRef<::fovea::DimExpr> dims) const { return get(getContext(), dims, getElementType()); }
  }];
}

def Graph_DimAttr : Graph_Attr<"Dim", "dim"> {
  let summary = "a size expression: `#graph.dim<T+1>`";
  let description = [{
    Grammar: names, integers, `+ - *`, `floordiv(a, b)`, `mod(a, b)`, `max(a, b)`, `min(a, b)`, parentheses. Printed canonically.
  }];
  let parameters = (ins "::fovea::DimExpr":$value);
  let hasCustomAssemblyFormat = 1;
}

def Graph_RequireAttr : Graph_Attr<"Require", "require"> {
  let summary = "a precondition on sizes, checked before any kernel runs";
  let description = [{
    `#graph.require<T, "le", 512, "T <= positions", "m.fov:3:4">`: lhs, (C1) relation (eq ne lt le gt ge), rhs, what the
    source says, place.
  }];
  let parameters = (ins "::fovea::DimExpr":$lhs, StringRefParameter<>:$relation, "::fovea::DimExpr":$rhs,
                        StringRefParameter<>:$message, StringRefParameter<>:$place);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Graph_Tensor : Type<CPred<"::llvm::isa<::fovea::graph::TensorType>($_self)">, "graph tensor", "::fovea::graph::TensorType">;

class Graph_Op<string mnemonic, list<Trait> traits = []> : Op<Graph_Dialect, mnemonic, traits>;

#endif
