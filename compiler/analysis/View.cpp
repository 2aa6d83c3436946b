#include "compiler/analysis/View.h"

namespace fovea {

std::vector<DimExpr> rowMajorStrides(const std::vector<DimExpr> &dims) {
  std::vector<DimExpr> strides(dims.size());
  DimExpr stride(1);
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride = stride * dims[i];
  }
  return strides;
}

View View::identity(std::vector<DimExpr> dims) {
  View view;
  view.strides = rowMajorStrides(dims);
  view.dims = std::move(dims);
  return view;
}

bool View::isIdentity() const {
  if (!offset.isConstant(0))
    return false;
  std::vector<DimExpr> expected = rowMajorStrides(dims);
  for (size_t i = 0; i < dims.size(); ++i)
    if (strides[i] != expected[i] && !dims[i].isConstant(1))
      return false;
  return true;
}

View View::transposed(const std::vector<int64_t> &permutation) const {
  View out;
  out.offset = offset;
  for (int64_t axis : permutation) {
    out.dims.push_back(dims[axis]);
    out.strides.push_back(strides[axis]);
  }
  return out;
}

View View::inverseTransposed(const std::vector<int64_t> &permutation) const {
  std::vector<int64_t> inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i)
    inverse[permutation[i]] = static_cast<int64_t>(i);
  return transposed(inverse);
}

View View::broadcast(const std::vector<int64_t> &axes, const std::vector<DimExpr> &to) const {
  View out;
  out.offset = offset;
  out.dims = to;
  out.strides.assign(to.size(), DimExpr(0));
  for (size_t i = 0; i < axes.size(); ++i)
    out.strides[axes[i]] = strides[i];
  return out;
}

View View::sliced(int64_t axis, DimExpr start, int64_t step, DimExpr size) const {
  View out = *this;
  out.offset = offset + start * strides[axis];
  out.strides[axis] = strides[axis] * DimExpr(step);
  out.dims[axis] = size;
  return out;
}

std::optional<std::vector<AxisRun>> matchAxes(const std::vector<DimExpr> &from, const std::vector<DimExpr> &to) {
  std::vector<AxisRun> runs;
  size_t i = 0, j = 0;
  // The shortest cut: the smallest i' + j' (i' first) with equal, non-trivial products.
  auto cut = [&]() -> bool {
    DimExpr left(1);
    for (size_t a = i; a < from.size(); ++a) {
      left = left * from[a];
      if (!left)
        return false;
      DimExpr right(1);
      for (size_t b = j; b < to.size() && right; ++b) {
        right = right * to[b];
        if (right && left == right) {
          runs.push_back({i, a + 1, j, b + 1});
          i = a + 1;
          j = b + 1;
          return true;
        }
      }
    }
    return false;
  };
  auto skipOnes = [](const std::vector<DimExpr> &dims, size_t &at) {
    while (at < dims.size() && dims[at].isConstant(1))
      ++at;
  };
  for (;;) {
    size_t a = i, b = j;
    skipOnes(from, a);
    skipOnes(to, b);
    if (a != i || b != j) {
      if (runs.empty()) {
        runs.push_back({i, a, j, b});
      } else {
        runs.back().fromEnd = a;
        runs.back().toEnd = b;
      }
      i = a;
      j = b;
    }
    if (i == from.size() && j == to.size())
      return runs;
    if (!cut())
      return std::nullopt;
  }
}

/// The strides of one run: the axes of `from` are one axis of stride `inner` where each runs on into the next.
static bool mergeRun(const View &view, const AxisRun &run, DimExpr &inner) {
  DimExpr expected;
  for (size_t a = run.fromEnd; a-- > run.fromBegin;) {
    if (view.dims[a].isConstant(1))
      continue;
    if (!expected)
      inner = view.strides[a];
    else if (view.strides[a] != expected)
      return false;
    expected = view.strides[a] * view.dims[a];
  }
  if (!expected)
    inner = DimExpr(0); // nothing but literal 1s
  return true;
}

std::optional<View> View::reshaped(const std::vector<DimExpr> &to) const {
  std::optional<std::vector<AxisRun>> runs = matchAxes(dims, to);
  if (!runs)
    return std::nullopt;
  View out;
  out.offset = offset;
  out.dims = to;
  out.strides.assign(to.size(), DimExpr(0));
  for (const AxisRun &run : *runs) {
    DimExpr stride;
    if (!mergeRun(*this, run, stride))
      return std::nullopt;
    for (size_t b = run.toEnd; b-- > run.toBegin;) {
      out.strides[b] = stride;
      stride = stride * to[b];
    }
  }
  return out;
}

std::optional<View> View::merged(size_t first, size_t last) const {
  std::vector<DimExpr> to(dims.begin(), dims.begin() + first);
  DimExpr product(1);
  for (size_t i = first; i <= last; ++i)
    product = product * dims[i];
  to.push_back(product);
  to.insert(to.end(), dims.begin() + last + 1, dims.end());
  View out;
  DimExpr stride;
  if (!mergeRun(*this, {first, last + 1, 0, 0}, stride))
    return std::nullopt;
  out.offset = offset;
  out.dims = to;
  out.strides.assign(strides.begin(), strides.begin() + first);
  out.strides.push_back(stride);
  out.strides.insert(out.strides.end(), strides.begin() + last + 1, strides.end());
  return out;
}

} // namespace fovea
