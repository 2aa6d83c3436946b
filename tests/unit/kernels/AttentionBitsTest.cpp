// kernel.attention gives a row the same bits whatever stands beside it, however its keys and features are given.
#include "tests/unit/kernels/AttentionProblem.h"

#include "doctest/doctest.h"
#include <bit>
#include <cmath>
#include <list>

using namespace fovea::test;

/// The first queries of a problem.
static Problem firstQueries(Problem &all, Layout layout, int64_t count) {
  int64_t keys = all.k.sizes[2], columns = all.q.sizes[3];
  Problem part(layout, count, keys, columns, all.v.sizes[3], 1);
  part.captures = all.captures, part.sinks = all.sinks, part.k = all.k, part.v = all.v;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < count; ++t)
        for (int64_t c = 0; c < columns; ++c)
          part.q.at(b, h, t, c) = all.q.at(b, h, t, c);
  return part;
}

/// Whether the results of the first queries have the bits that they have among all.
static bool haveSameBits(Problem &part, Problem &all, const Variant &variant) {
  bool same = true;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < part.q.sizes[2]; ++t) {
        for (int64_t c = 0; c < part.v.sizes[3]; ++c)
          same &= !std::memcmp(&part.out.at(b, h, t, c), &all.out.at(b, h, t, c), sizeof(float));
        same &= !variant.lse || !std::memcmp(&part.lse.at(b, h, t), &all.lse.at(b, h, t), sizeof(float));
      }
  return same;
}

TEST_CASE("spans of keys are merged: the oracle's numbers, and the same bits for few and many queries") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    for (int64_t s : {1024, 1025, 2111}) {
      Problem many(layout, 19, s, 20, 24, uint64_t(s));
      many.captures.padding.at(0, s / 3) = 1; // some key is there
      for (int64_t i = 1024; i < s; ++i)      // in batch 1, none of the second span and after
        many.captures.padding.at(1, i) = 0;
      check(kernels, variant, many, 2);
      Problem few = firstQueries(many, layout, 3);
      check(kernels, variant, few);
      CHECK(haveSameBits(few, many, variant));
    }
    // NaN in the second span, hidden or not.
    Problem p(layout, 5, 1100, 8, 19, 12);
    for (int64_t c = 0; c < 19; ++c)
      p.v.at(0, 0, 1090, c) = std::nanf("");
    check(kernels, variant, p);
  });
}

TEST_CASE("tasks of several blocks of queries: the oracle's numbers, and the bits of one block") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    Problem many(layout, 1100, 1100, 8, 19, 13); // 16 tasks a head, of 69 queries and what fills a panel
    if (!*variant.mask)
      CHECK(kernels.tasks("f", many.arguments()) <= 16 * batches * heads); // blocks alone: 18 and more
    check(kernels, variant, many, 5);
    Problem block = firstQueries(many, layout, 30);
    kernels.run("f", block.arguments());
    CHECK(haveSameBits(block, many, variant));
  });
}

TEST_CASE("a row's bits depend on its own query and visible keys alone") {
  for (const Target *target : runnableTargets())
    for (int number : {0, 2, 4}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      Kernels &kernels = compiled(*target, variant, Layout::contiguous);
      constexpr int64_t t = 131, s = 150, d = 24, e = 40;
      Problem all(Layout::contiguous, t, s, d, e, 21);
      kernels.run("f", all.arguments(), 3);
      // Fewer queries, the first ones: the narrow variant and every ragged panel among them.
      for (int64_t rows : {1, 3, 4, 7, 16, 17, 33, 66, 100}) {
        Problem part(Layout::contiguous, rows, s, d, e, 21);
        part.captures = all.captures, part.sinks = all.sinks, part.k = all.k, part.v = all.v;
        bool same = true;
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            std::memcpy(&part.q.at(b, h, 0, 0), &all.q.at(b, h, 0, 0), rows * d * sizeof(float));
        kernels.run("f", part.arguments());
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            same &= !std::memcmp(&part.out.at(b, h, 0, 0), &all.out.at(b, h, 0, 0), rows * e * sizeof(float)) &&
                    !std::memcmp(&part.lse.at(b, h, 0), &all.lse.at(b, h, 0), rows * sizeof(float));
        CAPTURE(rows);
        CHECK(same);
      }
      // Non-finite values that no key of head 0 shows: the careful way gives the same bits.
      if (variant.visible) {
        Problem poisoned(Layout::contiguous, t, s, d, e, 21);
        for (int64_t c = 0; c < e; ++c)
          poisoned.v.at(0, 0, s - 1, c) = std::nanf("");
        kernels.run("f", poisoned.arguments());
        bool same = true;
        for (int64_t row = 0; row < t; ++row)
          if (!variant.visible(all.captures, 0, row, s - 1))
            same &= !std::memcmp(&poisoned.out.at(0, 0, row, 0), &all.out.at(0, 0, row, 0), e * sizeof(float));
        CHECK(same);
      }
    }
}

