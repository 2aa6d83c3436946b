// Products and attention at sizes around every tile edge, for every target, against double precision.
#include "Program.h"
#include "runtime/core/TensorFile.h"
#include "tests/oracle/Attention.h"

#include <array>
#include <set>

using namespace fovea::test;

namespace {

constexpr std::array<int64_t, 10> levels{1, 2, 5, 6, 7, 15, 16, 17, 31, 97};
constexpr size_t factors = 6; // M, N, K, T, S, D
using Row = std::array<size_t, factors>;

/// Rows in which any two factors meet at all pairs of their levels, chosen greedily among random candidates.
std::vector<Row> coveringArray() {
  using Pair = std::array<size_t, 4>;
  std::set<Pair> missing;
  for (size_t a = 0; a < factors; ++a)
    for (size_t b = a + 1; b < factors; ++b)
      for (size_t i = 0; i < levels.size(); ++i)
        for (size_t j = 0; j < levels.size(); ++j)
          missing.insert({a, b, i, j});
  auto pairsOf = [](const Row &row) {
    std::vector<Pair> pairs;
    for (size_t a = 0; a < factors; ++a)
      for (size_t b = a + 1; b < factors; ++b)
        pairs.push_back({a, b, row[a], row[b]});
    return pairs;
  };
  Numbers numbers(11);
  std::vector<Row> rows;
  while (!missing.empty()) {
    Row best{};
    size_t most = 0;
    for (int candidate = 0; candidate < 40; ++candidate) {
      Row row;
      for (size_t &level : row)
        level = numbers.next() % levels.size();
      const Pair &wanted = *missing.begin(); // so that every row brings something
      row[wanted[0]] = wanted[2], row[wanted[1]] = wanted[3];
      size_t found = 0;
      for (const Pair &pair : pairsOf(row))
        found += missing.count(pair);
      if (found > most)
        most = found, best = row;
    }
    for (const Pair &pair : pairsOf(best))
      missing.erase(pair);
    rows.push_back(best);
  }
  return rows;
}

/// got[i, j] = sum over k of a(i, k) b(k, j) + c(j), within K + 2 roundings of the sum of magnitudes.
template <typename A, typename B, typename C>
void checkProduct(const char *name, const float *got, int64_t rows, int64_t columns, int64_t terms, A a, B b, C c,
                  bool positive = false) {
  int64_t bad = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = c(j), norm = std::fabs(sum);
      for (int64_t k = 0; k < terms; ++k) {
        double x = double(a(i, k)) * double(b(k, j));
        sum += x, norm += std::fabs(x);
      }
      double want = positive ? std::max(sum, 0.0) : sum;
      bad += !fovea::oracle::agrees(got[i * columns + j], want, double(terms + 2) * 0x1p-24 * norm);
    }
  CAPTURE(std::string(name));
  CHECK(bad == 0);
}

void checkProducts(Program &program, Numbers &numbers, int64_t m, int64_t n, int64_t k) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  std::vector<float> a = numbers.reals(m * k), b = numbers.reals(k * n), w = numbers.reals(n * k),
                     bias = numbers.reals(n);
  std::vector<float> plain(m * n), transposed(m * n), activated(m * n), left(n * m);
  program.run("products", {tensor({m, k}, a), tensor({k, n}, b), tensor({n, k}, w), tensor({n}, bias)},
              {tensor({m, n}, plain), tensor({m, n}, transposed), tensor({m, n}, activated), tensor({n, m}, left)});
  auto rowOfA = [&](int64_t i, int64_t p) { return a[i * k + p]; };
  auto columnOfA = [&](int64_t p, int64_t j) { return a[j * k + p]; };
  auto columnOfW = [&](int64_t p, int64_t j) { return w[j * k + p]; };
  auto none = [](int64_t) { return 0.0; };
  checkProduct("plain", plain.data(), m, n, k, rowOfA, [&](int64_t p, int64_t j) { return b[p * n + j]; }, none);
  checkProduct("transposed", transposed.data(), m, n, k, rowOfA, columnOfW, none);
  checkProduct(
      "activated", activated.data(), m, n, k, rowOfA, columnOfW, [&](int64_t j) { return double(bias[j]); }, true);
  checkProduct("left", left.data(), n, m, k, [&](int64_t i, int64_t p) { return w[i * k + p]; }, columnOfA, none);

  std::vector<float> a2 = numbers.reals(2 * m * k), b2 = numbers.reals(2 * k * n), batched(2 * m * n), sums(2 * m);
  program.run("batched", {tensor({2, m, k}, a2), tensor({2, k, n}, b2)},
              {tensor({2, m, n}, batched), tensor({2, m}, sums)});
  for (int64_t i = 0; i < 2; ++i)
    checkProduct(
        "batched", &batched[i * m * n], m, n, k, [&](int64_t r, int64_t p) { return a2[(i * m + r) * k + p]; },
        [&](int64_t p, int64_t j) { return b2[(i * k + p) * n + j]; }, none);
  checkProduct(
      "sums", sums.data(), 2 * m, 1, k, [&](int64_t r, int64_t p) { return a2[r * k + p]; },
      [](int64_t, int64_t) { return 1.0f; }, none);
}

