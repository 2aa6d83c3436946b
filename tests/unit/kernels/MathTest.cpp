// The expansions against libm in double: dense samples, special values, scalars against vectors.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <cmath>
#include <limits>

using namespace fovea::test;

namespace {
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();

/// y[i] = op(x[i]) by vectors, z[i] the same as scalars (a map without axes, called for each element).
std::string unaryText(const std::string &op) {
  return R"(
kernel.func @vectors(%x: memref<?xf32>, %y: memref<?xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    %r = )" +
         op + R"( %a : f32
    kernel.store %r, %y[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @scalar(%x: memref<f32>, %y: memref<f32>) {
  kernel.map in () {
    %a = kernel.load %x[] : memref<f32> -> f32
    %r = )" +
         op + R"( %a : f32
    kernel.store %r, %y[] : f32, memref<f32>
    kernel.yield
  }
  kernel.return
})";
}

/// The distance of `got` from `exact` in units of the last place of the f32 nearest to `exact`.
double ulps(float got, double exact) {
  float nearest = float(exact);
  if (std::isnan(exact) || std::isnan(got))
    return std::isnan(exact) && std::isnan(got) ? 0 : 1e9;
  if (std::isinf(nearest) || std::isinf(got))
    return got == nearest ? 0 : 1e9;
  double unit = std::max(std::ldexp(1.0, std::ilogb(std::max(std::fabs(double(nearest)), 1e-300)) - 23), 0x1p-149);
  return std::fabs(double(got) - exact) / unit;
}

struct Case {
  std::string op;
  double (*exact)(double);
  double low, high;
  double bound; ///< units in the last place, with FMA and without
  std::vector<float> special;
};

/// Samples of [low, high], more of them towards 0, and every special value.
std::vector<float> samples(const Case &c) {
  std::vector<float> x;
  constexpr int count = 400000;
  for (int i = 0; i <= count; ++i)
    x.push_back(float(c.low + (c.high - c.low) * i / count));
  for (double magnitude = 1e-44; magnitude < c.high; magnitude *= 1.0137)
    for (double sign : {1.0, -1.0})
      if (sign * magnitude >= c.low)
        x.push_back(float(sign * magnitude));
  x.insert(x.end(), c.special.begin(), c.special.end());
  return x;
}

void check(const Case &c, const Target &target) {
  INFO(c.op << " on " << target.name.str());
  Kernels kernels(unaryText(c.op), target);
  std::vector<float> x = samples(c);
  Array<float> input({int64_t(x.size())}), output({int64_t(x.size())});
  std::copy(x.begin(), x.end(), input.data());
  kernels.run("vectors", {input, output, int64_t(x.size())});
  double worst = 0;
  float worstAt = 0;
  for (size_t i = 0; i < x.size(); ++i)
    if (double distance = ulps(output[i], c.exact(x[i])); distance > worst)
      worst = distance, worstAt = x[i];
  MESSAGE(c.op << " on " << target.name.str() << ": " << worst << " ulp at " << worstAt);
  CHECK(worst <= c.bound);
  for (size_t i = 0; i < x.size(); i += i + 300 < x.size() ? 211 : 1) {
    Array<float> one({}), result({});
    one[0] = x[i];
    kernels.run("scalar", {one, result});
    CHECK(std::memcmp(&result[0], &output[i], 4) == 0);
  }
}
} // namespace

