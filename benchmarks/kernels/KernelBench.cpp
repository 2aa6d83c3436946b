// Shares of the processor's peak that the matmul and attention kernels reach, one thread.
//
//   kernel-bench --benchmark_filter='x86-64-v4/matmul' (and google-benchmark's other flags: --benchmark_format=json, …)
//
// The peak is that of independent multiply-adds in registers (mul and add where the target has no FMA), measured before
// and after every run for about as long as the run takes: `share` is the median over the runs of each run's own share,
// `best_share` the best, so that a busy machine shows in neither as a slower kernel.
#include "tests/unit/kernels/Harness.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <string>

using namespace fovea::test;

namespace {
/// Seconds of this thread: what others do on the machine does not count.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

#define FOVEA_REPEAT(op, r)                                                                                            \
  op(r, 0) op(r, 1) op(r, 2) op(r, 3) op(r, 4) op(r, 5) op(r, 6) op(r, 7) op(r, 8) op(r, 9) op(r, 10) op(r, 11)
#define FOVEA_FMA(r, i) "vfmadd231ps %%" r "14, %%" r "15, %%" r #i "\n"
#define FOVEA_MULADD(r, i) "mulps %%" r "15, %%" r #i "\naddps %%" r "14, %%" r #i "\n"
#define FOVEA_CLOBBERS                                                                                                 \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15",  \
      "cc"

/// Multiply-adds a second that registers alone allow, once measured.
double peakOnce(const Target &target, long repeats) {
  long count = repeats;
  double start = now();
  if (target.vectorLength == 16)
    asm volatile("1:\n" FOVEA_REPEAT(FOVEA_FMA, "zmm") "dec %0\njnz 1b\n" : "+r"(count)::FOVEA_CLOBBERS);
  else if (target.fma)
    asm volatile("1:\n" FOVEA_REPEAT(FOVEA_FMA, "ymm") "dec %0\njnz 1b\n" : "+r"(count)::FOVEA_CLOBBERS);
  else
    asm volatile("1:\n" FOVEA_REPEAT(FOVEA_MULADD, "xmm") "dec %0\njnz 1b\n" : "+r"(count)::FOVEA_CLOBBERS);
  return double(repeats) * 12 * double(target.vectorLength) / (now() - start);
}

/// A kernel's module, compiled when a case first needs it.
class Module {
public:
  Module(std::string text, const Target &target) : text(std::move(text)), target(target) {}
  Kernels &get() {
    if (!kernels)
      kernels = std::make_unique<Kernels>(text, target);
    return *kernels;
  }
  const Target &targetOf() const { return target; }

private:
  std::string text;
  const Target &target;
  std::unique_ptr<Kernels> kernels;
};

/// Runs `f` and the peak in turn; the kernel's time alone counts.
void measure(benchmark::State &state, double multiplyAdds, Module &module, const std::vector<Argument> &arguments) {
  const Target &target = module.targetOf();
  Kernels &kernels = module.get();
  std::vector<double> shares;
  long repeats = 20000;
  for (auto _ : state) {
    double before = peakOnce(target, repeats), start = now();
    kernels.run("f", arguments, int64_t(1) << 40);
    double seconds = now() - start, after = peakOnce(target, repeats);
    shares.push_back(multiplyAdds / seconds / ((before + after) / 2));
    state.SetIterationTime(seconds);
    // As long as the kernel, so that both meet the same neighbours.
    repeats = std::max(2000l, long(seconds * after / 12 / double(target.vectorLength) / 2));
  }
  std::sort(shares.begin(), shares.end());
  state.counters["share"] = shares[shares.size() / 2];
  state.counters["best_share"] = shares.back();
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * multiplyAdds, benchmark::Counter::kIsIterationInvariantRate);
}

