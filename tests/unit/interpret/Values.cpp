// Elementwise ops, contractions, reductions: hand-computed.
#include "Harness.h"

using namespace fovea::interpret;

TEST_CASE_FIXTURE(Harness, "unary floats") {
  auto unary = [&](const char *op, std::vector<double> x) {
    std::string body = std::string("%y = graph.") + op + " %a : <<4:f32>>";
    return compute(body, "<<4:f32>>", {{"<<4:f32>>", reals({4}, x)}})->reals;
  };
  CHECK(same(unary("neg", {1, -2, 0, infinity}), {-1, 2, 0, -infinity}));
  CHECK(same(unary("abs", {1, -2, -infinity, NaN}), {1, 2, infinity, NaN}));
  CHECK(same(unary("exp", {0, 1, -infinity, NaN}), {1, 2.718281828459045, 0, NaN}));
  CHECK(same(unary("log", {1, 0, -1, infinity}), {0, -infinity, NaN, infinity}));
  CHECK(same(unary("sqrt", {4, 2, -1, 0}), {2, 1.4142135623730951, NaN, 0}));
  CHECK(same(unary("rsqrt", {4, 16, 0, infinity}), {0.5, 0.25, infinity, 0}));
  CHECK(same(unary("tanh", {0, 1, -infinity, infinity}), {0, 0.7615941559557649, -1, 1}));
  CHECK(same(unary("erf", {0, 1, -1, infinity}), {0, 0.8427007929497149, -0.8427007929497149, 1}));
  CHECK(same(unary("sigmoid", {0, -infinity, infinity, -1}), {0.5, 0, 1, 0.2689414213699951}));
  CHECK(same(unary("floor", {1.5, -1.5, 2, -0.5}), {1, -2, 2, -1}));
  CHECK(same(unary("ceil", {1.5, -1.5, 2, -0.5}), {2, -1, 2, 0}));
}

TEST_CASE_FIXTURE(Harness, "binary floats") {
  auto binary = [&](const char *op, std::vector<double> x, std::vector<double> z) {
    std::string body = std::string("%y = graph.") + op + " %a, %b : <<4:f32>>";
    return compute(body, "<<4:f32>>", {{"<<4:f32>>", reals({4}, x)}, {"<<4:f32>>", reals({4}, z)}})->reals;
  };
  CHECK(same(binary("add", {1, 2, infinity, 0.1}, {2, -2, -infinity, 0.2}), {3, 0, NaN, 0.1 + 0.2}));
  CHECK(same(binary("div", {1, 0, 1, -6}, {4, 0, 0, 2}), {0.25, NaN, infinity, -3}));
  CHECK(same(binary("max", {1, NaN, 2, -infinity}, {2, 1, NaN, 3}), {2, NaN, NaN, 3}));
  CHECK(same(binary("min", {1, NaN, 2, -infinity}, {2, 1, NaN, 3}), {1, NaN, NaN, -infinity}));
  CHECK(same(binary("pow", {2, 4, 0, -8}, {10, 0.5, 0, 3}), {1024, 2, 1, -512}));
  CHECK(same(binary("mod", {5.5, -5.5, 5.5, -4}, {2, 2, -2, 2}), {1.5, 0.5, -0.5, 0}));
  CHECK(same(binary("floordiv", {5.5, -5.5, 5.5, -4}, {2, 2, -2, 2}), {2, -3, -3, -2}));
}

