// `@` and einsum: sums of products over labelled axes.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

/// Sizes of a label agree already (or by a requirement); result sizes are the first operand's where both have the
/// label.
Entity Elaborator::contract(ValueId a, std::vector<int64_t> la, ValueId b, std::vector<int64_t> lb,
                            std::vector<int64_t> out, Span span) {
  Builder &builder = *frame->builder;
  std::vector<DimExpr> da = builder.type(a).dims, db = builder.type(b).dims;
  std::map<int64_t, DimExpr> sizes;
  for (size_t i = 0; i < la.size(); ++i)
    sizes[la[i]] = da[i];
  for (size_t i = 0; i < lb.size(); ++i)
    db[i] = sizes.try_emplace(lb[i], db[i]).first->second;
  b = builder.coerce(b, db, span);
  TensorType type{{}, builder.type(a).dtype};
  for (int64_t label : out)
    type.dims.push_back(sizes[label]);
  return Entity::ofTensor(
      builder.emit("contract", {a, b}, std::move(type), span,
                   {{"lhs_labels", std::move(la)}, {"rhs_labels", std::move(lb)}, {"out_labels", std::move(out)}}));
}

Entity Elaborator::matmul(const Entity &a, const Entity &b, const syntax::Expr *lhs, const syntax::Expr *rhs,
                          Span span) {
  Builder &builder = *frame->builder;
  for (auto [v, e] : {std::pair(&a, lhs), std::pair(&b, rhs)})
    if (!v->is(Kind::Tensor) || builder.type(v->id).dims.empty()) {
      diagnostics.report(diag::rankMismatch, e ? e->span : span, e ? quote(*e) : "an operand of `@`", describe(*v),
                         "at least 1 axis");
      return {};
    }
  TensorType ta = builder.type(a.id), tb = builder.type(b.id);
  if (!isFloat(ta.dtype) && ta.dtype == tb.dtype) {
    diagnostics.report(diag::badOperand, span, "@", sema::describe(ta))
        .help("it takes floats: cast with `f32(x)` first");
    return {};
  }
  if (ta.dtype != tb.dtype) {
    diagnostics.report(diag::typeMismatch, span, "`@`", sema::describe(ta), sema::describe(tb));
    return {};
  }
  bool vectorA = ta.dims.size() == 1, vectorB = tb.dims.size() == 1;
  DimExpr ka = ta.dims.back(), kb = vectorB ? tb.dims[0] : tb.dims[tb.dims.size() - 2];
  if (builder.require(ka, Relation::EQ, kb, fmt::format("{} == {} in `@`", ka.str(), kb.str()), span) == Truth::False) {
    auto report = diagnostics.report(diag::innerClash, span, lhs ? quote(*lhs) : "one side", ka.str(),
                                     rhs ? quote(*rhs) : "the other", kb.str());
    labelOperand(report, a.id, lhs, span);
    labelOperand(report, b.id, rhs, span);
    return {};
  }
  // Batch axes, aligned at their ends; a literal 1 is dropped and the other side's axis is free.
  size_t ba = ta.dims.size() - (vectorA ? 1 : 2), bb = tb.dims.size() - (vectorB ? 1 : 2), batch = std::max(ba, bb);
  std::vector<DimExpr> keptA, keptB, result;
  std::vector<int64_t> la, lb, out;
  for (size_t i = 0; i < batch; ++i) {
    auto label = static_cast<int64_t>(i);
    DimExpr x = i + ba >= batch ? ta.dims[i + ba - batch] : DimExpr(),
            y = i + bb >= batch ? tb.dims[i + bb - batch] : DimExpr();
    std::optional<DimExpr> joined = x && y ? joinDim(x, y, "`@`", span) : x ? x : y;
    if (!joined) {
      auto report = diagnostics.report(diag::dimensionClash, span, "the batch sizes differ in `@`", x.str(), y.str());
      labelOperand(report, a.id, lhs, span);
      labelOperand(report, b.id, rhs, span);
      return {};
    }
    bool both = x && y;
    if (x && !(both && x.isConstant(1) && !y.isConstant(1))) {
      keptA.push_back(x);
      la.push_back(label);
    }
    if (y && !(both && y.isConstant(1) && !x.isConstant(1))) {
      keptB.push_back(y);
      lb.push_back(label);
    }
    out.push_back(label);
  }
  auto m = static_cast<int64_t>(batch), k = m + 1, n = m + 2;
  if (!vectorA) {
    keptA.push_back(ta.dims[ta.dims.size() - 2]);
    la.push_back(m);
    out.push_back(m);
  }
  keptA.push_back(ka);
  la.push_back(k);
  keptB.push_back(kb);
  lb.push_back(k);
  if (!vectorB) {
    keptB.push_back(tb.dims.back());
    lb.push_back(n);
    out.push_back(n);
  }
  ValueId x = builder.reshape(a.id, std::move(keptA), span), y = builder.reshape(b.id, std::move(keptB), span);
  return contract(x, std::move(la), y, std::move(lb), std::move(out), span);
}

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

} // namespace

