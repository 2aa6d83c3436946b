// From the typed model to the graph dialect.
#pragma once

#include "compiler/sema/Model.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace fovea {

/// The module of `model`: one graph.func for each function, op for op, verified.
///
/// Locations are `NameLoc(path, FileLineColLoc)`, without the name where the op has no path. The module's attributes:
/// `graph.model` (the name), `graph.params` and `graph.states` (arrays of dictionaries: `name`, `type`, and
/// `initializer`, `args` or `initial`). Functions that are not entries are private; arguments and results carry their
/// roles in all of them.
///
/// Null after an error, which is reported through the context: the typed model broke its own contract.
mlir::OwningOpRef<mlir::ModuleOp> importModel(const sema::Model &model, const source::SourceManager &sources,
                                              mlir::MLIRContext &context);

} // namespace fovea
