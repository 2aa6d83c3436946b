// rearrange(x, "b t (h d) -> b h t d", h = heads): a reshape, a transpose, a reshape.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

namespace {

/// One side of the pattern: groups of names, one group an axis. `1` is an axis of size one; `...` a group of its own.
struct Side {
  std::vector<std::vector<std::string>> groups;
  std::string problem;

  explicit Side(const std::string &text) {
    bool open = false;
    for (size_t i = 0; i < text.size();) {
      char c = text[i];
      if (std::isspace(static_cast<unsigned char>(c))) {
        ++i;
      } else if (c == '(' || c == ')') {
        if (open == (c == '('))
          problem = "the parentheses of the pattern do not match";
        open = c == '(';
        if (open)
          groups.emplace_back();
        ++i;
      } else {
        size_t begin = i;
        if (text.compare(i, 3, "...") == 0)
          i += 3;
        else
          while (i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_'))
            ++i;
        if (i == begin) {
          problem = fmt::format("unexpected `{}` in the pattern", c > 0x20 && c < 0x7f ? c : '?');
          return;
        }
        if (!open)
          groups.emplace_back();
        groups.back().push_back(text.substr(begin, i - begin));
      }
    }
    if (open)
      problem = "the parentheses of the pattern do not match";
    std::vector<std::string> seen = names();
    for (const std::string &name : seen)
      if (std::count(seen.begin(), seen.end(), name) > 1)
        problem = "`" + name + "` stands twice on one side of the pattern";
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto &group : groups)
      for (const std::string &name : group)
        if (name != "1")
          out.push_back(name);
    return out;
  }
};

} // namespace

Entity Elaborator::rearrange(const std::vector<ArgumentValue> &args, Span span) {
  if (args.size() < 2 || !args[0].name.empty() || !args[1].name.empty()) {
    diagnostics.report(diag::missingArgument, span, "rearrange", args.empty() ? "x" : "pattern");
    return {};
  }
  const Entity &x = args[0].value;
  Builder *builder = needBuilder(span);
  if (!builder)
    return {};
  if (!x.is(Kind::Tensor) || !args[1].value.is(Kind::String)) {
    bool first = !x.is(Kind::Tensor);
    diagnostics.report(diag::argumentType, args[first ? 0 : 1].span, first ? "x" : "pattern", "rearrange",
                       first ? "a tensor" : "a string", describe(args[first ? 0 : 1].value));
    return {};
  }
  const std::string &text = args[1].value.text;
  auto fail = [&](const std::string &problem) {
    diagnostics.report(diag::badPattern, args[1].span, problem);
    return Entity();
  };
  size_t arrow = text.find("->");
  if (arrow == std::string::npos)
    return fail("a rearrange pattern has `->` in it");
  Side from(text.substr(0, arrow)), to(text.substr(arrow + 2));
  if (!from.problem.empty() || !to.problem.empty())
    return fail(from.problem.empty() ? to.problem : from.problem);
  std::vector<std::string> a = from.names(), b = to.names();
  for (auto [one, other, side] : {std::tuple(&a, &b, "right"), std::tuple(&b, &a, "left")})
    for (const std::string &name : *one)
      if (std::find(other->begin(), other->end(), name) == other->end())
        return fail("`" + name + "` is missing on the " + side);
  // Sizes that are given.
  std::map<std::string, std::vector<DimExpr>> sizes;
  for (size_t i = 2; i < args.size(); ++i) {
    std::optional<DimExpr> size = sizeOf(args[i].value);
    if (args[i].name.empty() || !size || !builder->useAsSize(*size, args[i].span)) {
      diagnostics.report(diag::notAValue, args[i].span, describe(args[i].value), "a size, `name = size`,");
      return {};
    }
    if (std::find(a.begin(), a.end(), args[i].name) == a.end())
      return fail("`" + args[i].name + "` is given, but is not in the pattern");
    sizes[args[i].name] = {*size};
  }
  // Axes of the operand to groups; `...` takes those that are left.
  std::vector<DimExpr> dims = builder->type(x.id).dims;
  size_t named = 0;
  for (const auto &group : from.groups)
    named += group != std::vector<std::string>{"..."};
  bool dots = named != from.groups.size();
  if (named > dims.size() || (!dots && named != dims.size()))
    return fail(fmt::format("the pattern has {} axes, but {} is {}", named, "the value", describe(x)));
  std::vector<DimExpr> flat, coerced;
  size_t axis = 0;
  for (const auto &group : from.groups) {
    if (group == std::vector<std::string>{"..."}) {
      size_t n = dims.size() - named;
      sizes["..."].assign(dims.begin() + axis, dims.begin() + axis + n);
      flat.insert(flat.end(), dims.begin() + axis, dims.begin() + axis + n);
      coerced.insert(coerced.end(), dims.begin() + axis, dims.begin() + axis + n);
      axis += n;
      continue;
    }
    DimExpr size = dims[axis++], known(1);
    std::string unknown;
    for (const std::string &name : group) {
      if (name == "...")
        return fail("`...` stands outside parentheses on the left");
      if (name == "1")
        continue;
      if (!sizes.count(name) && !unknown.empty())
        return fail("the sizes of `" + unknown + "` and `" + name + "` are both unknown: give one, `" + name +
                    " = ...`");
      if (sizes.count(name))
        known = known * sizes[name][0];
      else
        unknown = name;
    }
    if (!unknown.empty()) {
      if (known.isConstant(0))
        return fail("`" + unknown + "` can't be found: the other sizes multiply to 0");
      DimExpr q = DimExpr::floorDiv(size, known);
      sizes[unknown] = {q};
      known = known * q;
    }
    if (!known ||
        builder->require(size, Relation::EQ, known, fmt::format("{} == {} in \"{}\"", size.str(), known.str(), text),
                         span) == Truth::False) {
      auto report =
          diagnostics.report(diag::badPattern, args[1].span,
                             fmt::format("an axis of {} does not split into {}", size.str(), fmt::join(group, " x ")));
      report.label(args[0].span, describe(x));
      return {};
    }
    coerced.push_back(known);
    for (const std::string &name : group)
      if (name != "1")
        flat.push_back(sizes[name][0]);
  }
  // Positions of the names among the flat axes.
  std::map<std::string, std::vector<int64_t>> positions;
  int64_t at = 0;
  for (const std::string &name : a)
    for (size_t k = 0; k < sizes[name].size(); ++k)
      positions[name].push_back(at++);
  std::vector<int64_t> permutation;
  std::vector<DimExpr> result;
  for (const auto &group : to.groups) {
    bool spread = group == std::vector<std::string>{"..."};
    DimExpr product(1);
    for (const std::string &name : group) {
      permutation.insert(permutation.end(), positions[name].begin(), positions[name].end());
      for (DimExpr size : name == "1" ? std::vector<DimExpr>() : sizes[name]) {
        product = product * size;
        if (spread)
          result.push_back(size);
      }
    }
    if (!product) {
      diagnostics.report(diag::overflow, span, "a size of the result");
      return {};
    }
    if (!spread)
      result.push_back(product);
  }
  ValueId id = builder->coerce(x.id, coerced, span);
  id = builder->reshape(id, std::move(flat), span);
  id = builder->transpose(id, std::move(permutation), span);
  Entity v = Entity::ofTensor(builder->reshape(id, std::move(result), span));
  v.bound = x.bound;
  return v;
}
