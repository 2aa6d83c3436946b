// Ops that move elements.
#include "Harness.h"

using namespace fovea::interpret;

static HostTensor matrix() { return reals({2, 3}, {1, 2, 3, 4, 5, 6}); }

TEST_CASE_FIXTURE(Harness, "transpose, reshape, broadcast") {
  auto t = compute("%y = graph.transpose %a [1, 0] : <<2,3:f32>> -> <<3,2:f32>>", "<<3,2:f32>>",
                   {{"<<2,3:f32>>", matrix()}});
  CHECK(same(t->reals, {1, 4, 2, 5, 3, 6}));
  auto p = compute("%y = graph.transpose %a [2, 0, 1] : <<1,2,3:f32>> -> <<3,1,2:f32>>", "<<3,1,2:f32>>",
                   {{"<<1,2,3:f32>>", reals({1, 2, 3}, {1, 2, 3, 4, 5, 6})}});
  CHECK(same(p->reals, {1, 4, 2, 5, 3, 6}));
  auto r = compute("%y = graph.reshape %a : <<2,3:f32>> -> <<3,2:f32>>", "<<3,2:f32>>", {{"<<2,3:f32>>", matrix()}});
  CHECK(same(r->reals, {1, 2, 3, 4, 5, 6}));
  CHECK(r->shape == std::vector<int64_t>{3, 2});
  auto rows = compute("%y = graph.broadcast %a [1] : <<2:f32>> -> <<2,2:f32>>", "<<2,2:f32>>",
                      {{"<<2:f32>>", reals({2}, {1, 2})}});
  CHECK(same(rows->reals, {1, 2, 1, 2}));
  auto columns = compute("%y = graph.broadcast %a [0] : <<2:f32>> -> <<2,2:f32>>", "<<2,2:f32>>",
                         {{"<<2:f32>>", reals({2}, {1, 2})}});
  CHECK(same(columns->reals, {1, 1, 2, 2}));
  auto scalar =
      compute("%y = graph.broadcast %a [] : <<:i64>> -> <<3:i64>>", "<<3:i64>>", {{"<<:i64>>", ints({}, {7})}});
  CHECK(scalar->ints == std::vector<int64_t>{7, 7, 7});
}

TEST_CASE_FIXTURE(Harness, "slice") {
  auto middle = compute("%y = graph.slice %a {axis = 1 : i64, start = #graph.dim<1>} : <<2,3:f32>> -> <<2,2:f32>>",
                        "<<2,2:f32>>", {{"<<2,3:f32>>", matrix()}});
  CHECK(same(middle->reals, {2, 3, 5, 6}));
  auto reversed = compute(
      "%y = graph.slice %a {axis = 1 : i64, start = #graph.dim<2>, step = -2 : i64} : <<2,3:f32>> -> <<2,2:f32>>",
      "<<2,2:f32>>", {{"<<2,3:f32>>", matrix()}});
  CHECK(same(reversed->reals, {3, 1, 6, 4}));
  auto at = compute("%y = graph.slice %a at %b {axis = 0 : i64} : <<2,3:f32>>, <<:i64>> -> <<1,3:f32>>", "<<1,3:f32>>",
                    {{"<<2,3:f32>>", matrix()}, {"<<:i64>>", ints({}, {1})}});
  CHECK(same(at->reals, {4, 5, 6}));
}

TEST_CASE_FIXTURE(Harness, "a slice that leaves its tensor is an error") {
  for (int64_t start : {-1, 2, 3}) {
    compute("%y = graph.slice %a at %b {axis = 1 : i64} : <<2,3:f32>>, <<:i64>> -> <<2,2:f32>>", "<<2,2:f32>>",
            {{"<<2,3:f32>>", matrix()}, {"<<:i64>>", ints({}, {start})}});
    CHECK(error.find("leaves axis 1 of size 3") != std::string::npos);
  }
  compute("%y = graph.slice %a at %b {axis = 1 : i64, step = 9223372036854775807 : i64} : <<2,3:f32>>, <<:i64>> -> "
          "<<2,3:f32>>",
          "<<2,3:f32>>", {{"<<2,3:f32>>", matrix()}, {"<<:i64>>", ints({}, {1})}});
  CHECK(error.find("leaves axis") != std::string::npos);
  auto nothing = compute("%y = graph.slice %a at %b {axis = 1 : i64} : <<2,3:f32>>, <<:i64>> -> <<2,0:f32>>",
                         "<<2,0:f32>>", {{"<<2,3:f32>>", matrix()}, {"<<:i64>>", ints({}, {3})}});
  CHECK(error.empty());
  CHECK(nothing->count() == 0);
}

