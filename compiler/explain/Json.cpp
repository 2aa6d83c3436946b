// The report as JSON; the schema is in docs/explain.md, and changes of meaning raise `schema`.
#include "compiler/explain/Report.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using llvm::json::Array;
using llvm::json::Object;
using llvm::json::Value;

namespace fovea::explain {
namespace {

constexpr int64_t schema = 1;

template <typename Range, typename F> Array listOf(const Range &range, F each) {
  Array list;
  for (const auto &element : range)
    list.push_back(each(element));
  return list;
}
Array strings(const std::vector<std::string> &texts) { return Array(texts); }

Value place(const Place &place) {
  if (place.text.empty())
    return nullptr;
  return Object{{"file", place.file}, {"line", place.line}, {"column", place.column}, {"text", place.text}};
}

Object maskJson(const Mask &mask) {
  return Object{{"text", mask.text()},
                {"formula", mask.terms.empty() ? Value(nullptr) : Value(mask.formula)},
                {"terms", listOf(mask.terms, [](const MaskTerm &term) {
                   Object object{
                       {"kind", maskKindName(term.kind)}, {"formula", term.formula}, {"place", place(term.place)}};
                   if (!term.from.empty())
                     object["from"] = term.from;
                   if (!term.to.empty())
                     object["to"] = term.to;
                   return Value(std::move(object));
                 })}};
}

Value captureJson(const Capture &capture) {
  Array regions;
  if (capture.inScore)
    regions.push_back("score");
  if (capture.inMask)
    regions.push_back("mask");
  return Object{{"name", capture.name},
                {"type", capture.type},
                {"regions", std::move(regions)},
                {"indices", strings(capture.indices)},
                {"by_query", accessName(capture.byQuery)},
                {"by_key", accessName(capture.byKey)}};
}

Value attentionJson(const Attention &attention) {
  return Object{
      {"batch", strings(attention.batch)},
      {"queries", attention.queries},
      {"keys", attention.keys},
      {"inner", attention.inner},
      {"values", attention.values},
      {"q", attention.q},
      {"k", attention.k},
      {"joined", listOf(attention.joined,
                        [](const Attention::Part &part) { return Value(Object{{"q", part.q}, {"k", part.k}}); })},
      {"v", attention.v},
      {"pieces", Object{{"k", strings(attention.keyPieces)}, {"v", strings(attention.valuePieces)}}},
      {"result", attention.result},
      {"shared", strings(attention.shared)},
      {"normalizer", attention.normalizer},
      {"score", attention.score},
      {"factor", attention.factor.empty() ? Value(nullptr) : Value(attention.factor)},
      {"scale", attention.scale.empty() ? Value(nullptr) : Value(attention.scale)},
      {"mask", maskJson(attention.mask)},
      {"captures", listOf(attention.captures, captureJson)},
      {"hints", listOf(attention.hints, [](const Hint &hint) {
         return Value(Object{{"text", hint.text}, {"place", place(hint.place)}});
       })}};
}

Value targetJson(const TargetRun &run) {
  return Object{{"target", run.target},
                {"tile_queries", run.tileQueries},
                {"tile_keys", run.tileKeys},
                {"variants", listOf(run.variants, [](const TargetRun::Variant &variant) {
                   return Value(Object{
                       {"name", variant.name}, {"condition", variant.condition}, {"decided_by", variant.decidedBy}});
                 })}};
}

Value tilesJson(const Tiles &tiles) {
  Object object{{"target", tiles.target}, {"variant", tiles.variant}};
  if (tiles.counted) {
    object["tiles"] = tiles.tiles;
    object["skipped"] = tiles.skipped;
    object["full"] = tiles.full;
    object["masked"] = tiles.masked;
    object["open"] = tiles.open;
    object["flops"] = tiles.flops;
  }
  return object;
}

Value runJson(const Run &run) {
  Object object{{"entry", run.entry},
                {"paths", strings(run.paths)},
                {"flops", run.flops},
                {"bytes", run.bytes},
                {"score_bytes", run.scoreBytes}};
  if (const std::optional<Amounts> &at = run.at)
    object["at"] = Object{{"batch", Array(at->batch)},
                          {"queries", at->queries},
                          {"keys", at->keys},
                          {"flops", at->flops},
                          {"bytes", at->bytes},
                          {"score_bytes", at->scoreBytes},
                          {"tiles", listOf(at->tiles, tilesJson)}};
  return object;
}

Value chainJson(const Chain &chain) {
  Object object{{"place", place(chain.place)},
                {"path", chain.path},
                {"function", chain.function},
                {"fused", chain.fused},
                {"facts", strings(chain.facts)},
                {"failure", nullptr},
                {"held_bytes", chain.heldBytes.empty() ? Value(nullptr) : Value(chain.heldBytes)},
                {"attention", nullptr},
                {"targets", listOf(chain.targets, targetJson)},
                {"runs", listOf(chain.runs, runJson)}};
  if (chain.failure)
    object["failure"] = Object{{"fact", chain.failure->fact},
                               {"place", place(chain.failure->place)},
                               {"help", chain.failure->help.empty() ? Value(nullptr) : Value(chain.failure->help)}};
  if (chain.attention)
    object["attention"] = attentionJson(*chain.attention);
  return object;
}

Value recomputationJson(const RecomputationReport &report) {
  Object sizes;
  for (const auto &[symbol, size] : report.sizes)
    sizes[symbol] = size;
  auto rows = [](const std::vector<RecomputationReport::Row> &rows, const char *amount) {
    return listOf(rows, [&](const RecomputationReport::Row &row) {
      return Value(Object{{"place", row.place}, {"path", row.path}, {"count", row.count}, {amount, row.amount}});
    });
  };
  return Object{{"sizes", std::move(sizes)},
                {"limit", report.limit ? Value(report.limit) : Value(nullptr)},
                {"bytes_before", report.before},
                {"bytes", report.after},
                {"flops", report.flops},
                {"kept", rows(report.kept, "bytes")},
                {"repeated", rows(report.repeated, "flops")}};
}

Value entryJson(const Entry &entry) {
  return Object{{"name", entry.name},
                {"symbols", strings(entry.symbols)},
                {"arenas", listOf(entry.arenas,
                                  [](const Entry::Arena &arena) {
                                    return Value(Object{{"target", arena.target},
                                                        {"formula", arena.formula},
                                                        {"bytes", arena.bytes ? Value(*arena.bytes) : Value(nullptr)}});
                                  })},
                {"missing", strings(entry.missing)},
                {"broken", strings(entry.broken)},
                {"recomputation", entry.recomputation ? recomputationJson(*entry.recomputation) : Value(nullptr)}};
}

} // namespace

std::string renderJson(const Report &report) {
  Object sizes;
  for (const auto &[name, value] : report.sizes)
    sizes[name] = value;
  Object root{{"schema", schema},
              {"model", report.model},
              {"source", report.source},
              {"targets", strings(report.targets)},
              {"sizes", std::move(sizes)},
              {"entries", listOf(report.entries, entryJson)},
              {"chains", listOf(report.chains, chainJson)}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::formatv("{0:2}", Value(std::move(root))) << "\n";
  return text;
}

} // namespace fovea::explain
