// Runs passes on textual IR, as mlir-opt does: every dialect and pass of Fovea, and the upstream ones that it uses.
#include "compiler/pipeline/Register.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  fovea::pipeline::registerDialects(registry);
  fovea::pipeline::registerPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Fovea's optimiser\n", registry));
}
