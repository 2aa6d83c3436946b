// An output's bits depend on its own row's inputs and the target, never on padding, batch, threads or caches.
#include "Program.h"
#include <algorithm>

using namespace fovea::test;

namespace {

struct Sentence {
  std::vector<int64_t> ids;
};

/// Vectors of sentences [first, first + count) in one batch padded to `length`.
std::vector<float> embed(Program &program, const std::vector<Sentence> &sentences, size_t first, size_t count,
                         int64_t length, int64_t dim) {
  std::vector<int64_t> ids(count * length, 0);
  std::vector<uint8_t> mask(count * length, 0);
  for (size_t i = 0; i < count; ++i)
    for (size_t j = 0; j < sentences[first + i].ids.size(); ++j)
      ids[i * length + j] = sentences[first + i].ids[j], mask[i * length + j] = 1;
  std::vector<float> out(count * dim);
  program.run("embed",
              {tensor(FOVEA_I64, {int64_t(count), length}, ids.data()),
               tensor(FOVEA_BOOL, {int64_t(count), length}, mask.data())},
              {tensor({int64_t(count), dim}, out)});
  return out;
}

void checkBits(const char *weights, const char *target, int64_t vocabulary, int64_t dim) {
  Numbers numbers(7);
  std::vector<Sentence> sentences;
  for (size_t length : {1, 19, 7, 17, 33, 2, 12}) {
    Sentence sentence;
    for (size_t i = 0; i < length; ++i)
      sentence.ids.push_back(int64_t(numbers.next() % uint64_t(vocabulary)));
    sentences.push_back(sentence);
  }
  std::vector<std::vector<float>> alone;
  for (int32_t threads : {1, 2}) {
    Program program;
    if (!program.load("minilm", weights, target, threads))
      return;
    for (size_t i = 0; i < sentences.size(); ++i) {
      int64_t own = int64_t(sentences[i].ids.size());
      if (threads == 1)
        alone.push_back(embed(program, sentences, i, 1, own, dim));
      CHECK(std::any_of(alone[i].begin(), alone[i].end(), [](float x) { return x != 0; }));
      for (int64_t length : {own, own + 1, own + 30, int64_t(64)}) {
        CAPTURE(length);
        CHECK(sameBits(embed(program, sentences, i, 1, length, dim).data(), alone[i].data(), size_t(dim)));
      }
    }
    for (size_t batch : {2, 7})
      for (size_t first = 0; first + batch <= sentences.size(); first += batch) {
        std::vector<float> together = embed(program, sentences, first, batch, 40, dim);
        for (size_t i = 0; i < batch; ++i) {
          CAPTURE(std::string(target));
          CAPTURE(threads);
          CAPTURE(batch);
          CAPTURE(first + i);
          CHECK(sameBits(&together[i * size_t(dim)], alone[first + i].data(), size_t(dim)));
        }
      }
  }
}

} // namespace

TEST_CASE("a sentence's vector has the same bits alone, padded, in any batch, on any number of threads") {
  const char *weights = std::getenv("FOVEA_MINILM_SMALL");
  REQUIRE(weights != nullptr);
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    CAPTURE(std::string(target));
    checkBits(weights, target, 61, 32);
  }
}
