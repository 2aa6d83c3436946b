#include "compiler/passes/Passes.h"

void fovea::registerGraphPasses() { registerFoveaGraphPasses(); }
