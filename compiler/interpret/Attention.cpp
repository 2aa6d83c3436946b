// graph.attention and graph.linear_attention, as their descriptions read.
#include "compiler/interpret/Evaluate.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

namespace {

/// Keys, or values: pieces [batch..., Si, D] behind each other; of the first one perhaps the rows that a table names.
struct KeyedRows {
  SmallVector<const Tensor *> pieces;
  const Tensor *table = nullptr;

  int64_t firstCount() const { return table ? table->shape.back() : pieces.front()->shape.end()[-2]; }
  int64_t count() const {
    int64_t rows = firstCount();
    for (const Tensor *piece : ArrayRef(pieces).drop_front())
      rows += piece->shape.end()[-2];
    return rows;
  }
  int64_t width() const { return pieces.front()->shape.back(); }
  const double *row(int64_t batch, int64_t j) const {
    const Tensor *const *piece = pieces.begin();
    int64_t first = firstCount();
    if (table && j < first)
      j = table->ints[batch * first + j];
    else if (j >= first)
      for (j -= first, ++piece; j >= (*piece)->shape.end()[-2]; ++piece)
        j -= (*piece)->shape.end()[-2];
    return (*piece)->reals.data() + (batch * (*piece)->shape.end()[-2] + j) * width();
  }
};

/// Shapes: q [batch..., T, D], k [batch..., S, D], pairs of them; v [batch..., S, E]. Batches are numbered row by row.
struct Heads {
  SmallVector<std::pair<const Tensor *, KeyedRows>> parts;
  KeyedRows values;
  Shape rows; ///< batch..., T
  int64_t queries, keys, width;
  template <typename Op> Heads(const Scope &scope, Op op) {
    parts.push_back({&scope.get(op.getQ()), {{&scope.get(op.getK())}}});
    values.pieces.push_back(&scope.get(op.getV()));
    if constexpr (std::is_same_v<Op, graph::AttentionOp>)
      addParts(scope, op);
    const Shape &q = parts.front().first->shape;
    rows.assign(q.begin(), q.end() - 1);
    queries = rows.back(), keys = parts.front().second.count(), width = values.width();
  }
  void addParts(const Scope &scope, graph::AttentionOp op) {
    for (Value piece : op.getMoreK())
      parts.front().second.pieces.push_back(&scope.get(piece));
    for (Value piece : op.getMoreV())
      values.pieces.push_back(&scope.get(piece));
    if (op.getKeyRows())
      parts.front().second.table = &scope.get(op.getKeyRows());
    if (op.getValueRows())
      values.table = &scope.get(op.getValueRows());
    for (auto [q, k] : llvm::zip(op.getJoinedQ(), op.getJoinedK()))
      parts.push_back({&scope.get(q), {{&scope.get(k)}}});
  }

  double product(int64_t batch, int64_t t, int64_t j) const {
    double sum = 0;
    for (const auto &[q, k] : parts) {
      const double *row = k.row(batch, j);
      for (int64_t d = 0, depth = q->shape.back(); d < depth; ++d)
        sum += q->reals[(batch * queries + t) * depth + d] * row[d];
    }
    return sum;
  }
  double value(int64_t batch, int64_t j, int64_t e) const { return values.row(batch, j)[e]; }
};

/// The scores of one query, -inf where the mask hides a key, and what their weights are multiplied by.
class RowScores {
public:
  RowScores(const Scope &scope, graph::AttentionOp op, const Heads &heads) : scope(scope), op(op), heads(heads) {}

  Expected<std::vector<double>> operator()(ArrayRef<int64_t> batchIndex, int64_t batch, int64_t t,
                                           std::vector<char> &visible, std::vector<double> &factors) {
    std::vector<double> scores(heads.keys, -infinity);
    visible.assign(heads.keys, true);
    factors.assign(heads.keys, 1);
    for (int64_t j = 0; j < heads.keys; ++j) {
      SmallVector<Scalar> arguments = {Scalar{heads.product(batch, t, j), 0}};
      for (int64_t i : batchIndex)
        arguments.push_back({0, i});
      arguments.push_back({0, t});
      arguments.push_back({0, j});
      if (!op.getMask().empty()) {
        Expected<Scalar> mask = evaluatePoint(scope, op.getMask().front(), ArrayRef(arguments).drop_front());
        if (!mask)
          return mask.takeError();
        visible[j] = mask->integer != 0;
      }
      if (!visible[j])
        continue;
      Expected<SmallVector<Scalar>> score = evaluatePoints(scope, op.getScore().front(), arguments);
      if (!score)
        return score.takeError();
      scores[j] = score->front().real;
      if (score->size() > 1)
        factors[j] = score->back().real;
    }
    return scores;
  }

private:
  const Scope &scope;
  graph::AttentionOp op;
  const Heads &heads;
};

/// weights[j] of a row, and its log-sum-exp. `sink` is an extra logit in the denominator, -inf for none.
double softmaxRow(std::vector<double> &scores, double sink) {
  double m = sink, sum = 0;
  for (double s : scores)
    m = std::isnan(m) || std::isnan(s) ? std::numeric_limits<double>::quiet_NaN() : std::max(m, s);
  if (m == -infinity)
    m = 0;
  for (double s : scores)
    sum += std::exp(s - m);
  sum += std::exp(sink - m);
  for (double &s : scores)
    s = sum == 0 ? 0 : std::exp(s - m) / sum;
  return sum == 0 ? -infinity : m + std::log(sum);
}

/// A row's largest scores and their keys, as graph.top_k has them.
void selectLargest(ArrayRef<double> scores, int64_t row, Tensor &largest, Tensor &keys) {
  int64_t count = largest.shape.back();
  std::vector<int64_t> order = descending(scores);
  for (int64_t i = 0; i < count && i < int64_t(order.size()); ++i) {
    largest.reals[row * count + i] = scores[order[i]];
    keys.ints[row * count + i] = order[i];
  }
}

} // namespace

