#ifndef FOVEA_AUTODIFF_PASSES
#define FOVEA_AUTODIFF_PASSES

include "mlir/Pass/PassBase.td"

def MarkVariables : Pass<"graph-mark-variables", "::mlir::ModuleOp"> {
  let summary = "puts graph.variable behind what gradients are asked for with respect to";
  let description = [{
    Before: `%dx = graph.grad %loss wrt(%x)` with %x computed by an op.
    After: all uses of %x are uses of `graph.variable %x`, so that no rewrite before graph-differentiate replaces %x on the way to the loss by an equal
    value, or computes what comes after it from what is before it.
    Numerical effect: exact.
  }];
  let dependentDialects = ["::fovea::graph::GraphDialect"];
  let statistics = [Statistic<"numMarked", "marked", "Values marked">];
}

def Differentiate : Pass<"graph-differentiate", "::mlir::ModuleOp"> {
  let summary = "replaces graph.grad by the ops that compute the gradients";
  let description = [{
    Before: `%dx = graph.grad %loss wrt(%x)`.
    After: reverse mode. From the loss back, every op that lies between a value of `wrt` and the loss passes what reaches its results on to
    its operands, by its rule (Rules.cpp; elementwise ops have theirs in their table row). What reaches a value from several uses is added up
    in the order of the uses, the last one first. What reaches an elementwise function of one tensor is passed on by one product with the function's
    derivative, computed behind the function, where that is less to keep (ElementDerivative.h): x sigmoid(x) would keep x and its sigmoid. Ops outside of these paths get none, so that unused gradients cost nothing.
    Attention that is fused becomes graph.attention_backward: its weights are computed again, and never held. It has no rule of its own: graph-fuse-attention{for-gradients}
    leaves alone what is differentiated twice.
    Gradients of gradients: the inner graph.grad is replaced first, and what it became is differentiated as any other.
    Requires: calls are inlined. Declines when: an op in between has no rule; the error names it and its place.
    Numerical effect: gradients are computed in the types of the values; products with derivatives of functions are distributed (reassociating).
  }];
  let dependentDialects = ["::fovea::graph::GraphDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
  let statistics = [Statistic<"numDifferentiated", "differentiated", "graph.grad ops replaced">];
}

#endif