TEST_CASE("elementary functions are within their bounds, on scalars and vectors alike") {
  std::vector<float> common = {0.0f, -0.0f, inf, -inf, notANumber, 1.0f, -1.0f, 1e-45f, -1e-45f, 1e-38f, 3e38f, -3e38f};
  auto rsqrt = [](double x) { return 1 / std::sqrt(x); };
  const Case cases[] = {
      {"math.exp", std::exp, -110, 95, 2, common},
      {"math.exp2", std::exp2, -155, 130, 2, common},
      {"math.log", std::log, 1e-6, 1000, 2, common},
      {"math.tanh", std::tanh, -12, 12, 3, common},
      {"math.erf", std::erf, -5, 5, 3, common},
      {"math.sin", std::sin, -1e5, 1e5, 2, {0.0f, -0.0f, inf, -inf, notANumber, 1e6f, -1e6f}},
      {"math.cos", std::cos, -1e5, 1e5, 2, {0.0f, -0.0f, inf, -inf, notANumber, 1e6f, -1e6f}},
      {"math.rsqrt", rsqrt, 1e-6, 1000, 1.5, common},
      {"math.floor",
       std::floor,
       -20,
       20,
       0,
       {0.0f, -0.0f, 0.5f, -0.5f, 8388607.5f, -8388607.5f, 1e10f, inf, -inf, notANumber}},
      {"math.ceil",
       std::ceil,
       -20,
       20,
       0,
       {0.0f, -0.0f, 0.5f, -0.5f, 8388607.5f, -8388607.5f, 1e10f, inf, -inf, notANumber}},
      {"math.trunc", std::trunc, -20, 20, 0, {0.0f, -0.0f, 0.5f, -0.5f, 8388607.5f, 1e10f, inf, -inf, notANumber}},
      {"math.roundeven",
       std::nearbyint,
       -20,
       20,
       0,
       {0.0f, -0.0f, 0.5f, -0.5f, 1.5f, 4194305.5f, 1e10f, inf, -inf, notANumber}},
  };
  for (const Target *target : runnableTargets())
    for (const Case &c : cases)
      check(c, *target);
}

TEST_CASE("signs of zeros stay") {
  for (const Target *target : runnableTargets())
    for (const char *op : {"math.tanh", "math.erf", "math.sin", "math.floor", "math.ceil"}) {
      Kernels kernels(unaryText(op), *target);
      Array<float> x({2}), y({2});
      x[0] = -0.0f;
      kernels.run("vectors", {x, y, 2});
      INFO(op << " on " << target->name.str());
      CHECK(std::signbit(y[0]));
      CHECK_FALSE(std::signbit(y[1]));
    }
}

static const char *const binaryText = R"(
kernel.func @pow(%x: memref<?xf32>, %y: memref<?xf32>, %z: memref<?xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    %b = kernel.load %y[%i] : memref<?xf32> -> f32
    %r = math.powf %a, %b : f32
    kernel.store %r, %z[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @mod(%x: memref<?xf32>, %y: memref<?xf32>, %z: memref<?xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    %b = kernel.load %y[%i] : memref<?xf32> -> f32
    %r = arith.remf %a, %b : f32
    kernel.store %r, %z[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("powers and remainders of all pairs of values") {
  std::vector<float> values = {0.0f,   -0.0f,   1.0f,        -1.0f,       2.0f,        -2.0f,      3.0f,       -3.0f,
                               0.5f,   -0.5f,   1.5f,        -1.5f,       inf,         -inf,       notANumber, 10.0f,
                               -10.0f, 1e-3f,   1e20f,       1e38f,       1e-38f,      1e-44f,     7.0f,       126.0f,
                               127.5f, -127.0f, 16777216.0f, 16777217.0f, 0.99999994f, 1.0000001f, 3.14159f,   1e5f};
  Random random(3);
  for (int i = 0; i < 200; ++i)
    values.push_back(float(random.uniform(-30, 30)));
  int64_t count = int64_t(values.size() * values.size());
  Array<float> x({count}), y({count}), z({count});
  for (int64_t i = 0; i < count; ++i)
    x[i] = values[i / values.size()], y[i] = values[i % values.size()];
  for (const Target *target : runnableTargets()) {
    INFO(target->name.str());
    Kernels kernels(binaryText, *target);
    kernels.run("pow", {x, y, z, count});
    double worst = 0;
    for (int64_t i = 0; i < count; ++i) {
      double distance = ulps(z[i], std::pow(double(x[i]), double(y[i])));
      CHECK_MESSAGE(distance <= 1, x[i] << " ^ " << y[i] << " = " << z[i]);
      worst = std::max(worst, distance);
    }
    MESSAGE("math.powf on " << target->name.str() << ": " << worst << " ulp");
    kernels.run("mod", {x, y, z, count});
    for (int64_t i = 0; i < count; ++i)
      if (!(std::fabs(double(x[i])) > std::fabs(double(y[i])) * 0x1p49)) // what is promised
        CHECK_MESSAGE(ulps(z[i], std::fmod(double(x[i]), double(y[i]))) == 0, x[i] << " mod " << y[i] << " = " << z[i]);
  }
}
