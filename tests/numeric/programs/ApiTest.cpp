// The C API on generated programs: describing, the caller's own threads, cancelling, two programs in one process.
#include "Program.h"

#include <atomic>
#include <thread>

using namespace fovea::test;

namespace {

constexpr int64_t batch = 8, length = 64, dim = 32;

/// What one run of the small MiniLM needs.
struct Sentences {
  std::vector<int64_t> ids = std::vector<int64_t>(batch * length);
  std::vector<uint8_t> mask = std::vector<uint8_t>(batch * length, 1);
  std::vector<float> out = std::vector<float>(batch * dim);
  std::vector<fovea_tensor> inputs, outputs;

  Sentences() {
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = int64_t(i * 7 % 61), mask[i] = i % 5 != 0;
    inputs = {tensor(FOVEA_I64, {batch, length}, ids.data()), tensor(FOVEA_BOOL, {batch, length}, mask.data())};
    outputs = {tensor({batch, dim}, out)};
  }
};

/// Three threads for each job, and what a test wants to do in between.
struct OwnThreads {
  std::atomic<int64_t> jobs{0};
  void (*before)(OwnThreads &) = nullptr;
  fovea_context *context = nullptr;
  fovea_pool pool{3, 0, run, this};

  static void run(void *user, int32_t count, void (*job)(void *, int32_t), void *argument) {
    auto &self = *static_cast<OwnThreads *>(user);
    ++self.jobs;
    if (self.before)
      self.before(self);
    std::vector<std::thread> threads;
    for (int32_t i = 0; i < count; ++i)
      threads.emplace_back(job, argument, i);
    for (std::thread &thread : threads)
      thread.join();
  }
};

const char *weights() { return std::getenv("FOVEA_MINILM_SMALL"); }

/// A program whose context runs on the caller's threads.
void useThreads(Program &program, OwnThreads &threads) {
  REQUIRE(program.load("minilm", weights()));
  fovea_context_destroy(program.context);
  fovea_context_options options{};
  options.pool = &threads.pool;
  REQUIRE(fovea_context_create(program.model, &options, &program.context, &program.error) == FOVEA_OK);
  threads.context = program.context;
}

} // namespace

TEST_CASE("an entry is described, its shapes are inferred, and what does not fit is said before anything runs") {
  Program program;
  REQUIRE(program.load("minilm", weights()));
  int32_t entry = fovea_find_entry(program.program, "embed");
  char text[200];
  fovea_format_entry(program.program, entry, text, sizeof(text));
  CHECK(std::string(text) == "embed(ids: i64[B, T], mask: bool[B, T]) -> f32[B, 32]");
  fovea_tensor_info info;
  REQUIRE(fovea_describe_input(program.program, entry, 1, &info, &program.error) == FOVEA_OK);
  CHECK(std::string(info.name) == "mask");
  CHECK(info.dtype == FOVEA_BOOL);
  CHECK(std::string(info.dims[1]) == "T");
  CHECK(std::string(info.place).find("minilm.fov:") != std::string::npos);
  Sentences sentences;
  fovea_tensor output{};
  REQUIRE(fovea_infer_shapes(program.context, entry, sentences.inputs.data(), 2, &output, 1, &program.error) ==
          FOVEA_OK);
  CHECK(output.rank == 2);
  CHECK(output.shape[0] == batch);
  CHECK(output.shape[1] == dim);
  sentences.inputs[1].shape[1] = length - 1;
  CHECK(program.tryRun("embed", sentences.inputs, sentences.outputs) == FOVEA_PRECONDITION);
  CHECK(std::string(program.error.message).find("axis 1 of input `mask` is 63, expected T = 64") != std::string::npos);
}

TEST_CASE("the caller's own threads run the tasks, with the same bits") {
  Program own;
  Sentences sentences, expected;
  REQUIRE(own.load("minilm", weights()));
  own.run("embed", expected.inputs, expected.outputs);
  OwnThreads threads;
  Program program;
  useThreads(program, threads);
  program.run("embed", sentences.inputs, sentences.outputs);
  CHECK(threads.jobs > 5);
  CHECK(sameBits(sentences.out.data(), expected.out.data(), sentences.out.size()));
}

TEST_CASE("a run is cancelled between two kernels or within one, and the next one is as ever") {
  OwnThreads threads;
  Program program;
  Sentences sentences, again;
  useThreads(program, threads);
  program.run("embed", sentences.inputs, sentences.outputs);
  int64_t all = threads.jobs;
  threads.before = [](OwnThreads &self) {
    if (self.jobs == 4)
      fovea_context_cancel(self.context);
  };
  threads.jobs = 0;
  CHECK(program.tryRun("embed", again.inputs, again.outputs) == FOVEA_CANCELLED);
  CHECK(threads.jobs == 4);
  CHECK(all > 5);
  threads.before = nullptr;
  program.run("embed", again.inputs, again.outputs);
  CHECK(sameBits(sentences.out.data(), again.out.data(), again.out.size()));
}

TEST_CASE("contexts of one model run at the same time, beside another program in the process") {
  Program one, other;
  Sentences expected;
  REQUIRE(one.load("minilm", weights()));
  REQUIRE(other.load("sizes", std::getenv("FOVEA_SIZES_WEIGHTS")));
  one.run("embed", expected.inputs, expected.outputs);
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      fovea_context *context = nullptr;
      fovea_context_options options{};
      options.threads = 1;
      Sentences mine;
      bad += fovea_context_create(one.model, &options, &context, nullptr) != FOVEA_OK;
      for (int round = 0; round < 5; ++round) {
        bad += fovea_run(context, fovea_find_entry(one.program, "embed"), mine.inputs.data(), 2, mine.outputs.data(), 1,
                         nullptr) != FOVEA_OK;
        bad += !sameBits(mine.out.data(), expected.out.data(), mine.out.size());
      }
      fovea_context_destroy(context);
    });
  std::vector<float> a(2 * 6, 1), b(2 * 6, 2), plain(2 * 4), sums(4);
  for (int round = 0; round < 100; ++round)
    other.run("batched", {tensor({2, 2, 3}, a), tensor({2, 3, 2}, b)},
              {tensor({2, 2, 2}, plain), tensor({2, 2}, sums)});
  for (std::thread &thread : threads)
    thread.join();
  CHECK(bad == 0);
  CHECK(plain[0] == 6);
  CHECK(sums[3] == 3);
}
