#ifndef FOVEA_GRAPH_INTERFACES
#define FOVEA_GRAPH_INTERFACES
include "mlir/IR/OpBase.td"

/// One table row (Elementwise.cpp) serves loops, epilogues, attention regions, masks, range analysis, constant folding and the interpreter.
def ElementwiseOpInterface : OpInterface<"ElementwiseOpInterface"> {
  let cppNamespace = "::fovea::graph";
  let description = [{
    An op whose result at an index depends on its operands at the same index alone.
      (E1) operands and result have one shape; (E2) the op is defined for the element types of its operands.
  }];
  let methods = [
    InterfaceMethod<"Builds the scalar body with arith and math ops on scalars, or on vectors of one shape. The result has the element type "
                    "`resultElement` (a scalar type), in a vector where the operands are vectors. f16 and bf16 are computed in f32; operands may come "
                    "widened already. Never undefined behaviour: integer division by 0 gives 0, casts to integers saturate, NaN becomes 0.",
      "::mlir::Value", "buildScalar", (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc,
                                           "::mlir::ValueRange":$operands, "::mlir::Type":$resultElement)>,
    InterfaceMethod<"The value in double precision, where an operand or the result is a float; ints and bools come and go as doubles (2^63 for what saturates at i64's end).",
      "double", "evaluate", (ins "::llvm::ArrayRef<double>":$operands)>,
    InterfaceMethod<"The value where all operands and the result are ints or bools (0 or 1); wraps at the result's width.",
      "int64_t", "evaluateInt", (ins "::llvm::ArrayRef<int64_t>":$operands)>,
    InterfaceMethod<"How the range of the result follows from those of the operands (Intervals.h).",
      "::fovea::graph::IntervalRule", "getIntervalRule", (ins)>,
    InterfaceMethod<"What of `gradient`, which reaches the result, reaches that operand: the derivative's product with it. Null where that is 0 everywhere. "
                    "`operands` and `result` are the op's, wherever the algebra keeps them.",
      "::mlir::Value", "buildAdjoint", (ins "::fovea::graph::Algebra &":$algebra, "::mlir::Value":$gradient, "::mlir::ValueRange":$operands,
                                            "::mlir::Value":$result, "unsigned":$operand)>,
    InterfaceMethod<"Whether the op is defined for operands with this element type (E2).",
      "bool", "acceptsElement", (ins "::mlir::Type":$element)>,
  ];
  let verify = [{ return ::fovea::graph::detail::verifyElementwise($_op); }];
  let extraClassDeclaration = [{
    /// Whether evaluateInt is the one to use: no float among the element types.
    bool isIntegral();
  }];
}
#endif
