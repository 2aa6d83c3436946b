// The fusion report's attribute, text and JSON.
#include "compiler/passes/FusionReport.h"

#include "dialects/graph/Places.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace fovea;

static constexpr StringLiteral attributeName = "graph.fusion_report";

FusionReport FusionReport::fromModule(ModuleOp module) {
  FusionReport report;
  auto list = module->getAttrOfType<ArrayAttr>(attributeName);
  for (Attribute entry : list ? list.getValue() : ArrayRef<Attribute>()) {
    auto record = dyn_cast<DictionaryAttr>(entry);
    auto place = record ? record.getAs<LocationAttr>("place") : LocationAttr();
    if (!place)
      continue;
    ChainReport &chain = report.chains.emplace_back(Location(place));
    auto text = [&](StringRef name) {
      auto value = record.getAs<StringAttr>(name);
      return value ? value.str() : std::string();
    };
    chain.function = text("function");
    chain.failure = text("failure");
    chain.failurePlace = record.getAs<LocationAttr>("failure_place");
    chain.fused = bool(record.getAs<UnitAttr>("fused"));
    if (auto facts = record.getAs<ArrayAttr>("facts"))
      for (auto fact : facts.getAsRange<StringAttr>())
        chain.facts.push_back(fact.str());
  }
  return report;
}

void FusionReport::addTo(ModuleOp module) const {
  Builder builder(module.getContext());
  SmallVector<Attribute> records;
  if (auto present = module->getAttrOfType<ArrayAttr>(attributeName))
    records = llvm::to_vector(present.getValue());
  for (const ChainReport &chain : chains) {
    NamedAttrList record;
    record.set("place", LocationAttr(chain.place));
    record.set("function", builder.getStringAttr(chain.function));
    record.set("facts", builder.getStrArrayAttr(SmallVector<StringRef>(
                            llvm::map_range(chain.facts, [](auto &s) { return StringRef(s); }))));
    if (chain.fused)
      record.set("fused", builder.getUnitAttr());
    if (!chain.failure.empty())
      record.set("failure", builder.getStringAttr(chain.failure));
    if (chain.failurePlace)
      record.set("failure_place", chain.failurePlace);
    records.push_back(record.getDictionary(module.getContext()));
  }
  if (!records.empty())
    module->setAttr(attributeName, builder.getArrayAttr(records));
}

static std::string placeAndPath(Location location) {
  std::string place = placeOf(location), path = pathOf(location).str();
  if (place.empty())
    place = "unknown place";
  return path.empty() ? place : place + " (" + path + ")";
}

std::string FusionReport::text() const {
  std::string result;
  llvm::raw_string_ostream out(result);
  size_t fused = 0;
  for (const ChainReport &chain : chains) {
    fused += chain.fused;
    out << placeAndPath(chain.place) << ": " << (chain.fused ? "fused" : "not fused");
    if (!chain.function.empty())
      out << ", in " << chain.function;
    out << "\n";
    for (const std::string &fact : chain.facts)
      out << "  + " << fact << "\n";
    if (!chain.failure.empty()) {
      out << "  - " << chain.failure;
      if (std::string place = chain.failurePlace ? placeOf(chain.failurePlace) : ""; !place.empty())
        out << " (" << place << ")";
      out << "\n";
    }
  }
  out << fused << " of " << chains.size() << (chains.size() == 1 ? " chain" : " chains") << " fused\n";
  return result;
}

std::string FusionReport::json() const {
  llvm::json::Array list;
  for (const ChainReport &chain : chains) {
    llvm::json::Object record{{"place", placeOf(chain.place)},
                              {"path", pathOf(chain.place)},
                              {"function", chain.function},
                              {"fused", chain.fused},
                              {"facts", llvm::json::Array(chain.facts)}};
    if (!chain.failure.empty()) {
      record["failure"] = chain.failure;
      record["failure_place"] = chain.failurePlace ? placeOf(chain.failurePlace) : "";
    }
    list.push_back(std::move(record));
  }
  std::string result;
  llvm::raw_string_ostream(result) << llvm::formatv("{0:2}",
                                                    llvm::json::Value(llvm::json::Object{{"chains", std::move(list)}}))
                                   << "\n";
  return result;
}
