// einsum("b t d, b s d -> b t s", q, k): sums of products over named axes.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

namespace {

/// "b h t d, b h s d -> b h t s" with words, or "bhtd,bhsd->bhts" with letters; `...` stands for leading axes.
struct EinsumPattern {
  std::vector<std::vector<std::string>> inputs;
  std::vector<std::string> output;
  std::string problem;

  explicit EinsumPattern(const std::string &text) {
    size_t arrow = text.find("->");
    if (arrow == std::string::npos) {
      problem = "an einsum pattern has `->` between the operands and the result";
      return;
    }
    std::vector<std::string> sides;
    for (size_t begin = 0; begin <= arrow;) {
      size_t end = std::min(text.find(',', begin), arrow);
      sides.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    sides.push_back(text.substr(arrow + 2));
    bool words = false;
    for (const std::string &side : sides)
      words = words || split(side, true).size() > 1;
    for (const std::string &side : sides)
      inputs.push_back(split(side, words));
    output = std::move(inputs.back());
    inputs.pop_back();
    for (const auto &list : inputs)
      check(list);
    check(output);
  }

private:
  void check(const std::vector<std::string> &list) {
    for (const std::string &label : list) {
      bool good = label == "..." ||
                  std::all_of(label.begin(), label.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
      if (!good)
        problem = "`" + label + "` is no axis name";
      if (std::count(list.begin(), list.end(), label) > 1)
        problem = "`" + label + "` stands twice in one operand";
    }
  }
  static std::vector<std::string> split(const std::string &side, bool words) {
    std::vector<std::string> out;
    for (size_t i = 0; i < side.size();) {
      size_t begin = i;
      if (std::isspace(static_cast<unsigned char>(side[i]))) {
        ++i;
        continue;
      }
      if (side.compare(i, 3, "...") == 0)
        i += 3;
      else if (words)
        while (i < side.size() && !std::isspace(static_cast<unsigned char>(side[i])) && side[i] != '.')
          ++i;
      if (i == begin)
        ++i;
      out.push_back(side.substr(begin, i - begin));
    }
    return out;
  }
};

using Labels = std::vector<int64_t>;

template <class T> bool contains(const std::vector<T> &list, const T &item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

/// A pattern on operands: names become labels, then products are taken from the left.
class Einsum {
public:
  Einsum(Elaborator &elaborator, const std::vector<ArgumentValue> &args, Span span)
      : elaborator(elaborator), builder(*elaborator.frame->builder), args(args), span(span),
        pattern(args[0].value.text) {}
  Entity run();

private:
  bool checkOperands();
  void expand(std::vector<std::string> &list, size_t count);
  bool numberAxes();
  bool numberResult();
  ValueId sumAlone(size_t operand);
  Labels productLabels(const Labels &own, size_t operand);
  ValueId value(size_t operand) const { return args[operand + 1].value.id; }
  bool fail(const std::string &problem) {
    elaborator.diagnostics.report(diag::badPattern, args[0].span, problem);
    return false;
  }

  Elaborator &elaborator;
  Builder &builder;
  const std::vector<ArgumentValue> &args;
  Span span;
  EinsumPattern pattern;
  size_t dots = 0; // axes that `...` stands for, at most
  std::map<std::string, int64_t> labels;
  std::vector<Labels> numbered; // of each operand
  Labels out;
};

bool Einsum::checkOperands() {
  if (!pattern.problem.empty())
    return fail(pattern.problem);
  if (pattern.inputs.size() != args.size() - 1)
    return fail(fmt::format("the pattern has {} operands, but {} are given", pattern.inputs.size(), args.size() - 1));
  for (size_t i = 0; i < pattern.inputs.size(); ++i) {
    const Entity &v = args[i + 1].value;
    if (!v.is(Entity::Kind::Tensor) || !computes(builder.type(v.id).dtype)) {
      elaborator.diagnostics.report(diag::argumentType, args[i + 1].span, "x", "einsum", "a tensor of floats",
                                    elaborator.describe(v));
      return false;
    }
    if (builder.type(v.id).dtype != builder.type(value(0)).dtype) {
      elaborator.diagnostics.report(diag::typeMismatch, args[i + 1].span, "`einsum`",
                                    elaborator.describe(args[1].value), elaborator.describe(v));
      return false;
    }
    const auto &list = pattern.inputs[i];
    size_t rank = builder.type(v.id).dims.size(), named = list.size() - std::count(list.begin(), list.end(), "...");
    if (named > rank || (named == list.size() && named != rank))
      return fail(
          fmt::format("operand {} has {} axes in the pattern, but is {}", i + 1, named, elaborator.describe(v)));
    dots = std::max(dots, rank - named);
  }
  return true;
}

/// `...` gets names of its own, aligned at their ends.
void Einsum::expand(std::vector<std::string> &list, size_t count) {
  auto it = std::find(list.begin(), list.end(), "...");
  if (it == list.end())
    return;
  size_t at = it - list.begin();
  list.erase(it);
  for (size_t k = 0; k < count; ++k)
    list.insert(list.begin() + at + k, fmt::format("...{}", dots - count + k));
}

bool Einsum::numberAxes() {
  std::map<int64_t, DimExpr> sizes;
  numbered.resize(pattern.inputs.size());
  for (size_t i = 0; i < pattern.inputs.size(); ++i) {
    const std::vector<DimExpr> dims = builder.type(value(i)).dims;
    auto &list = pattern.inputs[i];
    expand(list, contains<std::string>(list, "...") ? dims.size() - (list.size() - 1) : 0);
    for (size_t k = 0; k < list.size(); ++k) {
      int64_t label = labels.try_emplace(list[k], static_cast<int64_t>(labels.size())).first->second;
      numbered[i].push_back(label);
      DimExpr size = sizes.try_emplace(label, dims[k]).first->second;
      std::string message = fmt::format("{} == {} for `{}`", size.str(), dims[k].str(), list[k]);
      if (builder.require(size, Relation::EQ, dims[k], message, args[i + 1].span) == Truth::False) {
        elaborator.diagnostics.report(diag::dimensionClash, args[i + 1].span,
                                      "the sizes of `" + list[k] + "` differ in einsum", size.str(), dims[k].str());
        return false;
      }
    }
  }
  return true;
}

bool Einsum::numberResult() {
  expand(pattern.output, dots);
  for (const std::string &name : pattern.output) {
    auto it = labels.find(name);
    if (it == labels.end())
      return fail("`" + name + "` of the result is in no operand");
    out.push_back(it->second);
  }
  return true;
}

/// An operand without those of its axes that neither the result nor another operand has: they are summed first.
ValueId Einsum::sumAlone(size_t operand) {
  Labels kept, axes, &own = numbered[operand];
  for (size_t k = 0; k < own.size(); ++k) {
    bool isNeeded = contains(out, own[k]);
    for (size_t other = 0; other < numbered.size(); ++other)
      isNeeded = isNeeded || (other != operand && contains(numbered[other], own[k]));
    isNeeded ? kept.push_back(own[k]) : axes.push_back(static_cast<int64_t>(k));
  }
  own = std::move(kept);
  return axes.empty() ? value(operand) : builder.reduce("sum", value(operand), axes, false, span);
}

/// Of the product with the next operand: what the result or a later one needs.
Labels Einsum::productLabels(const Labels &own, size_t operand) {
  if (operand + 1 == numbered.size())
    return out;
  Labels next;
  for (const Labels *side : {&own, static_cast<const Labels *>(&numbered[operand])})
    for (int64_t label : *side) {
      bool isNeeded = contains(out, label);
      for (size_t later = operand + 1; later < numbered.size(); ++later)
        isNeeded = isNeeded || contains(numbered[later], label);
      if (isNeeded && !contains(next, label))
        next.push_back(label);
    }
  return next;
}

Entity Einsum::run() {
  if (!checkOperands() || !numberAxes() || !numberResult())
    return {};
  std::vector<ValueId> operands;
  for (size_t i = 0; i < numbered.size(); ++i)
    operands.push_back(sumAlone(i));
  ValueId result = operands[0];
  Labels own = numbered[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    Labels next = productLabels(own, i);
    result = elaborator.contract(result, own, operands[i], numbered[i], next, span).id;
    own = std::move(next);
  }
  std::vector<int64_t> permutation;
  for (int64_t label : out)
    permutation.push_back(std::find(own.begin(), own.end(), label) - own.begin());
  return Entity::ofTensor(builder.transpose(result, std::move(permutation), span));
}

} // namespace

Entity Elaborator::einsum(const std::vector<ArgumentValue> &args, Span span) {
  if (args.size() >= 2 && args[0].value.is(Kind::String))
    return Einsum(*this, args, span).run();
  diagnostics.report(diag::missingArgument, span, "einsum", args.empty() ? "pattern" : "x")
      .help("einsum(\"b t d, b s d -> b t s\", q, k)");
  return {};
}
