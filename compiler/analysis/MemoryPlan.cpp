#include "compiler/analysis/MemoryPlan.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace fovea {

DimExpr alignBytes(DimExpr bytes) {
  DimExpr unit(bufferAlignment);
  if (DimExpr::exactDiv(bytes, unit))
    return bytes;
  return DimExpr::ceilDiv(bytes, unit) * unit;
}

std::optional<int64_t> evaluate(DimExpr size, const SymbolValues &sizes) {
  return size.evaluate([&](std::string_view name) -> std::optional<int64_t> {
    auto it = sizes.find(std::string(name));
    return it == sizes.end() ? std::nullopt : std::optional(it->second);
  });
}

SymbolValues withNames(const NamedSizes &names, SymbolValues sizes) {
  for (const NamedSize &named : names)
    if (std::optional<int64_t> value = evaluate(named.value, sizes))
      sizes[named.name] = *value;
  return sizes;
}

std::optional<int64_t> SizeFormula::evaluate(const SymbolValues &sizes) const {
  return fovea::evaluate(total, withNames(names, sizes));
}

/// The formula as one expression; nullopt where it has so many names that this may be long.
static std::optional<DimExpr> asOneExpression(const SizeFormula &formula) {
  std::map<std::string, DimExpr, std::less<>> values;
  auto lookup = [&](std::string_view name) -> std::optional<DimExpr> {
    auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second);
  };
  if (formula.names.size() > 12)
    return std::nullopt;
  for (const NamedSize &named : formula.names)
    values[named.name] = named.value.substitute(lookup);
  return formula.total.substitute(lookup);
}

std::string SizeFormula::str() const {
  if (std::optional<DimExpr> one = asOneExpression(*this); one && *one) {
    std::string text = one->str();
    if (text.size() <= 600)
      return text;
  }
  std::string text = total.str();
  for (const NamedSize &named : names)
    text += "; " + named.name + " = " + named.value.str();
  return text;
}

std::optional<SizeFormula> SizeFormula::parse(std::string_view text) {
  SizeFormula formula;
  bool isFirst = true;
  while (isFirst || !text.empty()) {
    size_t end = std::min(text.find("; "), text.size());
    std::string_view part = text.substr(0, end);
    size_t equals = part.find(" = ");
    if (isFirst == (equals != part.npos))
      return std::nullopt;
    std::optional<DimExpr> size = DimExpr::parse(isFirst ? part : part.substr(equals + 3));
    if (!size)
      return std::nullopt;
    if (isFirst)
      formula.total = *size;
    else
      formula.names.push_back({std::string(part.substr(0, equals)), *size});
    text.remove_prefix(std::min(end + 2, text.size()));
    isFirst = false;
  }
  return formula;
}

std::string SizeFormula::summary() const {
  std::string text = str();
  if (text.find(';') == text.npos)
    return text;
  std::set<std::string> symbols;
  for (const std::string &symbol : total.symbols())
    symbols.insert(symbol);
  for (const NamedSize &named : names)
    for (const std::string &symbol : named.value.symbols())
      symbols.insert(symbol);
  for (const NamedSize &named : names)
    symbols.erase(named.name);
  std::string list;
  for (const std::string &symbol : symbols)
    list += (list.empty() ? "" : ", ") + symbol;
  return "f(" + list + ")";
}

std::vector<SymbolValues> representativeSizes(const std::vector<std::string> &symbols) {
  std::vector<SymbolValues> samples;
  for (int64_t all : {1, 8, 96, 500}) {
    SymbolValues sample;
    for (const std::string &symbol : symbols)
      sample[symbol] = all;
    samples.push_back(sample);
  }
  for (size_t i = 0; i < symbols.size() && i < 6; ++i) {
    SymbolValues sample = samples[1];
    sample[symbols[i]] = 1000;
    samples.push_back(sample);
  }
  return samples;
}

static bool meet(const PlanBuffer &a, const PlanBuffer &b) { return a.first <= b.last && b.first <= a.last; }

