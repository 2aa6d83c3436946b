// kernel.map against naive loops in double: elementwise, rows, reductions, at odd sizes, strides, any split into tasks.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace fovea::test;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();

const char *const elementwiseText = R"(
kernel.func @gelu_bias(%x: memref<?x?x?xf32, strided<[?, ?, 1]>>, %c: memref<?xf32>, %y: memref<?x?x?xf32>, %a: index, %b: index, %n: index) {
  kernel.map in (%a, %b, %n) {
  ^bb0(%i: index, %j: index, %k: index):
    %x0 = kernel.load %x[%i, %j, %k] : memref<?x?x?xf32, strided<[?, ?, 1]>> -> f32
    %c0 = kernel.load %c[%k] : memref<?xf32> -> f32
    %s = arith.addf %x0, %c0 : f32
    %r = arith.constant 0.70710678 : f32
    %h = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %t = arith.mulf %s, %r : f32
    %e = math.erf %t : f32
    %e1 = arith.addf %e, %one : f32
    %sh = arith.mulf %s, %h : f32
    %o = arith.mulf %sh, %e1 : f32
    kernel.store %o, %y[%i, %j, %k] : f32, memref<?x?x?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @add(%x: memref<?x?x?xf32, strided<[?, ?, ?]>>, %y: memref<?x?x?xf32>, %z: memref<?x?x?xf32>, %a: index, %b: index, %n: index) {
  kernel.map in (%a, %b, %n) {
  ^bb0(%i: index, %j: index, %k: index):
    %x0 = kernel.load %x[%i, %j, %k] : memref<?x?x?xf32, strided<[?, ?, ?]>> -> f32
    %y0 = kernel.load %y[%i, %j, %k] : memref<?x?x?xf32> -> f32
    %o = arith.addf %x0, %y0 : f32
    kernel.store %o, %z[%i, %j, %k] : f32, memref<?x?x?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @transpose(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  kernel.map in (%n, %m) {
  ^bb0(%j: index, %i: index):
    %x0 = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    kernel.store %x0, %y[%j, %i] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @store_transposed(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %x0 = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    kernel.store %x0, %y[%j, %i] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
})";
} // namespace

TEST_CASE("elementwise chains, with a bias, at odd sizes, contiguous and not") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(elementwiseText, *target);
    for (int64_t n : oddSizes)
      for (int64_t b : {1, 3, 7}) {
        INFO(target->name.str() << " n " << n << " b " << b);
        Random random(n * 10 + b);
        Array<float> x({2, b, n}, {b * (n + 3) + 1, n + 3, 1}, 0), c({n}), y({2, b, n}, 7.0f), again = y;
        random.fill(x, -4, 4);
        random.fill(c, -1, 1);
        std::vector<Argument> arguments = {x, c, y, 2, b, n};
        CHECK(kernels.run("gelu_bias", arguments).empty());
        for (int i = 0; i < 2; ++i)
          for (int j = 0; j < b; ++j)
            for (int k = 0; k < n; ++k) {
              double s = double(x.at(i, j, k)) + c.at(k);
              double exact = 0.5 * s * (1 + std::erf(s * std::sqrt(0.5)));
              // s is rounded, erf within 3 ulp of at most 1, the sum cancels: absolute in s.
              CHECK(std::fabs(y.at(i, j, k) - exact) <= 4e-7 * (std::fabs(s) + 1));
            }
        CHECK(y.guardsHold());
        kernels.run("gelu_bias", {x, c, again, 2, b, n}, 3, /*backwards=*/true);
        CHECK(y == again);
      }
  }
}

TEST_CASE("axes that lie one after another run as one, others do not") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(elementwiseText, *target);
    for (int64_t n : {1, 4, 5, 33})
      for (std::vector<int64_t> strides : std::vector<std::vector<int64_t>>{{7 * n, n, 1},
                                                                            {7 * n + 2, n, 1},
                                                                            {7 * (n + 1), n + 1, 1},
                                                                            {0, n, 1},
                                                                            {0, 0, 1},
                                                                            {n, 0, 1},
                                                                            {1, 3, 21},
                                                                            {0, 0, 0}}) {
        INFO(target->name.str() << " n " << n << " strides " << strides[0] << " " << strides[1] << " " << strides[2]);
        Array<float> x({3, 7, n}, strides, 0), y({3, 7, n}), z({3, 7, n}, 9.0f);
        Random random(n);
        random.fill(x, -4, 4);
        random.fill(y, -4, 4);
        kernels.run("add", {x, y, z, 3, 7, n});
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 7; ++j)
            for (int k = 0; k < n; ++k)
              CHECK(z.at(i, j, k) == x.at(i, j, k) + y.at(i, j, k));
        CHECK(z.guardsHold());
      }
    Array<float> empty({3, 0, 5});
    CHECK(kernels.tasks("add", {empty, empty, empty, 3, 0, 5}) == 0);
    // 2^20 elements in one piece: several tasks, though the last axis alone is short.
    Array<float> x({1 << 17, 2, 4}), z({1 << 17, 2, 4});
    CHECK(kernels.tasks("add", {x, x, z, 1 << 17, 2, 4}) >= 16);
  }
}

