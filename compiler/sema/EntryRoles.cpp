// `@train` and `@evaluate`: what the entries must be that the program's own training runs (docs/runtime.md).
#include "compiler/sema/Elaborator.h"

#include <fmt/format.h>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

namespace {

/// What the program itself gives to inputs without axes.
bool isCounter(const std::string &name) { return name == "epoch" || name == "step" || name == "seed"; }

} // namespace

/// Why the function can't have its role, or nothing.
static std::string roleProblem(const Function &function) {
  size_t outputs = 0;
  const Argument *batch = nullptr;
  for (const Argument &argument : function.arguments) {
    if (argument.kind != ArgumentKind::Input)
      continue;
    const TensorType &type = function.values[argument.value].type;
    if (type.dims.empty()) {
      if (!isCounter(argument.name) || (type.dtype != DType::I64 && type.dtype != DType::I32))
        return fmt::format(
            "`{}` is {}; without axes there are `epoch`, `step` and `seed` alone, which the program gives as "
            "i64 or i32",
            argument.name, describe(type));
      continue;
    }
    DimExpr rows = type.dims[0];
    if (rows.kind() != DimExpr::Kind::Symbol)
      return fmt::format("the first axis of `{}` is {}, and should be a name: batches have any number of rows",
                         argument.name, rows.str());
    if (batch && function.values[batch->value].type.dims[0] != rows)
      return fmt::format("the first axis of `{}` is {}, and that of `{}` is {}: both are the batch", argument.name,
                         rows.str(), batch->name, function.values[batch->value].type.dims[0].str());
    batch = batch ? batch : &argument;
  }
  if (!batch)
    return "no input has axes, so there is no batch";
  for (const Result &result : function.results) {
    if (result.state >= 0)
      continue;
    const TensorType &type = function.values[result.value].type;
    if (!type.dims.empty() || type.dtype != DType::F32)
      return fmt::format("its result `{}` is {}, and should be f32", result.name, describe(type));
    ++outputs;
  }
  return outputs ? "" : "it has no result; the first one is the loss";
}

bool Elaborator::takeRole(Function &function, const syntax::FunctionDecl &decl) {
  if (decl.roles.empty())
    return true;
  const syntax::Name &role = decl.roles.front();
  if (decl.roles.size() > 1) {
    diagnostics.report(diag::badRole, decl.roles[1].span, decl.name.text, decl.roles[1].text,
                       "it is the `@" + role.text + "` entry");
    return false;
  }
  for (const Function &other : model.functions)
    if (other.role == role.text) {
      diagnostics.report(diag::badRole, role.span, decl.name.text, role.text, "the model has one already")
          .label(other.span, "here");
      return false;
    }
  function.role = role.text;
  std::string problem = roleProblem(function);
  if (!problem.empty())
    diagnostics.report(diag::badRole, role.span, decl.name.text, role.text, problem);
  return problem.empty();
}