/// Sizes in bytes at one sample; a size without a value there (overflow) counts as nothing.
static std::vector<int64_t> sizesAt(const std::vector<PlanBuffer> &buffers, const SymbolValues &sample) {
  std::vector<int64_t> sizes;
  for (const PlanBuffer &buffer : buffers)
    sizes.push_back(std::max<int64_t>(0, evaluate(buffer.bytes, sample).value_or(0)));
  return sizes;
}

static int64_t peakOf(const std::vector<PlanBuffer> &buffers, const std::vector<int64_t> &sizes) {
  int64_t peak = 0;
  for (const PlanBuffer &at : buffers) { // the peak is reached where some buffer begins
    int64_t live = 0;
    for (size_t i = 0; i < buffers.size(); ++i)
      if (buffers[i].first <= at.first && at.first <= buffers[i].last)
        live += sizes[i];
    peak = std::max(peak, live);
  }
  return peak;
}

int64_t peakOfLiveBytes(const std::vector<PlanBuffer> &buffers, const SymbolValues &sizes) {
  for (const PlanBuffer &buffer : buffers)
    if (!evaluate(buffer.bytes, sizes))
      return -1;
  return peakOf(buffers, sizesAt(buffers, sizes));
}

/// Places buffers in the given order, each into the lowest gap that takes it.
static std::vector<int64_t> placeFirstFit(const std::vector<PlanBuffer> &buffers, const std::vector<int64_t> &sizes,
                                          const std::vector<size_t> &order) {
  std::vector<int64_t> offsets(buffers.size());
  std::vector<size_t> placed;
  for (size_t i : order) {
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (size_t other : placed)
      if (meet(buffers[i], buffers[other]))
        taken.push_back({offsets[other], offsets[other] + sizes[other]});
    std::sort(taken.begin(), taken.end());
    int64_t at = 0;
    for (auto [begin, end] : taken) {
      if (at + sizes[i] <= begin)
        break;
      at = std::max(at, end);
    }
    offsets[i] = at;
    placed.push_back(i);
  }
  return offsets;
}

namespace {
/// Who lies below whom: `order` from the bottom; below[i] are the direct neighbours below i among those that it meets.
struct Stacking {
  std::vector<size_t> order;
  std::vector<std::vector<size_t>> below;
};
} // namespace

