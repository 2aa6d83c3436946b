// Functions over lists and strings, all of them at compile time.
#include "compiler/sema/Builtins.h"

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

namespace {

using Kind = Entity::Kind;

Entity runRange(Elaborator &e, const Builtin &, const Args &args, Span span) {
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < 3; ++i)
    if (given(args, i)) {
      std::optional<int64_t> n = args[i].value.asInteger();
      if (!n) {
        e.diagnostics.report(diag::notConstant, args[i].span, "a bound of `range`").at(e.describe(args[i].value));
        return {};
      }
      bounds[i] = *n;
    }
  if (!given(args, 1))
    std::swap(bounds[0], bounds[1]);
  auto [first, last, step] = bounds;
  __int128 extent = static_cast<__int128>(last) - first;
  if (step == 0 || extent / (step ? step : 1) > Elaborator::maxRepeat) {
    e.diagnostics.report(diag::tooLarge, span, step ? "a range" : "a range with step 0", Elaborator::maxRepeat);
    return {};
  }
  Entity list(Kind::List);
  for (int64_t i = first; step > 0 ? i < last : i > last; i += step) {
    list.items.push_back(Entity::ofSize(DimExpr(i)));
    if (__builtin_add_overflow(i, step, &first))
      break;
  }
  list.names.resize(list.items.size());
  return list;
}

bool isList(const Entity &v) { return v.is(Kind::List) || v.is(Kind::Tuple); }

/// A list of tuples, one of each list in each.
Entity tuples(const std::vector<const Entity *> &lists) {
  Entity out(Kind::List);
  for (size_t k = 0; !lists.empty() && k < lists[0]->items.size(); ++k) {
    Entity tuple(Kind::Tuple);
    for (const Entity *list : lists)
      tuple.items.push_back(list->items[k]);
    tuple.names.resize(tuple.items.size());
    out.items.push_back(std::move(tuple));
  }
  out.names.resize(out.items.size());
  return out;
}

Entity runZip(Elaborator &e, const Builtin &, const Args &args, Span span) {
  std::vector<const Entity *> lists;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!isList(args[i].value))
      return wrong(e, args, i, "list", "zip", "a list");
    if (args[i].value.items.size() != args[0].value.items.size()) {
      e.diagnostics
          .report(diag::wrongCount, span,
                  fmt::format("`zip` of lists of {} and {}", args[0].value.items.size(), args[i].value.items.size()))
          .help("the lists of `zip` have one length");
      return {};
    }
    lists.push_back(&args[i].value);
  }
  return tuples(lists);
}

Entity runEnumerate(Elaborator &e, const Builtin &, const Args &args, Span span) {
  if (!isList(args[0].value))
    return wrong(e, args, 0, "list", "enumerate", "a list");
  Entity numbers(Kind::List);
  for (size_t k = 0; k < args[0].value.items.size(); ++k)
    numbers.items.push_back(Entity::ofSize(DimExpr(static_cast<int64_t>(k))));
  return tuples({&numbers, &args[0].value});
}

Entity runLen(Elaborator &e, const Builtin &, const Args &args, Span span) {
  if (!isList(args[0].value))
    return wrong(e, args, 0, "list", "len", "a list");
  return Entity::ofSize(DimExpr(static_cast<int64_t>(args[0].value.items.size())));
}

/// starts_with, ends_with, contains.
Entity runSearch(Elaborator &e, const Builtin &builtin, const Args &args, Span) {
  for (size_t i = 0; i < 2; ++i)
    if (!args[i].value.is(Kind::String))
      return wrong(e, args, i, builtin.parameters[i], builtin.op, "a string");
  const std::string &text = args[0].value.text, &part = args[1].value.text;
  size_t at = builtin.op == "ends_with" ? text.rfind(part) : text.find(part);
  bool found = at != std::string::npos && (builtin.op == "contains" || (builtin.op == "starts_with" && at == 0) ||
                                           (builtin.op == "ends_with" && at + part.size() == text.size()));
  return Entity::ofBool(found);
}

} // namespace

void sema::addListBuiltins(std::map<std::string, Builtin> &t) {
  t["range"] = {{"start", "stop", "step"}, 1, runRange, ""};
  t["zip"] = {{}, 0, runZip, "", true};
  t["enumerate"] = {{"list"}, 1, runEnumerate, ""};
  t["len"] = {{"list"}, 1, runLen, ""};
  for (const char *search : {"starts_with", "ends_with", "contains"})
    t[search] = {{"text", "part"}, 2, runSearch, search};
}