static const char *const unitAxesText = R"(
kernel.func @column_sums(%x: memref<?x?x1xf32>, %y: memref<?x1xf32>, %m: index, %n: index) {
  %one = arith.constant 1 : index
  kernel.map in (%m, %n, %one) {
  ^bb0(%i: index, %j: index, %k: index):
    %a = kernel.load %x[%i, %j, %k] : memref<?x?x1xf32> -> f32
    %s = kernel.reduce "sum" %a over [1] : f32
    kernel.store %s, %y[%i, %k] : f32, memref<?x1xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @tail_sums(%x: memref<?x?x1xf32>, %y: memref<?xf32>, %m: index, %n: index) {
  %one = arith.constant 1 : index
  kernel.map in (%m, %n, %one) {
  ^bb0(%i: index, %j: index, %k: index):
    %a = kernel.load %x[%i, %j, %k] : memref<?x?x1xf32> -> f32
    %s = kernel.reduce "sum" %a over [1, 2] : f32
    kernel.store %s, %y[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @twice(%x: memref<?x?x1xf32>, %y: memref<?x?x1xf32>, %m: index, %n: index) {
  %one = arith.constant 1 : index
  kernel.map in (%m, %n, %one) {
  ^bb0(%i: index, %j: index, %k: index):
    %a = kernel.load %x[%i, %j, %k] : memref<?x?x1xf32> -> f32
    %b = arith.addf %a, %a : f32
    kernel.store %b, %y[%i, %j, %k] : f32, memref<?x?x1xf32>
    kernel.yield
  }
  kernel.return
})";

static const char *const headRowsText = R"(
// Sums of heads' rows that lie token by token, and a number of each row that ids names.
kernel.func @head_sums(%x: memref<?x?x3x5xf32>, %w: memref<?xf32>, %ids: memref<?x3x?xi64>, %y: memref<?x3x?xf32>, %b: index, %t: index) {
  %c0 = arith.constant 0 : index
  %v = memref.dim %w, %c0 : memref<?xf32>
  %h = arith.constant 3 : index
  %d = arith.constant 5 : index
  kernel.map in (%b, %h, %t, %d) {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    %id = kernel.load %ids[%i, %j, %k] : memref<?x3x?xi64> -> i64
    %r = arith.index_cast %id : i64 to index
    kernel.check 1 %r in [%c0, %v) at "m.fov:1:2"
    %c = kernel.load %w[%r] : memref<?xf32> -> f32
    %a = kernel.load %x[%i, %k, %j, %l] : memref<?x?x3x5xf32> -> f32
    %s = kernel.reduce "sum" %a over [3] : f32
    %z = arith.addf %s, %c : f32
    kernel.store %z, %y[%i, %j, %k] : f32, memref<?x3x?xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("rows that are visited as they lie in memory: results and failures are those of the axes' order") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(headRowsText, *target);
    for (int64_t t : oddSizes) {
      INFO(target->name.str() << " t " << t);
      Array<float> x({2, t, 3, 5}), w({7}), y({2, 3, t});
      Array<int64_t> ids({2, 3, t});
      for (int64_t i = 0; i < x.size(); ++i)
        x[i] = float(i % 91);
      for (int64_t i = 0; i < 7; ++i)
        w[i] = float(1000 * i);
      for (int64_t i = 0; i < ids.size(); ++i)
        ids[i] = i % 7;
      CHECK(kernels.run("head_sums", {x, w, ids, y, 2, t}, 3).empty());
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t j = 0; j < 3; ++j)
          for (int64_t k = 0; k < t; ++k) {
            float sum = w[ids.at(i, j, k)];
            for (int64_t l = 0; l < 5; ++l)
              sum += x.at(i, k, j, l);
            CHECK(y.at(i, j, k) == sum); // whole numbers: any order of additions
          }
      // The last token of the first head comes before the first one of the second.
      ids.at(1, 0, t - 1) = 7;
      ids.at(1, 1, 0) = 8;
      std::vector<Failure> failures = kernels.run("head_sums", {x, w, ids, y, 2, t});
      REQUIRE(failures.size() == 2);
      auto byIndex = [](const Failure &x, const Failure &y) { return x.index < y.index; };
      Failure first = *std::min_element(failures.begin(), failures.end(), byIndex);
      CHECK(first.index == (3 * t + t - 1) * 5);
      CHECK(first.value == 7);
    }
  }
}

TEST_CASE("axes of one element") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(unitAxesText, *target);
    for (int64_t n : {0, 1, 5, 16, 33, 97}) {
      INFO(target->name.str() << " n " << n);
      Array<float> x({5, n, 1}), columns({5, 1}), rows({5}), twice({5, n, 1});
      for (int64_t i = 0; i < x.size(); ++i)
        x[i] = float(i % 11);
      kernels.run("column_sums", {x, columns, 5, n});
      kernels.run("tail_sums", {x, rows, 5, n});
      kernels.run("twice", {x, twice, 5, n});
      for (int i = 0; i < 5; ++i) {
        float sum = 0; // of small integers: exact
        for (int j = 0; j < n; ++j)
          sum += x.at(i, j, 0);
        CHECK(columns[i] == sum);
        CHECK(rows[i] == sum);
      }
      for (int64_t i = 0; i < x.size(); ++i)
        CHECK(twice[i] == 2 * x[i]);
      CHECK(columns.guardsHold());
      CHECK(rows.guardsHold());
      CHECK(twice.guardsHold());
    }
  }
}

TEST_CASE("transposes, by gathers and by choosing the lanes' axis") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(elementwiseText, *target);
    for (int64_t m : oddSizes)
      for (int64_t n : {1, 5, 16, 31}) {
        for (const char *name : {"transpose", "store_transposed"}) {
          INFO(target->name.str() << " " << name << " " << m << " x " << n);
          Array<float> x({m, n}), y({n, m}, -1.0f);
          for (int64_t i = 0; i < m * n; ++i)
            x[i] = float(i);
          kernels.run(name, {x, y, m, n}, 2);
          for (int i = 0; i < m; ++i)
            for (int j = 0; j < n; ++j)
              CHECK(y.at(j, i) == x.at(i, j));
          CHECK(y.guardsHold());
        }
      }
  }
}

