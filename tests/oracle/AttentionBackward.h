// The gradients of one head of attention, query by query and key by key, and how far a computation in f32 may be off.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace fovea::oracle {

/// q [t, d], k [s, d], v [s, e], gradient [t, e].
struct AttentionBackwardHead {
  int64_t t, s, d, e;
  const double *q, *k, *v, *gradient;
  bool softmax;
  std::function<double(double product, int64_t t, int64_t j)> score;
  std::function<double(double product, int64_t t, int64_t j)> slope; ///< the score's derivative by the product
  std::function<bool(int64_t t, int64_t j)> visible;
  /// What the weight is multiplied by where it meets its value; a key whose factor is 0 adds nothing. Empty: 1.
  std::function<double(int64_t t, int64_t j)> factor = nullptr;
};

/// A number, and what its computation in f32 may be off by.
struct Bounded {
  double value = 0, bound = 0;
};

struct AttentionBackwardResult {
  std::vector<double> lse, delta;  ///< [t], what the kernel is given
  std::vector<Bounded> dq, dk, dv; ///< as q, k, v
  std::vector<Bounded> change;     ///< [t, s], of the score: 0 where hidden
  std::vector<Bounded> factors;    ///< [t, s], of the factor: 0 where hidden
};

/// Errors: a score is off by the roundings of its product, and of the scores' and log-sum-exp's size; a weight by that
/// part of itself, or is 0 where it is below the least normal number; a change by its weight's error and the roundings
/// of its product; sums by those of their terms and by a rounding a term.
inline AttentionBackwardResult attentionBackward(const AttentionBackwardHead &h) {
  constexpr double u = 0x1p-24;
  AttentionBackwardResult r;
  r.lse.resize(h.t), r.delta.resize(h.t);
  r.dq.resize(h.t * h.d), r.dk.resize(h.s * h.d), r.dv.resize(h.s * h.e), r.change.resize(h.t * h.s);
  r.factors.resize(h.t * h.s);
  for (int64_t t = 0; t < h.t; ++t) {
    std::vector<double> scores(h.s), sizes(h.s), slopes(h.s);
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < h.s; ++j) {
      double product = 0, size = 0;
      for (int64_t c = 0; c < h.d; ++c) {
        product += h.q[t * h.d + c] * h.k[j * h.d + c];
        size += std::fabs(h.q[t * h.d + c] * h.k[j * h.d + c]);
      }
      if (!h.visible(t, j))
        continue;
      scores[j] = h.score(product, t, j), slopes[j] = h.slope(product, t, j);
      sizes[j] = size * std::fabs(slopes[j]) * double(h.d + 8) + 8 * std::fabs(scores[j]);
      most = std::max(most, scores[j]);
    }
    for (int64_t j = 0; j < h.s; ++j)
      if (h.visible(t, j))
        sum += std::exp(scores[j] - most);
    r.lse[t] = sum > 0 ? most + std::log(sum) : -std::numeric_limits<double>::infinity();
    auto weightOf = [&](int64_t j) { return h.softmax ? std::exp(scores[j] - r.lse[t]) : scores[j]; };
    auto factorOf = [&](int64_t j) { return h.factor ? h.factor(t, j) : 1; };
    auto changeOf = [&](int64_t j, bool absolute) {
      double x = 0;
      for (int64_t c = 0; c < h.e; ++c) {
        double term = h.gradient[t * h.e + c] * h.v[j * h.e + c];
        x += absolute ? std::fabs(term) : term;
      }
      return x;
    };
    if (h.softmax && sum > 0)
      for (int64_t j = 0; j < h.s; ++j)
        if (h.visible(t, j))
          r.delta[t] += weightOf(j) * (factorOf(j) == 0 ? 0 : factorOf(j) * changeOf(j, false));
    for (int64_t j = 0; j < h.s; ++j) {
      if (!h.visible(t, j))
        continue;
      double w = weightOf(j), off = u * (sizes[j] + 16 + (h.softmax ? 8 * std::fabs(r.lse[t]) : 0));
      double weightError = h.softmax ? w * off + 0x1p-126 : off; // powers below it are 0
      for (int64_t c = 0; c < h.e; ++c) {
        Bounded &dv = r.dv[j * h.e + c];
        double g = h.gradient[t * h.e + c] * factorOf(j);
        dv.value += w * g, dv.bound += std::fabs(g) * (weightError + std::fabs(w) * u * double(h.t + 4));
      }
      double by = factorOf(j), whole = changeOf(j, false);
      double change = (by == 0 ? 0 : by * whole) - r.delta[t];
      double size = (by == 0 ? 0 : std::fabs(by) * changeOf(j, true)) * double(h.e + 4) + 4 * std::fabs(r.delta[t]);
      double wholeSize = changeOf(j, true) * double(h.e + 4);
      r.factors[t * h.s + j] = {w * whole, weightError * (std::fabs(whole) + u * wholeSize) +
                                               w * u * (wholeSize + 4 * std::fabs(whole))};
      double error = h.softmax ? weightError * (std::fabs(change) + u * size) + w * u * size : u * size;
      double g = h.softmax ? w * change : change;
      r.change[t * h.s + j] = {g, error + 4 * u * std::fabs(g)};
      double ds = g * slopes[j], dsError = error * std::fabs(slopes[j]) + std::fabs(g) * (16 * u + off);
      for (int64_t c = 0; c < h.d; ++c) {
        Bounded &dq = r.dq[t * h.d + c], &dk = r.dk[j * h.d + c];
        double q = h.q[t * h.d + c], k = h.k[j * h.d + c];
        dq.value += ds * k, dq.bound += std::fabs(k) * (dsError + std::fabs(ds) * u * double(h.s + 4));
        dk.value += ds * q, dk.bound += std::fabs(q) * (dsError + std::fabs(ds) * u * double(h.t + 4));
      }
    }
  }
  return r;
}

} // namespace fovea::oracle
