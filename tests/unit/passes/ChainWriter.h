// Writes attention chains as graph IR in random spellings: every tensor has named axes, in any order, merged or not.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "mlir/IR/BuiltinOps.h"

#include <random>
#include <string>
#include <vector>

namespace fovea::test {

/// A value whose axes are lists of named labels, outermost first: {"b", "hd"} is [B, H*D].
using Axes = std::vector<std::string>;
struct Tensor {
  mlir::Value value;
  Axes axes;
  std::string labels() const;
};

/// One function of one chain. Labels: b batch, h and r heads, t queries, s keys, x keys and one logit more, u other
/// keys, d and c inner sizes, g both of them, e values.
class ChainWriter {
public:
  ChainWriter(mlir::MLIRContext &context, unsigned seed);

  unsigned pick(unsigned count) { return random() % count; }
  bool maybe(unsigned percent) { return pick(100) < percent; }

  /// A new argument with these labels in a random layout, of f32 where no type is given: so many in a hundred of these
  /// are widened from 16 bits, in that layout or another.
  Tensor argument(std::string labels, mlir::Type element = {});
  unsigned narrowPercent = 0;
  Tensor constant(double value);
  Tensor integer(int64_t value);
  Tensor iota(char label);
  /// sqrt of a label's size.
  Tensor rootOf(char label);

  /// The same elements with other axes; labels that `x` lacks are broadcast. Takes random detours.
  Tensor relayout(Tensor x, Axes axes);
  Tensor shuffled(Tensor x);
  Axes randomAxes(std::string labels);

  template <typename Op> Tensor unary(Tensor x) {
    return {Op::create(builder, loc(), x.value.getType(), x.value), x.axes};
  }
  template <typename Op> Tensor binary(Tensor a, Tensor b) {
    align(a, b);
    return {Op::create(builder, loc(), a.value.getType(), a.value, b.value), a.axes};
  }
  Tensor cast(Tensor x, mlir::Type element);
  Tensor compare(llvm::StringRef predicate, Tensor a, Tensor b);
  Tensor select(Tensor condition, Tensor a, Tensor b);
  Tensor reduce(llvm::StringRef kind, Tensor x, std::string labels);
  /// Sums over `summed`; other labels of both are kept.
  Tensor contract(Tensor a, Tensor b, std::string summed);
  Tensor softmaxOp(Tensor x, char label);
  /// x backwards along a label, or x[offset] for a rank-0 offset that is 0.
  Tensor reversed(Tensor x, char label);
  Tensor sliced(Tensor x, char label);
  /// x along `s` with a logit behind it (or before), along `x`; and the elements of x without it, along `s` again.
  Tensor withLogit(Tensor x, Tensor logit, bool isFirst);
  Tensor withoutLogit(Tensor x, bool isFirst);
  /// x along `d` with y, whose features are along `c`, behind it: along `g`. Labels that y lacks are broadcast.
  Tensor withFeatures(Tensor x, Tensor y);
  /// table[clip(index)] for a table of 3.
  Tensor gathered(Tensor table, Tensor index);

  /// Ends the function; the module that holds it.
  mlir::OwningOpRef<mlir::ModuleOp> finish(std::vector<Tensor> results);

  mlir::OpBuilder builder;

private:
  mlir::Location loc() { return builder.getUnknownLoc(); }
  DimExpr sizeOf(llvm::StringRef labels);
  graph::TensorType typeOf(const Axes &axes, mlir::Type element);
  void align(Tensor &a, Tensor &b);
  Tensor reshaped(Tensor x, Axes axes);
  Tensor transposed(Tensor x, Axes axes);

  std::mt19937 random;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  graph::FuncOp function;
};

} // namespace fovea::test
