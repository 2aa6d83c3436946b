// The table of targets, --target, and what the rows promise each other.
#include "compiler/kernels/Target.h"

#include "doctest/doctest.h"
#include "llvm/ADT/SmallVector.h"

using namespace fovea::kernels;

static std::vector<std::string> parse(const char *text, Precision precision = Precision::F32) {
  llvm::SmallVector<const Target *> result;
  std::string unknown;
  if (!parseTargets(text, precision, result, unknown))
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

TEST_CASE("a precision adds the targets that have an instruction for it, before their levels") {
  using Names = std::vector<std::string>;
  CHECK(parse("all", Precision::BF16) == Names{"x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64"});
  CHECK(parse("all", Precision::I8) == Names{"x86-64-v4-vnni", "x86-64-v4", "x86-64-v3-vnni", "x86-64-v3", "x86-64"});
  CHECK(parse("x86-64-v3,x86-64-v3-vnni", Precision::I8) == Names{"x86-64-v3-vnni", "x86-64-v3"});
  CHECK(parse("native", Precision::I8) == Names{hostTarget(Precision::I8).name.str()});
  CHECK(parse("x86-64-v4-bf16", Precision::I8) == Names{"unknown x86-64-v4-bf16"});
  CHECK(parse("x86-64-v4-bf16") == Names{"unknown x86-64-v4-bf16"});
}

TEST_CASE("a level with an instruction is the level otherwise, and asks the processor for more") {
  for (Precision precision : {Precision::BF16, Precision::I8}) {
    bool isBFloat = precision == Precision::BF16;
    for (const Target *target : targetsFor(precision)) {
      INFO(target->name.str());
      const Target *level = lookupTarget(target->cpu);
      REQUIRE(level != nullptr);
      CHECK((target == level) == (target->precision == Precision::F32));
      CHECK(target->panel == level->panel);
      CHECK(target->vectorLength == level->vectorLength);
      CHECK(llvm::StringRef(target->required).ends_with(level->required));
      const DotProduct &dot = isBFloat ? target->bf16 : target->i8, &other = isBFloat ? level->bf16 : level->i8;
      CHECK((dot.kBlock > other.kBlock) == (target != level));
      if (isBFloat)
        CHECK(dot.intrinsic.empty() == (dot.kBlock == 1));
      // Accumulators, vectors of the right operand and one of the left fit; pairs of i16 take one for their product.
      bool hasProduct = !isBFloat && dot.kBlock == 2;
      CHECK(target->tileRows * target->tileVectors + target->tileVectors + 1 + hasProduct <= target->registers);
    }
  }
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