/// Numbers in [-1, 1] that f16 and bf16 hold exactly.
class Halves {
public:
  Halves(Numbers &numbers, int64_t count, fovea::rt::FileDtype dtype) {
    for (int64_t i = 0; i < count; ++i)
      bits.push_back(codes(dtype)[numbers.next() % 129]);
    reals.resize(count);
    for (int64_t i = 0; i < count; ++i)
      reals[i] = valueOf(dtype, bits[i]);
  }
  static double valueOf(fovea::rt::FileDtype dtype, uint16_t code) {
    return fovea::rt::elementAsDouble(dtype, reinterpret_cast<const unsigned char *>(&code));
  }

  std::vector<uint16_t> bits;
  std::vector<double> reals;

private:
  /// Those of -64/64 to 64/64.
  static const std::vector<uint16_t> &codes(fovea::rt::FileDtype dtype) {
    static std::vector<uint16_t> all[2];
    std::vector<uint16_t> &out = all[dtype == fovea::rt::FileDtype::BF16];
    for (uint32_t code = 0; out.size() < 129 && code < 0x10000; ++code)
      if (double value = valueOf(dtype, uint16_t(code)) * 64;
          std::fabs(value) <= 64 && value == std::floor(value) && (value != 0 || code == 0)) // one zero
        out.push_back(uint16_t(code));
    return out;
  }
};

void checkHalves(Program &program, Numbers &numbers, int64_t m, int64_t n, int64_t k) {
  using fovea::rt::FileDtype;
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  Halves a(numbers, m * k, FileDtype::F16), b(numbers, k * n, FileDtype::F16), c(numbers, m * k, FileDtype::BF16),
      w(numbers, n * k, FileDtype::BF16);
  std::vector<uint16_t> half(m * n), brain(m * n), outer(n * m);
  std::vector<float> mixed(m * n);
  program.run("halves",
              {tensor(FOVEA_F16, {m, k}, a.bits.data()), tensor(FOVEA_F16, {k, n}, b.bits.data()),
               tensor(FOVEA_BF16, {m, k}, c.bits.data()), tensor(FOVEA_BF16, {n, k}, w.bits.data())},
              {tensor(FOVEA_F16, {m, n}, half.data()), tensor(FOVEA_BF16, {m, n}, brain.data()), tensor({m, n}, mixed),
               tensor(FOVEA_BF16, {n, m}, outer.data())});
  // Products of multiples of 1/64 are multiples of 1/4096 and at most 97 in sum: exact in f32. So each result is the
  // exact sum, rounded to the nearest f16 (half of its last place: 2^-11 of the value) or bf16 (2^-8).
  int64_t bad = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double ab = 0, cw = 0, aw = 0;
      for (int64_t p = 0; p < k; ++p) {
        ab += a.reals[i * k + p] * b.reals[p * n + j];
        cw += c.reals[i * k + p] * w.reals[j * k + p];
        aw += a.reals[i * k + p] * w.reals[j * k + p];
      }
      double gotHalf = Halves::valueOf(FileDtype::F16, half[i * n + j]),
             gotBrain = Halves::valueOf(FileDtype::BF16, brain[i * n + j]);
      bad += !fovea::oracle::agrees(gotHalf, ab, std::fabs(ab) * 0x1p-11);
      bad += !fovea::oracle::agrees(gotBrain, cw, std::fabs(cw) * 0x1p-8);
      bad += mixed[i * n + j] != aw;
      bad += outer[j * m + i] != brain[i * n + j];
    }
  CHECK(bad == 0);
}

