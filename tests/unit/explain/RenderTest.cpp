// The three renderings of one report.
#include "compiler/explain/Report.h"

#include "llvm/Support/JSON.h"

#include "doctest/doctest.h"

using namespace fovea::explain;

namespace {

Report sample() {
  Report report;
  report.model = "M<1>";
  report.source = "m.fov";
  report.targets = {"x86-64-v4"};
  report.sizes = {{"T", 4096}};
  report.entries.push_back({"attend", {"T"}, {{"x86-64-v4", "64*T", 262144}}, {}, {}});
  Chain &fused = report.chains.emplace_back();
  fused.place = {"m.fov", 3, 9, "m.fov:3:9"};
  fused.path = "attention.y";
  fused.function = "M.attend";
  fused.fused = true;
  fused.facts = {"softmax over the key axis"};
  Attention attention;
  attention.batch = {"2"}, attention.queries = "T", attention.keys = "T", attention.inner = attention.values = "8";
  attention.normalizer = "softmax", attention.score = "s";
  attention.mask.formula = "j <= t";
  attention.mask.terms.push_back({MaskKind::Causal, "j <= t", "", "0"});
  fused.attention = attention;
  fused.targets.push_back(
      {"x86-64-v4", 64, 64, {{"few_queries", "T <= 8", "mask"}, {"many_queries", "T > 8", "formula"}}});
  Amounts at;
  at.batch = {2}, at.queries = at.keys = 4096;
  at.flops = 1073741824, at.bytes = 1048576, at.scoreBytes = 134217728;
  at.tiles.push_back({"x86-64-v4", "many_queries", true, 8192, 4032, 4032, 128, 0, 545259520});
  fused.runs.push_back({"attend", {"a", "b"}, "64*T*T", "256*T", "8*T*T", at});
  Chain &missed = report.chains.emplace_back();
  missed.place = {"m.fov", 7, 1, "m.fov:7:1"};
  missed.failure = Failure{"a < b fails", {"m.fov", 8, 2, "m.fov:8:2"}, "write \"b\""};
  return report;
}

} // namespace

TEST_CASE("as text") {
  CHECK(renderText(sample()) ==
        "m.fov:3:9 (attention.y): fused, in M.attend\n"
        "  + softmax over the key axis\n"
        "  axes     b0 < 2, query t < T, key j < T\n"
        "  product  s = q . k over 8\n"
        "  weights  softmax over j, times v over 8\n"
        "  mask     causal (j <= t)\n"
        "  kernel   x86-64-v4: few_queries (T <= 8), many_queries (T > 8)\n"
        "  tiles    64 queries by 64 keys: decided by formula; few_queries: the mask is run in every one\n"
        "  runs     attend: 2 times, a to b\n"
        "  costs    64*T*T operations, 256*T bytes; never holds 8*T*T bytes of scores\n"
        "  at       T=4096: many_queries, 8192 tiles: 4032 skipped, 4032 full, 128 masked; 545 M operations of 1.07 G, "
        "1.05 M bytes; 134 M bytes of scores not held\n"
        "m.fov:7:1: not fused\n"
        "  - a < b fails (m.fov:8:2)\n"
        "  help: write \"b\"\n"
        "attend: arena of 64*T bytes = 262144\n"
        "1 of 2 chains fused\n");
}

TEST_CASE("amounts that no number can hold are said to be so") {
  Report report = sample();
  report.chains[0].runs[0].at.reset();
  report.chains[0].runs[0].isTooLarge = true;
  CHECK(renderText(report).find("  at       T=4096: amounts beyond 64 bits\n") != std::string::npos);
}

TEST_CASE("as JSON") {
  llvm::Expected<llvm::json::Value> json = llvm::json::parse(renderJson(sample()));
  REQUIRE(bool(json));
  const llvm::json::Object &root = *json->getAsObject();
  CHECK(root.getInteger("schema") == 1);
  CHECK(root.getString("model") == llvm::StringRef("M<1>"));
  const llvm::json::Array &chains = *root.getArray("chains");
  REQUIRE(chains.size() == 2);
  const llvm::json::Object &fused = *chains[0].getAsObject(), &missed = *chains[1].getAsObject();
  CHECK(fused.getObject("place")->getInteger("line") == 3);
  CHECK(fused.get("failure")->getAsNull().has_value());
  const llvm::json::Object &term =
      *(*fused.getObject("attention")->getObject("mask")->getArray("terms"))[0].getAsObject();
  CHECK(term.getString("kind") == llvm::StringRef("causal"));
  CHECK(term.getString("to") == llvm::StringRef("0"));
  const llvm::json::Object &at = *(*fused.getArray("runs"))[0].getAsObject()->getObject("at");
  CHECK((*at.getArray("tiles"))[0].getAsObject()->getInteger("skipped") == 4032);
  CHECK(missed.getObject("failure")->getString("help") == llvm::StringRef("write \"b\""));
  CHECK(missed.get("attention")->getAsNull().has_value());
}

TEST_CASE("as a page: text is escaped, nothing is fetched") {
  std::string page = renderHtml(sample(), "<svg id=\"one\"/>", "<svg id=\"two\"/>");
  auto holds = [&](const char *text) { return page.find(text) != std::string::npos; };
  CHECK(holds("<title>M&lt;1&gt;: 1 of 2 chains fused</title>"));
  CHECK(holds("<section class=\"chain fused\" id=\"chain-1\" data-place=\"m.fov:3:9\" data-function=\"M.attend\">"));
  CHECK(holds("<section class=\"chain missed\" id=\"chain-2\" data-place=\"m.fov:7:1\" data-function=\"\">"));
  CHECK(holds("<p class=\"failure\" data-place=\"m.fov:8:2\">a &lt; b fails <code>m.fov:8:2</code></p>"));
  CHECK(holds("<p class=\"help\">write &quot;b&quot;</p>"));
  CHECK(holds("<tr class=\"mask\"><th>mask</th><td>causal (j &lt;= t)</td></tr>"));
  CHECK(holds("<figure id=\"before\">\n<svg id=\"one\"/></figure>"));
  CHECK(holds("<figure id=\"after\">\n<svg id=\"two\"/></figure>"));
  for (const char *foreign : {"http", "<script", "<link", "<img", "@import", "url("})
    CHECK(!holds(foreign));
}
