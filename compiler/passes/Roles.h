// Roles of a function's arguments, and what depends on params alone.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"

namespace fovea {

/// Which values of a function depend on params and constants alone, at sizes that are numbers: on params that nothing
/// writes (they can be computed once after loading), or on any (they are no activations). Answers are kept; the function
/// may gain ops, but those asked about must not change.
class ParamDependence {
public:
  enum class Params { Fixed, All };
  explicit ParamDependence(graph::FuncOp function, Params params = Params::Fixed);

  /// Depends on params, constants and derived values alone.
  bool isConstant(mlir::Value value) { return classOf(value) != Class::Varying; }
  /// Is constant and depends on a param (or a derived value).
  bool hasParam(mlir::Value value) { return classOf(value) == Class::Param; }
  /// Is constant and reads one param through layout ops and slices only: a view.
  static bool isView(mlir::Value value);

private:
  enum class Class { Constant, Param, Varying };
  Class classOf(mlir::Value value);
  bool isParam(mlir::BlockArgument argument);

  graph::FuncOp function;
  Params params;
  llvm::DenseMap<mlir::Value, Class> classes;
};

/// Moves the ops that `value` is computed by in front of `anchor`, where they are behind it in the same block. They
/// must not depend on `anchor`.
void moveBefore(mlir::Value value, mlir::Operation *anchor);

/// The name in a role attribute (names::param...) of an argument; empty where it has not this role.
llvm::StringRef roleName(graph::FuncOp function, unsigned argument, llvm::StringRef role);

} // namespace fovea
