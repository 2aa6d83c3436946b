// Writes one function of the typed model: ops, shapes and preconditions. Knows nothing of the syntax.
#pragma once

#include "compiler/sema/Entity.h"
#include "compiler/source/Diagnostics.h"

#include <map>
#include <set>
#include <tuple>

namespace fovea::sema {

using source::Span;

/// How a function came to know a symbol.
struct SymbolInfo {
  enum class Kind {
    Dimension, // a size of an argument, or given by the caller
    Scalar,    // the value of a rank-0 integer argument
    Opaque,    // the value of an integer scalar computed inside: no size may depend on it
  };
  Kind kind = Kind::Dimension;
  ValueId value = 0;   // Scalar, Opaque
  bool asSize = false; // Scalar: a size depends on it, so it is a symbol of the function
};

/// A param or state that a function takes from its caller.
struct Slot {
  ArgumentKind kind = ArgumentKind::Param;
  uint32_t root = 0;  // of the function's module arguments; localRoot for states of its own
  std::string path;   // source names from there
  uint32_t order = 0; // in the declarations
  ValueId argument = 0, current = 0;
  bool written = false;
  double initial = 0;
  Initializer initializer;
  Span span;
};

/// A size with so many parts that working with it takes too long.
bool isTooComplex(DimExpr size);

class Builder {
public:
  static constexpr uint32_t localRoot = ~0u;

  explicit Builder(source::DiagnosticEngine &diagnostics) : diagnostics(diagnostics) {}

  Function function;
  std::vector<Slot> slots;
  Slot *findSlot(ArgumentKind kind, uint32_t root, const std::string &path);
  Slot &addSlot(Slot slot);
  std::map<std::string, SymbolInfo> symbols;

  // Values and ops.
  ValueId addValue(TensorType type, Span span);
  ValueId addArgument(ArgumentKind kind, std::string name, TensorType type, Span span);
  ValueId emit(std::string name, std::vector<ValueId> operands, TensorType type, Span span,
               std::vector<std::pair<std::string, Attribute>> attributes = {});
  /// A copy: values move when one is added.
  TensorType type(ValueId id) const { return function.values[id].type; }
  /// An op of any number of results, which are values already.
  void add(Op op);
  /// Names the op that defines `id`, unless it has a name. A call of a plain function is renamed.
  void setPath(ValueId id, const std::string &path);
  std::string uniquePath(const std::string &path);

  // Scalars.
  ValueId constant(double value, DType dtype, Span span);
  ValueId constantInteger(int64_t value, DType dtype, Span span);
  /// A size as a rank-0 i64: computed from scalar arguments where it depends on them, a `dim` otherwise.
  ValueId materialize(DimExpr size, Span span);

  // Symbols.
  DimExpr newSymbol(const std::string &wish, SymbolInfo info = {});
  /// Marks what a size depends on; false (and a report) where that can't be a size.
  bool useAsSize(DimExpr size, Span span);
  bool hasOpaque(DimExpr e) const;

  // Preconditions.
  /// Proves it, notes it as a requirement, or answers False and reports nothing.
  Truth require(DimExpr lhs, Relation relation, DimExpr rhs, std::string message, Span span);

  // Shapes. The caller has checked that the sizes fit.
  ValueId cast(ValueId x, DType dtype, Span span);
  ValueId unary(const std::string &name, ValueId x, Span span);
  ValueId reshape(ValueId x, std::vector<DimExpr> dims, Span span);
  ValueId transpose(ValueId x, std::vector<int64_t> permutation, Span span);
  /// Adds leading axes and widens literal ones.
  ValueId broadcastTo(ValueId x, const std::vector<DimExpr> &dims, Span span);
  /// The same sizes by other expressions, equal by a requirement: a slice of everything.
  ValueId coerce(ValueId x, const std::vector<DimExpr> &dims, Span span);
  ValueId reduce(const std::string &kind, ValueId x, const std::vector<int64_t> &axes, bool keep, Span span);
  ValueId slice(ValueId x, int64_t axis, DimExpr start, int64_t step, DimExpr size, Span span);
  ValueId updateSlice(ValueId x, ValueId v, int64_t axis, DimExpr start, int64_t step, Span span);

  /// Sorts the arguments, adds the states' results and drops what nothing uses.
  void finish();

  source::DiagnosticEngine &diagnostics;

  /// The symbol that stands for a scalar's value; null where none does yet.
  DimExpr symbolOf(ValueId value) const;
  void bindSymbol(const std::string &name, ValueId value);

  /// Where it was passed, once: the text of a size or the number of ops or preconditions that is too much.
  static constexpr size_t maxSizeTerms = 400, maxRequirements = 2000;

private:
  std::map<std::tuple<ArgumentKind, uint32_t, std::string>, size_t> slotIndex;
  std::map<ValueId, std::string> symbolByValue;
  std::map<std::string, int> symbolCounts;
  ValueId materializeTerms(DimExpr size, Span span);
  ValueId emitSliced(const char *name, std::vector<ValueId> operands, TensorType result, int64_t axis, DimExpr start,
                     int64_t step, Span span);
  ValueId scalarOp(const std::string &name, ValueId a, ValueId b, Span span);
  std::vector<int32_t> definingOp; // of each value; -1 for arguments
  std::map<DimExpr, ValueId, bool (*)(DimExpr, DimExpr)> materialized{
      [](DimExpr a, DimExpr b) { return DimExpr::compare(a, b) < 0; }};
  std::map<std::string, int> pathCounts;
};

} // namespace fovea::sema
