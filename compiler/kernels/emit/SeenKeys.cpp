#include "compiler/kernels/emit/SeenKeys.h"

using namespace mlir;

namespace fovea::kernels {

void SeenKeys::reserve(ScratchLayout &layout) {
  for (Value *row : {&firstKey, &lastKey})
    *row = layout.allocate({shape.panels}, {}, code.b.getIndexType());
}

void SeenKeys::enter(Visibility &its, Value first, Value last) {
  visibility = &its;
  queryBegin = first, queryEnd = last;
}

void SeenKeys::scan(Value panel, const KeyRange &keys, llvm::function_ref<void(Value from, Value to)> hidden,
                    llvm::function_ref<void(Value from, Value to, Value all)> seen) {
  Value zero = code.index(0), first = zero, last = keys.count;
  if (!isMasked) {
    seen(zero, keys.count, code.boolean(true));
  } else {
    Value begin = firstQuery(panel), end = code.min(code.add(begin, shape.panel()), queryEnd);
    Value blockEnd = code.add(keys.begin, keys.count);
    // A block that the panel sees whole is one chunk.
    Value whole = visibility->query(Box{begin, end, keys.begin, blockEnd}).all;
    Value step = code.select(whole, code.index(shape.keys), code.index(chunk));
    Code::Values none{code.index(shape.keys), zero};
    Code::Values range = code.carry(zero, keys.count, step, none, [&](Value from, ValueRange sofar) {
      Value to = code.min(code.add(from, step), keys.count);
      Visibility::Answer answer =
          visibility->query(Box{begin, end, code.add(keys.begin, from), code.add(keys.begin, to)});
      return code.choose(
          answer.none, sofar.getTypes(),
          [&] {
            hidden(from, to);
            return Code::Values(sofar);
          },
          [&] {
            seen(from, to, answer.all);
            return Code::Values{code.min(sofar[0], from), code.max(sofar[1], to)};
          });
    });
    first = range[0], last = code.max(range[0], range[1]);
  }
  code.store(first, firstKey, panel);
  code.store(last, lastKey, panel);
}

std::pair<Value, Value> SeenKeys::vectors(Value panel, const KeyRange &keys, Value begin, Value end) {
  Value one = code.index(1), lanes = code.index(shape.lanes);
  Value first = firstQuery(panel), last = code.min(code.add(first, shape.panel()), queryEnd);
  Value from = code.index(shape.vectors), to = code.index(0);
  for (int v = shape.vectors - 1; v >= 0; --v) {
    Value query = code.add(first, v * shape.lanes), seen = code.less(query, last);
    if (isMasked) {
      query = code.min(query, code.sub(last, one)); // keeps the box from being empty
      Box box{query, code.min(code.add(query, lanes), last), code.add(keys.begin, begin), code.add(keys.begin, end)};
      seen = code.logicalAnd(seen, code.logicalNot(visibility->query(box).none));
    }
    from = code.select(seen, code.index(v), from);
    to = code.select(seen, code.max(to, code.index(v + 1)), to);
  }
  return {from, to};
}

Value SeenKeys::lastOf(Value row, int64_t count, const KeyRange &keys, Value first, Value last) {
  if (!isMasked)
    return last;
  Value begin = code.add(queryBegin, row), end = code.min(code.add(begin, count), queryEnd), zero = code.index(0);
  Type index = code.b.getIndexType();
  auto search = scf::WhileOp::create(code.b, code.loc, index, last);
  OpBuilder::InsertionGuard guard(code.b);
  auto chunkBefore = [&](Value to) {
    return code.mul(code.div(code.max(code.sub(to, code.index(1)), zero), code.index(chunkOfEnd)), chunkOfEnd);
  };
  Value to = code.b.createBlock(&search.getBefore(), {}, index, code.loc)->getArgument(0);
  Box box{begin, end, code.add(keys.begin, chunkBefore(to)), code.add(keys.begin, to)};
  Value skip = code.logicalAnd(code.less(first, to), visibility->query(box).none);
  scf::ConditionOp::create(code.b, code.loc, skip, to);
  Value hidden = code.b.createBlock(&search.getAfter(), {}, index, code.loc)->getArgument(0);
  scf::YieldOp::create(code.b, code.loc, code.max(chunkBefore(hidden), first));
  return search.getResult(0);
}

} // namespace fovea::kernels
