// What is said of a chain, line by line: text and HTML show the same rows.
#include "compiler/explain/Rows.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::explain {

std::string joined(const std::vector<std::string> &parts, const char *between) {
  std::string text;
  for (const std::string &part : parts)
    text += (text.empty() ? "" : between) + part;
  return text;
}

namespace {

/// Three digits and a unit: "12.6 M".
std::string rounded(int64_t amount) {
  static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
  double value = double(amount);
  int unit = 0;
  for (; value >= 999.5 && unit < 6; ++unit)
    value /= 1000;
  return unit == 0 ? fmt::format("{}", amount) : fmt::format("{:.3g}{}", value, units[unit]);
}

class RowWriter {
public:
  RowWriter(const Report &report, const Chain &chain) : report(report), chain(chain) {}

  Rows run() {
    if (!chain.heldBytes.empty())
      row("holds", chain.heldBytes + " bytes of scores");
    if (chain.attention)
      write(*chain.attention);
    for (const TargetRun &target : chain.targets)
      write(target);
    for (size_t i = 0; i < chain.runs.size(); ++i) {
      writePlace(chain.runs[i]);
      Rows costs = costsOf(chain.runs[i]);
      if (i + 1 == chain.runs.size() || costsOf(chain.runs[i + 1]) != costs) // those of several entries are told once
        rows.insert(rows.end(), costs.begin(), costs.end());
    }
    return std::move(rows);
  }

private:
  void row(const char *name, std::string value) { rows.emplace_back(name, std::move(value)); }

  void write(const Attention &attention) {
    std::vector<std::string> batch;
    for (size_t i = 0; i < attention.batch.size(); ++i)
      batch.push_back(fmt::format("b{} < {}", i, attention.batch[i]));
    batch.push_back("query t < " + attention.queries);
    batch.push_back("key j < " + attention.keys);
    row("axes", joined(batch));
    std::string score = fmt::format("s = q . k over {}", attention.inner);
    for (const Attention::Part &part : attention.joined)
      score += fmt::format("; {} of them are {} by {}", part.inner, part.q, part.k);
    if (!attention.scale.empty())
      score += "; its scale goes into the queries: " + attention.scale;
    row("product", score);
    for (const auto &[name, pieces] : {std::pair("keys of", attention.keyPieces), {"values of", attention.valuePieces}})
      if (!pieces.empty())
        row(name, joined(pieces) + ", one behind the other, read there");
    if (!attention.widened.empty())
      row("widens", joined(attention.widened) + ", as tiles load them");
    if (attention.score != attention.scale && attention.score != "s")
      row("score", attention.score);
    bool isPointwise = attention.normalizer == "pointwise";
    if (attention.normalizer == "top_k")
      row("selects", "the largest scores of each query, and their keys: " + attention.result);
    else
      row("weights",
          fmt::format("{}, times v over {}", isPointwise ? "the score itself" : attention.normalizer + " over j",
                      attention.values));
    if (!attention.factor.empty())
      row("factor", "of each weight, not of their sum: " + attention.factor);
    if (!attention.shared.empty())
      row("shared", "keys and values are the same along " + joined(attention.shared));
    if (attention.mask.terms.empty())
      row("mask", "none");
    for (const MaskTerm &term : attention.mask.terms)
      row("mask", fmt::format("{} ({}){}", maskText(term), term.formula,
                              term.place.text.empty() ? "" : ", " + term.place.text));
    for (const Capture &capture : attention.captures)
      row("reads", fmt::format("{} {} at [{}], in the {}: by query {}, by key {}", capture.name, capture.type,
                               joined(capture.indices),
                               capture.inScore && capture.inMask ? "score and mask"
                               : capture.inScore                 ? "score"
                                                                 : "mask",
                               accessName(capture.byQuery), accessName(capture.byKey)));
    for (const Hint &hint : attention.hints)
      write(hint);
  }

  void write(const Hint &hint) {
    row("hint", hint.place.text.empty() ? hint.text : fmt::format("{} ({})", hint.text, hint.place.text));
  }

  static std::string decision(const std::string &by) {
    if (by == "no mask")
      return "none to skip";
    if (by == "formula")
      return "decided by formula";
    return by == "summaries" ? "decided by formulas, and by summaries of what the mask reads, made when it runs"
                             : "the mask is run in every one";
  }