void checkAttentions(Program &program, Numbers &numbers, int64_t t, int64_t s, int64_t d, int64_t e) {
  CAPTURE(t);
  CAPTURE(s);
  CAPTURE(d);
  CAPTURE(e);
  constexpr int64_t heads = 2;
  std::vector<float> q = numbers.reals(heads * t * d), k = numbers.reals(heads * s * d),
                     v = numbers.reals(heads * s * e);
  std::vector<float> bias = numbers.reals(t * s);
  std::vector<uint8_t> visible(s);
  for (uint8_t &x : visible)
    x = numbers.next() % 3 != 0;
  std::vector<std::vector<float>> got(4, std::vector<float>(heads * t * e));
  std::vector<fovea_tensor> outputs;
  for (std::vector<float> &y : got)
    outputs.push_back(tensor({1, heads, t, e}, y));
  program.run("attentions",
              {tensor({1, heads, t, d}, q), tensor({1, heads, s, d}, k), tensor({1, heads, s, e}, v),
               tensor(FOVEA_BOOL, {1, s}, visible.data()), tensor({t, s}, bias)},
              outputs);
  std::vector<double> dq(q.begin(), q.end()), dk(k.begin(), k.end()), dv(v.begin(), v.end());
  const char *names[] = {"full", "causal", "padded", "biased"};
  for (int variant = 0; variant < 4; ++variant) {
    int64_t bad = 0;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < t; ++i) {
        fovea::oracle::AttentionRow row{s, d, e, &dq[(h * t + i) * d], &dk[h * s * d], &dv[h * s * e], {}, 1, {}};
        row.score = [&](double product, int64_t j) {
          return product / std::sqrt(double(d)) + (variant == 3 ? double(bias[i * s + j]) : 0);
        };
        row.visible = [&](int64_t j) { return variant == 1 ? j <= i : variant != 2 || visible[j]; };
        fovea::oracle::AttentionResult want = fovea::oracle::attention(row);
        for (int64_t c = 0; c < e; ++c)
          bad += !fovea::oracle::agrees(got[variant][(h * t + i) * e + c], want.y[c], want.bound[c]);
      }
    CAPTURE(std::string(names[variant]));
    CHECK(bad == 0);
  }
}

/// The packed products of `linears`: inputs [M, in], weights [out, in] that prepare.py writes as this formula.
void checkLinears(Program &program, Numbers &numbers, int64_t m) {
  constexpr std::array<int64_t, 10> in = levels, out{31, 97, 1, 7, 16, 2, 17, 5, 15, 6};
  auto weight = [](int64_t i) { return float((i * 37 + 11) % 64 - 32) / 32; };
  std::vector<std::vector<float>> x, y;
  for (size_t i = 0; i < in.size(); ++i)
    x.push_back(numbers.reals(m * in[i])), y.emplace_back(m * out[i]);
  std::vector<fovea_tensor> inputs, outputs;
  for (size_t i = 0; i < in.size(); ++i)
    inputs.push_back(tensor({m, in[i]}, x[i])), outputs.push_back(tensor({m, out[i]}, y[i]));
  program.run("linears", inputs, outputs);
  for (size_t i = 0; i < in.size(); ++i)
    checkProduct(
        "linear", y[i].data(), m, out[i], in[i], [&](int64_t r, int64_t p) { return x[i][r * in[i] + p]; },
        [&](int64_t p, int64_t j) { return weight(j * in[i] + p); }, [&](int64_t j) { return double(weight(j)); });
}

} // namespace

TEST_CASE("all pairs of sizes are met") {
  std::vector<Row> rows = coveringArray();
  CHECK(rows.size() >= 100);
  CHECK(rows.size() < 300);
}

TEST_CASE("products and attention of any size, on every target") {
  std::vector<Row> rows = coveringArray();
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    Program program;
    if (!program.load("sizes", std::getenv("FOVEA_SIZES_WEIGHTS"), target, 2))
      continue;
    CAPTURE(std::string(target));
    Numbers numbers(5);
    for (const Row &row : rows) {
      auto [m, n, k, t, s, d] = row;
      checkProducts(program, numbers, levels[m], levels[n], levels[k]);
      checkHalves(program, numbers, levels[m], levels[n], levels[k]);
      checkAttentions(program, numbers, levels[t], levels[s], levels[d], levels[n]);
    }
    for (int64_t m : levels)
      checkLinears(program, numbers, m);
  }
}
