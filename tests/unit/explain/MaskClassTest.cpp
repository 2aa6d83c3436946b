// A mask's kind comes from its structure: spellings of one mask agree, and near relatives differ.
#include "compiler/explain/MaskClass.h"
#include "compiler/explain/Scalars.h"

#include "mlir/Parser/Parser.h"

#include "doctest/doctest.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::explain;

namespace {

/// The mask with these lines for its body, over %b, %t and %j; captures are %ids [B, S], %seen [B, S] and %any [T, S].
struct MaskRegion {
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;

  explicit MaskRegion(const std::string &body) {
    DialectRegistry registry;
    graph::registerDialect(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    std::string text = R"(
graph.func @f<[B, T, S]>(%q: !graph.tensor<[B, T, 8], f32> {graph.input = "q"}, %k: !graph.tensor<[B, S, 8], f32> {graph.input = "k"},
    %ids: !graph.tensor<[B, S], i64> {graph.input = "ids"}, %seen: !graph.tensor<[B, S], i1> {graph.input = "seen"},
    %any: !graph.tensor<[T, S], i1> {graph.input = "any"}, %count: !graph.tensor<[B], i64> {graph.input = "count"}) -> !graph.tensor<[B, T, 8], f32> {
  %y = graph.attention q(%q) k(%k) v(%k) captures(%ids, %seen, %any, %count) score {
  ^bb0(%s: f32, %b: index, %t: index, %j: index):
    graph.yield %s : f32
  } mask {
  ^bb0(%b: index, %t: index, %j: index):
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c5 = arith.constant 5 : index
    %true = arith.constant true
    %past = graph.size <S-T>
)" + body + R"(
    graph.yield %see : i1
  } : (!graph.tensor<[B, T, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S, 8], f32>, !graph.tensor<[B, S], i64>, !graph.tensor<[B, S], i1>, !graph.tensor<[T, S], i1>, !graph.tensor<[B], i64>) -> !graph.tensor<[B, T, 8], f32>
  graph.return %y : !graph.tensor<[B, T, 8], f32>
})";
    module = parseSourceString<ModuleOp>(text, &context);
    REQUIRE(module);
  }
  Mask classify() {
    Mask mask;
    module->walk([&](graph::AttentionOp op) { mask = classifyMask(&op.getMask().front()); });
    return mask;
  }
};

struct MaskCase {
  const char *body, *text, *formula;
};

} // namespace

