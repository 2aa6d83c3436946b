// The report in words, and as an attribute, so that it survives text.
#include "compiler/analysis/RecomputationReport.h"

#include "compiler/analysis/Rematerialize.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace fovea {

std::string sizesInWords(const SymbolValues &sizes) {
  std::string text;
  for (const auto &[symbol, size] : sizes)
    text += (text.empty() ? " at " : ", ") + symbol + " = " + std::to_string(size);
  return text;
}

std::string bytesInWords(int64_t bytes) {
  static constexpr const char *units[] = {"KiB", "MiB", "GiB", "TiB"};
  double amount = double(bytes) / 1024;
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < std::size(units))
    amount /= 1024, ++unit;
  return llvm::formatv("{0:f1} {1}", amount, units[unit]).str();
}

static int64_t sum(const std::vector<RecomputationReport::Row> &rows) {
  int64_t all = 0;
  for (const RecomputationReport::Row &row : rows)
    all += row.amount;
  return all;
}

static std::string share(int64_t part, int64_t of) {
  return llvm::formatv("{0:f1}%", of ? 100.0 * double(part) / double(of) : 0.0).str();
}

std::string RecomputationReport::summary() const {
  std::string at = sizesInWords(sizes),
              text = (at.empty() ? "" : at.substr(1) + " ") + "an arena of " + bytesInWords(after);
  if (after != before)
    text += ", with all kept " + bytesInWords(before);
  return text + "; " + bytesInWords(sum(kept)) + " kept for gradients, " + share(sum(repeated), flops) +
         " of the operations run again";
}

std::vector<std::string> RecomputationReport::details() const {
  std::vector<std::string> lines;
  auto add = [&](const Row &row, std::string amount) {
    std::string where = row.place.empty() ? "unknown place" : row.place;
    lines.push_back(amount + ", " + where +
                    (row.path.empty() ? "" : " (" + row.path + (row.count > 1 ? ", ...)" : ")")));
  };
  for (const Row &row : kept)
    add(row,
        llvm::formatv("keeps {0} in {1} value{2}", bytesInWords(row.amount), row.count, row.count == 1 ? "" : "s"));
  for (const Row &row : repeated)
    add(row, llvm::formatv("runs {0} kernel{1} again, {2} of the operations", row.count, row.count == 1 ? "" : "s",
                           share(row.amount, flops)));
  return lines;
}

//===-- The attribute ---------------------------------------------------------------------------------------------===//

static constexpr StringLiteral attributeName = "graph.recomputation";

static int64_t number(DictionaryAttr record, StringRef name) {
  auto value = record.getAs<IntegerAttr>(name);
  return value ? value.getInt() : 0;
}

static std::vector<RecomputationReport::Row> rowsFrom(DictionaryAttr record, StringRef name) {
  std::vector<RecomputationReport::Row> rows;
  auto list = record.getAs<ArrayAttr>(name);
  for (Attribute each : list ? list.getValue() : ArrayRef<Attribute>()) {
    auto row = dyn_cast<DictionaryAttr>(each);
    auto text = [&](StringRef field) {
      auto value = row ? row.getAs<StringAttr>(field) : StringAttr();
      return value ? value.str() : std::string();
    };
    if (row)
      rows.push_back({text("place"), text("path"), number(row, "count"), number(row, "amount")});
  }
  return rows;
}

std::optional<RecomputationReport> recomputationOf(graph::FuncOp function) {
  auto record = function->getAttrOfType<DictionaryAttr>(attributeName);
  if (!record)
    return std::nullopt;
  RecomputationReport report;
  if (auto at = record.getAs<DictionaryAttr>("at"))
    for (NamedAttribute size : at)
      if (auto value = dyn_cast<IntegerAttr>(size.getValue()))
        report.sizes[size.getName().str()] = value.getInt();
  report.limit = number(record, "limit");
  report.before = number(record, "before");
  report.after = number(record, "after");
  report.flops = number(record, "flops");
  report.kept = rowsFrom(record, "kept");
  report.repeated = rowsFrom(record, "repeated");
  return report;
}

void setRecomputation(graph::FuncOp function, const RecomputationReport &report) {
  Builder b(function.getContext());
  NamedAttrList record, at;
  for (const auto &[symbol, value] : report.sizes)
    at.set(symbol, b.getI64IntegerAttr(value));
  record.set("at", at.getDictionary(b.getContext()));
  for (auto [name, value] : {std::pair<StringRef, int64_t>{"limit", report.limit},
                             {"before", report.before},
                             {"after", report.after},
                             {"flops", report.flops}})
    record.set(name, b.getI64IntegerAttr(value));
  auto list = [&](const std::vector<RecomputationReport::Row> &rows) {
    return b.getArrayAttr(llvm::map_to_vector(rows, [&](const RecomputationReport::Row &row) -> Attribute {
      return b.getDictionaryAttr({b.getNamedAttr("place", b.getStringAttr(row.place)),
                                  b.getNamedAttr("path", b.getStringAttr(row.path)),
                                  b.getNamedAttr("count", b.getI64IntegerAttr(row.count)),
                                  b.getNamedAttr("amount", b.getI64IntegerAttr(row.amount))});
    }));
  };
  record.set("kept", list(report.kept));
  record.set("repeated", list(report.repeated));
  function->setAttr(attributeName, record.getDictionary(b.getContext()));
}

} // namespace fovea
