// Decides which ops of a function become one kernel. The pass that rewrites the function: FormGroups.cpp.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

namespace fovea {

/// How an axis of a value is indexed from inside a group: by the box axis `axis` itself, or (axis -1) by something that
/// depends on the box axes in `mask`; `scattered` where it comes through a gather or a concat, so that elements may be
/// asked for any number of times.
struct Coordinate {
  int axis = -1;
  uint64_t mask = 0;
  bool scattered = false;
  bool operator==(const Coordinate &) const = default;
  static Coordinate of(unsigned axis) { return {static_cast<int>(axis), uint64_t(1) << axis, false}; }
};
using Pattern = llvm::SmallVector<Coordinate, 4>;
uint64_t maskOf(llvm::ArrayRef<Coordinate> pattern);

/// One kernel: points of `box`; each root is stored at the point, at its pattern.
struct PlannedGroup {
  enum Kind { Map, Matmul, Attention, TopK } kind = Map;
  llvm::SmallVector<DimExpr> box;
  llvm::SmallVector<unsigned> reduced; ///< box axes of the reductions inside, ascending
  llvm::SetVector<mlir::Operation *> ops;
  llvm::SmallVector<mlir::Value> roots;
  llvm::SmallVector<llvm::SmallVector<int64_t>> points; ///< one a root of a map: the box axis of each of its axes
  mlir::Operation *inPlace = nullptr; ///< the update_slice or scatter that this group does in the buffer of its operand
  bool copies = false;                ///< the operand stays as it is: a copy of it is overwritten
};

/// Greedy fusion, from the results back to the arguments.
///
/// A value is *computed in* a group that wants its elements where that repeats no work worth mentioning: cheap values
/// in every group that wants them, others where one group wants them at one pattern. Everything else, and what calls,
/// returns, contractions and attention read, is *written once* by a group of its own, or by the group that computes it
/// at its own points anyway. Reductions join a group where they run over the same axes as those that are in it, and
/// where no axis repeats them. What shares an exponential or the like with a group at the same points is stored by it
/// as well. Values before the loss that only gradients read are computed before it, if that leaves less to keep. No
/// fusion closes a cycle.
class GroupPlan {
public:
  explicit GroupPlan(graph::FuncOp function);

  llvm::ArrayRef<PlannedGroup> getGroups() const { return groups; }
  /// Layout ops whose results are read as views: they stay between the groups.
  bool isView(mlir::Operation *op) const { return views.contains(op); }

private:
  struct Request {
    unsigned group;
    Pattern pattern;
    bool operator==(const Request &) const = default;
  };

  // -- epilogues (GroupEpilogues.cpp)
  /// Gives a contraction the elementwise ops on its result, as far as one value comes out of them, and those of further
  /// values that are written anyway.
  void claimEpilogue(graph::ContractOp contract);
  /// The contraction and all elementwise ops on its result that may stand in its kernel, in order.
  llvm::SmallVector<mlir::Operation *> candidates(graph::ContractOp contract);
  bool mayJoinEpilogue(mlir::Operation *op, const llvm::SetVector<mlir::Operation *> &members);
  /// Whether an old value of a state takes part in `op`'s elements, as it is or through ops that are no members.
  bool updatesState(mlir::Operation *op, const llvm::SetVector<mlir::Operation *> &members);
  void claim(const llvm::SetVector<mlir::Operation *> &ops);

  unsigned priority(mlir::Operation *op);
  void visit(mlir::Operation *op);
  void visitPoint(mlir::Operation *op);
  void startGroup(mlir::Operation *op);
  /// Adds `op`, whose result is wanted at `pattern`, to a group, and asks for its operands.
  void compute(mlir::Operation *op, unsigned group, const Pattern &pattern);
  void want(mlir::Value value, unsigned group, Pattern pattern);
  void needInMemory(mlir::Value value);

  bool mayInline(mlir::Operation *op);
  bool mayInlineReduction(mlir::Operation *op, const Request &request);
  /// Whether `op`'s elements hang on a reduction that cannot be computed in a group, as the group has none, or reduces
  /// axes that the result depends on: better computed where that reduction is.
  bool hangsOnOtherReduction(mlir::Operation *op, const Pattern &pattern, unsigned group);
  /// The box axes for the reduced axes of `op` where its result is wanted at `outer`; may add axes to an empty choice.
  std::optional<llvm::SmallVector<unsigned>> reductionAxes(mlir::Operation *op, unsigned group, uint64_t outer,
                                                           bool add);
  std::optional<unsigned> groupToJoin(mlir::Value value);
  /// A map group at the value's own points that computes something costly which the value needs as well.
  std::optional<unsigned> groupToShare(mlir::Value value);
  /// Whether only gradients read the value, though it is of the way there: it is one tensor to keep in place of
  /// several.
  bool isKeptForGradients(mlir::Operation *op);
  /// Whether `from`'s value reaches one of `members` through an op outside of them. `own`: the group that they are, if
  /// it is one already.
  bool reachesFromOutside(mlir::Operation *from, const llvm::SetVector<mlir::Operation *> &members,
                          std::optional<unsigned> own = std::nullopt);
  /// Whether the buffer of `op`'s first operand may be overwritten by what is computed from the others.
  bool canUpdateInPlace(mlir::Operation *op);
  void startScatter(graph::ScatterOp op);
  /// Values in memory that computing `value` reads, 0 for constants; many where it is not cheap.
  unsigned leaves(mlir::Value value);

  graph::FuncOp function;
  std::vector<PlannedGroup> groups;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<Request>> requests;
  llvm::DenseSet<mlir::Value> inMemory;
  llvm::DenseSet<mlir::Operation *> views;
  llvm::DenseMap<mlir::Operation *, unsigned> claimed; ///< ops of epilogues
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<unsigned, 1>> groupsOf;
  llvm::DenseSet<mlir::Operation *> updatedInPlace;
  llvm::DenseMap<mlir::Value, unsigned> leafCounts;
  struct Hanging {
    Pattern pattern;
    decltype(PlannedGroup::reduced) reduced; ///< of the group when it was asked
    bool hangs;
  };
  llvm::DenseMap<std::pair<mlir::Operation *, unsigned>, llvm::SmallVector<Hanging, 1>> hanging; ///< by op and group
  llvm::DenseSet<mlir::Value> overwritten; ///< states that get a new value
};

/// Whether an op's elements may be computed within a group that wants them.
bool isPoint(mlir::Operation *op);

/// The reduced axes of a reduce or argmax.
llvm::SmallVector<int64_t> reducedAxesOf(mlir::Operation *op);

/// Patterns of `op`'s operands where its result is wanted at `pattern`. Not for reductions.
llvm::SmallVector<Pattern> operandPatterns(mlir::Operation *op, const Pattern &pattern);

} // namespace fovea
