// Gradients: what is asked for; compiler/autodiff computes them.
#include "compiler/sema/Builtins.h"

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

namespace {

using Kind = Entity::Kind;

/// The tensors that a tensor, a tuple or a list holds, in order. False after a report.
bool collect(Elaborator &e, const ArgumentValue &argument, const Entity &v, std::vector<ValueId> &tensors) {
  if (v.is(Kind::Tuple) || v.is(Kind::List)) {
    for (const Entity &item : v.items)
      if (!collect(e, argument, item, tensors))
        return false;
    return true;
  }
  if (!v.is(Kind::Tensor) || !computes(e.frame->builder->type(v.id).dtype)) {
    e.diagnostics.report(diag::argumentType, argument.span, "wrt", "grad", "a float tensor, or a tuple of these",
                         e.describe(v));
    return false;
  }
  tensors.push_back(v.id);
  return true;
}

/// `like` with its tensors replaced by the next ones.
Entity replaced(const Entity &like, const std::vector<ValueId> &tensors, size_t &next) {
  if (like.is(Kind::Tensor))
    return Entity::ofTensor(tensors[next++]);
  Entity out = like;
  for (Entity &item : out.items)
    item = replaced(item, tensors, next);
  return out;
}

/// grad(loss, wrt): the derivatives of a scalar by each element of one tensor or of several, in the form of `wrt`.
Entity runGrad(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &loss = args[0].value;
  Builder &builder = *e.frame->builder;
  if (!loss.is(Kind::Tensor) || !builder.type(loss.id).dims.empty() || !computes(builder.type(loss.id).dtype))
    return wrong(e, args, 0, "loss", "grad", "a float without axes, as `sum` and `mean` give");
  Op op;
  op.name = "grad";
  op.operands = {loss.id};
  op.span = span;
  std::vector<ValueId> tensors;
  if (!collect(e, args[1], args[1].value, tensors))
    return {};
  for (ValueId id : tensors) {
    op.operands.push_back(id);
    op.results.push_back(builder.addValue(builder.type(id), span));
  }
  std::vector<ValueId> gradients = op.results;
  builder.add(std::move(op));
  size_t next = 0;
  return replaced(args[1].value, gradients, next);
}

} // namespace

void sema::addGradientBuiltins(std::map<std::string, Builtin> &table) {
  table["grad"] = {{"loss", "wrt"}, 2, runGrad, ""};
}