TEST_CASE("heads that share keys and values have the bits of heads with copies of them") {
  for (const Target *target : runnableTargets())
    for (int number : {1, 3, 4}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      std::string shared = text(variant, Layout::headsInside);
      const std::string type = typeOf(Layout::headsInside),
                        repeated = "memref<?x?x?x?xf32, strided<[?, 0, ?, 1], offset: ?>>";
      for (const char *operand : {"%K: ", "%V: "})
        shared.replace(shared.find(operand) + 4, type.size(), repeated);
      // The op's own list of types: q, k, v, out.
      size_t ofKeys = shared.rfind(type + ", " + type + ", " + type + ", " + type) + type.size() + 2;
      for (size_t at : {ofKeys, ofKeys + repeated.size() + 2})
        shared.replace(at, type.size(), repeated);
      Kernels &withCopies = compiled(*target, variant, Layout::headsInside);
      Kernels withShared(shared, *target);
      for (int64_t queries : {1, 2, 3, 5, 8, 40}) {
        constexpr int64_t keys = 131, d = 24, e = 40;
        Problem p(Layout::headsInside, queries, keys, d, e, 5), q(Layout::headsInside, queries, keys, d, e, 5);
        Array<float> k({batches, heads, keys, d}, {keys * d, 0, d, 1}, 0),
            v({batches, heads, keys, e}, {keys * e, 0, e, 1}, 0);
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < d; ++c)
                p.k.at(b, h, j, c) = k.at(b, h, j, c) = p.k.at(b, 0, j, c);
              for (int64_t c = 0; c < e; ++c)
                p.v.at(b, h, j, c) = v.at(b, h, j, c) = p.v.at(b, 0, j, c);
            }
        withCopies.run("f", p.arguments(), 2);
        std::vector<Argument> arguments = q.arguments();
        arguments[1] = k, arguments[2] = v;
        withShared.run("f", arguments, 3, /*backwards=*/true);
        CAPTURE(queries);
        CHECK(p.out == q.out);
        CHECK((!variant.lse || p.lse == q.lse));
      }
    }
}

TEST_CASE("whether the processor foresees a stream changes no bit") {
  for (const Target *target : runnableTargets())
    for (int64_t width : {80, 128}) { // of 5 and of 8 lines
      if (target->registers < 32)     // keys go by way of scratch: there is one way to fetch
        continue;
      const Variant &variant = variants()[0];
      CAPTURE(target->name.str());
      CAPTURE(width);
      // Rows of keys and values are fetched in order only where their width is known.
      std::string known = text(variant, Layout::contiguous);
      const std::string type = typeOf(Layout::contiguous), wide = "memref<?x?x?x" + std::to_string(width) + "xf32>";
      for (const char *operand : {"%K: ", "%V: "})
        known.replace(known.find(operand) + 4, type.size(), wide);
      size_t ofKeys = known.rfind(type + ", " + type + ", " + type + ", " + type) + type.size() + 2;
      for (size_t at : {ofKeys, ofKeys + wide.size() + 2})
        known.replace(at, type.size(), wide);
      Kernels kernels(known, *target);
      for (auto [queries, keys] : {std::pair(1, 64), std::pair(3, 200), std::pair(6, 1100)}) {
        CAPTURE(queries);
        Problem any(Layout::contiguous, queries, keys, width, width, 7);
        check(compiled(*target, variant, Layout::contiguous), variant, any);
        for (bool foresees : {false, true}) {
          Problem p(Layout::contiguous, queries, keys, width, width, 7);
          kernels.foresees = foresees;
          kernels.run("f", p.arguments(), 2);
          CHECK(p.out == any.out);
        }
      }
    }
}

/// Columns [first, first + count) of a tensor, laid out anew.
static Array<float> columnsOf(Array<float> &x, Layout layout, int64_t first, int64_t count) {
  Array<float> part({batches, heads, x.sizes[2], count}, stridesOf(layout, x.sizes[2], count), 0);
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t row = 0; row < x.sizes[2]; ++row)
        for (int64_t c = 0; c < count; ++c)
          part.at(b, h, row, c) = x.at(b, h, row, first + c);
  return part;
}

