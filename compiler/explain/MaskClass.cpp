#include "compiler/explain/MaskClass.h"

#include "compiler/explain/Scalars.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace fovea::explain {
namespace {

using Affine = RegionReader::Affine;
using P = arith::CmpIPredicate;

class Classifier {
public:
  explicit Classifier(Block *block) : reader(block) {}

  Mask run() {
    Mask mask;
    mask.formula = reader.text(reader.result());
    collect(reader.result(), mask.terms);
    joinWindow(mask.terms);
    return mask;
  }

private:
  void collect(Value condition, std::vector<MaskTerm> &terms) {
    if (auto both = condition.getDefiningOp<arith::AndIOp>()) {
      collect(both.getLhs(), terms);
      collect(both.getRhs(), terms);
      return;
    }
    MaskTerm term = classify(condition, false);
    term.formula = reader.text(condition);
    if (Operation *op = condition.getDefiningOp())
      term.place = placeFrom(LocationAttr(op->getLoc()));
    terms.push_back(std::move(term));
  }

  MaskTerm classify(Value condition, bool isNegated) {
    if (auto invert = condition.getDefiningOp<arith::XOrIOp>(); invert && matchPattern(invert.getRhs(), m_One()))
      return classify(invert.getLhs(), !isNegated);
    if (auto compare = condition.getDefiningOp<arith::CmpIOp>()) {
      P predicate = isNegated ? arith::invertPredicate(compare.getPredicate()) : compare.getPredicate();
      if (std::optional<MaskTerm> term = comparison(compare.getLhs(), compare.getRhs(), predicate))
        return *term;
    }
    if (auto either = condition.getDefiningOp<arith::OrIOp>(); either && !isNegated)
      if (std::optional<MaskTerm> term = prefixOrCausal(either))
        return *term;
    return rest(condition);
  }

  /// What no rule names: by what it reads and depends on.
  MaskTerm rest(Value condition) {
    bool byQuery = reader.dependsOn(condition, reader.query()), byKey = reader.dependsOn(condition, reader.key());
    bool reads = reader.readsTensor(condition);
    if (!byKey)
      return {MaskKind::Queries, {}, {}, {}};
    if (!byQuery && reads)
      return {MaskKind::Padding, {}, {}, {}};
    if (isElement(condition))
      return {MaskKind::Tensor, {}, {}, {}};
    return {reads ? MaskKind::Other : MaskKind::Formula, {}, {}, {}};
  }

  /// Whether a condition is an element of a tensor: of one, or of one for each of several ranges of keys.
  bool isElement(Value condition) {
    Operation *op = stripped(condition).getDefiningOp();
    if (isa_and_nonnull<arith::OrIOp>(op))
      return isElement(op->getOperand(0)) && isElement(op->getOperand(1));
    if (isa_and_nonnull<arith::AndIOp>(op))
      return !reader.readsTensor(op->getOperand(0)) && !reader.dependsOn(op->getOperand(0), reader.query()) &&
             isElement(op->getOperand(1));
    return isa_and_nonnull<graph::AtOp>(op);
  }

  /// Without negation and comparison with a constant: how a mask of integers becomes one of truth values.
  static Value stripped(Value condition) {
    while (Operation *op = condition.getDefiningOp()) {
      bool isTest = isa<arith::XOrIOp, arith::CmpIOp>(op) && matchPattern(op->getOperand(1), m_Constant());
      if (!isTest && !isa<arith::ExtUIOp, arith::TruncIOp>(op))
        break;
      condition = op->getOperand(0);
    }
    return condition;
  }

  std::optional<MaskTerm> comparison(Value lhs, Value rhs, P predicate) {
    if (predicate == P::eq)
      if (std::optional<MaskTerm> term = equalParts(lhs, rhs))
        return term;
    if (std::optional<MaskTerm> term = band(lhs, rhs, predicate))
      return term;
    auto a = reader.affine(lhs), b = reader.affine(rhs);
    if (!a || !b)
      return byTensor(lhs, rhs, predicate);
    std::optional<Affine> over;
    switch (predicate) {
    case P::sle: // over <= 0
      over = difference(*a, *b);
      break;
    case P::slt:
      over = difference(*a, *b);
      break;
    case P::sge:
    case P::sgt:
      over = difference(*b, *a);
      break;
    case P::eq:
    case P::ne:
      over = difference(*a, *b);
      if (over && over->query == -over->key && over->query && over->uniform.empty())
        return MaskTerm{MaskKind::Diagonal, {}, {}, {}};
      return std::nullopt;
    default:
      return std::nullopt;
    }
    if (!over)
      return std::nullopt;
    if (predicate == P::slt || predicate == P::sgt)
      over->rest = over->rest + DimExpr(1);
    return inequality(*over);
  }

