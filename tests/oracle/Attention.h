// Attention in double precision, row by row, as design.md's numerical contract has it. No compiler code.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace fovea::oracle {

/// One row (one query) of attention over `keys` keys.
struct AttentionRow {
  int64_t keys, headSize, valueSize;
  /// The query [headSize], the keys [keys][headSize] and the values [keys][valueSize], dense.
  const double *q, *k, *v;
  /// The score region at this query, and how much a change of the product changes it at most.
  std::function<double(double product, int64_t j)> score;
  double slope = 1;
  std::function<bool(int64_t j)> visible;
  /// What the weight is multiplied by where it meets its value, and not in the sum; empty: 1. A key whose factor is 0
  /// adds nothing.
  std::function<double(int64_t j)> factor = nullptr;
  double sink = -std::numeric_limits<double>::infinity();
  bool softmax = true;
};

struct AttentionResult {
  std::vector<double> y, bound;
  double lse, lseBound;
};

/// y and the f32 error that a correct kernel may have. With e = 2^-24:
///   a score is a chain of D multiply-adds, scaled and passed through a few operations: its error is at most
///   (D + 8) e (slope sum|q k| + |s|), which moves a weight by twice that (its own score and the maximum's row sum);
///   a weight has about 4 e of its own, their sum S e, the chain over the keys S e, the division 2 e.
inline AttentionResult attention(const AttentionRow &row) {
  constexpr double e = 0x1p-24, infinity = std::numeric_limits<double>::infinity();
  AttentionResult result{std::vector<double>(row.valueSize), std::vector<double>(row.valueSize), 0, 0};
  std::vector<double> weights(row.keys), factors(row.keys, 1);
  std::vector<bool> seen(row.keys);
  double most = row.sink, sum = 0, scoreError = 0;
  bool poisoned = std::isnan(row.sink);
  // Pass 1: scores.
  for (int64_t j = 0; j < row.keys; ++j) {
    double product = 0, norm = 0;
    for (int64_t c = 0; c < row.headSize; ++c) {
      double x = row.q[c] * row.k[j * row.headSize + c];
      product += x, norm += std::fabs(x);
    }
    double s = row.score(product, j);
    weights[j] = s;
    seen[j] = row.visible(j) && !(row.softmax && s == -infinity);
    if (!seen[j])
      continue;
    poisoned |= std::isnan(s);
    most = std::max(most, s);
    double magnitude = row.slope * norm + (std::fabs(s) < 1e30 ? std::fabs(s) : 0);
    if (std::isfinite(magnitude))
      scoreError = std::max(scoreError, double(row.headSize + 8) * e * magnitude);
  }
  // Pass 2: weights.
  for (int64_t j = 0; j < row.keys; ++j) {
    weights[j] = !seen[j] ? 0 : row.softmax ? std::exp(weights[j] - most) : weights[j];
    sum += weights[j];
    if (row.factor && seen[j])
      factors[j] = row.factor(j);
  }
  if (row.softmax && row.sink != -infinity)
    sum += std::exp(row.sink - most);
  // Pass 3: values.
  double relative = 2 * scoreError + e * double(2 * row.keys + 8);
  for (int64_t c = 0; c < row.valueSize; ++c) {
    double y = 0, norm = 0;
    for (int64_t j = 0; j < row.keys; ++j)
      if (seen[j] && factors[j] != 0) {
        double v = factors[j] * row.v[j * row.valueSize + c];
        y += weights[j] * v;
        norm +=
            row.softmax ? std::fabs(weights[j] * v) : (std::fabs(weights[j]) * relative + scoreError) * std::fabs(v);
      }
    double scale = !row.softmax ? 1 : sum == 0 ? 0 : 1 / sum;
    result.y[c] = poisoned ? std::nan("") : sum == 0 && row.softmax ? 0 : y * scale;
    result.bound[c] = (row.softmax ? norm * scale * relative : norm) + 1e-37;
  }
  result.lse = poisoned ? std::nan("") : sum == 0 ? -infinity : most + std::log(sum);
  result.lseBound = scoreError + e * (double(row.keys) + 8 + 4 * std::fabs(result.lse));
  return result;
}

/// Whether `got` is `want` within `bound`; NaN and infinities only match themselves.
inline bool agrees(float got, double want, double bound) {
  if (std::isnan(want))
    return std::isnan(got);
  if (std::isinf(want))
    return got == want;
  return std::fabs(double(got) - want) <= bound;
}

} // namespace fovea::oracle
