// graph.attention_backward, as its description reads.
#include "compiler/interpret/Evaluate.h"

#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

namespace {

class Backward {
public:
  Backward(Scope &scope, graph::AttentionBackwardOp op)
      : scope(scope), op(op), v(scope.get(op.getV())), gradient(scope.get(op.getGradient())) {
    for (auto [q, k] : op.getParts())
      parts.push_back({&scope.get(q), &scope.get(k)});
    const Shape &q = parts.front().first->shape;
    rows.assign(q.begin(), q.end() - 1);
    queries = q.end()[-2], keys = parts.front().second->shape.end()[-2], width = v.shape.back();
  }

  Error run() {
    for (Value result : op.getGradients()) {
      Expected<Tensor> made = makeTensor(scope, op, result.getType());
      if (!made)
        return made.takeError();
      results.push_back(std::move(*made));
    }
    Error error = Error::success();
    forEachIndex(rows, [&](ArrayRef<int64_t> index, int64_t row) {
      for (int64_t j = 0; j < keys && !error; ++j)
        error = point(index, row, j);
    });
    if (error)
      return error;
    for (auto [value, tensor] : llvm::zip(op.getGradients(), results))
      scope.values[value] = std::make_shared<Tensor>(std::move(tensor));
    return Error::success();
  }

private:
  /// Query `row` (of all batches) and key j of its batch.
  Error point(ArrayRef<int64_t> index, int64_t row, int64_t j) {
    int64_t key = row / queries * keys + j;
    SmallVector<Scalar> arguments = {Scalar{product(row, key), 0}};
    for (int64_t i : index)
      arguments.push_back({0, i});
    arguments.push_back({0, j});
    if (!op.getMask().empty()) {
      Expected<Scalar> visible = evaluatePoint(scope, op.getMask().front(), ArrayRef(arguments).drop_front());
      if (!visible || !visible->integer)
        return visible.takeError();
    }
    Expected<SmallVector<Scalar>> score = evaluatePoints(scope, op.getScore().front(), arguments);
    if (!score)
      return score.takeError();
    bool isSoftmax = op.getNormalizer() == "softmax", hasFactor = score->size() > 1;
    double weight = score->front().real, factor = hasFactor ? score->back().real : 1, change = 0;
    if (isSoftmax && weight == -infinity) // of no weight, whatever the value is
      return Error::success();
    if (isSoftmax) {
      double lse = scope.get(op.getLse()).reals[row];
      weight = lse == -infinity ? 0 : std::exp(weight - lse);
    }
    Tensor &dv = results[2 * parts.size()];
    for (int64_t e = 0; e < width; ++e) {
      change += gradient.reals[row * width + e] * v.reals[key * width + e];
      if (factor != 0)
        dv.reals[key * width + e] += weight * factor * gradient.reals[row * width + e];
    }
    double ofFactor = weight * change;
    if (isSoftmax)
      change = weight * ((factor != 0 ? factor * change : 0) - scope.get(op.getDelta()).reals[row]);
    arguments.push_back({change, 0});
    if (hasFactor)
      arguments.push_back({ofFactor, 0});
    Expected<SmallVector<Scalar>> adjoint = evaluatePoints(scope, op.getAdjoint().front(), arguments);
    if (!adjoint)
      return adjoint.takeError();
    addProducts(row, key, adjoint->front().real);
    return addSums(ArrayRef(*adjoint).drop_front());
  }

  double product(int64_t row, int64_t key) {
    double sum = 0;
    for (auto [q, k] : parts)
      for (int64_t d = 0, depth = q->shape.back(); d < depth; ++d)
        sum += q->reals[row * depth + d] * k->reals[key * depth + d];
    return sum;
  }

  void addProducts(int64_t row, int64_t key, double ds) {
    for (auto [i, part] : llvm::enumerate(parts)) {
      auto [q, k] = part;
      size_t joined = parts.size() - 1;
      Tensor &dq = results[i ? 1 + i : 0], &dk = results[i ? 1 + joined + i : 1];
      for (int64_t d = 0, depth = q->shape.back(); d < depth; ++d) {
        dq.reals[row * depth + d] += ds * k->reals[key * depth + d];
        dk.reals[key * depth + d] += ds * q->reals[row * depth + d];
      }
    }
  }

  Error addSums(ArrayRef<Scalar> yielded) {
    TypeRange types = TypeRange(op.getAdjoint().front().back().getOperandTypes()).drop_front();
    for (Tensor &sum : MutableArrayRef(results).drop_front(2 * parts.size() + 1)) {
      size_t rank = sum.shape.size();
      bool isGuarded = types.size() > 1 && types[1].isInteger(1), isAdded = !isGuarded || yielded[1].integer;
      int64_t place = 0;
      for (auto [size, i] : llvm::zip(sum.shape, yielded.slice(1 + isGuarded, isAdded ? rank : 0))) {
        if (i.integer < 0 || i.integer >= size)
          return failAt(op, "index " + Twine(i.integer) + " is outside [0, " + Twine(size) + ")");
        place = place * size + i.integer;
      }
      if (isAdded)
        sum.reals[place] += yielded.front().real;
      yielded = yielded.drop_front(1 + isGuarded + rank);
      types = types.drop_front(1 + isGuarded + rank);
    }
    return Error::success();
  }

  Scope &scope;
  graph::AttentionBackwardOp op;
  SmallVector<std::pair<const Tensor *, const Tensor *>> parts; ///< q [batch..., T, D], k [batch..., S, D]
  const Tensor &v, &gradient;
  Shape rows; ///< batch..., T
  int64_t queries, keys, width;
  SmallVector<Tensor> results;
};

} // namespace

Error interpret::evaluateAttentionBackward(Scope &scope, graph::AttentionBackwardOp op) {
  return Backward(scope, op).run();
}