  /// `over` <= 0.
  std::optional<MaskTerm> inequality(const Affine &over) {
    if (over.query == -1 && over.key == 1)
      return MaskTerm{MaskKind::Causal, {}, {}, offset(over, -1)};
    if (over.query == 1 && over.key == -1)
      return MaskTerm{MaskKind::From, {}, offset(over, 1), {}};
    if (over.query == 0 && (over.key == 1 || over.key == -1)) {
      if (llvm::any_of(over.uniform, [&](auto &part) { return reader.readsTensor(part.first); }))
        return MaskTerm{MaskKind::Lengths, {}, {}, {}};
      if (over.key == 1 && over.uniform.empty())
        return MaskTerm{MaskKind::Prefix, {}, {}, (DimExpr(1) - over.rest).str()};
    }
    return std::nullopt;
  }

  /// `sign` times what is the same for all queries and keys: a size, or with what a tensor has: "past", "past[b0]-4".
  std::string offset(const Affine &over, int sign) {
    std::string result;
    for (auto [value, factor] : over.uniform) {
      int64_t times = sign * factor;
      result += times < 0 ? "-" : result.empty() ? "" : "+";
      if (times != 1 && times != -1)
        result += std::to_string(std::abs(times)) + "*";
      result += reader.text(value);
    }
    std::string rest = (DimExpr(sign) * over.rest).str();
    if (result.empty() || rest == "0")
      return result.empty() ? rest : result;
    return result + (rest[0] == '-' ? "" : "+") + rest;
  }

  /// A key against what a tensor has for each query.
  std::optional<MaskTerm> byTensor(Value lhs, Value rhs, P predicate) {
    for (auto [key, other] : {std::pair(lhs, rhs), std::pair(rhs, lhs)}) {
      auto place = reader.affine(key);
      bool isKey = place && place->query == 0 && (place->key == 1 || place->key == -1) && place->uniform.empty();
      bool isOrder = predicate != P::eq && predicate != P::ne;
      if (isKey && isOrder && !reader.dependsOn(other, reader.key()) && reader.readsTensor(other))
        return MaskTerm{MaskKind::Lengths, {}, {}, {}};
    }
    return std::nullopt;
  }

  /// One side depends on the query alone, the other on the key.
  std::optional<MaskTerm> equalParts(Value lhs, Value rhs) {
    auto dependsOnlyOn = [&](Value value, Value axis, Value other) {
      return reader.dependsOn(value, axis) && !reader.dependsOn(value, other);
    };
    Value t = reader.query(), j = reader.key();
    if (!(dependsOnlyOn(lhs, t, j) && dependsOnlyOn(rhs, j, t)) &&
        !(dependsOnlyOn(lhs, j, t) && dependsOnlyOn(rhs, t, j)))
      return std::nullopt;
    if (reader.readsTensor(lhs) && reader.readsTensor(rhs))
      return MaskTerm{MaskKind::Documents, {}, {}, {}};
    if (reader.readsTensor(lhs) || reader.readsTensor(rhs) || (reader.affine(lhs) && reader.affine(rhs)))
      return std::nullopt;
    return MaskTerm{MaskKind::Blocks, {}, {}, {}};
  }

  /// |t - j + c| <= w: keys t + c - w to t + c + w.
  std::optional<MaskTerm> band(Value lhs, Value rhs, P predicate) {
    if (predicate == P::sge || predicate == P::sgt) {
      std::swap(lhs, rhs);
      predicate = predicate == P::sge ? P::sle : P::slt;
    }
    auto magnitude = lhs.getDefiningOp<math::AbsIOp>();
    if (!magnitude || (predicate != P::sle && predicate != P::slt))
      return std::nullopt;
    auto distance = reader.affine(magnitude.getOperand()), width = reader.affine(rhs);
    if (!distance || !width || width->query || width->key || !width->uniform.empty() || !distance->uniform.empty() ||
        distance->query != -distance->key || (distance->query != 1 && distance->query != -1))
      return std::nullopt;
    DimExpr shift = distance->query == 1 ? distance->rest : DimExpr(0) - distance->rest;
    DimExpr most = predicate == P::slt ? width->rest - DimExpr(1) : width->rest;
    return MaskTerm{MaskKind::Window, {}, (shift - most).str(), (shift + most).str()};
  }

