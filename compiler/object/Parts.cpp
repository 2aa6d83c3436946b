// A module in parts that are compiled side by side.
//
// Functions that may be inlined into one another stay together: what calls what without being told not to inline it.
// Between the others, kernels and what launches them, kernels and the tiles they share, whole-module passes have run
// before (constants and dead arguments of internal functions), so that a call from part to part costs what a call
// within a module does. How a module is divided depends on the module alone, never on the number of processors.
#include "compiler/object/Object.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace llvm;

namespace fovea::object {

namespace {

/// Parts below this many instructions are not worth a context and a pass manager of their own.
constexpr size_t smallestPart = 1000;
/// More parts than processors, so that they end at about the same time.
constexpr size_t mostParts = 16;

/// The functions and variables that use `value`, by way of constants too.
void collectUsers(const Value &value, SetVector<const GlobalValue *> &users) {
  for (const User *user : value.users())
    if (auto *instruction = dyn_cast<Instruction>(user))
      users.insert(instruction->getFunction());
    else if (auto *global = dyn_cast<GlobalValue>(user))
      users.insert(global);
    else
      collectUsers(*user, users);
}

class Partition {
public:
  explicit Partition(Module &module) : module(module) {
    findUsers();
    findCopies();
    joinComponents();
    assignParts();
  }

  size_t count() const { return sizes.size(); }
  bool holds(size_t part, const GlobalValue *value) const { return places.lookup(value).contains(part); }

  /// Makes what parts have in common visible to the linker, under names that no other target has.
  void share(StringRef suffix) {
    for (GlobalValue &value : module.global_values()) {
      if (value.isDeclaration() || !value.hasLocalLinkage() || copies.contains(&value))
        continue;
      size_t own = *places[&value].begin();
      bool isShared = any_of(users[&value], [&](const GlobalValue *user) {
        return any_of(places[user], [&](size_t part) { return part != own; });
      });
      if (!isShared)
        continue;
      value.setName(value.getName() + "." + suffix);
      value.setLinkage(GlobalValue::ExternalLinkage);
      value.setVisibility(GlobalValue::HiddenVisibility);
    }
  }

private:
  void findUsers() {
    for (GlobalValue &value : module.global_values())
      collectUsers(value, users[&value]);
  }

  /// Internal constants that name no function: each part that uses one has its own.
  void findCopies() {
    for (GlobalVariable &variable : module.globals())
      if (variable.isConstant() && variable.hasLocalLinkage() && variable.hasInitializer())
        copies.insert(&variable);
    // A constant that names what is not copied isn't either.
    SmallVector<const GlobalValue *> others;
    for (GlobalValue &value : module.global_values())
      if (!copies.contains(&value))
        others.push_back(&value);
    while (!others.empty())
      for (const GlobalValue *user : users[others.pop_back_val()])
        if (copies.erase(user))
          others.push_back(user);
    for (const GlobalValue *copy : copies)
      for (const GlobalValue *user : users[copy])
        copiesOf[user].push_back(copy);
  }

  void joinComponents() {
    for (GlobalValue &value : module.global_values())
      if (!value.isDeclaration() && !copies.contains(&value))
        components.insert(&value);
    for (Function &function : module)
      for (Instruction &instruction : instructions(function))
        if (auto *call = dyn_cast<CallBase>(&instruction))
          if (Function *callee = call->getCalledFunction())
            if (!callee->isDeclaration() && !callee->hasFnAttribute(Attribute::NoInline))
              components.unionSets(&function, callee);
    for (GlobalVariable &variable : module.globals()) {
      if (variable.isDeclaration() || copies.contains(&variable))
        continue;
      for (const GlobalValue *user : users[&variable])
        if (!copies.contains(user))
          components.unionSets(&variable, user);
    }
    // Variables stay with what they name, tables with the functions in them.
    for (Function &function : module)
      if (!function.isDeclaration())
        for (const GlobalValue *user : users[&function])
          if (isa<GlobalVariable>(user))
            components.unionSets(&function, user);
  }

  /// The largest component first, each to the part that is smallest so far.
  void assignParts() {
    MapVector<const GlobalValue *, size_t> weights; // by component, in the module's order
    size_t total = 0;
    for (GlobalValue &value : module.global_values()) {
      if (value.isDeclaration() || copies.contains(&value))
        continue;
      auto *function = dyn_cast<Function>(&value);
      size_t weight = function ? function->getInstructionCount() : 0;
      weights[components.getLeaderValue(&value)] += weight;
      total += weight;
    }
    sizes.assign(std::clamp<size_t>(total / smallestPart, 1, mostParts), 0);
    auto ordered = weights.takeVector();
    llvm::stable_sort(ordered, [](const auto &a, const auto &b) { return a.second > b.second; });
    DenseMap<const GlobalValue *, size_t> partOf;
    for (auto &[component, weight] : ordered) {
      size_t part = std::min_element(sizes.begin(), sizes.end()) - sizes.begin();
      partOf[component] = part;
      sizes[part] += weight;
    }
    while (sizes.size() > 1 && sizes.back() == 0) // fewer components than parts: those without weight are in the first
      sizes.pop_back();
    for (GlobalValue &value : module.global_values())
      if (!value.isDeclaration() && !copies.contains(&value))
        place(&value, partOf[components.getLeaderValue(&value)]);
  }

  /// Puts `value` into a part, and with it the constants that it names.
  void place(const GlobalValue *value, size_t part) {
    if (!places[value].insert(part).second)
      return;
    for (const GlobalValue *copy : SmallVector<const GlobalValue *>(copiesOf[value]))
      place(copy, part);
  }
  Module &module;
  DenseMap<const GlobalValue *, SetVector<const GlobalValue *>> users;
  DenseSet<const GlobalValue *> copies;
  DenseMap<const GlobalValue *, SmallVector<const GlobalValue *>> copiesOf; // that a value names
  EquivalenceClasses<const GlobalValue *> components;
  DenseMap<const GlobalValue *, SmallDenseSet<size_t>> places;
  SmallVector<size_t> sizes;
};

/// One part of a module whose parts share names already.
std::unique_ptr<Module> extract(const Module &module, const Partition &partition, size_t part) {
  ValueToValueMapTy mapping;
  std::unique_ptr<Module> result =
      CloneModule(module, mapping, [&](const GlobalValue *value) { return partition.holds(part, value); });
  for (GlobalValue &value : make_early_inc_range(result->global_values()))
    if (value.isDeclaration() && value.use_empty())
      value.eraseFromParent();
  return result;
}

} // namespace

static Part writePart(const Module &module) {
  Part part;
  raw_svector_ostream stream(part);
  WriteBitcodeToFile(module, stream);
  return part;
}

std::vector<Part> divide(Module &module, TargetMachine &machine, const CodegenTarget &target, Division division,
                         StringRef name) {
  prepare(module, machine, target);
  std::vector<Part> parts;
  if (division == Division::Whole) {
    parts.push_back(writePart(module));
    return parts;
  }
  Partition partition(module);
  partition.share(name);
  for (size_t i = 0; i < partition.count(); ++i)
    parts.push_back(writePart(*extract(module, partition, i)));
  return parts;
}

Expected<SmallVector<char, 0>> compile(const Part &part, const CodegenTarget &target) {
  LLVMContext context;
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.takeError();
  auto module = parseBitcodeFile(MemoryBufferRef(StringRef(part.data(), part.size()), "part"), context);
  if (!module)
    return module.takeError();
  optimize(**module, **machine);
  return generate(**module, **machine, FileKind::Object);
}

} // namespace fovea::object
