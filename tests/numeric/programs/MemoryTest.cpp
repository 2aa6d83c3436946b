// What a run needs: attention never holds its scores, and a second run at the same sizes allocates nothing.
#include "Program.h"

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <tuple>
#include <unistd.h>

using namespace fovea::test;

static std::atomic<int64_t> allocations{0};

// glibc's own names of the functions that are wrapped here, for this whole process. Large pieces are mapped.
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *malloc(size_t size) { return ++allocations, __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return ++allocations, __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return ++allocations, __libc_realloc(old, size); }
void *aligned_alloc(size_t alignment, size_t size) { return ++allocations, __libc_memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  ++allocations;
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : 12;
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  ++allocations;
  return reinterpret_cast<void *>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
}

namespace {

constexpr int64_t mebibyte = int64_t(1) << 20;

/// A line of /proc/self/status in bytes: VmRSS (resident now) or VmHWM (resident at most so far).
int64_t memory(const char *field) {
  char text[8192];
  int file = open("/proc/self/status", O_RDONLY);
  ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  text[size > 0 ? size : 0] = 0;
  const char *line = std::strstr(text, field);
  return line ? std::atoll(line + std::strlen(field) + 1) * 1024 : -1;
}

/// Makes VmHWM what is resident now. False where the kernel doesn't.
bool forgetPeak() {
  int file = open("/proc/self/clear_refs", O_WRONLY);
  bool done = file >= 0 && write(file, "5", 1) == 1;
  close(file);
  return done;
}

} // namespace

TEST_CASE("attention over 4096 keys needs at most 16 MiB above inputs and outputs") {
  constexpr int64_t heads = 8, size = 4096, dim = 64;
  Numbers numbers(1);
  std::vector<float> q = numbers.reals(heads * size * dim), k = q, v = q, bias(size * size, 0.25f), y(q.size(), 1.0f);
  std::vector<int64_t> shape{1, heads, size, dim};
  std::vector<fovea_tensor> inputs{tensor(shape, q), tensor(shape, k), tensor(shape, v), tensor({size, size}, bias)};
  for (const char *entry : {"full", "causal", "biased"}) {
    CAPTURE(std::string(entry));
    Program program;
    REQUIRE(program.load("long", nullptr, nullptr, 2));
    int32_t count = std::string(entry) == "biased" ? 4 : 3;
    int64_t arena = -1, scratch = -1;
    REQUIRE(fovea_arena_bytes(program.context, fovea_find_entry(program.program, entry), inputs.data(), count, &arena,
                              &scratch, &program.error) == FOVEA_OK);
    CHECK(arena + scratch <= 16 * mebibyte);
    REQUIRE(forgetPeak());
    int64_t before = memory("VmRSS:");
    program.run(entry, std::vector<fovea_tensor>(inputs.begin(), inputs.begin() + count), {tensor(shape, y)});
    CHECK(memory("VmHWM:") - before <= 16 * mebibyte);
  }
}

namespace {
constexpr const char *targets[] = {"x86-64-v4", "x86-64-v3", "x86-64"};

/// The bits of `x` as bf16, to which it is cut.
uint16_t cut(float &x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits &= 0xFFFF0000;
  std::memcpy(&x, &bits, sizeof bits);
  return uint16_t(bits >> 16);
}

/// The bits of the nearest bf16, of two as near the even one.
uint16_t rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
} // namespace