  /// Keys of a prefix, or causal: j < n or j <= t.
  std::optional<MaskTerm> prefixOrCausal(arith::OrIOp either) {
    MaskTerm a = classify(either.getLhs(), false), b = classify(either.getRhs(), false);
    if (a.kind == MaskKind::Causal)
      std::swap(a, b);
    bool isPrefix = a.kind == MaskKind::Prefix || a.kind == MaskKind::Lengths || a.kind == MaskKind::Padding;
    if (!isPrefix || b.kind != MaskKind::Causal)
      return std::nullopt;
    return MaskTerm{a.kind == MaskKind::Padding ? MaskKind::Other : MaskKind::Prefix, {}, {}, a.to};
  }

  /// Causal and From are a window.
  static void joinWindow(std::vector<MaskTerm> &terms) {
    auto causal = llvm::find_if(terms, [](const MaskTerm &term) { return term.kind == MaskKind::Causal; });
    auto from = llvm::find_if(terms, [](const MaskTerm &term) { return term.kind == MaskKind::From; });
    if (causal == terms.end() || from == terms.end())
      return;
    MaskTerm window{MaskKind::Window, causal->formula + " and " + from->formula, from->from, causal->to,
                    std::min(causal, from)->place};
    *std::min(causal, from) = window;
    terms.erase(std::max(causal, from));
  }

  RegionReader reader;
};

/// "t", "t + 3", "t - 15", "t + past", "t + (S-T)".
std::string relative(const std::string &offset) {
  if (offset == "0")
    return "t";
  bool isNegative = offset[0] == '-';
  std::string distance = isNegative ? offset.substr(1) : offset;
  bool isOne = llvm::all_of(distance, [](char c) {
    return llvm::isAlnum(c) || StringRef("_[]").contains(c);
  }); // a number, a name, an element
  if (isOne)
    return std::string("t ") + (isNegative ? "- " : "+ ") + distance;
  return "t + (" + offset + ")";
}

} // namespace

std::string maskText(const MaskTerm &term) {
  switch (term.kind) {
  case MaskKind::Causal:
    return term.to == "0" ? "causal" : "causal with an offset: keys up to " + relative(term.to);
  case MaskKind::From:
    return "keys from " + relative(term.from);
  case MaskKind::Window:
    return "window: keys " + relative(term.from) + " to " + relative(term.to);
  case MaskKind::Prefix:
    return (term.to.empty() ? "prefix" : "prefix of " + term.to + " keys") +
           std::string(term.formula.find(" or ") == std::string::npos ? "" : ", beyond it causal");
  case MaskKind::Documents:
    return "documents: equal ids";
  case MaskKind::Blocks:
    return "blocks";
  case MaskKind::Lengths:
    return "lengths read from a tensor";
  case MaskKind::Padding:
    return "padding by key";
  case MaskKind::Queries:
    return "a condition on the query";
  case MaskKind::Diagonal:
    return "a diagonal";
  case MaskKind::Tensor:
    return "a tensor of bool by query and key";
  case MaskKind::Formula:
    return "a formula of query and key";
  case MaskKind::Other:
    return "a formula that reads tensors";
  }
  return {};
}

const char *maskKindName(MaskKind kind) {
  static const char *const names[] = {"causal",  "from",    "window",   "prefix", "documents", "blocks", "lengths",
                                      "padding", "queries", "diagonal", "tensor", "formula",   "other"};
  return names[int(kind)];
}

std::string Mask::text() const {
  std::string result;
  for (const MaskTerm &term : terms)
    result += (result.empty() ? "" : "; ") + maskText(term);
  return result.empty() ? "none" : result;
}

Mask classifyMask(Block *mask) { return mask ? Classifier(mask).run() : Mask(); }

} // namespace fovea::explain