TEST_CASE_FIXTURE(Harness, "integers are exact, floor, and never trap") {
  auto binary = [&](const char *op, std::vector<int64_t> x, std::vector<int64_t> z) {
    std::string body = std::string("%y = graph.") + op + " %a, %b : <<4:i64>>";
    return compute(body, "<<4:i64>>", {{"<<4:i64>>", ints({4}, x)}, {"<<4:i64>>", ints({4}, z)}})->ints;
  };
  using V = std::vector<int64_t>;
  int64_t big = (int64_t(1) << 53) + 1; // not a double
  CHECK(binary("add", {big, 1, INT64_MAX, 0}, {1, 2, 1, 0}) == V{big + 1, 3, INT64_MIN, 0});
  CHECK(binary("mul", {big, -3, 0, 2}, {1, 4, 9, 2}) == V{big, -12, 0, 4});
  CHECK(binary("div", {7, -7, 7, INT64_MIN}, {7, 7, 0, -1}) == V{1, -1, 0, INT64_MIN});
  CHECK(binary("floordiv", {7, -7, 7, -7}, {2, 2, -2, -2}) == V{3, -4, -4, 3});
  CHECK(binary("mod", {7, -7, 7, 5}, {2, 2, -2, 0}) == V{1, 1, -1, 0});
  // The known answers of Philox 4x32-10 that lie at counters of two words.
  CHECK(binary("philox", {0, 0, -1, 5}, {0, 1, 0, -1})[0] == 0x6627E8D5);
  CHECK(binary("max", {1, -1, 5, 0}, {2, -2, 5, 0}) == V{2, -1, 5, 0});
}

TEST_CASE_FIXTURE(Harness, "narrow integers wrap at their width") {
  auto y = compute("%y = graph.add %a, %a : <<2:i8>>", "<<2:i8>>",
                   {{"<<2:i8>>", HostTensor::ofInts({2}, {100, -100}, fovea::sema::DType::I8)}});
  CHECK(y->ints == std::vector<int64_t>{-56, 56});
}

TEST_CASE_FIXTURE(Harness, "compare, select and logic") {
  auto compare = [&](const char *predicate) {
    std::string body = std::string("%y = graph.compare \"") + predicate + "\" %a, %b : <<4:f32>> -> <<4:i1>>";
    return compute(body, "<<4:i1>>",
                   {{"<<4:f32>>", reals({4}, {1, 2, NaN, 3})}, {"<<4:f32>>", reals({4}, {1, 3, 1, 2})}})
        ->ints;
  };
  using V = std::vector<int64_t>;
  CHECK(compare("eq") == V{1, 0, 0, 0});
  CHECK(compare("ne") == V{0, 1, 1, 1});
  CHECK(compare("lt") == V{0, 1, 0, 0});
  CHECK(compare("le") == V{1, 1, 0, 0});
  CHECK(compare("gt") == V{0, 0, 0, 1});
  CHECK(compare("ge") == V{1, 0, 0, 1});
  auto y = compute(
      "%y = graph.select %a, %b, %c : <<2:i1>>, <<2:f32>>", "<<2:f32>>",
      {{"<<2:i1>>", bools({2}, {1, 0})}, {"<<2:f32>>", reals({2}, {1, NaN})}, {"<<2:f32>>", reals({2}, {NaN, 4})}});
  CHECK(same(y->reals, {1, 4}));
  auto z = compute("%n = graph.not %a : <<2:i1>>\n%y = graph.or %n, %b : <<2:i1>>", "<<2:i1>>",
                   {{"<<2:i1>>", bools({2}, {1, 1})}, {"<<2:i1>>", bools({2}, {1, 0})}});
  CHECK(z->ints == V{1, 0});
}

TEST_CASE_FIXTURE(Harness, "casts") {
  using V = std::vector<int64_t>;
  auto toInt = compute("%y = graph.cast %a : <<6:f32>> -> <<6:i64>>", "<<6:i64>>",
                       {{"<<6:f32>>", reals({6}, {1.9, -1.9, NaN, infinity, -infinity, 0x1p62})}});
  CHECK(toInt->ints == V{1, -1, 0, INT64_MAX, INT64_MIN, int64_t(1) << 62});
  auto toByte =
      compute("%y = graph.cast %a : <<3:f32>> -> <<3:i8>>", "<<3:i8>>", {{"<<3:f32>>", reals({3}, {300, -300, 7})}});
  CHECK(toByte->ints == V{127, -128, 7});
  auto toBool =
      compute("%y = graph.cast %a : <<3:f32>> -> <<3:i1>>", "<<3:i1>>", {{"<<3:f32>>", reals({3}, {0, 0.5, NaN})}});
  CHECK(toBool->ints == V{0, 1, 1});
  auto fromBool =
      compute("%y = graph.cast %a : <<2:i1>> -> <<2:f32>>", "<<2:f32>>", {{"<<2:i1>>", bools({2}, {0, 1})}});
  CHECK(same(fromBool->reals, {0, 1}));
  auto narrow =
      compute("%y = graph.cast %a : <<2:i64>> -> <<2:i8>>", "<<2:i8>>", {{"<<2:i64>>", ints({2}, {257, -1})}});
  CHECK(narrow->ints == V{1, -1});
  auto unrounded = compute("%b = graph.cast %a : <<1:f32>> -> <<1:bf16>>\n%y = graph.cast %b : <<1:bf16>> -> <<1:f32>>",
                           "<<1:f32>>", {{"<<1:f32>>", reals({1}, {0.1})}});
  CHECK(unrounded->reals[0] == 0.1); // double all the way
}