static const char *const rowsText = R"(
kernel.func @layer_norm(%x: memref<?x?xf32>, %g: memref<?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  %ni = arith.index_cast %n : index to i64
  %count = arith.sitofp %ni : i64 to f32
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    %s = kernel.reduce "sum" %a over [1] : f32
    %mean = arith.divf %s, %count : f32
    %d = arith.subf %a, %mean : f32
    %q = arith.mulf %d, %d : f32
    %v = kernel.reduce "sum" %q over [1] : f32
    %var = arith.divf %v, %count : f32
    %eps = arith.constant 1.0e-5 : f32
    %ve = arith.addf %var, %eps : f32
    %root = math.sqrt %ve : f32
    %one = arith.constant 1.0 : f32
    %r = arith.divf %one, %root : f32
    %o = arith.mulf %d, %r : f32
    %g0 = kernel.load %g[%j] : memref<?xf32> -> f32
    %og = arith.mulf %o, %g0 : f32
    kernel.store %og, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @softmax(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %lse: memref<?xf32>, %m: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i, %j] : memref<?x?xf32> -> f32
    %m0 = kernel.reduce "max" %a over [1] : f32
    %ninf = arith.constant 0xFF800000 : f32
    %zero = arith.constant 0.0 : f32
    %none = arith.cmpf oeq, %m0, %ninf : f32
    %m1 = arith.select %none, %zero, %m0 : f32
    %d = arith.subf %a, %m1 : f32
    %e = math.exp %d : f32
    %s = kernel.reduce "sum" %e over [1] : f32
    %empty = arith.cmpf oeq, %s, %zero : f32
    %one = arith.constant 1.0 : f32
    %safe = arith.select %empty, %one, %s : f32
    %p = arith.divf %e, %safe : f32
    kernel.store %p, %y[%i, %j] : f32, memref<?x?xf32>
    %l = math.log %s : f32
    %l1 = arith.addf %m1, %l : f32
    kernel.store %l1, %lse[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("LayerNorm of rows, and its bits do not depend on other rows or on the split") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(rowsText, *target);
    std::vector<int64_t> sizes = oddSizes;
    sizes.insert(sizes.end(), {64, 384, 1023, 1024, 1025, 2500});
    for (int64_t n : sizes) {
      INFO(target->name.str() << " n " << n);
      int64_t m = 9;
      Array<float> x({m, n}), g({n}), y({m, n}), again({m, n}), one({1, n}), oneX({1, n});
      Random random(n);
      random.fill(x, -3, 5);
      random.fill(g, 0.5, 1.5);
      kernels.run("layer_norm", {x, g, y, m, n});
      for (int i = 0; i < m; ++i) {
        double sum = 0, squares = 0;
        for (int j = 0; j < n; ++j)
          sum += x.at(i, j);
        for (int j = 0; j < n; ++j)
          squares += (x.at(i, j) - sum / n) * (x.at(i, j) - sum / n);
        double scale = 1 / std::sqrt(squares / n + 1e-5);
        for (int j = 0; j < n; ++j) {
          double exact = (x.at(i, j) - sum / n) * scale * g.at(j);
          // The mean carries rounding of a sum of n terms of size 5, in a tree of depth log n; scale multiplies it.
          double bound = 1e-6 * (std::fabs(exact) + 1) + 5 * scale * 6e-8 * (8 + std::log2(double(n)));
          CHECK(std::fabs(y.at(i, j) - exact) <= bound);
        }
      }
      CHECK(y.guardsHold());
      kernels.run("layer_norm", {x, g, again, m, n}, 2, true);
      CHECK(y == again);
      for (int j = 0; j < n; ++j)
        oneX[j] = x.at(4, j);
      kernels.run("layer_norm", {oneX, g, one, 1, n});
      for (int j = 0; j < n; ++j)
        CHECK(std::memcmp(&one[j], &y.at(4, j), 4) == 0);
    }
  }
}

