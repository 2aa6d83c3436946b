// Evaluates the syntax tree: compile-time values are computed, tensors become ops of the function being written.
// Private to this folder; its methods lie in the files named beside them.
#pragma once

#include "compiler/sema/Builder.h"
#include "compiler/sema/Program.h"
#include "compiler/sema/Sema.h"

#include <set>

namespace fovea::sema {

struct Binding {
  Entity value;
  Span span;
};

/// A function (or the arguments of a module) being evaluated.
struct Frame {
  const Frame *caller = nullptr;
  const syntax::FunctionDecl *decl = nullptr;
  const FileScope *scope = nullptr;
  std::vector<ModuleRef> roots; // the module arguments' instances; roots[0] is self where hasSelf
  bool hasSelf = false;
  Builder *builder = nullptr; // null where only compile-time values are allowed
  std::vector<std::map<std::string, Binding>> scopes{1};
  std::map<std::string, DimExpr> dims;
  std::map<std::string, Span> dimPlaces;
  std::map<std::string, std::vector<DimExpr>> ellipses; // by name, "" for a plain `...`
  bool returned = false;
  Entity result;
};

/// A function as elaborated for one kind of arguments.
struct FunctionInstance {
  int32_t index = -1; // in Model::functions; -1 where it has no results (everything was known at compile time)
  Function function;  // signature and requirements (the body is in the model)
  std::vector<Slot> slots;
  Entity result; // tensors by index into the results, sizes over the callee's symbols
  bool failed = false;
};

/// One tensor argument against its written type.
struct ArgumentShape {
  const syntax::ParameterDecl *parameter;
  TensorType type;
  Span span;
  Span origin; // of the argument's value
};

class Elaborator {
public:
  Elaborator(source::SourceManager &sources, source::DiagnosticEngine &diagnostics, const Options &options)
      : sources(sources), diagnostics(diagnostics), options(options),
        program(sources, diagnostics, options.importDirs) {}

  // Sema.cpp
  std::optional<Model> run(source::FileId file);
  bool checkAll(source::FileId file);

  using ExprKind = syntax::Expr::Kind;
  using Kind = Entity::Kind;

  // Names.cpp
  Entity lookupName(const syntax::Expr &e);
  std::optional<Entity> findName(const std::string &name);
  Entity memberOf(const ModuleRef &ref, const std::string &name, Span span);
  Entity rebase(Entity v, const ModuleRef &owner, const std::string &name);
  Entity load(const Entity &member, const ModuleRef &owner, const std::string &name, Span span);
  Slot *slotFor(ArgumentKind kind, uint32_t root, const std::string &path, Span span);
  Slot *stateSlot(uint32_t root, const std::string &path, const syntax::TypeExpr &type, const syntax::Expr *initial,
                  Span span);
  Entity *resolvePath(Instance *instance, const std::string &path);
  std::vector<std::string> namesInScope();
  std::string describe(const Entity &v);
  std::string quote(const syntax::Expr &e);

  // Params.cpp
  /// `params` of a module: its float params and those of the modules in it, in the order of the declarations.
  Entity paramTree(const ModuleRef &ref, Span span);
  void collectParams(const Entity &member, const ModuleRef &root, const std::string &path, std::set<uint32_t> &seen,
                     Entity &tree);
  /// A leaf's name: that of its tensor, less the name of the module that its function belongs to.
  std::string leafPath(const Entity &leaf);
  /// The first leaf that an expression names, if any.
  std::optional<Entity> leafIn(const syntax::Expr &e);
  /// Leaves of `v` with the values that they have now.
  void refreshLeaves(Entity &v, Span span);
  void writeSlot(ArgumentKind kind, uint32_t root, const std::string &path, const std::string &name,
                 const Entity &value, Span span, Span declared);
  Entity importLeaf(const Entity &leaf, struct CallState &call);
  void settleWrittenParams();

  // Modules.cpp
  Entity instantiateModule(const Entity &cls, std::vector<ArgumentValue> args, Span span);
  void buildMembers(Instance &instance, const syntax::MemberBlock &block);
  void addMember(Instance &instance, const syntax::MemberDecl &m);
  void addParam(Instance &instance, const syntax::MemberDecl &m);
  void addTie(Instance &instance, const syntax::MemberDecl &m);
  bool parseInitializer(const syntax::Expr &e, Initializer &initializer);
  bool parseFirstValue(const syntax::Expr &e, Slot &state);
  std::optional<TensorType> constantType(const syntax::TypeExpr &t);
  bool bindParameters(const std::string &callee, const std::vector<syntax::ParameterDecl> &parameters,
                      std::vector<ArgumentValue> args, Span span, Span declSpan, std::vector<ArgumentValue> &bound);
  bool convertCompileTime(const std::string &callee, const syntax::ParameterDecl &p, ArgumentValue &arg);
  std::string keyOf(const Entity &v);