TEST_CASE_FIXTURE(Harness, "contract") {
  HostTensor a = reals({2, 3}, {1, 2, 3, 4, 5, 6}), b = reals({3, 2}, {7, 8, 9, 10, 11, 12});
  auto product = compute("%y = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] : <<2,3:f32>>, <<3,2:f32>> -> <<2,2:f32>>",
                         "<<2,2:f32>>", {{"<<2,3:f32>>", a}, {"<<3,2:f32>>", b}});
  CHECK(same(product->reals, {58, 64, 139, 154}));
  auto transposed =
      compute("%y = graph.contract %a [0, 1], %b [1, 2] -> [2, 0] : <<2,3:f32>>, <<3,2:f32>> -> <<2,2:f32>>",
              "<<2,2:f32>>", {{"<<2,3:f32>>", a}, {"<<3,2:f32>>", b}});
  CHECK(same(transposed->reals, {58, 139, 64, 154}));
  auto batched = compute("%y = graph.contract %a [0, 1], %b [0, 1] -> [0] : <<2,3:f32>>, <<2,3:f32>> -> <<2:f32>>",
                         "<<2:f32>>", {{"<<2,3:f32>>", a}, {"<<2,3:f32>>", a}});
  CHECK(same(batched->reals, {14, 77}));
  auto twoSums = compute("%y = graph.contract %a [0, 1], %b [1, 0] -> [] : <<2,3:f32>>, <<3,2:f32>> -> <<:f32>>",
                         "<<:f32>>", {{"<<2,3:f32>>", a}, {"<<3,2:f32>>", b}});
  CHECK(same(twoSums->reals, {1 * 7 + 2 * 9 + 3 * 11 + 4 * 8 + 5 * 10 + 6 * 12}));
  auto outer = compute("%y = graph.contract %a [0], %b [1] -> [0, 1] : <<2:f32>>, <<2:f32>> -> <<2,2:f32>>",
                       "<<2,2:f32>>", {{"<<2:f32>>", reals({2}, {1, 2})}, {"<<2:f32>>", reals({2}, {3, 4})}});
  CHECK(same(outer->reals, {3, 4, 6, 8}));
  auto empty = compute("%y = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] : <<2,0:f32>>, <<0,2:f32>> -> <<2,2:f32>>",
                       "<<2,2:f32>>", {{"<<2,0:f32>>", reals({2, 0}, {})}, {"<<0,2:f32>>", reals({0, 2}, {})}});
  CHECK(same(empty->reals, {0, 0, 0, 0}));
  auto packed =
      compute("%p = graph.pack %b {panel = 4 : i64} : <<3,2:f32>> -> <<1,3,4:f32>>\n"
              "%y = graph.contract %a [0, 1], %p [1, 2] -> [0, 2] {packed} : <<2,3:f32>>, <<1,3,4:f32>> -> <<2,2:f32>>",
              "<<2,2:f32>>", {{"<<2,3:f32>>", a}, {"<<3,2:f32>>", b}});
  CHECK(same(packed->reals, {58, 64, 139, 154}));
  // Bytes, unsigned on the left, signed on the right.
  auto bytes = compute(
      "%l = graph.cast %a : <<2,2:i64>> -> <<2,2:i8>>\n%r = graph.cast %b : <<2,2:i64>> -> <<2,2:i8>>\n"
      "%p = graph.pack %r {panel = 4 : i64, k_block = 2 : i64} : <<2,2:i8>> -> <<1,1,8:i8>>\n"
      "%y = graph.contract %l [0, 1], %p [1, 2] -> [0, 2] {packed, k_block = 2 : i64} : <<2,2:i8>>, "
      "<<1,1,8:i8>> -> <<2,2:i32>>",
      "<<2,2:i32>>", {{"<<2,2:i64>>", ints({2, 2}, {255, 1, 0, 2})}, {"<<2,2:i64>>", ints({2, 2}, {-128, 127, 3, 5})}});
  CHECK(bytes->ints == std::vector<int64_t>{255 * -128 + 3, 255 * 127 + 5, 6, 10});
}