TEST_CASE("softmax of rows by the contract, with rows of -inf and with nothing") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(rowsText, *target);
    for (int64_t n : oddSizes) {
      INFO(target->name.str() << " n " << n);
      Array<float> x({5, n}), y({5, n}), lse({5});
      Random random(n);
      random.fill(x, -30, 30);
      for (int j = 0; j < n; ++j)
        x.at(2, j) = -infinity, x.at(3, j) = j % 2 ? x.at(3, j) : -infinity;
      kernels.run("softmax", {x, y, lse, 5, n});
      for (int i = 0; i < 5; ++i) {
        double largest = -infinity, sum = 0;
        for (int j = 0; j < n; ++j)
          largest = std::max(largest, double(x.at(i, j)));
        double m = largest == -infinity ? 0 : largest;
        for (int j = 0; j < n; ++j)
          sum += std::exp(x.at(i, j) - m);
        for (int j = 0; j < n; ++j) {
          double exact = sum == 0 ? 0 : std::exp(x.at(i, j) - m) / sum;
          // The argument of exp is rounded at a size of 60.
          CHECK(std::fabs(y.at(i, j) - exact) <= exact * (60 * 6e-8 + 1e-6) + 1e-44);
        }
        if (sum == 0)
          CHECK(lse[i] == -infinity);
        else
          CHECK(std::fabs(lse[i] - (m + std::log(sum))) <= 1e-6 * (1 + std::fabs(m)));
      }
      CHECK(y.guardsHold());
      CHECK(lse.guardsHold());
    }
    // Without points along the row nothing is read; the row's own stores still happen.
    Array<float> x({3, 0}), y({3, 0}), lse({3}, 5.0f);
    kernels.run("softmax", {x, y, lse, 3, 0});
    for (int i = 0; i < 3; ++i)
      CHECK(lse[i] == -infinity);
  }
}