  // Calls.cpp
  Entity callFunction(const Entity &fn, std::vector<ArgumentValue> args, Span span);
  bool isRecursive(const syntax::FunctionDecl &decl, Span span);
  bool bindArguments(const Entity &fn, const std::vector<ModuleRef> &roots, std::vector<ArgumentValue> args, Span span,
                     std::vector<ArgumentValue> &bound);
  FunctionInstance &instanceFor(const Entity &fn, struct CallState &call, const std::vector<ArgumentShape> &shapes,
                                Span span);
  Entity importArgument(const Entity &v, const std::string &name, const syntax::ParameterDecl *p,
                        struct CallState &call, Span span);
  Entity importTensor(const Entity &v, const std::string &name, const syntax::ParameterDecl *p, CallState &call,
                      Span span);
  Entity importSize(const Entity &v, const std::string &name, const syntax::ParameterDecl *p, CallState &call,
                    Span span);
  DimExpr importDim(DimExpr e, const std::string &wish, CallState &call);
  std::vector<std::string> dimWishes(const syntax::ParameterDecl *p, size_t rank);
  bool convertTensorArgument(const std::string &callee, const syntax::ParameterDecl &p, ArgumentValue &arg);
  bool elaborateFunction(const Entity &fn, Builder &builder, FunctionInstance &instance);
  Entity emitCall(const Entity &fn, FunctionInstance &instance, CallState &call, Span span);
  bool passSlots(FunctionInstance &instance, CallState &call, const std::string &path, std::vector<ValueId> &operands,
                 std::vector<Slot *> &slots, Span span);
  bool propagateRequirements(const FunctionInstance &instance, const CallState &call, Span span);
  Entity exportResult(const Entity &v, const CallState &call, const std::vector<ValueId> &results);

  // Signature.cpp
  bool bindDims(Frame &frame, const std::string &callee, const std::vector<ArgumentShape> &shapes, bool report);
  bool bindDim(Frame &frame, const syntax::Expr &pattern, DimExpr actual, const std::string &callee,
               const ArgumentShape &argument, bool report, bool &deferred);
  void reportShape(const Frame &frame, const syntax::Expr &pattern, DimExpr expected, DimExpr actual,
                   const std::string &callee, const ArgumentShape &argument);
  bool splitDims(const syntax::TypeExpr &type, const std::vector<DimExpr> &dims,
                 std::vector<std::pair<const syntax::DimensionExpr *, std::vector<DimExpr>>> &out);
  std::set<std::string> freeNames(const syntax::Expr &e);
  /// Takes the state of the function's module that has `name` as a size, which names its sizes; whether there is one.
  bool bindStateSize(const std::string &name);
  std::optional<TensorType> evaluateType(const syntax::TypeExpr &t, bool freshSymbols);
  DimExpr evaluateDim(const syntax::Expr &e, bool freshSymbols);
  bool checkResults(const syntax::FunctionDecl &decl, Entity &result);
  bool orderResults(const syntax::FunctionDecl &decl, Entity &result, Span span);
  bool checkResult(const syntax::FunctionDecl &decl, const syntax::TypeExpr &type, Entity &value, Span span);
  std::optional<Entity> makeArgument(const syntax::ParameterDecl &p, bool generic);

  // Statements.cpp
  Entity execute(const syntax::Block &block, bool wantsValue);
  Entity execute(const syntax::Stmt &s, bool wantsValue);
  void executeLet(const syntax::Stmt &s);
  void executeAssign(const syntax::Stmt &s);
  bool appendInPlace(const syntax::Stmt &s);
  void poison(const syntax::Name &name);
  void executeSliceAssign(const syntax::Stmt &s);
  void executeFor(const syntax::Stmt &s);
  Entity executeIf(const syntax::Stmt &s, bool wantsValue);
  void executeAssert(const syntax::Expr &condition, const std::string &message);
  void executeState(const syntax::Stmt &s);
  void assign(const syntax::Name &name, Entity value, Span span);
  std::optional<Entity> convertTo(const std::string &name, const TensorType &type, const Entity &value, Span span,
                                  Span declared);
  bool spread(const std::vector<syntax::Name> &names, const Entity &value, Span span, std::vector<Entity> &out);
  std::optional<bool> decideCondition(const syntax::Expr &e);
  Entity namePath(Entity v, const std::string &name);

