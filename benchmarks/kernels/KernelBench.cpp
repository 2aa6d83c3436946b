// Shares of the processor's peak that the matmul and attention kernels reach, one thread.
//
//   kernel-bench [target] [text that a case's name contains]
//
// The peak is that of independent multiply-adds in registers (mul and add where the target has no FMA), measured again
// before every run; the best of each is kept, so that a busy machine shows in neither.
#include "tests/unit/kernels/Harness.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
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

struct Measure {
  const Target &target;
  std::string filter;

  void run(const std::string &name, double multiplyAdds, Kernels &kernels, const std::vector<Argument> &arguments) {
    std::vector<double> shares;
    double best = 1e30, spent = 0;
    long repeats = 20000;
    for (int i = 0; i < 200 && (i < 7 || spent < 0.6); ++i) {
      double before = peakOnce(target, repeats), start = now();
      kernels.run("f", arguments, int64_t(1) << 40);
      double seconds = now() - start, after = peakOnce(target, repeats);
      shares.push_back(multiplyAdds / seconds / ((before + after) / 2));
      best = std::min(best, seconds), spent += seconds;
      // As long as the kernel, so that both meet the same neighbours.
      repeats = std::max(2000l, long(seconds * after / 12 / double(target.vectorLength) / 2));
    }
    std::sort(shares.begin(), shares.end());
    std::printf("%-10s %-40s best %9.3f ms %7.1f GFLOP/s  share of the peak: median %5.1f%%, best %5.1f%%\n",
                target.name.data(), name.c_str(), best * 1e3, 2e-9 * multiplyAdds / best,
                100 * shares[shares.size() / 2], 100 * shares.back());
    std::fflush(stdout);
  }
  void compiled(const std::string &name, double start) {
    std::printf("%-10s %-40s compiled in %.0f ms\n", target.name.data(), name.c_str(), 1e3 * (now() - start));
  }
  bool wants(const std::string &name) const { return name.find(filter) != std::string::npos; }
};

void matmuls(Measure &measure) {
  const Target &target = measure.target;
  std::string packed = "memref<?x?x" + std::to_string(target.panel) + "xf32>";
  for (bool gelu : {false, true}) {
    std::string kind = gelu ? "matmul bias gelu " : "matmul ";
    if (!measure.wants(kind))
      continue;
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
    double start = now();
    Kernels kernels("kernel.func @f(%a: memref<?x?xf32>, %b: " + packed +
                        ", %c: memref<?x?xf32>, %bias: memref<?xf32>, %size: index) {\n  kernel.matmul %a, %b packed "
                        "n(%size) {\n  ^bb0(%acc: f32, %m: index, %n: index):\n"
                        "    %b0 = kernel.load %bias[%n] : memref<?xf32> -> f32\n" +
                        epilogue +
                        "    kernel.store %y, %c[%m, %n] : f32, memref<?x?xf32>\n    kernel.yield\n  } : "
                        "memref<?x?xf32>, " +
                        packed + "\n  kernel.return\n}",
                    target);
    measure.compiled(kind, start);
    struct {
      int64_t m, n, k;
    } shapes[] = {{128, 384, 384},  {128, 1536, 384}, {128, 384, 1536}, {129, 384, 384}, {512, 768, 768},
                  {512, 3072, 768}, {16, 768, 768},   {4, 768, 768},    {1, 3072, 768}};
    for (auto [m, n, k] : shapes) {
      int64_t panels = (n + target.panel - 1) / target.panel;
      Array<float> a({m, k}, 0.5f), b({panels, k, target.panel}, 0.25f), c({m, n}), bias({n});
      measure.run(kind + std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k), double(m) * n * k,
                  kernels, {a, b, c, bias, n});
    }
  }
}

void attentions(Measure &measure) {
  for (std::string kind : {"full", "causal", "bias"}) {
    if (!measure.wants("attention " + kind))
      continue;
    std::string score = "    %scale = arith.constant 0.125 : f32\n    %y = arith.mulf %s, %scale : f32\n";
    score += kind == "bias" ? "    %x = kernel.load %bias[%h, %t, %j] : memref<?x?x?xf32> -> f32\n    %z = arith.addf "
                              "%y, %x : f32\n    kernel.yield %z : f32\n"
                            : "    kernel.yield %y : f32\n";
    std::string mask = kind != "causal"
                           ? ""
                           : "  ^bb0(%h: index, %t: index, %j: index):\n    %see = arith.cmpi sle, %j, %t : "
                             "index\n    kernel.yield %see : i1\n";
    std::string x = "memref<?x?x64xf32, strided<[?, ?, 1]>>";
    double start = now();
    Kernels kernels("kernel.func @f(%q: " + x + ", %k: " + x + ", %v: " + x + ", %out: " + x +
                        ", %bias: memref<?x?x?xf32>) {\n  kernel.attention q(%q) k(%k) v(%v) out(%out) score {\n"
                        "  ^bb0(%s: f32, %h: index, %t: index, %j: index):\n" +
                        score + "  } mask {\n" + mask + "  } : " + x + ", " + x + ", " + x + ", " + x +
                        "\n  kernel.return\n}",
                    measure.target);
    measure.compiled("attention " + kind, start);
    for (int64_t size : {1, 16, 128, 512, 1024, 2048}) {
      if (kind == "causal" && size == 1)
        continue; // one query sees one key
      constexpr int64_t heads = 12;
      int64_t keys = size == 1 ? 1024 : size;
      Random random(1);
      Array<float> q({heads, size, 64}, {64, heads * 64, 1}, 0), k({heads, keys, 64}, {64, heads * 64, 1}, 0),
          v({heads, keys, 64}, {64, heads * 64, 1}, 0), out({heads, size, 64}, {64, heads * 64, 1}, 0),
          bias({kind == "bias" ? heads : 0, size, keys});
      random.fill(q, -2, 2), random.fill(k, -2, 2), random.fill(v, -2, 2);
      double work = 2.0 * heads * double(size) * double(keys) * 64;
      if (kind == "causal")
        work /= 2;
      measure.run("attention " + kind + " " + std::to_string(size) + " x " + std::to_string(keys), work, kernels,
                  {q, k, v, out, bias});
    }
  }
}
} // namespace

int main(int argc, char **argv) {
  std::string name = argc > 1 ? argv[1] : "", filter = argc > 2 ? argv[2] : "";
  for (const Target *target : runnableTargets()) {
    if (!name.empty() && name != "all" && target->name != name)
      continue;
    Measure measure{*target, filter};
    matmuls(measure);
    attentions(measure);
  }
}