static Error checkRows(const Scope &scope, graph::AttentionOp op, Value rows, Value table) {
  int64_t count = scope.get(table).shape.end()[-2];
  if (rows)
    for (int64_t row : scope.get(rows).ints)
      if (row < 0 || row >= count)
        return failAt(op, "row " + Twine(row) + " is outside [0, " + Twine(count) + ")");
  return Error::success();
}

Error interpret::evaluateAttention(Scope &scope, graph::AttentionOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getResult().getType());
  if (!result)
    return result.takeError();
  Tensor lse;
  if (op.getLse()) {
    Expected<Tensor> made = makeTensor(scope, op, op.getLse().getType());
    if (!made)
      return made.takeError();
    lse = std::move(*made);
  }
  if (Error outside = checkRows(scope, op, op.getKeyRows(), op.getK()))
    return outside;
  if (Error outside = checkRows(scope, op, op.getValueRows(), op.getV()))
    return outside;
  Heads heads(scope, op);
  RowScores rowScores(scope, op, heads);
  bool softmax = op.getNormalizer() == "softmax", selects = op.getNormalizer() == "top_k";
  Error error = Error::success();
  forEachIndex(heads.rows, [&](ArrayRef<int64_t> index, int64_t row) {
    if (error)
      return;
    int64_t t = index.back(), batch = row / heads.queries;
    std::vector<char> visible;
    std::vector<double> factors;
    Expected<std::vector<double>> scores = rowScores(index.drop_back(), batch, t, visible, factors);
    if (!scores) {
      error = scores.takeError();
      return;
    }
    if (selects) {
      selectLargest(*scores, row, *result, lse);
      return;
    }
    std::vector<double> weights = *scores;
    if (softmax) {
      double sink = op.getSinks() ? scope.get(op.getSinks()).reals[batch] : -infinity;
      double logSum = softmaxRow(weights, sink);
      if (op.getLse())
        lse.reals[row] = logSum;
    }
    for (int64_t e = 0; e < heads.width; ++e) {
      double sum = 0;
      for (int64_t j = 0; j < heads.keys; ++j)
        // Hidden keys contribute nothing, NaN in v included.
        if (visible[j] && !(softmax && (*scores)[j] == -infinity) && factors[j] != 0)
          sum += weights[j] * factors[j] * heads.value(batch, j, e);
      result->reals[row * heads.width + e] = sum;
    }
  });
  if (error)
    return error;
  scope.values[op.getResult()] = std::make_shared<Tensor>(std::move(*result));
  if (op.getLse())
    scope.values[op.getLse()] = std::make_shared<Tensor>(std::move(lse));
  return Error::success();
}

namespace {
/// A region's number at these indices; 1 without one.
Expected<double> factor(const Scope &scope, Region &region, ArrayRef<int64_t> batch, ArrayRef<int64_t> places) {
  if (region.empty())
    return 1;
  SmallVector<Scalar> arguments;
  for (int64_t i : llvm::concat<const int64_t>(batch, places))
    arguments.push_back({0, i});
  Expected<Scalar> value = evaluatePoint(scope, region.front(), arguments);
  if (!value)
    return value.takeError();
  return value->real;
}
} // namespace

Error interpret::evaluateLinearAttention(Scope &scope, graph::LinearAttentionOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getResult().getType());
  if (!result)
    return result.takeError();
  Heads heads(scope, op);
  Error error = Error::success();
  forEachIndex(heads.rows, [&](ArrayRef<int64_t> index, int64_t row) {
    int64_t t = index.back(), batch = row / heads.queries;
    ArrayRef<int64_t> batchIndex = index.drop_back();
    for (int64_t j = 0; j <= t && !error; ++j) {
      double weight = heads.product(batch, t, j);
      std::pair<Region &, SmallVector<int64_t>> factors[] = {
          {op.getQueries(), {t}}, {op.getKeys(), {j}}, {op.getDecay(), {t, j}}};
      for (auto &[region, places] : factors) {
        Expected<double> by = factor(scope, region, batchIndex, places);
        if (!by) {
          error = by.takeError();
          return;
        }
        weight *= *by;
      }
      for (int64_t e = 0; e < heads.width; ++e)
        result->reals[row * heads.width + e] += weight * heads.value(batch, j, e);
    }
  });
  if (error)
    return error;
  scope.values[op.getResult()] = std::make_shared<Tensor>(std::move(*result));
  return Error::success();
}