TEST_CASE("features in parts have the bits of features that are joined") {
  for (const Target *target : runnableTargets())
    for (auto [number, layout] :
         {std::pair(1, Layout::contiguous), std::pair(4, Layout::headsInside), std::pair(10, Layout::columnsApart)}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      std::string parts = text(variant, layout);
      const std::string type = typeOf(layout), apart = typeOf(Layout::columnsApart);
      const std::string keys = "k(%K)", arguments = "%K: " + type + ", ";
      parts.replace(parts.find(keys), keys.size(),
                    keys + " joined(%Q1, %Q2 : " + type + ", " + apart + " by %K1, %K2 : " + type + ", " + apart + ")");
      parts.insert(parts.find(arguments) + arguments.size(),
                   "%Q1: " + type + ", %K1: " + type + ", %Q2: " + apart + ", %K2: " + apart + ", ");
      Kernels &withJoined = compiled(*target, variant, layout);
      Kernels withParts(parts, *target);
      constexpr int64_t depths[][3] = {{16, 4, 8}, {1, 5, 18}, {17, 1, 1}, {24, 0, 3}, {3, 40, 16}};
      for (const auto &depth : depths)
        for (auto [queries, keyCount] : {std::pair(1, 131), std::pair(3, 64), std::pair(8, 150), std::pair(70, 131)}) {
          int64_t d = depth[0] + depth[1] + depth[2], e = 40;
          Problem p(layout, queries, keyCount, d, e, 5), q(layout, queries, keyCount, d, e, 5);
          std::vector<Array<float>> cut;
          int64_t first = 0;
          for (int part = 0; part < 3; ++part) {
            Layout its = part == 2 ? Layout::columnsApart : layout;
            cut.push_back(columnsOf(p.q, its, first, depth[part]));
            cut.push_back(columnsOf(p.k, its, first, depth[part]));
            first += depth[part];
          }
          withJoined.run("f", p.arguments(), 2);
          std::vector<Argument> all = q.arguments();
          all.erase(all.begin(), all.begin() + 2);
          all.insert(all.begin(), cut.begin(), cut.end());
          withParts.run("f", all, 3, /*backwards=*/true);
          CAPTURE(queries);
          CAPTURE(depth[0]);
          CAPTURE(depth[1]);
          CHECK(p.out == q.out);
          CHECK((!variant.lse || p.lse == q.lse));
        }
    }
}

/// The bits of a number that a 16-bit type holds.
static uint16_t halfBits(float x, bool isBFloat) {
  if (isBFloat)
    return uint16_t(std::bit_cast<uint32_t>(x) >> 16);
  int exponent = 0;
  float fraction = std::frexp(std::fabs(x), &exponent);
  uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  return x == 0 ? sign : uint16_t(sign + ((exponent + 13) << 10) + int(fraction * 2048));
}

/// An f32 as it is rounded to bf16, to nearest even.
static uint16_t roundedBits(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

TEST_CASE("operands of 16 bits have the bits of their widened copies, and the result is rounded once") {
  constexpr Elements all[] = {{"f16", "f32", "f32", "f32"},   {"f32", "bf16", "f32", "f32"},
                              {"f32", "f32", "f16", "bf16"},  {"f32", "bf16", "bf16", "f32"},
                              {"bf16", "f16", "bf16", "f32"}, {"f32", "f16", "f16", "bf16"}};
  int number = 0;
  for (const Target *target : runnableTargets())
    for (const Elements &elements : all) {
      const Variant &variant = variants()[(number * 3 + 1) % variants().size()];
      Layout layout = Layout(number++ % 3);
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      CAPTURE(int(layout));
      CAPTURE(number);
      Kernels kernels(text(variant, layout, elements), *target);
      for (auto [queries, keys, d, e] : {std::array<int64_t, 4>{1, 131, 24, 40},
                                         {1, 64, 16, 64},
                                         {3, 1100, 20, 17},
                                         {8, 150, 64, 80},
                                         {70, 131, 33, 40}}) {
        Problem p(layout, queries, keys, d, e, 5), wide(layout, queries, keys, d, e, 5);
        std::vector<Argument> arguments = p.arguments();
        std::list<Array<uint16_t>> narrow;
        std::pair<Array<float> *, Array<float> *> tensors[] = {
            {&p.q, &wide.q}, {&p.k, &wide.k}, {&p.v, &wide.v}, {&p.out, nullptr}};
        for (auto [i, pair] : llvm::enumerate(tensors)) {
          auto [mine, its] = pair;
          Array<uint16_t> &half = narrow.emplace_back(mine->sizes, mine->strides, uint16_t(0));
          for (int64_t j = 0; j < mine->size(); ++j) {
            float x = std::nearbyint((*mine)[j] * 64) / 64;
            half[j] = halfBits(x, elements[i][0] == 'b');
            if (its)
              (*mine)[j] = (*its)[j] = x;
          }
          if (elements[i][0] != 'f' || elements[i][1] != '3')
            arguments[i] = half;
        }
        kernels.run("f", arguments, 2);
        compiled(*target, variant, layout).run("f", wide.arguments());
        CAPTURE(queries);
        CHECK((!variant.lse || p.lse == wide.lse));
        if (elements[3][0] == 'f') {
          CHECK(p.out == wide.out);
          continue;
        }
        Array<uint16_t> &result = narrow.back();
        bool same = true;
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            for (int64_t t = 0; t < queries; ++t)
              for (int64_t c = 0; c < e; ++c)
                same &= result.at(b, h, t, c) == roundedBits(wide.out.at(b, h, t, c));
        CHECK(same);
        CHECK(result.guardsHold());
      }
    }
}