TEST_CASE_FIXTURE(Harness, "a product of an ordinary 0 and NaN is NaN") {
  auto y = compute("%y = graph.contract %a [0], %b [0] -> [] : <<2:f32>>, <<2:f32>> -> <<:f32>>", "<<:f32>>",
                   {{"<<2:f32>>", reals({2}, {0, 1})}, {"<<2:f32>>", reals({2}, {NaN, 1})}});
  CHECK(same(y->reals, {NaN}));
}

TEST_CASE_FIXTURE(Harness, "reduce") {
  HostTensor x = reals({2, 3}, {1, 2, 3, 4, NaN, 6});
  auto reduce = [&](const char *kind, const char *axes, const char *type) {
    std::string body = std::string("%y = graph.reduce \"") + kind + "\" %a " + axes + " : <<2,3:f32>> -> " + type;
    return compute(body, type, {{"<<2,3:f32>>", x}})->reals;
  };
  CHECK(same(reduce("sum", "[1]", "<<2:f32>>"), {6, NaN}));
  CHECK(same(reduce("sum", "[0]", "<<3:f32>>"), {5, NaN, 9}));
  CHECK(same(reduce("prod", "[1]", "<<2:f32>>"), {6, NaN}));
  CHECK(same(reduce("max", "[0]", "<<3:f32>>"), {4, NaN, 6}));
  CHECK(same(reduce("min", "[1]", "<<2:f32>>"), {1, NaN}));
  CHECK(same(reduce("max", "[0, 1]", "<<:f32>>"), {NaN}));
}

TEST_CASE_FIXTURE(Harness, "reductions over nothing") {
  auto reduce = [&](const char *kind) {
    std::string body = std::string("%y = graph.reduce \"") + kind + "\" %a [1] : <<2,0:f32>> -> <<2:f32>>";
    return compute(body, "<<2:f32>>", {{"<<2,0:f32>>", reals({2, 0}, {})}})->reals;
  };
  CHECK(same(reduce("sum"), {0, 0}));
  CHECK(same(reduce("prod"), {1, 1}));
  CHECK(same(reduce("max"), {-infinity, -infinity}));
  CHECK(same(reduce("min"), {infinity, infinity}));
  auto logic = [&](const char *kind) {
    std::string body = std::string("%y = graph.reduce \"") + kind + "\" %a [0] : <<0:i1>> -> <<:i1>>";
    return compute(body, "<<:i1>>", {{"<<0:i1>>", bools({0}, {})}})->ints[0];
  };
  CHECK(logic("any") == 0);
  CHECK(logic("all") == 1);
}

TEST_CASE_FIXTURE(Harness, "logic reductions and integer sums") {
  auto any = compute("%y = graph.reduce \"any\" %a [1] : <<2,2:i1>> -> <<2:i1>>", "<<2:i1>>",
                     {{"<<2,2:i1>>", bools({2, 2}, {0, 1, 0, 0})}});
  CHECK(any->ints == std::vector<int64_t>{1, 0});
  auto all = compute("%y = graph.reduce \"all\" %a [1] : <<2,2:i1>> -> <<2:i1>>", "<<2:i1>>",
                     {{"<<2,2:i1>>", bools({2, 2}, {1, 1, 0, 1})}});
  CHECK(all->ints == std::vector<int64_t>{1, 0});
  auto sum = compute("%y = graph.reduce \"sum\" %a [0] : <<3:i64>> -> <<:i64>>", "<<:i64>>",
                     {{"<<3:i64>>", ints({3}, {1, 2, 3})}});
  CHECK(sum->ints == std::vector<int64_t>{6});
}