/// Reduces a box [a, b, c] over `axes` into an output indexed by the other axes.
static std::string reduceText(const std::string &kind, const std::string &axes, const std::string &out, int rank,
                              const std::string &type = "f32") {
  std::string to = "memref<" +
                   (rank == 0   ? std::string()
                    : rank == 1 ? std::string("?x")
                                : std::string("?x?x")) +
                   (kind == "argmax" ? "i64" : type) + ">";
  std::string result = kind == "argmax" ? "i64" : type;
  return "kernel.func @f(%x: memref<?x?x?x" + type + ">, %y: " + to + R"(, %a: index, %b: index, %c: index) {
  kernel.map in (%a, %b, %c) {
  ^bb0(%i: index, %j: index, %k: index):
    %v = kernel.load %x[%i, %j, %k] : memref<?x?x?x)" +
         type + "> -> " + type + R"(
    %r = kernel.reduce ")" +
         kind + "\" %v over [" + axes + "] : " + type + "\n    kernel.store %r, %y[" + out + "] : " + result + ", " +
         to + "\n    kernel.yield\n  }\n  kernel.return\n}";
}

/// The element of a reduction of `values` in double; argmax is an index.
static double reduceExactly(const std::string &kind, const std::vector<double> &values) {
  double result = kind == "sum" ? 0 : kind == "prod" ? 1 : kind == "max" ? -infinity : infinity;
  if (kind == "argmax") {
    size_t best = 0;
    for (size_t i = 1; i < values.size(); ++i)
      if (values[i] > values[best] || (std::isnan(values[i]) && !std::isnan(values[best])))
        best = i;
    return double(best);
  }
  for (double v : values) {
    if (kind == "sum")
      result += v;
    else if (kind == "prod")
      result *= v;
    else if (std::isnan(v) || std::isnan(result))
      result = NAN;
    else
      result = kind == "max" ? std::max(result, v) : std::min(result, v);
  }
  return result;
}

