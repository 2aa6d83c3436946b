#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace fovea::graph;

#include "dialects/graph/GraphDialect.cpp.inc"
#include "dialects/graph/GraphInterfaces.cpp.inc"

void GraphDialect::initialize() {
  registerFolds();
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/GraphOps.cpp.inc"
      >();
}

Operation *GraphDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  auto tensor = dyn_cast<fovea::graph::TensorType>(type);
  auto typed = dyn_cast<TypedAttr>(value);
  if (!tensor || !typed || tensor.getRank() != 0 || typed.getType() != tensor.getElementType())
    return nullptr;
  return ConstantOp::create(builder, loc, tensor, typed);
}

void fovea::graph::registerDialect(DialectRegistry &registry) { registry.insert<GraphDialect>(); }
