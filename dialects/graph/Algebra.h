// Arithmetic on values of one shape, wherever they live: what derivatives are written in once, for tensors of the graph
// and for the scalars of a region.
#pragma once

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"
#include "mlir/IR/ValueRange.h"
#include "llvm/ADT/StringRef.h"

namespace fovea::graph {

class Algebra {
public:
  using Value = mlir::Value;
  virtual ~Algebra() = default;

  /// The elementwise op `graph.<mnemonic>` of these operands; its result is like the last one.
  virtual Value apply(llvm::StringRef mnemonic, mlir::ValueRange operands) = 0;
  /// Whether `x predicate y` holds.
  virtual Value compare(llvm::StringRef predicate, Value x, Value y) = 0;
  /// x with the elements of `like`.
  virtual Value convert(Value x, Value like) = 0;
  /// `number` everywhere, like `like`.
  virtual Value constant(Value like, double number) = 0;

  Value neg(Value x) { return apply("neg", x); }
  Value add(Value x, Value y) { return apply("add", {x, y}); }
  Value sub(Value x, Value y) { return apply("sub", {x, y}); }
  Value mul(Value x, Value y) { return apply("mul", {x, y}); }
  Value mul(Value x, double y) { return mul(x, constant(x, y)); }
  Value div(Value x, Value y) { return apply("div", {x, y}); }
  Value select(Value condition, Value x, Value y) { return apply("select", {condition, x, y}); }
};

/// The scalar body of `graph.<mnemonic>`, a comparison's, and what of a gradient reaches an operand, from the row of the
/// elementwise op, for values that have no op of the graph.
mlir::Value buildElementwise(llvm::StringRef mnemonic, mlir::OpBuilder &builder, mlir::Location loc,
                             mlir::ValueRange operands);
mlir::Value buildComparison(llvm::StringRef predicate, mlir::OpBuilder &builder, mlir::Location loc, mlir::Value x,
                            mlir::Value y);
mlir::Value buildAdjoint(llvm::StringRef mnemonic, Algebra &algebra, mlir::Value gradient, mlir::ValueRange operands,
                         mlir::Value result, unsigned operand);

} // namespace fovea::graph
