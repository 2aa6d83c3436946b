// Attention that is not one: what stands where a softmax would, and why it is none.
#pragma once

#include "compiler/passes/FusionReport.h"
#include "dialects/graph/GraphDialect.h"

namespace fovea {

/// Whether exponentials of a contraction, with a sum or a maximum of what they are made of, are summed with values by
/// `product` and are no softmax (graph-recognize-softmax has run). Then `report` says which fact failed, and where.
bool isNearMiss(graph::ContractOp product, ChainReport &report);

} // namespace fovea
