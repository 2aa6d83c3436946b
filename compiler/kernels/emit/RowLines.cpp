#include "compiler/kernels/emit/RowLines.h"

using namespace mlir;

namespace fovea::kernels {

RowLines::RowLines(Code &code, Value matrix, Value row, int64_t width)
    : code(&code), begin(code.addressOf(matrix, {row, code.index(0)})), lines(linesOf(code, matrix, width)) {
  auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, matrix);
  stride = code.mul(metadata.getStrides()[0], code.target.lineBytes / code.perLine(matrix));
}

RowLines RowLines::orElse(Value condition, const RowLines &others) const {
  assert(lines == others.lines);
  RowLines result(*this);
  result.begin = code->select(condition, begin, others.begin);
  result.stride = code->select(condition, stride, others.stride);
  return result;
}

void RowLines::fetch(Value base, int64_t unit, int64_t at, int64_t count) const {
  bool wholeRows = unit % lines == 0; // rows and places within them are then known but for the base
  for (int64_t line = at; line < at + count; ++line) {
    Value row, place;
    if (wholeRows) {
      row = code->add(code->div(base, code->index(lines)), line / lines);
      place = code->index(line % lines * code->target.lineBytes);
    } else {
      Value number = code->add(base, line);
      row = code->div(number, code->index(lines));
      place = code->mul(code->rem(number, code->index(lines)), code->target.lineBytes);
    }
    code->fetch(begin, code->add(code->mul(row, stride), place), Code::Level::Second);
  }
}

} // namespace fovea::kernels