TEST_CASE("keys and values of 16 bits are widened within the same memory, to the bits of attention over wide copies") {
  constexpr int64_t heads = 8, size = 4096, dim = 64;
  Numbers numbers(2);
  for (int64_t queries : {int64_t(1), int64_t(200)}) {
    std::vector<float> q = numbers.reals(heads * queries * dim), k = numbers.reals(heads * size * dim), v = k,
                       turned = k, y(q.size(), 1.0f), want = y;
    std::vector<uint16_t> narrowK(k.size(), 1), narrowV(k.size(), 1);
    for (size_t i = 0; i < k.size(); ++i) {
      narrowK[i] = cut(k[i]);
      size_t h = i / dim % heads, s = i / dim / heads, to = (h * size + s) * dim + i % dim; // [S, H, D] to [H, S, D]
      narrowV[i] = cut(v[i]);
      turned[to] = v[i];
    }
    std::vector<int64_t> shape{1, heads, queries, dim}, keys{1, heads, size, dim}, values{1, size, heads, dim};
    Program program, wide;
    REQUIRE(wide.load("long", nullptr, nullptr, 2));
    wide.run("full", {tensor(shape, q), tensor(keys, k), tensor(keys, turned)}, {tensor(shape, want)});
    REQUIRE(program.load("long", nullptr, nullptr, 2));
    REQUIRE(forgetPeak());
    int64_t before = memory("VmRSS:");
    program.run(
        "widened",
        {tensor(shape, q), tensor(FOVEA_BF16, keys, narrowK.data()), tensor(FOVEA_BF16, values, narrowV.data())},
        {tensor(shape, y)});
    CHECK(memory("VmHWM:") - before <= 4 * mebibyte); // scratch alone; copies would be 16 MiB
    CHECK(std::memcmp(y.data(), want.data(), y.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("biases and masks of pieces of the keys are not joined") {
  constexpr int64_t heads = 2, size = 4096, half = size / 2, dim = 64;
  Numbers numbers(1);
  std::vector<float> q = numbers.reals(heads * size * dim), k = numbers.reals(heads * half * dim),
                     far(heads * size * half, 0.25f), near(size * half, -0.25f), slope(half, 1), y(q.size(), 1.0f);
  std::vector<uint8_t> seen(size * half, 1);
  std::vector<int64_t> queries{1, heads, size, dim}, keys{1, heads, half, dim};
  std::vector<fovea_tensor> inputs{tensor(queries, q),
                                   tensor(keys, k),
                                   tensor(keys, k),
                                   tensor(keys, k),
                                   tensor(keys, k),
                                   tensor({heads, size, half}, far),
                                   tensor(FOVEA_BOOL, {size, half}, seen.data()),
                                   tensor({size, half}, near),
                                   tensor({half}, slope)};
  Program program;
  REQUIRE(program.load("long", nullptr, nullptr, 2));
  int64_t arena = -1, scratch = -1;
  REQUIRE(fovea_arena_bytes(program.context, fovea_find_entry(program.program, "pieces"), inputs.data(), inputs.size(),
                            &arena, &scratch, &program.error) == FOVEA_OK);
  // Keys and values would be 4 MiB, biases and masks 128 and 16.
  CHECK(arena + scratch <= 3 * mebibyte);
  REQUIRE(forgetPeak());
  int64_t before = memory("VmRSS:");
  program.run("pieces", inputs, {tensor(queries, y)});
  CHECK(memory("VmHWM:") - before <= 4 * mebibyte);
}

TEST_CASE("keys and values of several places are read there, to the bits of those of one place") {
  constexpr int64_t heads = 8, dim = 64;
  for (auto [queries, before, after] : {std::tuple<int64_t, int64_t, int64_t>{1, 2000, 2095},
                                        {3, 63, 4000},
                                        {200, 1, 126},
                                        {200, 2047, 2048},
                                        {70, 128, 1},
                                        {1, 0, 40}}) {
    CAPTURE(queries);
    CAPTURE(before);
    Numbers numbers(3);
    int64_t size = before + 1 + after;
    std::vector<float> q = numbers.reals(heads * queries * dim), k = numbers.reals(heads * size * dim),
                       v = numbers.reals(heads * size * dim), y(q.size(), 1.0f), want = y;
    std::vector<float> first(heads * before * dim), last(heads * after * dim), firstV((before + 1) * heads * dim);
    std::vector<uint16_t> narrow(heads * dim), lastV(heads * after * dim);
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t s = 0; s < size; ++s)
        for (int64_t d = 0; d < dim; ++d) {
          float &key = k[(h * size + s) * dim + d], &value = v[(h * size + s) * dim + d];
          int64_t rest = s - before - 1;
          if (s < before)
            first[(h * before + s) * dim + d] = key;
          else if (s == before)
            narrow[h * dim + d] = cut(key);
          else
            last[(h * after + rest) * dim + d] = key;
          if (s <= before)
            firstV[(s * heads + h) * dim + d] = value;
          else
            lastV[(h * after + rest) * dim + d] = cut(value);
        }
    std::vector<int64_t> shape{1, heads, queries, dim}, keys{1, heads, size, dim}, firstKeys{1, heads, before, dim},
        lastKeys{1, heads, after, dim};
    for (const char *target : targets) {
      Program program;
      if (!program.load("long", nullptr, target, 2))
        continue;
      program.run("full", {tensor(shape, q), tensor(keys, k), tensor(keys, v)}, {tensor(shape, want)});
      std::vector<fovea_tensor> inputs{tensor(shape, q),
                                       tensor(firstKeys, first),
                                       tensor(FOVEA_BF16, {1, 1, heads, dim}, narrow.data()),
                                       tensor(lastKeys, last),
                                       tensor({1, before + 1, heads, dim}, firstV),
                                       tensor(FOVEA_BF16, lastKeys, lastV.data())};
      int64_t arena = -1, scratch = -1;
      REQUIRE(fovea_arena_bytes(program.context, fovea_find_entry(program.program, "places"), inputs.data(),
                                inputs.size(), &arena, &scratch, &program.error) == FOVEA_OK);
      CHECK(arena == 0);
      program.run("places", inputs, {tensor(shape, y)});
      CHECK(std::memcmp(y.data(), want.data(), y.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("pieces of 16 bits, of which columns of one are apart, have the bits of one tensor") {
  constexpr int64_t heads = 6, dim = 72;
  for (auto [queries, before, after] : {std::tuple<int64_t, int64_t, int64_t>{1, 1500, 90}, {40, 100, 300}}) {
    CAPTURE(queries);
    Numbers numbers(4);
    int64_t size = before + after;
    std::vector<float> q = numbers.reals(heads * queries * dim), y(q.size(), 1.0f), want = y;
    auto draw = [&](int64_t rows, std::vector<uint16_t> &narrow) {
      std::vector<float> x = numbers.reals(rows * dim);
      for (float &number : x)
        narrow.push_back(cut(number));
      return x;
    };
    std::vector<uint16_t> k, new_k, v, new_v;
    std::vector<float> keys = draw(before, k), newKeys = draw(after, new_k), values = draw(before, v),
                       newValues = draw(after, new_v);
    std::vector<uint16_t> turned(new_k.size());
    for (int64_t s = 0; s < after; ++s)
      for (int64_t d = 0; d < dim; ++d)
        turned[d * after + s] = new_k[s * dim + d];
    keys.insert(keys.end(), newKeys.begin(), newKeys.end());
    values.insert(values.end(), newValues.begin(), newValues.end());
    std::vector<int64_t> shape{1, 1, heads * queries, dim}, one{1, 1, size, dim};
    for (const char *target : targets) {
      Program program;
      if (!program.load("long", nullptr, target, 2))
        continue;
      program.run("full", {tensor(shape, q), tensor(one, keys), tensor(one, values)}, {tensor(shape, want)});
      program.run("shared_places",
                  {tensor({1, heads, queries, dim}, q), tensor(FOVEA_BF16, {1, before, dim}, k.data()),
                   tensor(FOVEA_BF16, {1, dim, after}, turned.data()), tensor(FOVEA_BF16, {1, before, dim}, v.data()),
                   tensor(FOVEA_BF16, {1, after, dim}, new_v.data())},
                  {tensor({1, heads, queries, dim}, y)});
      CHECK(std::memcmp(y.data(), want.data(), y.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE(
    "gradients through attention need memory that goes with the length, and have the same bits on one thread and two") {
  constexpr int64_t heads = 8, dim = 64;
  auto peak = [](int64_t size) {
    Numbers numbers(1);
    std::vector<float> q = numbers.reals(heads * size * dim), k = q, v = q, toward = q, slopes(heads, 0.1f);
    std::vector<int64_t> shape{1, heads, size, dim};
    std::vector<std::vector<float>> results[2];
    int64_t most = 0;
    for (int32_t threads : {1, 2}) {
      std::vector<std::vector<float>> &out = results[threads - 1];
      out = {q, q, q, slopes}; // pages are there
      Program program;
      REQUIRE(program.load("long", nullptr, nullptr, threads));
      REQUIRE(forgetPeak());
      int64_t before = memory("VmRSS:");
      program.run(
          "gradients",
          {tensor(shape, q), tensor(shape, k), tensor(shape, v), tensor({heads}, slopes), tensor(shape, toward)},
          {tensor(shape, out[0]), tensor(shape, out[1]), tensor(shape, out[2]), tensor({heads}, out[3])});
      most = std::max(most, memory("VmHWM:") - before);
    }
    for (size_t i = 0; i < results[0].size(); ++i)
      CHECK(std::memcmp(results[0][i].data(), results[1][i].data(), results[0][i].size() * sizeof(float)) == 0);
    return most;
  };
  // 8 MiB of results, 3 of scratch for each thread at 4096, and what does not grow; scores would be 512 MiB.
  CHECK(peak(2048) <= 12 * mebibyte);
  CHECK(peak(4096) <= 20 * mebibyte);
}

TEST_CASE("rows of 16-bit pages have the bits of rows of wide ones") {
  constexpr int64_t heads = 2, pages = 20, dim = 40;
  Numbers numbers(4);
  std::vector<float> x = numbers.reals(pages * heads * 16 * dim);
  std::vector<uint16_t> narrow(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    narrow[i] = cut(x[i]);
  std::vector<int64_t> table(pages), lying{pages, heads, 16, dim};
  for (const char *target : targets)
    for (int64_t queries : {1, 20})
      for (int64_t step : {1, 7}) { // pages in order, and mixed
        Program program;
        if (!program.load("long", nullptr, target))
          continue;
        for (int64_t i = 0; i < pages; ++i)
          table[i] = i * step % pages;
        std::vector<int64_t> shape{1, heads, queries, dim};
        std::vector<float> q = numbers.reals(heads * queries * dim), want = q, got(q.size());
        fovea_tensor rows = tensor(FOVEA_I64, {1, pages}, table.data());
        program.run("pages", {tensor(shape, q), tensor(lying, x), rows}, {tensor(shape, want)});
        program.run("widened_pages", {tensor(shape, q), tensor(FOVEA_BF16, lying, narrow.data()), rows},
                    {tensor(shape, got)});
        CHECK(got == want);
        for (int64_t count : {1, 100}) { // rows that are in no page
          CAPTURE(count);
          std::vector<int64_t> newRows{1, heads, count, dim}, keys{1, heads, pages * 16 + count, dim};
          std::vector<float> added = numbers.reals(heads * count * dim), all;
          for (int64_t h = 0; h < heads; ++h) {
            for (int64_t page : table)
              all.insert(all.end(), x.begin() + (page * heads + h) * 16 * dim,
                         x.begin() + (page * heads + h + 1) * 16 * dim);
            all.insert(all.end(), added.begin() + h * count * dim, added.begin() + (h + 1) * count * dim);
          }
          program.run("full", {tensor(shape, q), tensor(keys, all), tensor(keys, all)}, {tensor(shape, want)});
          program.run("pages_and_new", {tensor(shape, q), tensor(lying, x), rows, tensor(newRows, added)},
                      {tensor(shape, got)});
          CHECK(got == want);
        }
      }
}

TEST_CASE("gradients of 16-bit keys and values are those of wide copies, summed over heads and rounded once") {
  constexpr int64_t groups = 2, heads = 3, queries = 50, size = 210, dim = 20;
  Numbers numbers(3);
  std::vector<float> q = numbers.reals(groups * heads * queries * dim), toward = numbers.reals(q.size()),
                     k = numbers.reals(groups * size * dim), v = numbers.reals(k.size()), dq = q, dk = k, dv = v,
                     otherDq = q;
  std::vector<uint16_t> narrowK(k.size()), narrowV(k.size()), otherDk(k.size(), 1), otherDv(k.size(), 1);
  for (size_t i = 0; i < k.size(); ++i)
    narrowK[i] = cut(k[i]), narrowV[i] = cut(v[i]);
  std::vector<int64_t> shape{1, groups, heads, queries, dim}, keys{1, groups, size, dim};
  Program program;
  REQUIRE(program.load("long", nullptr, nullptr, 2));
  program.run("shared_gradients", {tensor(shape, q), tensor(keys, k), tensor(keys, v), tensor(shape, toward)},
              {tensor(shape, dq), tensor(keys, dk), tensor(keys, dv)});
  program.run(
      "widened_gradients",
      {tensor(shape, q), tensor(FOVEA_BF16, keys, narrowK.data()), tensor(FOVEA_BF16, keys, narrowV.data()),
       tensor(shape, toward)},
      {tensor(shape, otherDq), tensor(FOVEA_BF16, keys, otherDk.data()), tensor(FOVEA_BF16, keys, otherDv.data())});
  CHECK(dq == otherDq);
  bool same = true;
  for (size_t i = 0; i < k.size(); ++i)
    same &= rounded(dk[i]) == otherDk[i] && rounded(dv[i]) == otherDv[i];
  CHECK(same);
}

TEST_CASE("one head is work for two threads, with the same bits") {
  constexpr int64_t size = 1000, dim = 40;
  Numbers numbers(1);
  std::vector<float> q = numbers.reals(size * dim), k = numbers.reals(size * dim), v = numbers.reals(size * dim),
                     toward = numbers.reals(size * dim);
  std::vector<int64_t> shape{1, 1, size, dim};
  std::vector<std::vector<float>> results[2];
  for (int32_t threads : {1, 2}) {
    std::vector<std::vector<float>> &out = results[threads - 1];
    out.assign(3, std::vector<float>(size * dim));
    Program program;
    REQUIRE(program.load("long", nullptr, nullptr, threads));
    program.run("few_heads", {tensor(shape, q), tensor(shape, k), tensor(shape, v), tensor(shape, toward)},
                {tensor(shape, out[0]), tensor(shape, out[1]), tensor(shape, out[2])});
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("statistics of attention over 4096 keys need at most 16 MiB above inputs and outputs") {
  constexpr int64_t heads = 8, size = 4096, dim = 64;
  Numbers numbers(1);
  std::vector<float> q = numbers.reals(heads * size * dim), k = q, v = q, y(q.size(), 1.0f);
  std::vector<float> entropy(heads * size, 1.0f), mass = entropy, weights(heads * size * 8, 1.0f),
                                                  chosen(heads * 3 * size, 1.0f);
  std::vector<int64_t> keys(heads * size * 8, 1), rows{4095, 7, 0};
  std::vector<int64_t> shape{1, heads, size, dim}, row{1, heads, size}, largest{1, heads, size, 8};
  Program program;
  REQUIRE(program.load("long", nullptr, nullptr, 2));
  REQUIRE(forgetPeak());
  int64_t before = memory("VmRSS:");
  program.run("statistics", {tensor(shape, q), tensor(shape, k), tensor(shape, v), tensor(FOVEA_I64, {3}, rows.data())},
              {tensor(shape, y), tensor(row, entropy), tensor(row, mass), tensor(largest, weights),
               tensor(FOVEA_I64, largest, keys.data()), tensor({1, heads, 3, size}, chosen)});
  CHECK(memory("VmHWM:") - before <= 16 * mebibyte);
  // The first query sees one key, and its row is one of those that were chosen.
  CHECK(entropy[0] == doctest::Approx(0).epsilon(1e-5));
  CHECK(weights[0] == doctest::Approx(1));
  CHECK(chosen[2 * size] == doctest::Approx(1));
  CHECK(chosen[2 * size + 1] == 0);
}

/// A dimension's text at 4096 queries and keys, two heads.
static int64_t sizeOf(const std::string &dim) {
  return dim == "T" || dim == "S"   ? 4096
         : dim == "S+T"             ? 8192
         : dim == "H"               ? 2
         : dim == "B" || dim == "G" ? 1
                                    : std::atoll(dim.c_str());
}

TEST_CASE("so does every variant of attention") {
  constexpr int64_t pairs = int64_t(2) * 4096 * 4096; // the largest input: a bias of each head
  std::vector<float> reals = Numbers(2).reals(pairs);
  std::vector<uint8_t> seen(pairs, 1);
  std::vector<int64_t> numbers(4096, 1);
  void *memories[] = {reals.data(), seen.data(), numbers.data()}; // inputs may share memory
  Program program;
  REQUIRE(program.load("variants", nullptr, nullptr, 2));
  REQUIRE(program.program->entry_count > 20);
  for (int32_t entry = 0; entry < program.program->entry_count; ++entry) {
    const fovea_entry &table = program.program->entries[entry];
    CAPTURE(std::string(table.name));
    std::vector<fovea_tensor> inputs(table.input_count), outputs(table.output_count);
    for (int32_t i = 0; i < table.input_count; ++i) {
      fovea_tensor_info info;
      REQUIRE(fovea_describe_input(program.program, entry, i, &info, nullptr) == FOVEA_OK);
      inputs[i].dtype = info.dtype;
      inputs[i].rank = info.rank;
      for (int32_t axis = 0; axis < info.rank; ++axis)
        inputs[i].shape[axis] = sizeOf(info.dims[axis]);
      inputs[i].data = memories[info.dtype == FOVEA_BOOL ? 1 : info.dtype == FOVEA_I64 ? 2 : 0];
    }
    // Not the context of other entries, whose arena may be larger.
    fovea_context *context = nullptr;
    fovea_context_options options{};
    options.threads = 2;
    REQUIRE(fovea_context_create(program.model, &options, &context, nullptr) == FOVEA_OK);
    int64_t arena = -1, scratch = -1;
    REQUIRE(fovea_arena_bytes(context, entry, inputs.data(), table.input_count, &arena, &scratch, nullptr) == FOVEA_OK);
    CHECK(arena + scratch <= 16 * mebibyte);
    REQUIRE(fovea_infer_shapes(context, entry, inputs.data(), table.input_count, outputs.data(), table.output_count,
                               nullptr) == FOVEA_OK);
    std::vector<std::vector<float>> results;
    for (fovea_tensor &output : outputs) {
      int64_t count = 1;
      for (int32_t axis = 0; axis < output.rank; ++axis)
        count *= output.shape[axis];
      results.emplace_back(count, 1.0f);
      output.data = results.back().data();
    }
    REQUIRE(forgetPeak());
    int64_t before = memory("VmRSS:");
    CHECK(fovea_run(context, entry, inputs.data(), table.input_count, outputs.data(), table.output_count, nullptr) ==
          FOVEA_OK);
    CHECK(memory("VmHWM:") - before <= 16 * mebibyte);
    fovea_context_destroy(context);
  }
}

/// Fails at the n-th call, and counts what is not given back.
struct FailingAllocator {
  int64_t failAt = -1, calls = 0, live = 0;
  fovea_allocator hooks{allocate, release, this};

  static void *allocate(void *user, size_t bytes, size_t alignment) {
    auto &self = *static_cast<FailingAllocator *>(user);
    if (self.calls++ == self.failAt)
      return nullptr;
    ++self.live;
    size_t unit = std::max<size_t>(alignment, 16);
    return std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  }
  static void release(void *user, void *memory, size_t) {
    --static_cast<FailingAllocator *>(user)->live;
    std::free(memory);
  }
};

/// Loads a model with a context of two threads, runs `embed` twice at growing sizes, and gives everything back.
static fovea_code loadAndRun(const fovea_program *program, const char *weights, const fovea_allocator *hooks,
                             fovea_error *error) {
  fovea_load_options load{};
  load.allocator = hooks;
  load.threads = 1;
  fovea_model *model = nullptr;
  fovea_context *context = nullptr;
  fovea_code code = fovea_model_load(program, weights, &load, &model, error);
  fovea_context_options options{};
  options.threads = 2;
  options.profile_events = 100;
  if (!code)
    code = fovea_context_create(model, &options, &context, error);
  for (int64_t length : {3, 50}) {
    std::vector<int64_t> ids(length, 7);
    std::vector<uint8_t> mask(length, 1);
    std::vector<float> out(32);
    fovea_tensor inputs[] = {tensor(FOVEA_I64, {1, length}, ids.data()), tensor(FOVEA_BOOL, {1, length}, mask.data())};
    fovea_tensor output = tensor({1, 32}, out);
    if (!code)
      code = fovea_run(context, fovea_find_entry(program, "embed"), inputs, 2, &output, 1, error);
  }
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code;
}

TEST_CASE("every allocation that fails is a status, in loading, packing and running") {
  const char *weights = std::getenv("FOVEA_MINILM_SMALL");
  Program program;
  REQUIRE(program.load("minilm", weights));
  fovea_error error{};
  FailingAllocator all;
  REQUIRE(loadAndRun(program.program, weights, &all.hooks, &error) == FOVEA_OK);
  CHECK(all.live == 0);
  CHECK(all.calls > 20);
  for (int64_t n = 0; n < all.calls; ++n) {
    FailingAllocator failing;
    failing.failAt = n;
    CAPTURE(n);
    CHECK(loadAndRun(program.program, weights, &failing.hooks, &error) == FOVEA_OUT_OF_MEMORY);
    CHECK(std::string(error.message).find("out of memory") != std::string::npos);
    CHECK(failing.live == 0);
  }
}

TEST_CASE("a second run at the same sizes allocates nothing") {
  const char *weights = std::getenv("FOVEA_MINILM_SMALL");
  for (int32_t threads : {1, 2}) {
    Program program;
    REQUIRE(program.load("minilm", weights, nullptr, threads));
    constexpr int64_t batch = 31, length = 129, dim = 32; // an arena that is mapped
    std::vector<int64_t> ids(batch * length, 5);
    std::vector<uint8_t> mask(batch * length, 1);
    std::vector<float> out(batch * dim);
    fovea_tensor inputs[] = {tensor(FOVEA_I64, {batch, length}, ids.data()),
                             tensor(FOVEA_BOOL, {batch, length}, mask.data())};
    fovea_tensor output = tensor({batch, dim}, out);
    int32_t entry = fovea_find_entry(program.program, "embed");
    int64_t start = allocations;
    REQUIRE(fovea_run(program.context, entry, inputs, 2, &output, 1, nullptr) == FOVEA_OK);
    int64_t first = allocations;
    CHECK(first > start); // the wrapper counts
    REQUIRE(fovea_run(program.context, entry, inputs, 2, &output, 1, nullptr) == FOVEA_OK);
    CHECK(allocations == first);
  }
}
