// Problems of kernel.attention: score and mask regions with their meaning, tensors in several layouts, and the check
// beside the oracle in double.
#pragma once

#include "tests/unit/kernels/Harness.h"

namespace fovea::test {

constexpr int64_t batches = 2, heads = 2, longest = 160;
/// Keys of the first of two pieces that some captures are given in.
constexpr int64_t firstKeys = 37;

/// What the regions capture.
struct Captures {
  explicit Captures(int64_t longest = test::longest)
      : bias({longest, longest}), padding({batches, longest}), document({longest}), allowed({longest, longest}),
        blocks({longest, longest}), far({longest, firstKeys}), near({longest, longest - firstKeys}),
        farSeen({longest, firstKeys}), nearSeen({longest, longest - firstKeys}) {}
  Array<float> bias;
  Array<int8_t> padding;
  Array<int64_t> document;
  Array<int8_t> allowed;
  Array<int8_t> blocks;   ///< like `allowed`, but most tiles are seen in whole or not at all
  Array<float> far, near; ///< of the keys of each piece
  Array<int8_t> farSeen, nearSeen;
};

struct Variant {
  const char *name;
  const char *score; ///< of %s, batch indices %b and %h, query %t, key %j; yields
  const char *mask;  ///< may be empty
  bool lse = false, sinks = false, softmax = true;
  double slope = 1;
  std::function<double(Captures &, double s, int64_t t, int64_t j)> scoreOf;
  std::function<bool(Captures &, int64_t b, int64_t t, int64_t j)> visible;
  std::function<double(Captures &, int64_t t, int64_t j)> factorOf = nullptr; ///< the score's second result
};

/// The score s / 4.
extern const char *const scaled;
double timesQuarter(Captures &, double s, int64_t, int64_t);

const std::vector<Variant> &variants();

enum class Layout { contiguous, headsInside, columnsApart };

std::vector<int64_t> stridesOf(Layout layout, int64_t rows, int64_t columns);
std::string typeOf(Layout layout, const std::string &element = "f32");
/// Element types of queries, keys, values and the result.
using Elements = std::array<const char *, 4>;
/// The function `f` of a variant. Its arguments are those of Problem::arguments().
std::string text(const Variant &v, Layout layout, const Elements &elements = {"f32", "f32", "f32", "f32"});
std::vector<Argument> argumentsOf(Array<float> &q, Array<float> &k, Array<float> &v, Array<float> &out,
                                  Array<float> &lse, Array<float> &sinks, Captures &captures);

/// Inputs and outputs of one size.
struct Problem {
  Problem(Layout layout, int64_t t, int64_t s, int64_t d, int64_t e, uint64_t seed);
  std::vector<Argument> arguments() { return argumentsOf(q, k, v, out, lse, sinks, captures); }
  Array<float> q, k, v, out, lse, sinks;
  Captures captures;
};

/// Runs `f` on the problem, `chunk` tasks a call, and compares with the oracle.
void check(Kernels &kernels, const Variant &variant, Problem &p, int64_t chunk = 1);
/// The function of a variant, compiled once for all test cases. The target and the variant outlive them.
Kernels &compiled(const Target &target, const Variant &variant, Layout layout);
/// Calls `body` for every variant and target, layouts in turn.
void forAll(const std::function<void(Kernels &, const Variant &, Layout)> &body);

} // namespace fovea::test
