// The library's caches: whatever the pieces that the rows come in, and whatever lies where, the results are the same.
#include "Program.h"
#include <algorithm>
#include <cmath>
#include <functional>

using namespace fovea::test;

namespace {

constexpr int64_t batch = 2, heads = 2, groups = 2, dim = 12, window = 5, page = 4, length = 37;
constexpr const char *targets[] = {"x86-64", "x86-64-v3", "x86-64-v4"};

/// [batch, heads, length, dim], and parts of it.
struct Rows {
  int64_t heads;
  std::vector<float> data;
  Rows(int64_t heads, std::vector<float> data) : heads(heads), data(std::move(data)) {}
  std::vector<float> part(int64_t begin, int64_t end) const {
    std::vector<float> out;
    for (int64_t b = 0; b < batch * heads; ++b)
      out.insert(out.end(), &data[(b * length + begin) * dim], &data[(b * length + begin) * dim] + (end - begin) * dim);
    return out;
  }
  void put(int64_t begin, const std::vector<float> &rows) {
    int64_t count = int64_t(rows.size()) / (batch * heads * dim);
    for (int64_t b = 0; b < batch * heads; ++b)
      std::copy_n(&rows[b * count * dim], count * dim, &data[(b * length + begin) * dim]);
  }
  double distance(const Rows &other) const {
    double worst = 0;
    for (size_t i = 0; i < data.size(); ++i)
      worst = std::max(worst, double(std::fabs(data[i] - other.data[i])));
    return worst;
  }
  bool operator==(const Rows &other) const { return sameBits(data.data(), other.data.data(), data.size()); }
};

struct Input {
  Rows q, k, v;
  Input(Numbers numbers)
      : q(heads * groups, numbers.reals(batch * heads * groups * length * dim)),
        k(heads, numbers.reals(batch * heads * length * dim)), v(heads, numbers.reals(batch * heads * length * dim)) {}
};

/// All rows through an entry, `piece` at a time; `more` adds inputs behind q, k and v.
Rows inPieces(Program &program, const char *entry, const Input &input, int64_t piece,
              std::function<void(std::vector<fovea_tensor> &, int64_t &)> more) {
  Rows y(heads * groups, std::vector<float>(input.q.data.size()));
  for (int64_t past = 0; past < length; past += piece) {
    int64_t count = std::min(piece, length - past), before = past;
    std::vector<float> q = input.q.part(past, past + count), k = input.k.part(past, past + count),
                       v = input.v.part(past, past + count), out(q.size());
    std::vector<fovea_tensor> inputs = {tensor({batch, heads * groups, count, dim}, q),
                                        tensor({batch, heads, count, dim}, k), tensor({batch, heads, count, dim}, v)};
    more(inputs, before);
    program.run(entry, inputs, {tensor({batch, heads * groups, count, dim}, out)});
    y.put(past, out);
  }
  return y;
}

/// Products of 12 terms of size 1 and weights that sum to 1: 40 roundings are more than there are.
constexpr double tolerance = 40 * 0x1p-24 * 4;
constexpr int64_t pieces[] = {1, 3, 7, 16, length};

} // namespace

TEST_CASE("a cache in order gives the bits of attention over everything") {
  for (const char *target : targets) {
    Program program;
    if (!program.load("kept", nullptr, target, 2, {{"limit", length}}))
      continue;
    Input input(Numbers(1));
    Rows full = input.q, near = input.q;
    program.run("full",
                {tensor({batch, heads * groups, length, dim}, input.q.data),
                 tensor({batch, heads, length, dim}, input.k.data), tensor({batch, heads, length, dim}, input.v.data)},
                {tensor({batch, heads * groups, length, dim}, full.data),
                 tensor({batch, heads * groups, length, dim}, near.data)});
    for (int64_t piece : pieces) {
      CAPTURE(std::string(target));
      CAPTURE(piece);
      Rows y = inPieces(program, "in_order", input, piece,
                        [](auto &inputs, int64_t &past) { inputs.push_back(tensor(FOVEA_I64, {}, &past)); });
      CHECK(y == full);
    }
  }
}

TEST_CASE("pages give the bits of rows in order, wherever they lie") {
  constexpr int64_t count = (length + page - 1) / page + 2; // more pages than are needed: the rest is hidden
  for (const char *target : targets) {
    Program program;
    if (!program.load("kept", nullptr, target, 2, {{"limit", length}, {"pages", batch * count + 3}}))
      continue;
    Input input(Numbers(2));
    Rows expected = inPieces(program, "in_order", input, length,
                             [](auto &inputs, int64_t &past) { inputs.push_back(tensor(FOVEA_I64, {}, &past)); });
    // In order, as one sequence after the other; backwards; mixed, as they come where sequences grow in turn.
    for (int64_t order : {0, 1, 2}) {
      std::vector<int64_t> table(batch * count);
      for (int64_t i = 0; i < batch * count; ++i)
        table[i] = order == 0 ? i : order == 1 ? batch * count + 2 - i : i % count * batch + i / count;
      for (int64_t piece : pieces) {
        CAPTURE(std::string(target));
        CAPTURE(order);
        CAPTURE(piece);
        int64_t past[batch];
        Rows y = inPieces(program, "in_pages", input, piece, [&](auto &inputs, int64_t &before) {
          std::fill_n(past, batch, before);
          inputs.push_back(tensor(FOVEA_I64, {batch, count}, table.data()));
          inputs.push_back(tensor(FOVEA_I64, {batch}, past));
        });
        CHECK(y == expected);
      }
    }
    // A page that is none: nothing is read from it.
    std::vector<int64_t> table(batch * count), past(batch);
    table[1] = batch * count + 3;
    std::vector<float> q(batch * heads * groups * dim), k(batch * heads * dim), out(q.size());
    auto shape = [](int64_t h) { return std::vector<int64_t>{batch, h, 1, dim}; };
    CHECK(program.tryRun("in_pages",
                         {tensor(shape(heads * groups), q), tensor(shape(heads), k), tensor(shape(heads), k),
                          tensor(FOVEA_I64, {batch, count}, table.data()), tensor(FOVEA_I64, {batch}, past.data())},
                         {tensor(shape(heads * groups), out)}) == FOVEA_RUN_FAILED);
    CHECK(std::string(program.error.message).find("caches.fov") != std::string::npos);
  }
}

