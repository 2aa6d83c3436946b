#include "FakeProgram.h"

#include <atomic>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

using namespace fovea::test;

TEST_CASE("run: adds with any number of threads, with the same bits") {
  for (int32_t threads : {1, 2, 5}) {
    fovea_context_options options = {};
    options.threads = threads;
    Loaded loaded(&options);
    for (int64_t n : {0, 1, 2, 17, 1000}) {
      std::vector<float> a(n), b(n), c(n);
      for (int64_t i = 0; i < n; ++i) {
        a[i] = static_cast<float>(i);
        b[i] = 0.5f;
      }
      fovea_tensor in[] = {tensor(FOVEA_F32, {n}, a), tensor(FOVEA_F32, {n}, b)}, out = tensor(FOVEA_F32, {n}, c);
      REQUIRE(fovea_run(loaded.context, Add, in, 2, &out, 1, &loaded.error) == FOVEA_OK);
      for (int64_t i = 0; i < n; ++i)
        CHECK(c[i] == static_cast<float>(i) + 0.5f);
      fovea_run_info info;
      fovea_context_run_info(loaded.context, &info);
      CHECK(info.launches == 1);
    }
  }
}

TEST_CASE("describe: entries, inputs, outputs") {
  const fovea_program *program = fakeProgram();
  CHECK(fovea_find_entry(program, "lookup") == Lookup);
  CHECK(fovea_find_entry(program, "look") == -1);
  char text[200];
  CHECK(fovea_format_entry(program, Tail, text, sizeof(text)) == strlen(text));
  CHECK(std::string(text) == "tail(x: f32[2*N], start: i64) -> f32[2*N - S]");
  CHECK(fovea_format_entry(program, Tail, text, 8) == 45);
  CHECK(strlen(text) == 7);
  CHECK(fovea_format_entry(program, 99, text, 8) == 0);
  fovea_tensor_info info;
  CHECK(fovea_describe_input(program, Affine, 0, &info, nullptr) == FOVEA_OK);
  CHECK(std::string(info.dims[1]) == "4");
  CHECK(fovea_describe_output(program, Push, 0, &info, nullptr) == FOVEA_OK);
  CHECK(std::string(info.name) == "keys");
  CHECK(fovea_describe_input(program, Affine, 1, &info, nullptr) == FOVEA_INVALID_ARGUMENT);
  CHECK(fovea_describe_output(program, -1, 0, &info, nullptr) == FOVEA_INVALID_ARGUMENT);
}

