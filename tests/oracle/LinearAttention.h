// Linear attention in double precision, as a recurrence. No compiler code.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace fovea::oracle {

/// One head: `size` queries, keys [headSize] and values [valueSize], dense.
struct LinearAttentionHead {
  int64_t size, headSize, valueSize;
  const double *q, *k, *v;
  std::function<double(int64_t t)> queryFactor, keyFactor; ///< a and b
  std::function<double(int64_t t)> fade;                   ///< w(t, t - 1), for t > 0; from 0 to 1
};

struct LinearAttentionResult {
  std::vector<double> y, bound; ///< [size][valueSize]
};

/// H = fade(t) H + b(t) k[t] v[t]; y[t] = a(t) q[t] H, and the f32 error that a correct kernel may have. With e = 2^-24
/// a kernel sums each product q k v, in whichever order, in chains of at most D + S multiply-adds, with at most two
/// roundings a key for factors and decays: (D + 3 S + 32) e times the sum of the magnitudes.
inline LinearAttentionResult linearAttention(const LinearAttentionHead &head) {
  int64_t d = head.headSize, e = head.valueSize;
  LinearAttentionResult result;
  std::vector<double> state(d * e), norms(d * e);
  double relative = 0x1p-24 * double(d + 3 * head.size + 32);
  for (int64_t t = 0; t < head.size; ++t) {
    double fade = t ? head.fade(t) : 0, b = head.keyFactor(t), a = head.queryFactor(t);
    for (int64_t r = 0; r < d; ++r)
      for (int64_t c = 0; c < e; ++c) {
        double x = b * head.k[t * d + r] * head.v[t * e + c];
        state[r * e + c] = (t ? fade * state[r * e + c] : 0) + x;
        norms[r * e + c] = (t ? fade * norms[r * e + c] : 0) + std::fabs(x);
      }
    for (int64_t c = 0; c < e; ++c) {
      double y = 0, norm = 0;
      for (int64_t r = 0; r < d; ++r) {
        y += head.q[t * d + r] * state[r * e + c];
        norm += std::fabs(head.q[t * d + r]) * norms[r * e + c];
      }
      result.y.push_back(a * y);
      result.bound.push_back(std::fabs(a) * norm * relative + 1e-37);
    }
  }
  return result;
}

} // namespace fovea::oracle