  // Expressions.cpp
  Entity eval(const syntax::Expr &e);
  Entity evalNode(const syntax::Expr &e);
  Entity evalMember(const syntax::Expr &e);
  Entity evalCall(const syntax::Expr &e);
  Entity evalRepeat(const syntax::Expr &e);
  std::vector<ArgumentValue> evalArguments(const syntax::Expr &e, bool &ok);
  DimExpr evalSize(const syntax::Expr &e, const char *what);
  Entity transposeLast(const Entity &v, const syntax::Expr &e);

  // Arithmetic.cpp
  Entity evalUnary(const syntax::Expr &e);
  Entity evalBinary(const syntax::Expr &e);
  Entity binary(const std::string &op, Entity a, Entity b, const syntax::Expr *lhs, const syntax::Expr *rhs, Span span);
  Entity sizeArithmetic(const std::string &op, DimExpr a, DimExpr b, Span span);
  Entity floatArithmetic(const std::string &op, double a, double b, Span span);
  Entity logical(const std::string &op, const Entity &a, const Entity &b, Span span);
  Entity compareConstants(const std::string &op, const Entity &a, const Entity &b, Span span);
  Entity tensorArithmetic(const std::string &op, const Entity &a, const Entity &b, const syntax::Expr *lhs,
                          const syntax::Expr *rhs, Span span);
  Entity power(const Entity &a, const Entity &b, Span span);
  /// A value as a tensor; constants take `like` where they can.
  std::optional<ValueId> toTensor(const Entity &v, Span span, std::optional<DType> like = {});
  std::optional<std::pair<ValueId, ValueId>> unifyTypes(const std::string &op, const Entity &a, const Entity &b,
                                                        Span span);
  /// Brings operands to one shape.
  bool broadcastTogether(const std::string &what, std::vector<ValueId *> values,
                         std::vector<const syntax::Expr *> exprs, Span span);
  std::optional<DimExpr> joinDim(DimExpr a, DimExpr b, const std::string &what, Span span);
  Entity simplify(Entity v);
  std::optional<DimExpr> sizeOf(const Entity &v);
  Builder *needBuilder(Span span);
  void labelOperand(source::DiagnosticEngine::Report &report, ValueId id, const syntax::Expr *e, Span span);

  // Indexing.cpp
  struct IndexItem;
  Entity evalIndex(const syntax::Expr &e);
  bool parseIndex(const syntax::Expr &e, size_t rank, std::vector<IndexItem> &items);
  bool parseSlice(const syntax::Expr &e, IndexItem &item);
  bool resolveItem(IndexItem &item, DimExpr size, const syntax::Expr &whole);
  /// Index tensors of one shape, and the axes that they index.
  struct GatherIndices {
    std::vector<ValueId> values;
    std::vector<int64_t> axes;
  };
  /// Brings the index tensors among `items` to one shape, and states the bounds that are known of them.
  bool readGather(const std::vector<IndexItem> &items, const std::vector<DimExpr> &dims, const syntax::Expr &e,
                  GatherIndices &gather);
  std::vector<DimExpr> gatheredDims(const std::vector<DimExpr> &dims, const GatherIndices &gather);
  Entity indexTensor(const syntax::Expr &e, ValueId x, DimExpr bound);
  Entity indexList(const syntax::Expr &e, const Entity &list);
  std::optional<ValueId> assignIndexed(const syntax::Expr &target, ValueId x, const Entity &value, Span span);
  std::optional<ValueId> assignedPart(const syntax::Expr &target, ValueId x, const Entity &value,
                                      const std::vector<DimExpr> &visible, Span span);
  ValueId updateAxes(ValueId x, ValueId v, const std::vector<IndexItem> &items, size_t from, Span span);

  // Contractions.cpp, Einsum.cpp, Rearrange.cpp
  Entity matmul(const Entity &a, const Entity &b, const syntax::Expr *lhs, const syntax::Expr *rhs, Span span);
  Entity contract(ValueId a, std::vector<int64_t> la, ValueId b, std::vector<int64_t> lb, std::vector<int64_t> out,
                  Span span);
  Entity einsum(const std::vector<ArgumentValue> &args, Span span);
  Entity rearrange(const std::vector<ArgumentValue> &args, Span span);

