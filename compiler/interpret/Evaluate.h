// Inside of the interpreter.
#pragma once

#include "compiler/interpret/Interpreter.h"
#include "dialects/graph/GraphDialect.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <limits>

namespace fovea::interpret {

inline constexpr double infinity = std::numeric_limits<double>::infinity();

using Shape = std::vector<int64_t>;

/// A value on its way. `absent` is empty, or says of each element whether it stems from exp(-inf): the weight of a key
/// that takes no part. It follows elementwise and layout ops; graph.contract skips absent elements that are exactly 0.
struct Tensor : HostTensor {
  Tensor() = default;
  explicit Tensor(HostTensor host) : HostTensor(std::move(host)) {}
  std::vector<char> absent;
};
using Ref = std::shared_ptr<const Tensor>;

/// Where a function runs: what is around all of them, and the path of the calls that lead here.
struct Surroundings {
  mlir::ModuleOp module;
  const Observer *observer = nullptr; // null where nobody listens
  std::string path;
};

/// What the ops of one function see.
struct Scope {
  Surroundings around;
  std::map<std::string, int64_t, std::less<>> symbols;
  llvm::DenseMap<mlir::Value, Ref> values;
  llvm::StringMap<int> unnamed; // see pathOfUnnamed

  const Tensor &get(mlir::Value v) const { return *values.find(v)->second; }
  std::optional<int64_t> size(DimExpr e) const;
};

/// An error that starts with the op's place in the source.
llvm::Error failAt(mlir::Operation *op, const llvm::Twine &message);

/// Zeros of `type` under the scope's symbols; fails where a size is negative, unknown or beyond memory.
llvm::Expected<Tensor> makeTensor(const Scope &scope, mlir::Operation *op, mlir::Type type);

sema::DType dtypeOf(mlir::Type element);
Shape stridesOf(llvm::ArrayRef<int64_t> shape);
/// Every index of `shape` in row-major order, with its number.
void forEachIndex(llvm::ArrayRef<int64_t> shape, llvm::function_ref<void(llvm::ArrayRef<int64_t>, int64_t)> visit);
void copyElement(Tensor &to, int64_t i, const Tensor &from, int64_t j);
/// Where graph.pack puts row k, column n of a matrix of `rows` rows.
inline int64_t packedOffset(int64_t k, int64_t n, int64_t rows, int64_t panel, int64_t kBlock) {
  int64_t row = n / panel * (rows / kBlock) + k / kBlock;
  return (row * panel + n % panel) * kBlock + k % kBlock;
}

/// Runs a block's ops up to its terminator.
llvm::Error evaluateBlock(Scope &scope, mlir::Block &block);
/// Binds the arguments, checks the function's preconditions, runs it.
llvm::Expected<std::vector<Ref>> callFunction(graph::FuncOp function,
                                              std::map<std::string, int64_t, std::less<>> symbols,
                                              std::vector<Ref> arguments, Surroundings around);

/// reshape, transpose, broadcast, slice, update_slice, gather, concat, pack: elements move, nothing is computed.
/// Nothing where `op` is none of them.
std::optional<llvm::Expected<Tensor>> evaluateLayout(const Scope &scope, mlir::Operation *op);
/// contract, reduce, argmax, softmax, logsumexp: elements are added up or compared along axes. Likewise.
std::optional<llvm::Expected<Tensor>> evaluateReduction(const Scope &scope, mlir::Operation *op);
llvm::Error evaluateAttention(Scope &scope, graph::AttentionOp op);
llvm::Error evaluateAttentionBackward(Scope &scope, graph::AttentionBackwardOp op);
llvm::Error evaluateLinearAttention(Scope &scope, graph::LinearAttentionOp op);
llvm::Error evaluateTopK(Scope &scope, graph::TopKOp op);

/// The places of numbers in the order of graph.top_k.
std::vector<int64_t> descending(llvm::ArrayRef<double> numbers);

/// A scalar inside a region: `real` for floats, `integer` for the others.
struct Scalar {
  double real = 0;
  int64_t integer = 0;
};
/// Runs a region of an attention on its block's arguments; the yielded value.
llvm::Expected<Scalar> evaluatePoint(const Scope &scope, mlir::Block &block, llvm::ArrayRef<Scalar> arguments);
/// All of those that it yields.
llvm::Expected<llvm::SmallVector<Scalar>> evaluatePoints(const Scope &scope, mlir::Block &block,
                                                         llvm::ArrayRef<Scalar> arguments);

} // namespace fovea::interpret
