// Values of integer code that reads no memory: sizes of host functions, parts of masks.
#pragma once

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <functional>
#include <optional>

namespace fovea::kernels {

/// Evaluates scalars by folding their ops. What was evaluated is remembered: values must not change meanwhile.
class ScalarEvaluator {
public:
  /// `known` gives the values that code starts from (arguments); nullopt for those that are not known.
  explicit ScalarEvaluator(std::function<std::optional<int64_t>(mlir::Value)> known) : known(std::move(known)) {}

  /// An integer or index, i1 as 0 or 1; nullopt where it depends on memory or on what is not known.
  std::optional<int64_t> evaluate(mlir::Value value);

private:
  mlir::Attribute attributeOf(mlir::Value value);
  mlir::Attribute fold(mlir::Operation *op, unsigned result);

  std::function<std::optional<int64_t>(mlir::Value)> known;
  llvm::DenseMap<mlir::Value, mlir::Attribute> memo;
};

} // namespace fovea::kernels