TEST_CASE("a ring gives attention over a window, the same bits for all pieces") {
  for (const char *target : targets) {
    Input input(Numbers(3));
    for (int64_t slots : {window + 6, int64_t(length + window)}) {
      Program program;
      if (!program.load("kept", nullptr, target, 2, {{"slots", slots}}))
        continue;
      Rows full = input.q, near = input.q;
      program.run("full",
                  {tensor({batch, heads * groups, length, dim}, input.q.data),
                   tensor({batch, heads, length, dim}, input.k.data),
                   tensor({batch, heads, length, dim}, input.v.data)},
                  {tensor({batch, heads * groups, length, dim}, full.data),
                   tensor({batch, heads * groups, length, dim}, near.data)});
      auto with = [&](int64_t piece) {
        fovea_context_reset(program.context);
        return inPieces(program, "in_ring", input, piece,
                        [](auto &inputs, int64_t &past) { inputs.push_back(tensor(FOVEA_I64, {}, &past)); });
      };
      Rows single = with(1);
      CHECK(single.distance(near) <= tolerance);
      for (int64_t piece : pieces) {
        if (piece + window - 1 > slots)
          continue;
        CAPTURE(std::string(target));
        CAPTURE(slots);
        CAPTURE(piece);
        CHECK(with(piece) == single);
      }
    }
  }
}

TEST_CASE("of many rows for one place the last stays, however many threads write") {
  constexpr int64_t a = 3, n = 5, m = 4000, e = 33;
  for (const char *target : targets) {
    Program program;
    if (!program.load("kept", nullptr, target, 2))
      continue;
    Numbers numbers(6);
    std::vector<float> x = numbers.reals(a * n * e), v = numbers.reals(a * m * e), y(x.size()), expected = x;
    std::vector<int64_t> rows(m);
    for (int64_t i = 0; i < m; ++i)
      rows[i] = i < 8 ? 4 : int64_t(numbers.next() % 4); // the fifth is written at first, and never again
    for (int64_t i = 0; i < a * m; ++i)
      std::copy_n(&v[i * e], e, &expected[(i / m * n + rows[i % m]) * e]);
    for (int repeat = 0; repeat < 5; ++repeat) {
      CAPTURE(std::string(target));
      program.run("overwrite", {tensor({a, n, e}, x), tensor({a, m, e}, v), tensor(FOVEA_I64, {m}, rows.data())},
                  {tensor({a, n, e}, y)});
      CHECK(sameBits(y.data(), expected.data(), y.size()));
    }
  }
}

TEST_CASE("sequences change places, stay, and are doubled") {
  constexpr int64_t many = 4, limit = 3, slots = 6;
  Program program;
  REQUIRE(program.load("kept", nullptr, nullptr, 2, {{"limit", limit}, {"slots", slots}, {"B", many}}));
  Numbers numbers(4);
  std::vector<float> keys = numbers.reals(many * heads * limit * dim), ring = numbers.reals(many * heads * slots * dim);
  auto set = [&](const char *name, const std::vector<float> &values) {
    fovea_tensor state;
    REQUIRE(fovea_context_state(program.context, name, &state, &program.error) == FOVEA_OK);
    std::copy(values.begin(), values.end(), static_cast<float *>(state.data));
  };
  for (std::vector<int64_t> from :
       std::vector<std::vector<int64_t>>{{0, 1, 2, 3}, {1, 2, 3, 0}, {3, 2, 1, 0}, {2, 2, 2, 2}, {1, 0, 0, 3}}) {
    set("contiguous.keys", keys);
    set("ring.values", ring);
    std::vector<float> newKeys(keys.size()), newRing(ring.size());
    program.run("reorder", {tensor(FOVEA_I64, {many}, from.data())},
                {tensor({many, heads, limit, dim}, newKeys), tensor({many, heads, slots, dim}, newRing)});
    for (auto [values, now, name] :
         {std::tuple(&keys, &newKeys, "contiguous.keys"), std::tuple(&ring, &newRing, "ring.values")}) {
      size_t row = values->size() / many;
      fovea_tensor state;
      REQUIRE(fovea_context_state(program.context, name, &state, &program.error) == FOVEA_OK);
      for (int64_t b = 0; b < many; ++b) {
        CHECK(sameBits(&(*now)[b * row], &(*values)[from[b] * row], row));
        CHECK(sameBits(static_cast<float *>(state.data) + b * row, &(*values)[from[b] * row], row));
      }
    }
  }
}
