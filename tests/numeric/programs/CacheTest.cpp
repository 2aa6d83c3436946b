// States end to end: attention step by step through a cache is attention over everything at once.
#include "Program.h"
#include <algorithm>
#include <cmath>

using namespace fovea::test;

namespace {

constexpr int64_t batch = 2, dim = 12, length = 37, limit = 40;

/// x[:, begin : end].
std::vector<float> part(const std::vector<float> &x, int64_t begin, int64_t end) {
  std::vector<float> out;
  for (int64_t b = 0; b < batch; ++b)
    out.insert(out.end(), x.begin() + (b * length + begin) * dim, x.begin() + (b * length + end) * dim);
  return out;
}

/// The whole sequence in pieces of these lengths, the last of which is repeated.
std::vector<float> inSteps(Program &program, const std::vector<float> &x, const std::vector<int64_t> &pieces) {
  std::vector<float> y(x.size());
  int64_t past = 0;
  for (size_t i = 0; past < length; ++i) {
    int64_t count = std::min(pieces[std::min(i, pieces.size() - 1)], length - past);
    std::vector<float> in = part(x, past, past + count), out(in.size());
    program.run("step", {tensor({batch, count, dim}, in), tensor(FOVEA_I64, {}, &past)},
                {tensor({batch, count, dim}, out)});
    for (int64_t b = 0; b < batch; ++b)
      std::copy_n(&out[b * count * dim], count * dim, &y[(b * length + past) * dim]);
    past += count;
  }
  return y;
}

const char *weights() { return std::getenv("FOVEA_CACHED_WEIGHTS"); }

} // namespace

TEST_CASE("chunks of prefill and single steps give what attention over everything gives") {
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    Program program;
    if (!program.load("cached", weights(), target, 2, {{"limit", limit}}))
      continue;
    Numbers numbers(3);
    std::vector<float> x = numbers.reals(batch * length * dim), full(x.size());
    program.run("full", {tensor({batch, length, dim}, x)}, {tensor({batch, length, dim}, full)});
    for (const std::vector<int64_t> &pieces :
         std::vector<std::vector<int64_t>>{{length}, {16, 7, 1}, {1}, {5}, {30, 7}}) {
      fovea_context_reset(program.context);
      std::vector<float> y = inSteps(program, x, pieces);
      // Products of 12 terms of size 1 and weights that sum to 1: 40 roundings are more than there are.
      double worst = 0;
      for (size_t i = 0; i < y.size(); ++i)
        worst = std::max(worst, double(std::fabs(y[i] - full[i])));
      CAPTURE(std::string(target));
      CAPTURE(pieces[0]);
      CHECK(worst <= 40 * 0x1p-24 * 4);
      CHECK(sameBits(y.data(), full.data(), y.size()));
    }
  }
}

TEST_CASE("what does not fit into the cache is refused before anything is written") {
  Program program;
  REQUIRE(program.load("cached", weights(), nullptr, 1, {{"limit", limit}}));
  Numbers numbers(4);
  std::vector<float> x = numbers.reals(batch * 4 * dim), y(x.size()), again(x.size());
  int64_t past = 0;
  auto step = [&](int64_t count, std::vector<float> &out) {
    return program.tryRun("step", {tensor({batch, count, dim}, x), tensor(FOVEA_I64, {}, &past)},
                          {tensor({batch, count, dim}, out)});
  };
  REQUIRE(step(4, y) == FOVEA_OK);
  fovea_tensor keys;
  REQUIRE(fovea_context_state(program.context, "keys", &keys, &program.error) == FOVEA_OK);
  CHECK(keys.shape[2] == limit);
  std::vector<float> before(static_cast<float *>(keys.data), static_cast<float *>(keys.data) + batch * 2 * limit * 3);
  past = limit - 3;
  CHECK(step(4, again) == FOVEA_PRECONDITION);
  CHECK(std::string(program.error.message).find("limit") != std::string::npos);
  past = limit + 1;
  CHECK(step(1, again) == FOVEA_PRECONDITION);
  past = -1;
  CHECK(step(1, again) == FOVEA_PRECONDITION);
  CHECK(sameBits(before.data(), static_cast<float *>(keys.data), before.size()));
  past = limit - 4;
  CHECK(step(4, again) == FOVEA_OK);
}

TEST_CASE("without the size of the cache the first run says what is missing") {
  Program program;
  REQUIRE(program.load("cached", weights()));
  std::vector<float> x(batch * dim), y(x.size());
  int64_t past = 0;
  CHECK(program.tryRun("step", {tensor({batch, 1, dim}, x), tensor(FOVEA_I64, {}, &past)},
                       {tensor({batch, 1, dim}, y)}) == FOVEA_PRECONDITION);
  CHECK(std::string(program.error.message).find("`limit`") != std::string::npos);
}

TEST_CASE("a decoder in steps gives the bits that it gives for all words at once") {
  constexpr int64_t words = 17, vocab = 61;
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    Program program;
    if (!program.load("gpt2", std::getenv("FOVEA_GPT2"), target, 2, {{"limit", words}}))
      continue;
    CAPTURE(std::string(target));
    Numbers numbers(5);
    std::vector<int64_t> ids(batch * words), none;
    for (int64_t &id : ids)
      id = int64_t(numbers.next() % vocab);
    int64_t past = 0;
    std::vector<float> once(batch * vocab), steps(once.size());
    program.run("next", {tensor(FOVEA_I64, {batch, words}, ids.data()), tensor(FOVEA_I64, {}, &past)},
                {tensor({batch, vocab}, once)});
    fovea_context_reset(program.context);
    for (int64_t count : {9, 1, 5, 1, 1}) {
      std::vector<int64_t> part;
      for (int64_t b = 0; b < batch; ++b)
        part.insert(part.end(), &ids[b * words + past], &ids[b * words + past] + count);
      program.run("next", {tensor(FOVEA_I64, {batch, count}, part.data()), tensor(FOVEA_I64, {}, &past)},
                  {tensor({batch, vocab}, steps)});
      past += count;
    }
    REQUIRE(past == words);
    CHECK(sameBits(once.data(), steps.data(), once.size()));
    // No word is no last word.
    CHECK(program.tryRun("next", {tensor(FOVEA_I64, {batch, 0}, none.data()), tensor(FOVEA_I64, {}, &past)},
                         {tensor({batch, vocab}, steps)}) == FOVEA_PRECONDITION);
  }
}
