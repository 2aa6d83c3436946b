// The fusion report as the module's attribute. How it is shown: compiler/explain.
#include "compiler/passes/FusionReport.h"

#include "mlir/IR/Builders.h"

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
    chain.scores = record.getAs<LocationAttr>("scores");
    chain.product = record.getAs<LocationAttr>("product");
    chain.result = record.getAs<LocationAttr>("result");
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
    for (auto [name, location] : {std::pair<StringRef, LocationAttr>{"failure_place", chain.failurePlace},
                                  {"scores", chain.scores},
                                  {"product", chain.product},
                                  {"result", chain.result}})
      if (location)
        record.set(name, location);
    records.push_back(record.getDictionary(module.getContext()));
  }
  if (!records.empty())
    module->setAttr(attributeName, builder.getArrayAttr(records));
}