TEST_CASE("kinds of masks") {
  const MaskCase cases[] = {
      // Causal in all its spellings.
      {"%see = arith.cmpi sle, %j, %t : index", "causal", "j <= t"},
      {"%see = arith.cmpi sge, %t, %j : index", "causal", "t >= j"},
      {"%n = arith.addi %t, %c1 : index\n %see = arith.cmpi slt, %j, %n : index", "causal", "j < t + 1"},
      {"%d = arith.subi %t, %j : index\n %see = arith.cmpi sge, %d, %c0 : index", "causal", "t - j >= 0"},
      {"%h = arith.cmpi sgt, %j, %t : index\n %see = arith.xori %h, %true : i1", "causal", "not j > t"},
      {"%x = arith.index_cast %t : index to i64\n %y = arith.index_cast %j : index to i64\n"
       "%see = arith.cmpi sle, %y, %x : i64",
       "causal", "j <= t"},
      // Its relatives.
      {"%see = arith.cmpi slt, %j, %t : index", "causal with an offset: keys up to t - 1", "j < t"},
      {"%n = arith.addi %t, %past : index\n %see = arith.cmpi sle, %j, %n : index",
       "causal with an offset: keys up to t + (S-T)", "j <= t + (S-T)"},
      {"%p = graph.at %count[%b] : !graph.tensor<[B], i64> -> i64\n %o = arith.index_cast %p : i64 to index\n"
       "%n = arith.addi %t, %o : index\n %see = arith.cmpi slt, %j, %n : index",
       "causal with an offset: keys up to t + (count[b0]-1)", "j < t + count[b0]"},
      {"%see = arith.cmpi sge, %j, %t : index", "keys from t", "j >= t"},
      {"%n = graph.size <S>\n %d = arith.subi %t, %n : index\n %see = arith.cmpi sge, %j, %d : index",
       "keys from t - S", "j >= t - S"},
      {"%n = arith.muli %t, %c5 : index\n %see = arith.cmpi sle, %j, %n : index", "a formula of query and key",
       "j <= t * 5"},
      // Windows: as two comparisons in either order, as a magnitude.
      {"%d = arith.subi %t, %j : index\n %x = arith.cmpi sge, %d, %c0 : index\n"
       "%y = arith.cmpi slt, %d, %c5 : index\n %see = arith.andi %x, %y : i1",
       "window: keys t - 4 to t", "t - j >= 0 and t - j < 5"},
      {"%d = arith.subi %t, %j : index\n %x = arith.cmpi sge, %d, %c0 : index\n"
       "%y = arith.cmpi slt, %d, %c5 : index\n %see = arith.andi %y, %x : i1",
       "window: keys t - 4 to t", "t - j < 5 and t - j >= 0"},
      {"%d = arith.subi %j, %t : index\n %m = math.absi %d : index\n %see = arith.cmpi sle, %m, %c5 : index",
       "window: keys t - 5 to t + 5", "abs(j - t) <= 5"},
      {"%d = arith.subi %t, %j : index\n %m = math.absi %d : index\n %see = arith.cmpi sgt, %c5, %m : index",
       "window: keys t - 4 to t + 4", "5 > abs(t - j)"},
      {"%d = arith.subi %t, %j : index\n %m = math.absi %d : index\n %see = arith.cmpi sgt, %m, %c5 : index",
       "a formula of query and key", "abs(t - j) > 5"},
      // Keys alone.
      {"%see = arith.cmpi slt, %j, %c5 : index", "prefix of 5 keys", "j < 5"},
      {"%x = arith.cmpi slt, %j, %c5 : index\n %y = arith.cmpi sle, %j, %t : index\n %see = arith.ori %x, %y : i1",
       "prefix of 5 keys, beyond it causal", "j < 5 or j <= t"},
      {"%see = graph.at %seen[%b, %j] : !graph.tensor<[B, S], i1> -> i1", "padding by key", "seen[b0, j]"},
      {"%x = graph.at %ids[%b, %j] : !graph.tensor<[B, S], i64> -> i64\n %z = arith.constant 0 : i64\n"
       "%see = arith.cmpi ne, %x, %z : i64",
       "padding by key", "ids[b0, j] != 0"},
      {"%n = graph.at %count[%b] : !graph.tensor<[B], i64> -> i64\n %y = arith.index_cast %j : index to i64\n"
       "%see = arith.cmpi slt, %y, %n : i64",
       "lengths read from a tensor", "j < count[b0]"},
      {"%n = graph.at %ids[%b, %t] : !graph.tensor<[B, S], i64> -> i64\n %y = arith.index_cast %j : index to i64\n"
       "%see = arith.cmpi sge, %n, %y : i64",
       "lengths read from a tensor", "ids[b0, t] >= j"},
      // Both, in other ways.
      {"%x = graph.at %ids[%b, %t] : !graph.tensor<[B, S], i64> -> i64\n"
       "%y = graph.at %ids[%b, %j] : !graph.tensor<[B, S], i64> -> i64\n %see = arith.cmpi eq, %x, %y : i64",
       "documents: equal ids", "ids[b0, t] == ids[b0, j]"},
      {"%x = graph.at %ids[%b, %t] : !graph.tensor<[B, S], i64> -> i64\n"
       "%y = graph.at %ids[%b, %j] : !graph.tensor<[B, S], i64> -> i64\n %see = arith.cmpi ne, %x, %y : i64",
       "a formula that reads tensors", "ids[b0, t] != ids[b0, j]"},
      {"%x = arith.floordivsi %t, %c5 : index\n %y = arith.floordivsi %j, %c5 : index\n"
       "%see = arith.cmpi eq, %x, %y : index",
       "blocks", "t // 5 == j // 5"},
      {"%see = arith.cmpi ne, %t, %j : index", "a diagonal", "t != j"},
      {"%see = graph.at %any[%t, %j] : !graph.tensor<[T, S], i1> -> i1", "a tensor of bool by query and key",
       "any[t, j]"},
      {"%see = arith.cmpi slt, %t, %c5 : index", "a condition on the query", "t < 5"},
      // Terms stay apart.
      {"%x = graph.at %seen[%b, %j] : !graph.tensor<[B, S], i1> -> i1\n %y = arith.cmpi sle, %j, %t : index\n"
       "%see = arith.andi %x, %y : i1",
       "padding by key; causal", "seen[b0, j] and j <= t"},
  };
  for (const MaskCase &mask : cases) {
    INFO(mask.body);
    Mask found = MaskRegion(mask.body).classify();
    CHECK(found.text() == mask.text);
    CHECK(found.formula == mask.formula);
  }
}

TEST_CASE("no mask is no kind") {
  Mask none = classifyMask(nullptr);
  CHECK(none.terms.empty());
  CHECK(none.text() == "none");
}

TEST_CASE("formulas have the parentheses that they need and no others") {
  const MaskCase cases[] = {
      {"%x = arith.subi %t, %j : index\n %y = arith.subi %c5, %x : index\n %see = arith.cmpi sge, %y, %c0 : index", "",
       "5 - (t - j) >= 0"},
      {"%x = arith.addi %t, %j : index\n %y = arith.muli %x, %c5 : index\n %see = arith.cmpi sge, %y, %c0 : index", "",
       "(t + j) * 5 >= 0"},
      {"%x = arith.cmpi sge, %t, %c5 : index\n %y = arith.cmpi sge, %j, %c5 : index\n %z = arith.ori %x, %y : i1\n"
       "%w = arith.cmpi sle, %j, %t : index\n %see = arith.andi %z, %w : i1",
       "", "(t >= 5 or j >= 5) and j <= t"},
  };
  for (const MaskCase &mask : cases)
    CHECK(MaskRegion(mask.body).classify().formula == mask.formula);
}

TEST_CASE("formulas whose values are shared many times over come to an end") {
  std::string body = "%x0 = arith.subi %t, %j : index\n";
  for (int i = 0; i < 60; ++i)
    body += "%x" + std::to_string(i + 1) + " = arith.muli %x" + std::to_string(i) + ", %x" + std::to_string(i) +
            " : index\n";
  Mask mask = MaskRegion(body + "%see = arith.cmpi sge, %x60, %c0 : index").classify();
  REQUIRE(mask.terms.size() == 1);
  CHECK(mask.terms[0].kind == MaskKind::Formula);
  CHECK(mask.formula.size() < 1000);
  CHECK(mask.formula.find("...") != std::string::npos);
}

TEST_CASE("factors beyond 64 bits are no sum") {
  Mask mask = MaskRegion("%n = arith.constant 4611686018427387904 : index\n %x = arith.muli %t, %n : index\n"
                         "%y = arith.muli %x, %n : index\n %see = arith.cmpi sge, %y, %j : index")
                  .classify();
  CHECK(mask.text() == "a formula of query and key");
}