TEST_CASE_FIXTURE(Harness, "update_slice") {
  auto y = compute(
      "%y = graph.update_slice %a, %b at %c {axis = 1 : i64} : <<2,3:f32>>, <<2,1:f32>>, <<:i64>> -> <<2,3:f32>>",
      "<<2,3:f32>>",
      {{"<<2,3:f32>>", matrix()}, {"<<2,1:f32>>", reals({2, 1}, {70, 80})}, {"<<:i64>>", ints({}, {2})}});
  CHECK(same(y->reals, {1, 2, 70, 4, 5, 80}));
  compute("%y = graph.update_slice %a, %b at %c {axis = 1 : i64} : <<2,3:f32>>, <<2,1:f32>>, <<:i64>> -> <<2,3:f32>>",
          "<<2,3:f32>>",
          {{"<<2,3:f32>>", matrix()}, {"<<2,1:f32>>", reals({2, 1}, {70, 80})}, {"<<:i64>>", ints({}, {3})}});
  CHECK_FALSE(error.empty());
}

TEST_CASE_FIXTURE(Harness, "gather") {
  auto rows = compute("%y = graph.gather %a at %b [0] : <<2,3:f32>>, <<2,2:i64>> -> <<2,2,3:f32>>", "<<2,2,3:f32>>",
                      {{"<<2,3:f32>>", matrix()}, {"<<2,2:i64>>", ints({2, 2}, {1, 0, 0, 1})}});
  CHECK(same(rows->reals, {4, 5, 6, 1, 2, 3, 1, 2, 3, 4, 5, 6}));
  auto columns = compute("%y = graph.gather %a at %b [1] : <<2,3:f32>>, <<:i64>> -> <<2:f32>>", "<<2:f32>>",
                         {{"<<2,3:f32>>", matrix()}, {"<<:i64>>", ints({}, {2})}});
  CHECK(same(columns->reals, {3, 6}));
  for (int64_t bad : {int64_t(-1), int64_t(3), INT64_MAX, INT64_MIN}) {
    compute("%y = graph.gather %a at %b [1] : <<2,3:f32>>, <<2:i64>> -> <<2,2:f32>>", "<<2,2:f32>>",
            {{"<<2,3:f32>>", matrix()}, {"<<2:i64>>", ints({2}, {0, bad})}});
    CHECK(error.find("(number 1) is outside [0, 3)") != std::string::npos);
  }
}

TEST_CASE_FIXTURE(Harness, "gather and scatter by several index tensors") {
  auto at = compute(
      "%y = graph.gather %a at %b, %c [0, 1] : <<2,3:f32>>, <<4:i64>>, <<4:i64>> -> <<4:f32>>", "<<4:f32>>",
      {{"<<2,3:f32>>", matrix()}, {"<<4:i64>>", ints({4}, {1, 0, 1, 1})}, {"<<4:i64>>", ints({4}, {0, 2, 1, 1})}});
  CHECK(same(at->reals, {4, 3, 5, 5}));
  compute("%y = graph.gather %a at %b, %c [0, 1] : <<2,3:f32>>, <<1:i64>>, <<1:i64>> -> <<1:f32>>", "<<1:f32>>",
          {{"<<2,3:f32>>", matrix()}, {"<<1:i64>>", ints({1}, {0})}, {"<<1:i64>>", ints({1}, {3})}});
  CHECK(error.find("index 3 (number 0) is outside [0, 3)") != std::string::npos);
  // The last of those that name one place stays.
  auto put =
      compute("%y = graph.scatter %a, %b at %c [1] : <<2,3:f32>>, <<2,3:f32>>, <<3:i64>> -> <<2,3:f32>>", "<<2,3:f32>>",
              {{"<<2,3:f32>>", matrix()},
               {"<<2,3:f32>>", reals({2, 3}, {7, 8, 9, 10, 11, 12})},
               {"<<3:i64>>", ints({3}, {2, 0, 2})}});
  CHECK(same(put->reals, {8, 2, 9, 11, 5, 12}));
}

TEST_CASE_FIXTURE(Harness, "concat, iota, pack") {
  auto y = compute("%y = graph.concat %a, %b {axis = 1 : i64} : <<2,3:f32>>, <<2,1:f32>> -> <<2,4:f32>>", "<<2,4:f32>>",
                   {{"<<2,3:f32>>", matrix()}, {"<<2,1:f32>>", reals({2, 1}, {7, 8})}});
  CHECK(same(y->reals, {1, 2, 3, 7, 4, 5, 6, 8}));
  auto i = compute("%y = graph.iota : <<4:i64>>", "<<4:i64>>", {});
  CHECK(i->ints == std::vector<int64_t>{0, 1, 2, 3});
  auto p = compute("%y = graph.pack %a {panel = 2 : i64} : <<2,3:f32>> -> <<2,2,2:f32>>", "<<2,2,2:f32>>",
                   {{"<<2,3:f32>>", matrix()}});
  CHECK(same(p->reals, {1, 2, 4, 5, 3, 0, 6, 0}));
}
