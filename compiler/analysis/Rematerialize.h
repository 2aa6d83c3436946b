// graph-rematerialize: what a gradient reads is kept until then, or computed again.
#pragma once

#include "compiler/analysis/RecomputationReport.h"
#include "dialects/graph/GraphDialect.h"

#include "mlir/Pass/Pass.h"

#include <memory>
#include <optional>

namespace fovea {

std::unique_ptr<mlir::Pass> createRematerializePass();
void registerRematerializePass();

/// What the pass decided for a function: its attribute `graph.recomputation`.
std::optional<RecomputationReport> recomputationOf(graph::FuncOp function);
void setRecomputation(graph::FuncOp function, const RecomputationReport &report);

} // namespace fovea