template <typename Out>
static void checkReduction(const Target &target, const std::string &kind, std::vector<int> axes, bool nans) {
  const char *names[] = {"%i", "%j", "%k"};
  std::string list, out;
  int rank = 0;
  for (int axis = 0; axis < 3; ++axis) {
    bool reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    std::string &text = reduced ? list : out;
    text += (text.empty() ? "" : ", ") + (reduced ? std::to_string(axis) : std::string(names[axis]));
    rank += !reduced;
  }
  Kernels kernels(reduceText(kind, list, out, rank), target);
  for (std::vector<int64_t> s : std::vector<std::vector<int64_t>>{{1, 1, 1},
                                                                  {2, 3, 5},
                                                                  {3, 2, 17},
                                                                  {5, 31, 16},
                                                                  {2, 97, 7},
                                                                  {17, 1, 33},
                                                                  {3, 1030, 2},
                                                                  {2, 2, 1100},
                                                                  {0, 3, 5},
                                                                  {3, 0, 5},
                                                                  {3, 5, 0}}) {
    INFO(target.name.str() << " " << kind << " over " << list << ": " << s[0] << " x " << s[1] << " x " << s[2]
                           << (nans ? " with NaN" : ""));
    Array<float> x(s);
    Random random(s[0] * 1000 + s[1] * 10 + s[2]);
    random.fill(x, kind == "prod" ? 0.9 : -2, kind == "prod" ? 1.1 : 2);
    if (kind == "argmax") // ties
      for (int64_t i = 0; i < x.size(); ++i)
        x[i] = float(std::floor(x[i] * 2));
    for (int64_t i = 0; nans && i < x.size(); i += 7)
      x[i] = NAN;
    std::vector<int64_t> kept;
    int64_t rows = 1;
    for (int axis = 0; axis < 3; ++axis)
      if (std::find(axes.begin(), axes.end(), axis) == axes.end())
        kept.push_back(s[axis]), rows *= s[axis];
    Array<Out> y(kept, Out(77));
    kernels.run("f", {x, y, s[0], s[1], s[2]}, 1, true);
    CHECK(y.guardsHold());
    std::vector<std::vector<double>> values(rows);
    for (int64_t i = 0; i < s[0]; ++i)
      for (int64_t j = 0; j < s[1]; ++j)
        for (int64_t k = 0; k < s[2]; ++k) {
          int64_t row = 0, at[] = {i, j, k};
          for (int axis = 0; axis < 3; ++axis)
            if (std::find(axes.begin(), axes.end(), axis) == axes.end())
              row = row * s[axis] + at[axis];
          values[row].push_back(x.at(i, j, k));
        }
    for (int64_t row = 0; row < rows; ++row) {
      double exact = reduceExactly(kind, values[row]), got = double(y[row]);
      if (std::isnan(exact)) {
        CHECK(std::isnan(got));
        continue;
      }
      double magnitude = kind == "prod" ? double(values[row].size()) * std::fabs(exact) : 0;
      if (kind == "sum")
        for (double v : values[row])
          magnitude += std::fabs(v);
      // Every term passes at most n roundings, in chains of at most a span and some.
      double bound = kind == "sum" || kind == "prod" ? magnitude * 6e-8 * 300 / 10 + 1e-30 : 0;
      CHECK_MESSAGE((got == exact || std::fabs(got - exact) <= bound),
                    "row " << row << ": got " << got << ", expected " << exact);
    }
  }
}

TEST_CASE("sums of columns have lanes along them: chains by spans, then the outer axis") {
  const char *text = R"(
kernel.func @f(%x: memref<?x?x?xf32>, %y: memref<?xf32>, %a: index, %b: index, %n: index) {
  kernel.map in (%n, %a, %b) {
  ^bb0(%k: index, %i: index, %j: index):
    %x0 = kernel.load %x[%i, %j, %k] : memref<?x?x?xf32> -> f32
    %s = kernel.reduce "sum" %x0 over [1, 2] : f32
    kernel.store %s, %y[%k] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
)";
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text, *target);
    for (int64_t n : {1, 7, 16, 64, 65, 131})
      for (int64_t b : {1, 5, 1030}) {
        CAPTURE(target->name.str());
        CAPTURE(n);
        CAPTURE(b);
        Array<float> x({3, b, n}), y({n});
        Random random(n * 10 + b);
        random.fill(x, -1, 1);
        kernels.run("f", {x, y, 3, b, n}, 1, true);
        CHECK(y.guardsHold());
        int64_t wrong = 0;
        for (int64_t k = 0; k < n; ++k) {
          float total = 0;
          for (int64_t i = 0; i < 3; ++i)
            for (int64_t from = 0; from < b; from += 1024) {
              float chain = 0;
              for (int64_t j = from; j < std::min<int64_t>(from + 1024, b); ++j)
                chain += x.at(i, j, k);
              total += chain;
            }
          wrong += y[k] != total;
        }
        CHECK(wrong == 0);
      }
  }
}

TEST_CASE("reductions over every set of axes, empty ones included") {
  for (const Target *target : runnableTargets()) {
    for (std::vector<int> axes : std::vector<std::vector<int>>{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}})
      for (const char *kind : {"sum", "max"})
        checkReduction<float>(*target, kind, axes, std::string(kind) == "max" && axes.size() == 1);
    for (int axis : {0, 2}) {
      checkReduction<float>(*target, "prod", {axis}, false);
      checkReduction<float>(*target, "min", {axis}, true);
      checkReduction<int64_t>(*target, "argmax", {axis}, false);
      checkReduction<int64_t>(*target, "argmax", {axis}, true);
    }
  }
}