  source::SourceManager &sources;
  source::DiagnosticEngine &diagnostics;
  const Options &options;
  Program program;
  Model model;
  Frame *frame = nullptr;

  // Modules.
  std::vector<std::unique_ptr<Instance>> instances;
  std::vector<Instance *> building;
  std::string storedPlace; // where a module created now is stored
  bool mayCreateModules = false;
  std::map<std::string, uint32_t> paramByPath;
  std::set<uint32_t> usedParams, writtenParams; // by entries
  std::set<uint32_t> tiedParams;                // others stand for them

  // Functions.
  std::map<std::string, std::unique_ptr<FunctionInstance>> functionInstances;
  std::vector<std::pair<const syntax::FunctionDecl *, Span>> active;
  std::set<const syntax::FunctionDecl *> reached;
  std::set<const syntax::ModuleDecl *> built;
  std::map<std::string, int> functionNames;
  std::set<std::string> statefulCalls; // in entries so far: the first pieces of their states' paths

  // Limits.
  static constexpr unsigned maxEvalDepth = 1200, maxCallDepth = 100;
  static constexpr uint64_t maxSteps = 1'000'000, stepsEach = 2'000; // for all, and for each module and param
  static constexpr int64_t maxRepeat = 10'000, maxInstances = 200'000;
  unsigned evalDepth = 0;
  uint64_t steps = 0;
  bool stopped = false; // a limit was passed: everything is an error from here on
  bool generic = false; // an uncalled function is checked at unknown arguments

  /// A recursion without an end passes it soon; the work for a deep model is in proportion to its modules.
  uint64_t stepLimit() const { return maxSteps + stepsEach * (instances.size() + model.params.size()); }
  std::string uniqueFunctionName(const std::string &wish);
  Entity runBody(const syntax::FunctionDecl &decl);
  bool elaborateEntry(Instance &root, const syntax::FunctionDecl &decl);
  bool makeArguments(const syntax::FunctionDecl &decl, bool unknown);
  void separateStates(Builder &builder);
  bool takeRole(Function &function, const syntax::FunctionDecl &decl);
  void recordStates(const Builder &builder);
  void warnAssumedEqual(const Function &function, const syntax::FunctionDecl &decl);
  void collectEntries(const syntax::MemberBlock &block, const Instance &root,
                      std::vector<const syntax::FunctionDecl *> &out);
  void checkUncalled(FileScope &scope);
  void dropUndecided(size_t from);
  void checkGenerically(const syntax::FunctionDecl &decl, const FileScope &scope, Instance *self);
  Instance *genericInstance(const syntax::ModuleDecl &decl, const FileScope &scope);
  const syntax::ModuleDecl *pickModel(const FileScope &scope);
  bool modelArguments(const syntax::ModuleDecl &decl, std::vector<ArgumentValue> &args);
  Instance *buildModel(const syntax::ModuleDecl &decl, const FileScope &scope);
  bool elaborateModel(const syntax::ModuleDecl &decl, const FileScope &scope);
  void warnUnusedParams();
  void resetModel();
};

/// Puts a frame in force for its life.
class FrameGuard {
public:
  FrameGuard(Elaborator &e, Frame &f) : elaborator(e), saved(e.frame) { e.frame = &f; }
  ~FrameGuard() { elaborator.frame = saved; }

private:
  Elaborator &elaborator;
  Frame *saved;
};

/// The call being made: what becomes of the caller's values in the callee.
struct CallState {
  Frame callee;
  Builder builder;
  std::vector<std::pair<DimExpr, DimExpr>> dims;             // caller's expression -> callee's
  std::vector<std::pair<std::string, DimExpr>> substitution; // callee's symbol -> caller's expression
  std::vector<ValueId> operands;                             // of the callee's inputs
  std::vector<ModuleRef> roots;                              // the callee's roots, as the caller has them
  std::string key;
  explicit CallState(source::DiagnosticEngine &d) : builder(d) {}
};

/// Functions of the language that are not written in it. Arguments are named; Void where not given.
struct Builtin {
  std::vector<std::string> parameters;
  size_t required;
  Entity (*run)(Elaborator &, const Builtin &, const std::vector<ArgumentValue> &, Span);
  std::string op; // what `run` makes, where several share it
  bool variadic = false;
};
const std::map<std::string, Builtin> &builtins();

std::string joinPath(const std::string &a, const std::string &b);

} // namespace fovea::sema
