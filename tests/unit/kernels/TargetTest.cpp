// The table of targets, --target, and what the rows promise each other.
#include "compiler/kernels/Target.h"

#include "doctest/doctest.h"
#include "llvm/ADT/SmallVector.h"

using namespace fovea::kernels;

static std::vector<std::string> parse(const char *text) {
  llvm::SmallVector<const Target *> result;
  std::string unknown;
  if (!parseTargets(text, result, unknown))
    return {"unknown " + unknown};
  std::vector<std::string> names;
  for (const Target *target : result)
    names.push_back(target->name.str());
  return names;
}

TEST_CASE("targets are found by name, best first, once") {
  using Names = std::vector<std::string>;
  CHECK(parse("x86-64-v3") == Names{"x86-64-v3"});
  CHECK(parse("x86-64, x86-64-v4,x86-64") == Names{"x86-64-v4", "x86-64"});
  CHECK(parse("all") == Names{"x86-64-v4", "x86-64-v3", "x86-64"});
  CHECK(parse("native") == Names{hostTarget().name.str()});
  CHECK(parse("x86-64-v3,sparc") == Names{"unknown sparc"});
  CHECK(lookupTarget("") == nullptr);
}

TEST_CASE("the host runs its target and every lesser one") {
  bool found = false;
  for (const Target &target : targets()) {
    found |= &target == &hostTarget();
    CHECK(hostRuns(target) == found);
  }
  CHECK(found);
}

TEST_CASE("tiles fit the registers, panels are tiles wide") {
  for (const Target &target : targets()) {
    INFO(target.name.str());
    CHECK(target.panel == target.tileVectors * target.vectorLength);
    // Accumulators, vectors of the right operand, one of the left, and a product where there is no FMA.
    CHECK(target.tileRows * target.tileVectors + target.tileVectors + 1 + !target.fma <= target.registers);
    CHECK(target.attentionRows % target.vectorLength == 0);
    CHECK(target.attentionKeys % target.vectorLength == 0);
  }
}