static Stacking stackBy(const std::vector<PlanBuffer> &buffers, const std::vector<int64_t> &offsets) {
  size_t count = buffers.size();
  Stacking out;
  out.order.resize(count);
  out.below.resize(count);
  std::iota(out.order.begin(), out.order.end(), 0);
  std::stable_sort(out.order.begin(), out.order.end(), [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  std::vector<std::vector<bool>> under(count, std::vector<bool>(count)); // transitively
  for (size_t at = 0; at < count; ++at) {
    size_t i = out.order[at];
    for (size_t lower = at; lower-- > 0;) {
      size_t j = out.order[lower];
      if (under[i][j] || !meet(buffers[i], buffers[j]))
        continue; // what lies under a neighbour need not be named
      out.below[i].push_back(j);
      under[i][j] = true;
      for (size_t k = 0; k < count; ++k)
        if (under[j][k])
          under[i][k] = true;
    }
  }
  return out;
}

static int64_t totalOf(const Stacking &stacking, const std::vector<int64_t> &sizes) {
  std::vector<int64_t> offsets(sizes.size());
  int64_t total = 0;
  for (size_t i : stacking.order) {
    for (size_t j : stacking.below[i])
      offsets[i] = std::max(offsets[i], offsets[j] + sizes[j]);
    total = std::max(total, offsets[i] + sizes[i]);
  }
  return total;
}

namespace {
/// Writes the largest of several sizes, and gives a name to what is not one of them. Proofs of which is larger try the
/// bounds of all parts of both, so that sizes stay short.
class SizeNamer {
public:
  explicit SizeNamer(NamedSizes names) : names(std::move(names)) {}

  void add(DimExpr size) {
    if (DimExpr::provablyLessOrEqual(size, largest))
      return;
    bool isLarger = DimExpr::provablyLessOrEqual(largest, size);
    largest = isLarger ? size : DimExpr::max(largest, size);
    count = isLarger ? 1 : count + 1;
    if (count == mostItems) {
      largest = nameOf(largest);
      count = 1;
    }
  }
  /// The largest of what was added, at least 0; starts anew.
  DimExpr take() {
    DimExpr result = count > 1 || largest.terms().size() > mostTerms ? nameOf(largest) : largest;
    largest = DimExpr(0);
    count = 1;
    return result;
  }

  NamedSizes names;

private:
  DimExpr nameOf(DimExpr size) {
    std::string &name = known[size.opaque()];
    if (name.empty()) {
      name = "arena." + std::to_string(names.size() + 1);
      names.push_back({name, size});
    }
    return DimExpr::symbol(name);
  }

  static constexpr size_t mostTerms = 6;
  static constexpr int mostItems = 4;
  DimExpr largest = DimExpr(0);
  int count = 1; // of items in `largest`
  std::map<const void *, std::string> known;
};
} // namespace

static MemoryPlan expressionsOf(const std::vector<PlanBuffer> &buffers, const Stacking &stacking, NamedSizes names) {
  MemoryPlan plan;
  plan.offsets.assign(buffers.size(), DimExpr(0));
  SizeNamer namer(std::move(names));
  std::vector<bool> isTop(buffers.size(), true);
  for (size_t i : stacking.order) {
    for (size_t j : stacking.below[i]) {
      namer.add(plan.offsets[j] + buffers[j].bytes);
      isTop[j] = false;
    }
    plan.offsets[i] = namer.take();
  }
  for (size_t i : stacking.order)
    if (isTop[i])
      namer.add(plan.offsets[i] + buffers[i].bytes);
  plan.size.total = namer.take();
  plan.size.names = std::move(namer.names);
  return plan;
}

/// Orders in which first-fit is tried: by size, by size times life, by beginning.
static std::vector<std::vector<size_t>> placingOrders(const std::vector<PlanBuffer> &buffers,
                                                      const std::vector<int64_t> &sizes) {
  std::vector<size_t> plain(buffers.size());
  std::iota(plain.begin(), plain.end(), 0);
  auto life = [&](size_t i) { return int64_t(buffers[i].last - buffers[i].first + 1); };
  std::vector<std::vector<size_t>> orders(4, plain);
  std::stable_sort(orders[0].begin(), orders[0].end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::stable_sort(orders[1].begin(), orders[1].end(),
                   [&](size_t a, size_t b) { return double(sizes[a]) * life(a) > double(sizes[b]) * life(b); });
  std::stable_sort(orders[2].begin(), orders[2].end(),
                   [&](size_t a, size_t b) { return buffers[a].first < buffers[b].first; });
  std::stable_sort(orders[3].begin(), orders[3].end(), [&](size_t a, size_t b) { return life(a) > life(b); });
  return orders;
}

MemoryPlan planMemory(const std::vector<PlanBuffer> &buffers, const std::vector<SymbolValues> &samples,
                      NamedSizes names) {
  std::vector<std::vector<int64_t>> sizes;
  std::vector<int64_t> peaks;
  for (const SymbolValues &sample : samples) {
    sizes.push_back(sizesAt(buffers, withNames(names, sample)));
    peaks.push_back(std::max<int64_t>(1, peakOf(buffers, sizes.back())));
  }
  Stacking best;
  double bestWorst = 0;
  for (const std::vector<int64_t> &at : sizes)
    for (const std::vector<size_t> &order : placingOrders(buffers, at)) {
      Stacking stacking = stackBy(buffers, placeFirstFit(buffers, at, order));
      double worst = 0;
      for (size_t s = 0; s < sizes.size(); ++s)
        worst = std::max(worst, double(totalOf(stacking, sizes[s])) / double(peaks[s]));
      if (best.order.empty() || worst < bestWorst) {
        best = std::move(stacking);
        bestWorst = worst;
      }
    }
  return expressionsOf(buffers, best, std::move(names));
}

} // namespace fovea
