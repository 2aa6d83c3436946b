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

/// What a pattern does to one value.
class Rearrangement {
public:
  Rearrangement(Elaborator &elaborator, const std::vector<ArgumentValue> &args, Span span)
      : elaborator(elaborator), builder(*elaborator.frame->builder), args(args), span(span) {}
  Entity run();

private:
  bool parse();
  bool readSizes();
  bool splitAxes();
  bool splitAxis(const std::vector<std::string> &group, DimExpr size);
  Entity build();
  bool fail(const std::string &problem) {
    elaborator.diagnostics.report(diag::badPattern, args[1].span, problem);
    return false;
  }

  Elaborator &elaborator;
  Builder &builder;
  const std::vector<ArgumentValue> &args;
  Span span;
  Side from{""}, to{""};
  std::map<std::string, std::vector<DimExpr>> sizes; // several for `...`
  std::vector<DimExpr> dims;                         // of the operand
  std::vector<DimExpr> flat, coerced;                // its axes after and before splitting
};

bool Rearrangement::parse() {
  const std::string &text = args[1].value.text;
  size_t arrow = text.find("->");
  if (arrow == std::string::npos)
    return fail("a rearrange pattern has `->` in it");
  from = Side(text.substr(0, arrow));
  to = Side(text.substr(arrow + 2));
  if (!from.problem.empty() || !to.problem.empty())
    return fail(from.problem.empty() ? to.problem : from.problem);
  std::vector<std::string> a = from.names(), b = to.names();
  for (auto [one, other, side] : {std::tuple(&a, &b, "right"), std::tuple(&b, &a, "left")})
    for (const std::string &name : *one)
      if (std::find(other->begin(), other->end(), name) == other->end())
        return fail("`" + name + "` is missing on the " + side);
  return true;
}

/// `h = heads` and its like.
bool Rearrangement::readSizes() {
  std::vector<std::string> names = from.names();
  for (size_t i = 2; i < args.size(); ++i) {
    std::optional<DimExpr> size = elaborator.sizeOf(args[i].value);
    if (args[i].name.empty() || !size || !builder.useAsSize(*size, args[i].span)) {
      elaborator.diagnostics.report(diag::notAValue, args[i].span, elaborator.describe(args[i].value),
                                    "a size, `name = size`,");
      return false;
    }
    if (std::find(names.begin(), names.end(), args[i].name) == names.end())
      return fail("`" + args[i].name + "` is given, but is not in the pattern");
    sizes[args[i].name] = {*size};
  }
  return true;
}

bool isDots(const std::vector<std::string> &group) { return group == std::vector<std::string>{"..."}; }

/// Axes of the operand to groups; `...` takes those that are left.
bool Rearrangement::splitAxes() {
  dims = builder.type(args[0].value.id).dims;
  size_t named = from.groups.size() - std::count_if(from.groups.begin(), from.groups.end(), isDots);
  bool hasDots = named != from.groups.size();
  if (named > dims.size() || (!hasDots && named != dims.size()))
    return fail(fmt::format("the pattern has {} axes, but the value is {}", named, elaborator.describe(args[0].value)));
  size_t axis = 0;
  for (const auto &group : from.groups) {
    if (!isDots(group)) {
      if (!splitAxis(group, dims[axis++]))
        return false;
      continue;
    }
    auto first = dims.begin() + axis, last = first + (dims.size() - named);
    sizes["..."].assign(first, last);
    flat.insert(flat.end(), first, last);
    coerced.insert(coerced.end(), first, last);
    axis = last - dims.begin();
  }
  return true;
}

/// One axis into the parts of a group, of which one size may be unknown.
bool Rearrangement::splitAxis(const std::vector<std::string> &group, DimExpr size) {
  DimExpr known(1);
  std::string unknown;
  for (const std::string &name : group) {
    if (name == "...")
      return fail("`...` stands outside parentheses on the left");
    if (name == "1")
      continue;
    if (!sizes.count(name) && !unknown.empty())
      return fail("the sizes of `" + unknown + "` and `" + name + "` are both unknown: give one, `" + name + " = ...`");
    if (sizes.count(name))
      known = known * sizes[name][0];
    else
      unknown = name;
  }
  if (!unknown.empty()) {
    if (known.isConstant(0))
      return fail("`" + unknown + "` can't be found: the other sizes multiply to 0");
    DimExpr quotient = DimExpr::floorDiv(size, known);
    sizes[unknown] = {quotient};
    known = known * quotient;
  }
  std::string message = fmt::format("{} == {} in \"{}\"", size.str(), known.str(), args[1].value.text);
  if (!known || builder.require(size, Relation::EQ, known, message, span) == Truth::False) {
    elaborator.diagnostics
        .report(diag::badPattern, args[1].span,
                fmt::format("an axis of {} does not split into {}", size.str(), fmt::join(group, " x ")))
        .label(args[0].span, elaborator.describe(args[0].value));
    return false;
  }
  coerced.push_back(known);
  for (const std::string &name : group)
    if (name != "1")
      flat.push_back(sizes[name][0]);
  return true;
}

Entity Rearrangement::build() {
  // Positions of the names among the flat axes.
  std::map<std::string, std::vector<int64_t>> positions;
  int64_t at = 0;
  for (const std::string &name : from.names())
    for (size_t k = 0; k < sizes[name].size(); ++k)
      positions[name].push_back(at++);
  std::vector<int64_t> permutation;
  std::vector<DimExpr> result;
  for (const auto &group : to.groups) {
    DimExpr product(1);
    for (const std::string &name : group) {
      permutation.insert(permutation.end(), positions[name].begin(), positions[name].end());
      for (DimExpr size : name == "1" ? std::vector<DimExpr>() : sizes[name]) {
        product = product * size;
        if (isDots(group))
          result.push_back(size);
      }
    }
    if (!product) {
      elaborator.diagnostics.report(diag::overflow, span, "a size of the result");
      return {};
    }
    if (!isDots(group))
      result.push_back(product);
  }
  ValueId id = builder.coerce(args[0].value.id, coerced, span);
  id = builder.reshape(id, std::move(flat), span);
  id = builder.transpose(id, std::move(permutation), span);
  Entity v = Entity::ofTensor(builder.reshape(id, std::move(result), span));
  v.bound = args[0].value.bound;
  return v;
}

Entity Rearrangement::run() { return parse() && readSizes() && splitAxes() ? build() : Entity(); }

} // namespace

Entity Elaborator::rearrange(const std::vector<ArgumentValue> &args, Span span) {
  if (args.size() < 2 || !args[0].name.empty() || !args[1].name.empty()) {
    diagnostics.report(diag::missingArgument, span, "rearrange", args.empty() ? "x" : "pattern");
    return {};
  }
  if (!needBuilder(span))
    return {};
  bool isTensor = args[0].value.is(Kind::Tensor);
  if (isTensor && args[1].value.is(Kind::String))
    return Rearrangement(*this, args, span).run();
  const ArgumentValue &wrong = args[isTensor ? 1 : 0];
  diagnostics.report(diag::argumentType, wrong.span, isTensor ? "pattern" : "x", "rearrange",
                     isTensor ? "a string" : "a tensor", describe(wrong.value));
  return {};
}