Entity Elaborator::einsum(const std::vector<ArgumentValue> &args, Span span) {
  if (args.size() < 2 || !args[0].value.is(Kind::String)) {
    diagnostics.report(diag::missingArgument, span, "einsum", args.empty() ? "pattern" : "x")
        .help("einsum(\"b t d, b s d -> b t s\", q, k)");
    return {};
  }
  EinsumPattern pattern(args[0].value.text);
  auto fail = [&](const std::string &problem) {
    diagnostics.report(diag::badPattern, args[0].span, problem);
    return Entity();
  };
  if (!pattern.problem.empty())
    return fail(pattern.problem);
  if (pattern.inputs.size() != args.size() - 1)
    return fail(fmt::format("the pattern has {} operands, but {} are given", pattern.inputs.size(), args.size() - 1));
  Builder &builder = *frame->builder;
  // `...` gets labels of its own, aligned at their ends.
  std::map<std::string, int64_t> labels;
  std::map<int64_t, DimExpr> sizes;
  size_t dots = 0;
  for (size_t i = 0; i < pattern.inputs.size(); ++i) {
    const Entity &v = args[i + 1].value;
    if (!v.is(Kind::Tensor) || !isFloat(builder.type(v.id).dtype)) {
      diagnostics.report(diag::argumentType, args[i + 1].span, "x", "einsum", "a tensor of floats", describe(v));
      return {};
    }
    auto &list = pattern.inputs[i];
    size_t rank = builder.type(v.id).dims.size(), named = list.size() - std::count(list.begin(), list.end(), "...");
    if (named > rank || (named == list.size() && named != rank))
      return fail(fmt::format("operand {} has {} axes in the pattern, but is {}", i + 1, named, describe(v)));
    dots = std::max(dots, rank - named);
  }
  auto expand = [&](std::vector<std::string> &list, size_t count) {
    auto it = std::find(list.begin(), list.end(), "...");
    if (it == list.end())
      return;
    size_t at = it - list.begin();
    list.erase(it);
    for (size_t k = 0; k < count; ++k)
      list.insert(list.begin() + at + k, fmt::format("...{}", dots - count + k));
  };
  std::vector<std::vector<int64_t>> numbered(pattern.inputs.size());
  for (size_t i = 0; i < pattern.inputs.size(); ++i) {
    const std::vector<DimExpr> dims = builder.type(args[i + 1].value.id).dims;
    auto &list = pattern.inputs[i];
    bool hasDots = std::find(list.begin(), list.end(), "...") != list.end();
    expand(list, hasDots ? dims.size() - (list.size() - 1) : 0);
    for (size_t k = 0; k < list.size(); ++k) {
      int64_t label = labels.try_emplace(list[k], static_cast<int64_t>(labels.size())).first->second;
      numbered[i].push_back(label);
      DimExpr &size = sizes.try_emplace(label, dims[k]).first->second;
      if (builder.require(size, Relation::EQ, dims[k],
                          fmt::format("{} == {} for `{}`", size.str(), dims[k].str(), list[k]),
                          args[i + 1].span) == Truth::False) {
        diagnostics.report(diag::dimensionClash, args[i + 1].span, "the sizes of `" + list[k] + "` differ in einsum",
                           size.str(), dims[k].str());
        return {};
      }
    }
  }
  expand(pattern.output, dots);
  std::vector<int64_t> out;
  for (const std::string &name : pattern.output) {
    auto it = labels.find(name);
    if (it == labels.end())
      return fail("`" + name + "` of the result is in no operand");
    out.push_back(it->second);
  }
  auto needed = [&](int64_t label, size_t after) {
    bool used = std::find(out.begin(), out.end(), label) != out.end();
    for (size_t i = after; i < numbered.size(); ++i)
      used = used || std::find(numbered[i].begin(), numbered[i].end(), label) != numbered[i].end();
    return used;
  };
  // Axes of one operand alone that the result lacks are summed first.
  auto sumAway = [&](ValueId x, std::vector<int64_t> &own, auto &&keep) {
    std::vector<int64_t> axes, kept;
    for (size_t k = 0; k < own.size(); ++k)
      keep(own[k]) ? kept.push_back(own[k]) : axes.push_back(static_cast<int64_t>(k));
    own = std::move(kept);
    return axes.empty() ? x : builder.reduce("sum", x, axes, false, span);
  };
  std::vector<ValueId> operands;
  for (size_t i = 0; i < numbered.size(); ++i)
    operands.push_back(sumAway(args[i + 1].value.id, numbered[i], [&](int64_t label) {
      bool elsewhere = std::find(out.begin(), out.end(), label) != out.end();
      for (size_t j = 0; j < numbered.size(); ++j)
        elsewhere =
            elsewhere || (j != i && std::find(numbered[j].begin(), numbered[j].end(), label) != numbered[j].end());
      return elsewhere;
    }));
  ValueId result = operands[0];
  std::vector<int64_t> own = numbered[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    std::vector<int64_t> next;
    bool last = i + 1 == operands.size();
    if (last) {
      next = out;
    } else {
      for (const auto *side : {&own, &numbered[i]})
        for (int64_t label : *side)
          if (needed(label, i + 1) && std::find(next.begin(), next.end(), label) == next.end())
            next.push_back(label);
    }
    result = contract(result, own, operands[i], numbered[i], next, span).id;
    own = next;
  }
  std::vector<int64_t> permutation;
  for (int64_t label : out)
    permutation.push_back(std::find(own.begin(), own.end(), label) - own.begin());
  return Entity::ofTensor(builder.transpose(result, std::move(permutation), span));
}
