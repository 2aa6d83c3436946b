#ifndef FOVEA_GRAPH_INTERFACES
#define FOVEA_GRAPH_INTERFACES
include "mlir/IR/OpBase.td"

/// One table row serves loops, epilogues, attention regions, autodiff, masks and the interpreter.
def ElementwiseOpInterface : OpInterface<"ElementwiseOpInterface"> {
  let cppNamespace = "::fovea::graph";
  let description = [{
    An op whose result at an index depends on its operands at the same index alone. Operands and result have one shape.
  }];
  let methods = [
    InterfaceMethod<"Builds the scalar body with arith and math ops on scalar operands (or vectors of one length); the result "
                    "has `resultElement` (or vector thereof) as its type.",
      "::mlir::Value", "buildScalar", (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc,
                                           "::mlir::ValueRange":$operands, "::mlir::Type":$resultElement)>,
    InterfaceMethod<"The value for double operands (integers and bools as doubles where exact; i64 ops use evaluateInt).",
      "double", "evaluate", (ins "::llvm::ArrayRef<double>":$operands)>,
    InterfaceMethod<"The value for integer operands.",
      "int64_t", "evaluateInt", (ins "::llvm::ArrayRef<int64_t>":$operands)>,
  ];
}
#endif