TEST_CASE("bind: messages name axis, found, expected, origin and place") {
  Loaded loaded;
  fovea_error &error = loaded.error;
  std::vector<float> data(200001), result(200001);
  std::vector<int64_t> number = {3};
  auto floatsOf = [&](std::vector<int64_t> shape) { return tensor(FOVEA_F32, shape, data); };
  auto infer = [&](int32_t entry, std::vector<fovea_tensor> in, fovea_tensor *out = nullptr) {
    fovea_tensor ignored = {};
    return fovea_infer_shapes(loaded.context, entry, in.data(), static_cast<int32_t>(in.size()), out ? out : &ignored,
                              1, &error);
  };
  fovea_tensor out = {};
  REQUIRE(infer(Tail, {floatsOf({10}), tensor(FOVEA_I64, {}, number)}, &out) == FOVEA_OK);
  CHECK(out.rank == 1);
  CHECK(out.shape[0] == 7);
  CHECK(infer(Add, {floatsOf({5}), floatsOf({7})}) == FOVEA_PRECONDITION);
  CHECK(std::string(error.message) ==
        "axis 0 of input `b` is 7, expected N = 5, where N = 5 is from axis 0 of `a` (fake.fov:11:1)");
  CHECK(infer(Affine, {floatsOf({5, 3})}) == FOVEA_PRECONDITION);
  CHECK(std::string(error.message) == "axis 1 of input `x` is 3, expected 4 (fake.fov:12:1)");
  CHECK(infer(Tail, {floatsOf({7}), tensor(FOVEA_I64, {}, number)}) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(error.message, "axis 0 of input `x` is 7, expected 2*N = 6");
  CHECK(infer(Tail, {floatsOf({2}), tensor(FOVEA_I64, {}, number)}) == FOVEA_PRECONDITION);
  CHECK(std::string(error.message) == "entry `tail` requires start <= 2*N, and 3 <= 2 is false, where N = 1 is from "
                                      "axis 0 of `x`, S = 3 from the value of `start` (fake.fov:21:1)");
  number[0] = -1;
  CHECK(infer(Tail, {floatsOf({2}), tensor(FOVEA_I64, {}, number)}) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(error.message, "`S` would be -1");
  CHECK(infer(Add, {floatsOf({100001}), floatsOf({100001})}) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(error.message, "N <= 100000");
  CHECK(infer(Add, {floatsOf({5})}) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(error.message, "takes 2 inputs, and 1 is given");
  CHECK(infer(Add, {floatsOf({5}), floatsOf({5, 1})}) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(error.message, "input `b` is f32[5, 1], expected f32[N]");
  CHECK(infer(Add, {floatsOf({5}), tensor(FOVEA_I64, {1}, number)}) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(error.message, "input `b` is i64, expected f32");
  fovea_tensor strange = floatsOf({5});
  strange.rank = 99;
  CHECK(infer(Add, {floatsOf({5}), strange}) == FOVEA_INVALID_ARGUMENT);
  strange.rank = 1;
  strange.shape[0] = -5;
  CHECK(infer(Add, {strange, strange}) == FOVEA_INVALID_ARGUMENT);
  strange.shape[0] = INT64_MAX;
  CHECK(infer(Add, {strange, strange}) == FOVEA_INVALID_ARGUMENT);
  CHECK(infer(99, {}) == FOVEA_INVALID_ARGUMENT);
}

TEST_CASE("run: outputs are checked before anything runs") {
  Loaded loaded;
  std::vector<float> a(8), b(8), c(9);
  fovea_tensor in[] = {tensor(FOVEA_F32, {8}, a), tensor(FOVEA_F32, {8}, b)};
  auto run = [&](fovea_tensor out, int32_t count = 1) {
    return fovea_run(loaded.context, Add, in, 2, &out, count, &loaded.error);
  };
  CHECK(run(tensor(FOVEA_F32, {9}, c)) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(loaded.error.message, "output `sum` is given as f32[9], and will be f32[8]");
  CHECK(run(tensor(FOVEA_I32, {8}, c)) == FOVEA_INVALID_ARGUMENT);
  CHECK(run(tensor(FOVEA_F32, {8}, c), 0) == FOVEA_INVALID_ARGUMENT);
  CHECK(run(in[1]) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(loaded.error.message, "output `sum` overlaps input `b`");
  fovea_tensor null = tensor(FOVEA_F32, {8}, c);
  null.data = nullptr;
  CHECK(run(null) == FOVEA_INVALID_ARGUMENT);
  in[0].data = nullptr;
  CHECK(run(tensor(FOVEA_F32, {8}, c)) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(loaded.error.message, "the data of input `a` is null");
}

TEST_CASE("fail: the first failure by index wins, whatever the threads") {
  for (int32_t threads : {1, 2, 4}) {
    fovea_context_options options = {};
    options.threads = threads;
    Loaded loaded(&options);
    for (int round = 0; round < 200; ++round) {
      std::vector<int64_t> ids(1000, 3), squares(1000);
      ids[137] = -5;
      ids[138] = 77;
      ids[990] = 10;
      fovea_tensor in = tensor(FOVEA_I64, {1000}, ids), out = tensor(FOVEA_I64, {1000}, squares);
      REQUIRE(fovea_run(loaded.context, Lookup, &in, 1, &out, 1, &loaded.error) == FOVEA_RUN_FAILED);
      REQUIRE(std::string(loaded.error.message) ==
              "fake.fov:3:1: index -5 is outside [0, 10), at element 137 of the result");
      ids[137] = ids[138] = ids[990] = 9;
      REQUIRE(fovea_run(loaded.context, Lookup, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
      REQUIRE(squares[990] == 81);
    }
  }
}

static std::atomic<int> tasksSeen;
static fovea_context *toCancel;

TEST_CASE("cancel: ends a run, not the next one") {
  for (int32_t threads : {1, 2}) {
    fovea_context_options options = {};
    options.threads = threads;
    Loaded loaded(&options);
    toCancel = loaded.context;
    tasksSeen = 0;
    onTask = [](fovea_exec *, int64_t begin, int64_t end) {
      tasksSeen += static_cast<int>(end - begin);
      pthread_t other;
      pthread_create(
          &other, nullptr,
          [](void *) -> void * {
            fovea_context_cancel(toCancel);
            return nullptr;
          },
          nullptr);
      pthread_join(other, nullptr);
    };
    std::vector<float> x(1000), y(1000);
    fovea_tensor in = tensor(FOVEA_F32, {1000}, x), out = tensor(FOVEA_F32, {1000}, y);
    CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_CANCELLED);
    CHECK(tasksSeen < 1000);
    onTask = nullptr;
    fovea_context_cancel(loaded.context);
    CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
    CHECK(y[999] == 1);
  }
}

TEST_CASE("a launch's last tasks run when all others have ended, on any number of threads") {
  for (int32_t threads : {1, 2, 5}) {
    fovea_context_options options = {};
    options.threads = threads;
    Loaded loaded(&options);
    onTask = [](fovea_exec *, int64_t begin, int64_t) { usleep(begin % 7 * 10); };
    for (int64_t count : {1, 2, 17, 100}) {
      std::vector<float> x(static_cast<size_t>(count)), y(x);
      for (size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(i + 1);
      fovea_tensor in = tensor(FOVEA_F32, {count}, x), out = tensor(FOVEA_F32, {count}, y);
      CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
      CHECK(y.back() == x.back() + 1);
    }
    onTask = nullptr;
  }
}

TEST_CASE("tasks are handed out once each, in pieces that shrink to single tasks, so that no thread ends alone") {
  for (int32_t threads : {1, 2, 5}) {
    fovea_context_options options = {};
    options.threads = threads;
    Loaded loaded(&options);
    constexpr int64_t count = 1000;
    static std::atomic<int64_t> ends[count]; // where the piece that begins there ends; 0 where none begins
    for (std::atomic<int64_t> &end : ends)
      end = 0;
    onTask = [](fovea_exec *, int64_t begin, int64_t end) { CHECK(ends[begin].exchange(end) == 0); };
    std::vector<float> x(count), y(count);
    fovea_tensor in = tensor(FOVEA_F32, {count}, x), out = tensor(FOVEA_F32, {count}, y);
    CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
    onTask = nullptr;
    int64_t begin = 0, last = count;
    for (int64_t end; begin < count && (end = ends[begin]) != 0; begin = end) {
      CHECK(end - begin <= last);
      last = end - begin;
      CHECK(last * threads <= count / 4);
    }
    CHECK(begin == count);
    CHECK(last == 1);
  }
}

TEST_CASE("threads: two really work, and the trace shows both") {
  fovea_context_options options = {};
  options.threads = 2;
  options.profile_events = 100;
  Loaded loaded(&options);
  static std::atomic<pthread_t> first, second;
  first = second = 0;
  onTask = [](fovea_exec *, int64_t, int64_t) {
    pthread_t self = pthread_self(), none = 0;
    if (!first.compare_exchange_strong(none, self) && first != self)
      second = self;
    for (int i = 0; i < 1000 && !second; ++i)
      usleep(1000);
  };
  std::vector<float> x(64), y(64);
  fovea_tensor in = tensor(FOVEA_F32, {64}, x), out = tensor(FOVEA_F32, {64}, y);
  CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
  onTask = nullptr;
  CHECK(second != 0);
  std::string path = temporaryPath("trace.json");
  REQUIRE(fovea_context_write_profile(loaded.context, path.c_str(), &loaded.error) == FOVEA_OK);
  std::string trace = readFile(path);
  for (const char *part : {"\"name\":\"slow\"", "\"place\":\"fake.fov:6:1\"", "\"path\":\"stage.layers.0.scores\"",
                           "\"tid\":0", "\"tid\":1", "\"tid\":2", "gflop_s", "\"flops\":", "\"bytes\":"})
    CHECK_CONTAINS(trace, part);
  CHECK(trace.find("\"share\"") == std::string::npos); // no limits are known
  Loaded plain;
  CHECK(fovea_context_write_profile(plain.context, path.c_str(), &plain.error) == FOVEA_INVALID_ARGUMENT);
}

TEST_CASE(
    "trace: a launch's share is what takes longer, operations or bytes from the level that holds them, over its time") {
  fovea_context_options options = {};
  options.threads = 1;
  options.profile_events = 100;
  Loaded loaded(&options);
  std::vector<float> x(64), y(64);
  fovea_tensor in = tensor(FOVEA_F32, {64}, x), out = tensor(FOVEA_F32, {64}, y);
  onTask = [](fovea_exec *, int64_t, int64_t) { usleep(2000); };
  REQUIRE(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
  onTask = nullptr;
  std::string path = temporaryPath("shares.json");
  auto number = [&](const std::string &trace, const char *name) {
    size_t at = trace.find(std::string("\"") + name + "\":", trace.find("\"kind\":\"")); // of the first launch
    return at == std::string::npos ? -1 : std::atof(trace.c_str() + at + strlen(name) + 3);
  };
  auto written = [&](fovea_limits limits) {
    fovea_context_set_limits(loaded.context, &limits);
    REQUIRE(fovea_context_write_profile(loaded.context, path.c_str(), &loaded.error) == FOVEA_OK);
    return readFile(path);
  };
  std::string trace = written({});
  double flops = number(trace, "flops"), bytes = number(trace, "bytes"),
         seconds = flops / number(trace, "gflop_s") * 1e-9;
  REQUIRE(flops > 0);
  REQUIRE(bytes > 0);
  // Rates at which the launch would have taken half, a quarter, an eighth of its time; what is not asked for is fast.
  double fast = 1e30, half = 2 / seconds, quarter = 4 / seconds, eighth = 8 / seconds;
  auto share = [&](fovea_limits limits) { return number(written(limits), "share"); };
  CHECK(share({flops * half, {bytes, 2 * bytes}, {fast, fast, fast}}) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(share({fast, {bytes, 2 * bytes}, {bytes * quarter, bytes, bytes}}) == doctest::Approx(0.25).epsilon(0.02));
  CHECK(share({fast, {bytes - 1, bytes}, {bytes, bytes * quarter, bytes}}) == doctest::Approx(0.25).epsilon(0.02));
  CHECK(share({fast, {0, 0}, {bytes, bytes, bytes * eighth}}) == doctest::Approx(0.125).epsilon(0.02));
  CHECK(share({flops * quarter, {bytes, bytes}, {bytes * half, 1, 1}}) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(share({}) == -1);
}

TEST_CASE("pool: the caller's own threads run the tasks") {
  static int calls = 0;
  fovea_pool pool = {3, 0, nullptr, nullptr};
  pool.run = [](void *, int32_t count, void (*job)(void *, int32_t), void *argument) {
    ++calls;
    for (int32_t i = count - 1; i >= 0; --i)
      job(argument, i);
  };
  fovea_context_options options = {};
  options.pool = &pool;
  Loaded loaded(&options);
  std::vector<float> x(64, 2), y(64);
  fovea_tensor in = tensor(FOVEA_F32, {64}, x), out = tensor(FOVEA_F32, {64}, y);
  CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
  CHECK(calls == 1);
  CHECK(y[63] == 3);
}

TEST_CASE("states: sizes, initial values, keeping, resetting") {
  std::vector<float> x = {5, 6}, keys(6);
  std::vector<int64_t> at = {1};
  fovea_tensor in[] = {tensor(FOVEA_F32, {2}, x), tensor(FOVEA_I64, {}, at)}, out = tensor(FOVEA_F32, {2, 3}, keys);
  Loaded without;
  CHECK(fovea_run(without.context, Push, in, 2, &out, 1, &without.error) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(without.error.message, "needs the size `limit`");
  fovea_size sizes[] = {{"limit", 3}};
  fovea_context_options options = {};
  options.sizes = sizes;
  options.size_count = 1;
  Loaded loaded(&options);
  fovea_tensor state = {};
  CHECK(fovea_context_state(loaded.context, "keys", &state, &loaded.error) == FOVEA_PRECONDITION);
  CHECK(fovea_context_state(loaded.context, "values", &state, &loaded.error) == FOVEA_INVALID_ARGUMENT);
  REQUIRE(fovea_run(loaded.context, Push, in, 2, &out, 1, &loaded.error) == FOVEA_OK);
  CHECK(keys == std::vector<float>{-1, 5, -1, -1, 6, -1});
  at[0] = 2;
  REQUIRE(fovea_run(loaded.context, Push, in, 2, &out, 1, &loaded.error) == FOVEA_OK);
  CHECK(keys == std::vector<float>{-1, 5, 5, -1, 6, 6});
  at[0] = 3;
  CHECK(fovea_run(loaded.context, Push, in, 2, &out, 1, &loaded.error) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(loaded.error.message, "at + 1 <= limit, and 4 <= 3 is false");
  at[0] = 0;
  fovea_tensor one[] = {tensor(FOVEA_F32, {1}, x), in[1]}, oneOut = tensor(FOVEA_F32, {1, 3}, keys);
  CHECK(fovea_run(loaded.context, Push, one, 2, &oneOut, 1, &loaded.error) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(loaded.error.message, "this context's states have `B` = 2");
  REQUIRE(fovea_context_state(loaded.context, "keys", &state, &loaded.error) == FOVEA_OK);
  CHECK(state.shape[1] == 3);
  CHECK(static_cast<float *>(state.data)[4] == 6);
  fovea_context_reset(loaded.context);
  REQUIRE(fovea_run(loaded.context, Push, one, 2, &oneOut, 1, &loaded.error) == FOVEA_OK);
  CHECK(keys[0] == 5);
  CHECK(keys[1] == -1);
  fovea_context *context;
  sizes[0].name = "width";
  CHECK(fovea_context_create(loaded.model, &options, &context, &loaded.error) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(loaded.error.message, "they have `B`, `limit`");
}

TEST_CASE("dump: values are offered only where they are wanted") {
  static std::string seen;
  seen.clear();
  fovea_context_options options = {};
  options.dump = [](void *, const char *path, const fovea_tensor *value) {
    seen += std::string(path) + ":";
    int64_t count = value->rank == 1 ? value->shape[0] : value->shape[0] * value->shape[1];
    for (int64_t i = 0; i < count; ++i)
      seen += " " + std::to_string(static_cast<int>(static_cast<const float *>(value->data)[i]));
    seen += "\n";
  };
  Loaded loaded(&options), silent;
  std::vector<float> a = {1, 2, 3}, b(3), c(3);
  fovea_tensor in[] = {tensor(FOVEA_F32, {3}, a), tensor(FOVEA_F32, {3}, b)}, out = tensor(FOVEA_F32, {3}, c);
  CHECK(fovea_run(silent.context, Add, in, 2, &out, 1, nullptr) == FOVEA_OK);
  CHECK(seen.empty());
  CHECK(fovea_run(loaded.context, Add, in, 2, &out, 1, nullptr) == FOVEA_OK);
  CHECK(seen == "layers.0.a: 1 2 3\nlayers.0.twice: 3 1 3 1\n"); // a view: read by its strides
}
