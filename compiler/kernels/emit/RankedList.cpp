#include "compiler/kernels/emit/RankedList.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace fovea::kernels {

Value RankedList::isBefore(Code &code, Value value, Value other) {
  if (!isa<FloatType>(getElementTypeOrSelf(value.getType())))
    return arith::CmpIOp::create(code.b, code.loc, arith::CmpIPredicate::sgt, value, other);
  // Above, or NaN and the other is not.
  Value above = code.compareF(arith::CmpFPredicate::UGT, value, other);
  Value isNumber = code.compareF(arith::CmpFPredicate::ORD, other, other);
  return arith::AndIOp::create(code.b, code.loc, above, isNumber);
}

namespace {

/// The function's arguments: a heap's memory and its first place there, how many of its elements count, the place that
/// is free, what is put in.
struct Sift {
  Code &code;
  Value values, indices, first, count;

  struct Element {
    Value value, index;
  };
  Element at(Value place) {
    Value at = code.add(first, place);
    return {code.load(values, at), code.load(indices, at)};
  }
  void put(const Element &element, Value place) {
    Value at = code.add(first, place);
    code.store(element.value, values, at);
    memref::StoreOp::create(code.b, code.loc, element.index, indices, at);
  }
  /// Whether `a` comes after `b`: the heap's root comes after all others.
  Value isAfter(const Element &a, const Element &b) {
    Value after = RankedList::isBefore(code, b.value, a.value), before = RankedList::isBefore(code, a.value, b.value);
    Value later = code.compare(arith::CmpIPredicate::sgt, a.index, b.index);
    return code.logicalOr(after, code.logicalAnd(code.logicalNot(before), later));
  }

  /// Moves elements up into the free place as long as they come after what is put in.
  void run(Value root, const Element &element) {
    Type index = code.b.getIndexType();
    auto loop = scf::WhileOp::create(code.b, code.loc, index, root);
    {
      OpBuilder::InsertionGuard guard(code.b);
      Value place = code.b.createBlock(&loop.getBefore(), {}, index, code.loc)->getArgument(0);
      Value left = code.add(code.mul(place, 2), 1), hasLeft = code.less(left, count);
      Code::Values next = code.choose(
          hasLeft, {code.b.getI1Type(), index},
          [&] {
            Value right = code.add(left, 1), hasRight = code.less(right, count);
            Value other = code.select(hasRight, right, left);
            Value child = code.select(isAfter(at(other), at(left)), other, left);
            return Code::Values{isAfter(at(child), element), child};
          },
          [&] { return Code::Values{code.boolean(false), place}; });
      // The place that is free in the end is the loop's result.
      code.branch(next[0], [&] { put(at(next[1]), place); });
      scf::ConditionOp::create(code.b, code.loc, next[0], code.select(next[0], next[1], place));
      Block *after = code.b.createBlock(&loop.getAfter(), {}, index, code.loc);
      scf::YieldOp::create(code.b, code.loc, after->getArguments());
    }
    put(element, loop.getResult(0));
  }
};

func::FuncOp siftFunction(Code &code, Operation *module, Type values, Type indices) {
  Type element = cast<MemRefType>(values).getElementType();
  std::string name;
  llvm::raw_string_ostream(name) << "fovea_sift_" << element;
  if (auto found = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(module, code.b.getStringAttr(name)))
    return found;
  OpBuilder builder = OpBuilder::atBlockEnd(&module->getRegion(0).front());
  Location loc = builder.getUnknownLoc();
  Type index = builder.getIndexType();
  Type inputs[] = {values, indices, index, index, index, element, builder.getI64Type()};
  auto function = func::FuncOp::create(builder, loc, name, builder.getFunctionType(inputs, {}));
  function.setPrivate();
  function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(builder.getContext(), LLVM::Linkage::Internal));
  function->setAttr("passthrough", builder.getStrArrayAttr({"noinline"}));
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  Code inner(builder, loc, code.target);
  auto argument = [&](unsigned i) { return body->getArgument(i); };
  Sift sift{inner, argument(0), argument(1), argument(2), argument(3)};
  sift.run(argument(4), {argument(5), argument(6)});
  func::ReturnOp::create(builder, loc);
  return function;
}

} // namespace

void RankedList::sift(Value count, Value root, Value value, Value index) {
  func::FuncOp function = siftFunction(code, module, values.getType(), indices.getType());
  func::CallOp::create(code.b, code.loc, function, {values, indices, first, count, root, value, index});
}

void RankedList::replaceLast(Value value, Value index) { sift(size, code.index(0), value, index); }

void RankedList::order() {
  Value inner = code.div(size, code.index(2)); // places that have others below them
  code.loop(code.index(0), inner, 1, [&](Value i) {
    Value root = code.sub(code.sub(inner, code.index(1)), i);
    sift(size, root, code.load(values, at(root)), code.load(indices, at(root)));
  });
}

void RankedList::sort() {
  Value one = code.index(1), zero = code.index(0);
  code.loop(one, size, 1, [&](Value i) {
    Value place = code.sub(size, i), free = at(place);
    Value value = code.load(values, free), index = code.load(indices, free);
    code.store(last(), values, free);
    memref::StoreOp::create(code.b, code.loc, code.load(indices, first), indices, free);
    sift(place, zero, value, index);
  });
}

} // namespace fovea::kernels