/// One case; `make` allocates its arguments when it runs.
template <typename Make>
void addCase(const std::shared_ptr<Module> &module, const std::string &name, double multiplyAdds, Make make) {
  std::string full = std::string(module->targetOf().name) + "/" + name;
  benchmark::RegisterBenchmark(
      full.c_str(),
      [=](benchmark::State &state) {
        make([&](const std::vector<Argument> &arguments) { measure(state, multiplyAdds, *module, arguments); });
      })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

void matmuls(const Target &target) {
  std::string packed = "memref<?x?x" + std::to_string(target.panel) + "xf32>";
  for (bool gelu : {false, true}) {
    std::string kind = gelu ? "matmul_bias_gelu/" : "matmul/";
    std::string epilogue = "    %y = arith.addf %acc, %b0 : f32\n";
    if (gelu)
      epilogue = R"(
    %x = arith.addf %acc, %b0 : f32
    %r = arith.constant 0.70710678 : f32
    %h = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %s = arith.mulf %x, %r : f32
    %e = math.erf %s : f32
    %e1 = arith.addf %e, %one : f32
    %xh = arith.mulf %x, %h : f32
    %y = arith.mulf %xh, %e1 : f32
)";
    auto module = std::make_shared<Module>(
        "kernel.func @f(%a: memref<?x?xf32>, %b: " + packed +
            ", %c: memref<?x?xf32>, %bias: memref<?xf32>, %size: index) {\n  kernel.matmul %a, %b packed "
            "n(%size) {\n  ^bb0(%acc: f32, %m: index, %n: index):\n"
            "    %b0 = kernel.load %bias[%n] : memref<?xf32> -> f32\n" +
            epilogue +
            "    kernel.store %y, %c[%m, %n] : f32, memref<?x?xf32>\n    kernel.yield\n  } : "
            "memref<?x?xf32>, " +
            packed + "\n  kernel.return\n}",
        target);
    struct {
      int64_t m, n, k;
    } shapes[] = {{128, 384, 384},  {128, 1536, 384}, {128, 384, 1536}, {129, 384, 384}, {512, 768, 768},
                  {512, 3072, 768}, {16, 768, 768},   {4, 768, 768},    {1, 3072, 768}};
    for (auto [m, n, k] : shapes) {
      std::string name = kind + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
      addCase(module, name, double(m) * double(n) * double(k), [=, &target](auto run) {
        int64_t panels = (n + target.panel - 1) / target.panel;
        Array<float> a({m, k}, 0.5f), b({panels, k, target.panel}, 0.25f), c({m, n}), bias({n});
        run({a, b, c, bias, n});
      });
    }
  }
}

void attentions(const Target &target) {
  for (std::string kind : {"full", "causal", "bias"}) {
    std::string score = "    %scale = arith.constant 0.125 : f32\n    %y = arith.mulf %s, %scale : f32\n";
    score += kind == "bias" ? "    %x = kernel.load %bias[%h, %t, %j] : memref<?x?x?xf32> -> f32\n    %z = arith.addf "
                              "%y, %x : f32\n    kernel.yield %z : f32\n"
                            : "    kernel.yield %y : f32\n";
    std::string mask = kind != "causal"
                           ? ""
                           : "  ^bb0(%h: index, %t: index, %j: index):\n    %see = arith.cmpi sle, %j, %t : "
                             "index\n    kernel.yield %see : i1\n";
    std::string x = "memref<?x?x64xf32, strided<[?, ?, 1]>>";
    auto module = std::make_shared<Module>(
        "kernel.func @f(%q: " + x + ", %k: " + x + ", %v: " + x + ", %out: " + x +
            ", %bias: memref<?x?x?xf32>) {\n  kernel.attention q(%q) k(%k) v(%v) out(%out) score {\n"
            "  ^bb0(%s: f32, %h: index, %t: index, %j: index):\n" +
            score + "  } mask {\n" + mask + "  } : " + x + ", " + x + ", " + x + ", " + x + "\n  kernel.return\n}",
        target);
    for (int64_t size : {1, 16, 128, 512, 1024, 2048}) {
      if (kind == "causal" && size == 1)
        continue; // one query sees one key
      constexpr int64_t heads = 12;
      int64_t keys = size == 1 ? 1024 : size;
      double work = 2.0 * heads * double(size) * double(keys) * 64;
      if (kind == "causal")
        work /= 2;
      addCase(module, "attention_" + kind + "/" + std::to_string(size) + "x" + std::to_string(keys), work,
              [=](auto run) {
                Random random(1);
                Array<float> q({heads, size, 64}, {64, heads * 64, 1}, 0), k({heads, keys, 64}, {64, heads * 64, 1}, 0),
                    v({heads, keys, 64}, {64, heads * 64, 1}, 0), out({heads, size, 64}, {64, heads * 64, 1}, 0),
                    bias({kind == "bias" ? heads : 0, size, keys});
                random.fill(q, -2, 2), random.fill(k, -2, 2), random.fill(v, -2, 2);
                run({q, k, v, out, bias});
              });
    }
  }
}
} // namespace

int main(int argc, char **argv) {
  for (const Target *target : runnableTargets()) {
    matmuls(*target);
    attentions(*target);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  benchmark::RunSpecifiedBenchmarks();
}