TEST_CASE_FIXTURE(Harness, "argmax: the first maximum, NaN above all") {
  auto y = compute("%y = graph.argmax %a {axis = 1 : i64} : <<3,3:f32>> -> <<3:i64>>", "<<3:i64>>",
                   {{"<<3,3:f32>>", reals({3, 3}, {1, 5, 5, 9, NaN, NaN, -infinity, -infinity, -infinity})}});
  CHECK(y->ints == std::vector<int64_t>{1, 1, 0});
  auto z = compute("%y = graph.argmax %a {axis = 0 : i64} : <<2,2:i64>> -> <<2:i64>>", "<<2:i64>>",
                   {{"<<2,2:i64>>", ints({2, 2}, {1, 5, 3, 4})}});
  CHECK(z->ints == std::vector<int64_t>{1, 0});
  compute("%y = graph.argmax %a {axis = 1 : i64} : <<2,0:f32>> -> <<2:i64>>", "<<2:i64>>",
          {{"<<2,0:f32>>", reals({2, 0}, {})}});
  CHECK(error.find("argmax over an axis of size 0") != std::string::npos);
}

TEST_CASE_FIXTURE(Harness, "top_k: descending, NaN first, of equal ones the first") {
  std::string reals34 = "<<2,4:f32>> -> <<2,3:f32>>, <<2,3:i64>>";
  auto x = reals({2, 4}, {1, 5, NaN, 5, -infinity, 2, -infinity, 7});
  auto values = compute("%y, %i = graph.top_k %a : " + reals34, "<<2,3:f32>>", {{"<<2,4:f32>>", x}});
  CHECK(std::isnan(values->reals[0]));
  CHECK(std::vector<double>(values->reals.begin() + 1, values->reals.end()) ==
        std::vector<double>{5, 5, 7, 2, -infinity});
  auto places = compute("%v, %y = graph.top_k %a : " + reals34, "<<2,3:i64>>", {{"<<2,4:f32>>", x}});
  CHECK(places->ints == std::vector<int64_t>{2, 1, 3, 3, 1, 0});
  auto whole = compute("%v, %y = graph.top_k %a : <<4:i64>> -> <<4:i64>>, <<4:i64>>", "<<4:i64>>",
                       {{"<<4:i64>>", ints({4}, {3, 9, 3, -1})}});
  CHECK(whole->ints == std::vector<int64_t>{1, 0, 2, 3});
  auto none = compute("%v, %y = graph.top_k %a : <<2:f32>> -> <<0:f32>>, <<0:i64>>", "<<0:i64>>",
                      {{"<<2:f32>>", reals({2}, {1, 2})}});
  CHECK(none->ints.empty());
  compute("%y, %i = graph.top_k %a : <<2:f32>> -> <<3:f32>>, <<3:i64>>", "<<3:f32>>",
          {{"<<2:f32>>", reals({2}, {1, 2})}});
  CHECK(error.find("top_k of 3 along an axis of size 2") != std::string::npos);
}

TEST_CASE_FIXTURE(Harness, "softmax by the contract") {
  auto softmax = [&](std::vector<double> x) {
    return compute("%y = graph.softmax %a {axis = 0 : i64} : <<3:f32>>", "<<3:f32>>", {{"<<3:f32>>", reals({3}, x)}})
        ->reals;
  };
  CHECK(same(softmax({0, 0, 0}), {1. / 3, 1. / 3, 1. / 3}));
  CHECK(same(softmax({1000, 1000, -infinity}), {0.5, 0.5, 0}));
  CHECK(same(softmax({-infinity, -infinity, -infinity}), {0, 0, 0}));
  CHECK(same(softmax({-1e30, -1e30, -1e30}), {1. / 3, 1. / 3, 1. / 3})); // finite: an addend like any other
  CHECK(same(softmax({NaN, 0, 1}), {NaN, NaN, NaN}));
  CHECK(same(softmax({infinity, 0, 1}), {NaN, NaN, NaN})); // inf - inf
  auto columns = compute("%y = graph.softmax %a {axis = 0 : i64} : <<2,2:f32>>", "<<2,2:f32>>",
                         {{"<<2,2:f32>>", reals({2, 2}, {0, 5, 0, 5})}});
  CHECK(same(columns->reals, {0.5, 0.5, 0.5, 0.5}));
}
