// Views against element positions that are counted out.
#include "compiler/analysis/View.h"

#include <doctest/doctest.h>
#include <map>

using namespace fovea;

namespace {

const DimExpr B = DimExpr::symbol("B"), T = DimExpr::symbol("T");

/// Positions of all elements of a view, in row-major order of its indices, at B = 2, T = 3.
std::vector<int64_t> positions(const View &view) {
  auto value = [](DimExpr e) {
    return *e.evaluate([](std::string_view name) -> std::optional<int64_t> { return name == "B" ? 2 : 3; });
  };
  std::vector<int64_t> out = {value(view.offset)};
  for (size_t axis = 0; axis < view.dims.size(); ++axis) {
    std::vector<int64_t> next;
    for (int64_t base : out)
      for (int64_t i = 0; i < value(view.dims[axis]); ++i)
        next.push_back(base + i * value(view.strides[axis]));
    out = next;
  }
  return out;
}

} // namespace

TEST_CASE("identity counts up") {
  View view = View::identity({B, T, 4});
  CHECK(view.isIdentity());
  std::vector<int64_t> at = positions(view);
  REQUIRE(at.size() == 24);
  for (size_t i = 0; i < at.size(); ++i)
    CHECK(at[i] == int64_t(i));
}

TEST_CASE("heads are a view of a projection, and go back") {
  View whole = View::identity({B, T, 12});
  std::optional<View> split = whole.reshaped({B, T, 3, 4});
  REQUIRE(split);
  View heads = split->transposed({0, 2, 1, 3});
  CHECK(heads.dims == std::vector<DimExpr>{B, 3, T, 4});
  CHECK(heads.strides == std::vector<DimExpr>{T * DimExpr(12), 4, 12, 1});
  CHECK(!heads.isIdentity());
  CHECK(!heads.reshaped({B, 3, T * DimExpr(4)})); // T and the head's elements don't run on
  View back = heads.inverseTransposed({0, 2, 1, 3});
  CHECK(*back.reshaped({B, T, 12}) == whole);
}

TEST_CASE("reshaping keeps row-major order") {
  View view = View::identity({B, T, 4}).sliced(2, 1, 1, 2); // [B, T, 2] with gaps
  std::optional<View> merged = view.reshaped({B * T, 2});
  REQUIRE(merged);
  CHECK(positions(*merged) == positions(view));
  CHECK(!view.reshaped({B, T * DimExpr(2)})); // the gap is between
  CHECK(*view.merged(0, 1) == *merged);
  CHECK(!view.merged(1, 2));
}

TEST_CASE("literal 1s come and go anywhere") {
  View view = View::identity({B, T}).transposed({1, 0});
  std::optional<View> ones = view.reshaped({1, T, 1, B, 1});
  REQUIRE(ones);
  CHECK(positions(*ones) == positions(view));
  std::optional<View> back = ones->reshaped({T, B});
  REQUIRE(back);
  CHECK(positions(*back) == positions(view));
  CHECK(View::identity({1, B, 1}).isIdentity());
}

TEST_CASE("broadcast axes have stride 0 and merge only with their like") {
  View view = View::identity({B, 4}).broadcast({0, 2}, {B, T, 4});
  CHECK(view.strides[1] == DimExpr(0));
  CHECK(!view.reshaped({B * T, 4}));
  View twice = View::identity({4}).broadcast({2}, {B, T, 4});
  std::optional<View> merged = twice.reshaped({B * T, 4});
  REQUIRE(merged);
  CHECK(positions(*merged) == positions(twice));
}

TEST_CASE("slices move the offset, negative steps turn the stride") {
  View view = View::identity({T, 4}).sliced(0, T - DimExpr(1), -1, T);
  CHECK(positions(view) == std::vector<int64_t>{8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3});
  CHECK(!view.isIdentity());
}

TEST_CASE("sizes that are not equal as polynomials don't match") {
  CHECK(!View::identity({B, T}).reshaped({B, B}));
  CHECK(!matchAxes({B, T}, {T}));
  CHECK(matchAxes({B, T}, {T, B})->size() == 1);
}