  void write(const TargetRun &target) {
    std::string variants;
    for (const TargetRun::Variant &variant : target.variants)
      if (variant.condition != "never")
        variants += fmt::format("{}{} ({})", variants.empty() ? "" : ", ", variant.name, variant.condition);
    row("kernel", fmt::format("{}: {}", target.target, variants));
    // One line where the variants agree.
    const std::string &few = target.variants.front().decidedBy, &many = target.variants.back().decidedBy;
    std::string how = decision(many);
    if (few != many && target.variants.front().condition != "never")
      how += fmt::format("; {}: {}", target.variants.front().name, decision(few));
    row("tiles", fmt::format("{} queries by {} keys: {}", target.tileQueries, target.tileKeys, how));
  }

  void writePlace(const Run &run) {
    std::string where = run.paths.empty() ? "" : run.paths.front();
    if (run.paths.size() > 1)
      where = fmt::format("{} times, {} to {}", run.paths.size(), run.paths.front(), run.paths.back());
    row("runs", where.empty() ? run.entry : fmt::format("{}: {}", run.entry, where));
  }

  Rows costsOf(const Run &run) const {
    std::string sizes = sizesOf(run.entry);
    sizes += sizes.empty() ? "" : ": ";
    Rows costs{{"costs", fmt::format("{} operations, {} bytes; never holds {} bytes of scores", run.flops, run.bytes,
                                     run.scoreBytes)}};
    if (run.at)
      for (const Tiles &tiles : run.at->tiles)
        costs.emplace_back("at", sizes + tilesText(*run.at, tiles));
    else if (run.isTooLarge)
      costs.emplace_back("at", sizes + "amounts beyond 64 bits");
    return costs;
  }

  /// The sizes asked for that `entry` has.
  std::string sizesOf(const std::string &entry) const {
    std::vector<std::string> texts;
    for (const Entry &each : report.entries)
      for (const auto &[name, value] : report.sizes)
        if (each.name == entry && std::count(each.symbols.begin(), each.symbols.end(), name))
          texts.push_back(fmt::format("{}={}", name, value));
    return joined(texts);
  }

  std::string tilesText(const Amounts &at, const Tiles &tiles) const {
    std::string result = report.targets.size() > 1 ? tiles.target + ", " + tiles.variant : tiles.variant;
    if (!tiles.counted)
      return result +
             fmt::format("; too many tiles to count; {} operations, {} bytes", rounded(at.flops), rounded(at.bytes));
    result +=
        fmt::format(", {} tiles: {} skipped, {} full, {} masked", tiles.tiles, tiles.skipped, tiles.full, tiles.masked);
    if (tiles.open)
      result += fmt::format(", {} by what the mask's tensors hold", tiles.open);
    result += fmt::format("; {}{} operations", tiles.open ? "at most " : "", rounded(tiles.flops));
    if (tiles.flops != at.flops)
      result += fmt::format(" of {}", rounded(at.flops));
    return result + fmt::format(", {} bytes; {} bytes of scores not held", rounded(at.bytes), rounded(at.scoreBytes));
  }

  const Report &report;
  const Chain &chain;
  Rows rows;
};

} // namespace

Rows rowsOf(const Report &report, const Chain &chain) { return RowWriter(report, chain).run(); }

std::vector<std::string> linesOf(const Entry &entry) {
  std::vector<std::string> lines;
  for (const Entry::Arena &arena : entry.arenas) {
    bool isFirst = &arena == &entry.arenas.front();
    if (!isFirst && arena.formula == entry.arenas.front().formula)
      continue; // panels differ, buffers seldom do
    std::string which = isFirst ? "" : " (" + arena.target + ")";
    std::string &line = lines.emplace_back(fmt::format("{}{}: arena of {} bytes", entry.name, which, arena.formula));
    if (arena.bytes && arena.formula != std::to_string(*arena.bytes))
      line += fmt::format(" = {}", *arena.bytes);
  }
  if (entry.recomputation) {
    lines.push_back(entry.name + ": " + entry.recomputation->summary());
    for (const std::string &line : entry.recomputation->details())
      lines.push_back(entry.name + ": " + line);
  }
  if (!entry.missing.empty())
    lines.push_back(fmt::format("{}: no numbers, since --at says nothing of {}", entry.name, joined(entry.missing)));
  for (const std::string &broken : entry.broken)
    lines.push_back(fmt::format("{}: cannot run at these sizes: {}", entry.name, broken));
  return lines;
}

std::string headlineOf(const Chain &chain) {
  std::string text = chain.place.text.empty() ? "unknown place" : chain.place.text;
  if (!chain.path.empty())
    text += " (" + chain.path + ")";
  text += chain.fused ? ": fused" : ": not fused";
  return chain.function.empty() ? text : text + ", in " + chain.function;
}

std::string countOf(const Report &report) {
  size_t count = report.chains.size();
  return fmt::format("{} of {} {} fused", report.fused(), count, count == 1 ? "chain" : "chains");
}

} // namespace fovea::explain
