// `@`: sums of products over labelled axes.
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
  if (!computes(ta.dtype) && ta.dtype == tb.dtype) {
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
