// An output's bits depend on its own row's inputs and the target, never on padding, batch, threads or caches.
#include "Program.h"
#include "runtime/core/TensorFile.h"

#include <algorithm>
#include <unistd.h>

using namespace fovea::test;

namespace {

struct Sentence {
  std::vector<int64_t> ids;
};

/// Seven sentences of any words.
std::vector<Sentence> randomSentences(int64_t vocabulary) {
  Numbers numbers(7);
  std::vector<Sentence> sentences;
  for (size_t length : {1, 19, 7, 17, 33, 2, 12}) {
    Sentence &sentence = sentences.emplace_back();
    for (size_t i = 0; i < length; ++i)
      sentence.ids.push_back(int64_t(numbers.next() % uint64_t(vocabulary)));
  }
  return sentences;
}

/// The demo's six sentences, and the first two of them as one.
std::vector<Sentence> demoSentences() {
  fovea_error error{};
  fovea::rt::TensorFile ids, mask;
  std::string folder = std::string(FOVEA_SOURCE_DIR) + "/examples/minilm/";
  REQUIRE(ids.open((folder + "ids.npy").c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(mask.open((folder + "mask.npy").c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(ids[0].dtype == fovea::rt::FileDtype::I64);
  int64_t batch = ids[0].shape[0], length = ids[0].shape[1];
  std::vector<int64_t> words(size_t(batch * length));
  std::memcpy(words.data(), ids[0].data, words.size() * 8);
  std::vector<Sentence> sentences(size_t(batch) + 1);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < length && mask[0].data[b * length + t]; ++t) {
      sentences[b].ids.push_back(words[b * length + t]);
      if (b < 2)
        sentences[batch].ids.push_back(words[b * length + t]);
    }
  return sentences;
}

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

/// Every sentence alone, padded to three lengths, and in batches of 2 and 7, on one thread and on two.
void checkBits(const char *library, const char *weights, const char *target, const std::vector<Sentence> &sentences,
               int64_t dim) {
  std::vector<std::vector<float>> alone;
  for (int32_t threads : {1, 2}) {
    Program program;
    if (!program.load(library, weights, target, threads))
      return;
    CAPTURE(std::string(target));
    CAPTURE(threads);
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
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"})
    checkBits("minilm", weights, target, randomSentences(61), 32);
}

TEST_CASE("the same for the demo's sentences on MiniLM's published weights") {
  const char *weights = std::getenv("FOVEA_MINILM");
  REQUIRE(weights != nullptr);
  if (access(weights, R_OK) != 0) {
    std::string missing = std::string(weights) + " is not here (`./dev weights` fetches it)";
    if (std::getenv("FOVEA_REQUIRE_WEIGHTS"))
      FAIL_CHECK(missing);
    else
      MESSAGE("skipped: ", missing);
    return;
  }
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"})
    checkBits("minilm-published", weights, target, demoSentences(), 384);
}
