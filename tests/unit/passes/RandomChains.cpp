#include "RandomChains.h"

#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::test;

static constexpr double infinity = std::numeric_limits<double>::infinity();

namespace {

/// A softmax over `s` in one of many spellings.
struct Weights {
  Tensor weights; ///< null where the normalisation comes after the values
  Tensor numerator, denominator;
};

/// Conditions over some axes of x, the keys among them.
Tensor condition(ChainWriter &w, const Tensor &x) {
  if (x.labels().find('t') != std::string::npos && w.maybe(50))
    return w.compare("ge", w.iota('t'), w.iota('s'));
  return w.argument(x.labels().find('b') == std::string::npos ? "s" : "bs", w.builder.getI1Type());
}

/// Exponentials that a mask multiplies or chooses; the maximum is over all keys or over those seen.
Weights maskedSoftmax(ChainWriter &w, Tensor x) {
  Tensor seen = condition(w, x);
  Tensor all = w.maybe(50) ? x : w.select(seen, x, w.constant(-infinity));
  Tensor m = w.reduce("max", all, "s");
  if (w.maybe(50))
    m = w.select(w.compare("eq", m, w.constant(-infinity)), w.constant(0), m);
  Tensor e = w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, m));
  e = w.maybe(50) ? w.binary<graph::MulOp>(e, w.cast(seen, w.builder.getF32Type())) : w.select(seen, e, w.constant(0));
  Tensor z = w.reduce("sum", e, "s");
  if (w.maybe(30))
    return {{}, e, w.select(w.compare("eq", z, w.constant(0)), w.constant(1), z)};
  return {w.binary<graph::DivOp>(e, z), {}, {}};
}

/// Weights of which a mask leaves some, divided by their sum once more.
Weights renormalised(ChainWriter &w, Tensor x) {
  Tensor seen = condition(w, x), weights;
  if (w.maybe(50)) {
    weights = w.softmaxOp(x, 's');
  } else {
    Tensor e = w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, w.reduce("max", x, "s")));
    weights = w.binary<graph::DivOp>(e, w.reduce("sum", e, "s"));
  }
  weights = w.maybe(50) ? w.binary<graph::MulOp>(w.cast(seen, w.builder.getF32Type()), weights)
                        : w.select(seen, weights, w.constant(0));
  Tensor z = w.reduce("sum", weights, "s");
  if (w.maybe(30))
    return {{}, weights, z};
  return {w.binary<graph::DivOp>(weights, z), {}, {}};
}

/// A logit of some axes of x beside the scores: concatenated and dropped, or by hand.
Weights softmaxWithSink(ChainWriter &w, Tensor x) {
  std::string labels;
  for (char label : x.labels())
    if (label != 's' && (label != 't' || w.maybe(30)) && w.maybe(60))
      labels += label;
  bool isZero = w.maybe(30);
  Tensor sink = isZero ? w.constant(0) : w.argument(labels);
  if (w.maybe(40)) {
    bool isFirst = w.maybe(50);
    Tensor all = w.withLogit(x, sink, isFirst), weights;
    if (w.maybe(50)) {
      weights = w.softmaxOp(all, 'x');
    } else {
      Tensor e = w.unary<graph::ExpOp>(w.binary<graph::SubOp>(all, w.reduce("max", all, "x")));
      weights = w.binary<graph::DivOp>(e, w.reduce("sum", e, "x"));
    }
    return {w.withoutLogit(weights, isFirst), {}, {}};
  }
  Tensor e, share;
  if (w.maybe(30)) { // without a maximum
    e = w.unary<graph::ExpOp>(x);
    share = isZero && w.maybe(50) ? w.constant(1) : w.unary<graph::ExpOp>(sink);
  } else {
    Tensor m = w.reduce("max", x, "s");
    if (w.maybe(50))
      m = w.binary<graph::MaxOp>(m, sink);
    if (w.maybe(50))
      m = w.select(w.compare("eq", m, w.constant(-infinity)), w.constant(0), m);
    e = w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, m));
    share = w.unary<graph::ExpOp>(isZero && w.maybe(50) ? w.unary<graph::NegOp>(m) : w.binary<graph::SubOp>(sink, m));
  }
  Tensor z = w.binary<graph::AddOp>(w.reduce("sum", e, "s"), share);
  if (w.maybe(30))
    return {{}, e, z};
  return {w.binary<graph::DivOp>(e, z), {}, {}};
}

Weights softmax(ChainWriter &w, Tensor x, bool mayMove) {
  unsigned spelling = w.pick(mayMove ? 14 : 8);
  if (spelling > 10)
    return spelling == 13 ? renormalised(w, x) : softmaxWithSink(w, x);
  if (spelling == 0)
    return {w.softmaxOp(x, 's'), {}, {}};
  if (spelling == 9)
    return maskedSoftmax(w, x);
  if (spelling == 10) { // powers of 2 or 10
    Tensor base = w.constant(w.maybe(70) ? 2 : 10);
    Tensor y = w.binary<graph::MulOp>(x, w.constant(1.4426950408889634));
    Tensor e = w.binary<graph::PowOp>(base, w.binary<graph::SubOp>(y, w.reduce("max", y, "s")));
    return {w.binary<graph::DivOp>(e, w.reduce("sum", e, "s")), {}, {}};
  }
  Tensor m;
  if (spelling != 1) {
    m = w.reduce("max", x, "s");
    if (w.maybe(50)) { // where(m == -inf, 0, m)
      Tensor isEmpty =
          w.maybe(70) ? w.compare("eq", m, w.constant(-infinity)) : w.compare("eq", w.constant(-infinity), m);
      m = w.select(isEmpty, w.constant(0), m);
    }
  }
  Tensor shifted = spelling == 1 ? x
                   : w.maybe(70) ? w.binary<graph::SubOp>(x, m)
                                 : w.binary<graph::AddOp>(w.unary<graph::NegOp>(m), x);
  Tensor e = w.unary<graph::ExpOp>(shifted);
  Tensor z = w.reduce("sum", e, "s");
  switch (spelling) {
  case 2: // times the reciprocal
    return {w.binary<graph::MulOp>(e, w.binary<graph::DivOp>(w.constant(1), z)), {}, {}};
  case 3: // where(z == 0, 0, e / z)
    return {w.select(w.compare("eq", z, w.constant(0)), w.constant(0), w.binary<graph::DivOp>(e, z)), {}, {}};
  case 4: // e / where(z == 0, 1, z)
    return {w.binary<graph::DivOp>(e, w.select(w.compare("ne", z, w.constant(0)), z, w.constant(1))), {}, {}};
  case 5: // exp(x - m - log z)
    return {w.unary<graph::ExpOp>(w.binary<graph::SubOp>(shifted, w.unary<graph::LogOp>(z))), {}, {}};
  case 6: { // exp(x - (m + log z))
    Tensor lse = w.binary<graph::AddOp>(m, w.unary<graph::LogOp>(z));
    return {w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, lse)), {}, {}};
  }
  case 8:
    return {{}, e, z};
  default:
    return {w.binary<graph::DivOp>(e, z), {}, {}};
  }
}

/// A further product of queries and keys, scaled or not, added to the scores or taken from them.
Tensor withProduct(ChainWriter &w, Tensor s) {
  std::string query = "c", key = "sc";
  for (char label : s.labels()) {
    if (label == 't' || (label != 's' && w.maybe(60)))
      query += label;
    if (label != 't' && label != 's' && w.maybe(60))
      key += label;
  }
  Tensor product = w.contract(w.argument(query), w.argument(key), "c");
  if (w.maybe(40))
    product = w.binary<graph::MulOp>(product, w.maybe(50) ? w.constant(0.5) : w.argument(w.maybe(50) ? "" : "s"));
  if (w.maybe(20))
    product = w.binary<graph::AddOp>(w.argument("s"), product);
  if (w.maybe(20))
    return w.maybe(70) ? w.binary<graph::SubOp>(s, product) : w.binary<graph::SubOp>(product, s);
  return w.maybe(50) ? w.binary<graph::AddOp>(s, product) : w.binary<graph::AddOp>(product, s);
}

/// One step of the score chain.
Tensor step(ChainWriter &w, Tensor s) {
  switch (w.pick(14)) {
  case 0:
    return w.binary<graph::MulOp>(s, w.constant(0.5));
  case 13:
    return withProduct(w, s);
  case 1:
    return w.binary<graph::DivOp>(s, w.rootOf('d'));
  case 2: // softcap
    return w.binary<graph::MulOp>(w.constant(30), w.unary<graph::TanhOp>(w.binary<graph::DivOp>(s, w.constant(30))));
  case 3: { // a bias over some of the axes
    std::string labels;
    for (char label : s.labels())
      if (w.maybe(60))
        labels += label;
    return w.binary<graph::AddOp>(s, w.argument(labels));
  }
  case 4: { // ALiBi
    Tensor gap =
        w.binary<graph::SubOp>(w.iota('s'), s.labels().find('t') == std::string::npos ? w.iota('s') : w.iota('t'));
    Tensor slope = w.argument(s.labels().find('h') == std::string::npos ? "" : "h");
    return w.binary<graph::SubOp>(s, w.binary<graph::MulOp>(slope, w.cast(gap, w.builder.getF32Type())));
  }
  case 5: { // a mask by indices
    Tensor query = s.labels().find('t') == std::string::npos ? w.iota('s') : w.iota('t');
    return w.maybe(50) ? w.select(w.compare("ge", query, w.iota('s')), s, w.constant(-infinity))
                       : w.select(w.compare("lt", query, w.iota('s')), w.constant(-infinity), s);
  }
  case 6: // a mask from a tensor
    return w.select(w.argument(s.labels().find('b') == std::string::npos ? "s" : "bs", w.builder.getI1Type()), s,
                    w.constant(w.maybe(70) ? -infinity : -300)); // doubles do not underflow
  case 11: { // a mask that is added: where(m, 0, -inf), the same turned round, log(m)
    Tensor seen = condition(w, s), zero = w.constant(0), hidden = w.constant(-infinity);
    unsigned spelling = w.pick(3);
    Tensor addend = spelling == 0   ? w.select(seen, zero, hidden)
                    : spelling == 1 ? w.select(w.unary<graph::NotOp>(seen), hidden, zero)
                                    : w.unary<graph::LogOp>(w.cast(seen, w.builder.getF32Type()));
    if (w.maybe(30))
      addend = w.binary<graph::AddOp>(addend, w.select(condition(w, s), zero, hidden));
    return w.maybe(50) ? w.binary<graph::AddOp>(s, addend) : w.binary<graph::AddOp>(addend, s);
  }
  case 7: // an elementwise function that reads the scores twice
    return w.binary<graph::MulOp>(s, w.unary<graph::SigmoidOp>(w.shuffled(s)));
  case 8: { // a bias read backwards, or from an offset
    Tensor bias = w.argument("s");
    return w.binary<graph::AddOp>(s, w.maybe(50) ? w.reversed(bias, 's') : w.sliced(bias, 's'));
  }
  case 9: { // a table by clipped distance
    Tensor query = s.labels().find('t') == std::string::npos ? w.integer(1) : w.iota('t');
    return w.binary<graph::AddOp>(s, w.gathered(w.argument("h"), w.binary<graph::SubOp>(query, w.iota('s'))));
  }
  default:
    return w.shuffled(s);
  }
}

struct Chain {
  std::string q, k, v, batch;
};

/// Labels of q, k and v: self and cross attention, heads, shared and grouped heads, one query.
Chain randomChain(ChainWriter &w) {
  std::string batch = w.maybe(80) ? "b" : "", query = w.maybe(90) ? "t" : "";
  switch (w.pick(5)) {
  case 0:
    return {batch + query + "d", batch + "sd", batch + "se", batch};
  case 1: // keys and values shared by heads
    return {batch + "h" + query + "d", batch + "sd", batch + "se", batch};
  case 2: // grouped
    return {batch + "hr" + query + "d", batch + "hsd", batch + "hse", batch};
  case 3: // keys shared by the batch
    return {batch + "h" + query + "d", "hsd", batch + "hse", batch};
  default:
    return {batch + "h" + query + "d", batch + "hsd", batch + "hse", batch};
  }
}

/// More features behind those of queries or keys; batches may share them.
Tensor withFeatures(ChainWriter &w, Tensor x) {
  std::string labels = "c";
  for (char label : x.labels())
    if (label == 't' || label == 's' || (label != 'd' && w.maybe(60)))
      labels += label;
  return w.withFeatures(x, w.argument(labels));
}

} // namespace

OwningOpRef<ModuleOp> fovea::test::attention(MLIRContext &context, unsigned seed, unsigned narrowPercent) {
  ChainWriter w(context, seed);
  w.narrowPercent = narrowPercent;
  Chain chain = randomChain(w);
  Tensor q = w.argument(chain.q), k = w.argument(chain.k), v = w.argument(chain.v);
  std::string inner = "d";
  if (w.maybe(15)) {
    inner = "g";
    q = withFeatures(w, q), k = withFeatures(w, k);
  }
  if (w.maybe(30))
    q = w.binary<graph::MulOp>(q, w.constant(0.25));
  if (w.maybe(20))
    k = w.binary<graph::DivOp>(k, w.rootOf('d'));
  Tensor s = w.contract(q, k, inner);
  for (unsigned steps = w.pick(4); steps > 0; --steps)
    s = step(w, s);
  Weights p = softmax(w, w.shuffled(s), true);
  Tensor y;
  if (p.weights.value) {
    Tensor weights = w.shuffled(p.weights);
    if (w.maybe(15)) // scaled weights, by a number or by one of each query
      weights = w.maybe(50) ? w.binary<graph::MulOp>(weights, w.constant(0.75))
                            : w.binary<graph::DivOp>(weights, w.rootOf('d'));
    if (w.maybe(10) && chain.batch == "b")
      weights = w.binary<graph::MulOp>(w.argument("b"), weights);
    y = w.contract(w.shuffled(weights), v, "s");
  } else {
    Tensor sum = w.shuffled(w.contract(w.shuffled(p.numerator), v, "s"));
    y = w.maybe(50) ? w.binary<graph::DivOp>(sum, p.denominator)
                    : w.binary<graph::MulOp>(sum, w.binary<graph::DivOp>(w.constant(1), p.denominator));
  }
  return w.finish({w.shuffled(y)});
}

OwningOpRef<ModuleOp> fovea::test::pointwise(MLIRContext &context, unsigned seed) {
  ChainWriter w(context, seed);
  Chain chain;
  do
    chain = randomChain(w);
  while (chain.q.find('t') == std::string::npos);
  Tensor q = w.argument(chain.q), k = w.argument(chain.k), v = w.argument(chain.v);
  Tensor s = w.contract(q, k, "d");
  for (unsigned steps = w.pick(3); steps > 0; --steps)
    s = step(w, s);
  constexpr double hidden[] = {-infinity, 0, -1000, 2};
  if (w.maybe(50))
    s = w.select(condition(w, s), s, w.constant(hidden[w.pick(4)]));
  switch (w.pick(8)) {
  case 0:
    s = w.unary<graph::SigmoidOp>(s);
    break;
  case 1:
    s = w.binary<graph::MaxOp>(w.constant(0), s);
    break;
  case 2: // squared
    s = w.binary<graph::MaxOp>(s, w.constant(0));
    s = w.maybe(50) ? w.binary<graph::MulOp>(s, s) : w.binary<graph::PowOp>(s, w.constant(2));
    break;
  case 3:
    s = w.unary<graph::TanhOp>(s);
    break;
  case 4: // NaN where -inf
    s = w.binary<graph::MulOp>(s, w.unary<graph::SigmoidOp>(s));
    break;
  case 5:
    s = w.binary<graph::MulOp>(s, s);
    break;
  case 6: // 1 where 0
    s = w.unary<graph::CosOp>(s);
    break;
  default:
    s = w.unary<graph::ExpOp>(w.binary<graph::MinOp>(s, w.constant(3)));
  }
  if (w.maybe(30))
    s = w.binary<graph::DivOp>(s, w.binary<graph::MulOp>(w.rootOf('s'), w.rootOf('s')));
  switch (w.pick(4)) {
  case 0:
    s = w.select(condition(w, s), s, w.constant(w.maybe(70) ? 0 : 2));
    break;
  case 1:
    s = w.binary<graph::MulOp>(w.cast(condition(w, s), w.builder.getF32Type()), s);
    break;
  case 2: // decay
    s = w.binary<graph::MulOp>(s, w.select(condition(w, s), w.argument("s"), w.constant(0)));
  }
  return w.finish({w.shuffled(w.contract(w.shuffled(s), v, "s"))});
}

namespace {

/// log(z), with a guard for its gradient or without.
Tensor logarithm(ChainWriter &w, Tensor z) {
  if (w.maybe(50))
    return w.unary<graph::LogOp>(z);
  Tensor isZero = w.compare("eq", z, w.constant(0));
  return w.select(isZero, w.constant(-infinity), w.unary<graph::LogOp>(w.select(isZero, w.constant(1), z)));
}

/// log(sum(exp(x))), plainly or by way of the maximum.
Tensor logSum(ChainWriter &w, Tensor x) {
  if (w.maybe(30))
    return logarithm(w, w.reduce("sum", w.unary<graph::ExpOp>(x), "s"));
  Tensor m = w.reduce("max", x, "s"), shift = m;
  if (w.maybe(50))
    shift = w.select(w.compare("eq", m, w.constant(-infinity)), w.constant(0), m);
  Tensor z = w.reduce("sum", w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, shift)), "s");
  return w.binary<graph::AddOp>(logarithm(w, z), w.maybe(50) ? m : shift);
}

} // namespace

OwningOpRef<ModuleOp> fovea::test::shared(MLIRContext &context, unsigned kind, unsigned seed) {
  ChainWriter w(context, seed);
  Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
  Tensor s = w.shuffled(w.contract(q, k, "d"));
  if (w.maybe(50))
    s = w.select(condition(w, s), s, w.constant(-infinity));
  Tensor weights;
  do
    weights = kind == 5 || w.maybe(50) ? softmax(w, s, false).weights : softmaxWithSink(w, s).weights;
  while (!weights.value);
  Tensor y = w.contract(w.shuffled(weights), v, "s");
  switch (kind) {
  case 5:
    return w.finish({y, w.shuffled(logSum(w, s))});
  case 0:
    return w.finish({y, weights});
  case 1:
    return w.finish({y, s});
  case 2: // over the heads
    return w.finish({y, w.reduce("sum", weights, "h")});
  case 3: // of each query
    return w.finish({y, w.reduce("max", weights, "s")});
  default: // other values
    return w.finish({y, w.contract(weights, w.argument("bhse"), "s")});
  }
}

OwningOpRef<ModuleOp> fovea::test::changed(MLIRContext &context, unsigned seed) {
  ChainWriter w(context, seed);
  Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
  Tensor s = w.shuffled(w.contract(q, k, "d"));
  if (w.maybe(50))
    s = w.select(condition(w, s), s, w.constant(-infinity));
  Tensor weights = w.maybe(30) ? w.softmaxOp(s, 't') : w.unary<graph::SqrtOp>(softmax(w, s, false).weights);
  if (w.maybe(30))
    weights = w.binary<graph::MulOp>(w.shuffled(weights), w.argument("ts"));
  return w.finish({w.contract(w.shuffled(weights), v, "s")});
}

OwningOpRef<ModuleOp> fovea::test::factored(MLIRContext &context, unsigned seed) {
  ChainWriter w(context, seed);
  Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
  Tensor s = w.shuffled(w.contract(q, k, "d"));
  if (w.maybe(50))
    s = w.select(condition(w, s), s, w.constant(-infinity));
  Tensor weights;
  do
    weights = w.maybe(50) ? softmax(w, s, false).weights : softmaxWithSink(w, s).weights;
  while (!weights.value);
  for (unsigned steps = 1 + w.pick(2); steps > 0; --steps) {
    if (w.maybe(50))
      weights = w.shuffled(weights);
    switch (w.pick(5)) {
    case 0:
      weights = w.select(condition(w, weights), weights, w.constant(0));
      break;
    case 1:
      weights = w.binary<graph::MulOp>(weights, w.argument("ts"));
      break;
    case 2:
      weights = w.binary<graph::DivOp>(weights, w.rootOf('s'));
      break;
    case 3:
      weights = w.binary<graph::MulOp>(w.argument("bs"), w.unary<graph::NegOp>(weights));
      break;
    default: // of the scores' own
      weights = w.binary<graph::MulOp>(weights, w.unary<graph::SigmoidOp>(w.contract(q, k, "d")));
    }
  }
  weights = w.binary<graph::MulOp>(weights, w.argument("hs"));
  return w.finish({w.contract(w.shuffled(weights), v, "s")});
}

OwningOpRef<ModuleOp> fovea::test::mixture(MLIRContext &context, unsigned seed, unsigned count) {
  ChainWriter w(context, seed);
  Tensor v = w.argument("bhse"), total;
  for (unsigned i = 0; i < count; ++i) {
    Tensor s = w.contract(w.argument("bhtd"), w.argument("bhsd"), "d"),
           weights = softmax(w, w.shuffled(s), false).weights;
    if (w.maybe(40))
      weights = w.binary<graph::MulOp>(w.argument(w.maybe(50) ? "h" : ""), weights);
    if (w.maybe(20))
      weights = w.unary<graph::NegOp>(weights);
    if (!total.value)
      total = weights;
    else
      total = w.maybe(50) ? w.binary<graph::SubOp>(total, weights) : w.binary<graph::AddOp>(weights, total);
    if (w.maybe(20))
      total = w.binary<graph::DivOp>(total, w.constant(3));
  }
  return w.finish({w.shuffled(w.contract(w.shuffled(total), v, "s"))});
}

OwningOpRef<ModuleOp> fovea::test::summed(MLIRContext &context, bool isChanged, unsigned seed) {
  ChainWriter w(context, seed);
  Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
  Tensor weights = w.softmaxOp(w.shuffled(w.contract(q, k, "d")), 's');
  if (isChanged)
    weights = w.binary<graph::MulOp>(weights, w.argument("bs"));
  return w.finish({w.contract(weights, v, w.maybe(50) ? "sb" : "sh")});
}

OwningOpRef<ModuleOp> fovea::test::nearMiss(MLIRContext &context, unsigned kind, unsigned seed) {
  ChainWriter w(context, seed);
  Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
  Tensor s = w.shuffled(w.contract(q, k, "d"));
  auto exponential = [&](Tensor x, std::string axis) {
    return w.unary<graph::ExpOp>(w.binary<graph::SubOp>(x, w.reduce("max", x, axis)));
  };
  auto apply = [&](Tensor weights) { return w.finish({w.contract(w.shuffled(weights), v, "s")}); };
  Tensor e = exponential(s, "s"), z = w.reduce("sum", e, "s");
  switch (kind) {
  case 0: // the sum over another axis
    return apply(w.binary<graph::DivOp>(e, w.reduce("sum", e, "t")));
  case 1: // no sum
    return apply(e);
  case 2: // one more in the denominator
    return apply(w.binary<graph::DivOp>(e, w.binary<graph::AddOp>(z, w.constant(1))));
  case 3: // the sum of other exponentials
    return apply(w.binary<graph::DivOp>(e, w.reduce("sum", exponential(w.binary<graph::MulOp>(s, s), "s"), "s")));
  case 4: // the sum of squares
    return apply(w.binary<graph::DivOp>(e, w.reduce("sum", w.binary<graph::MulOp>(e, e), "s")));
  case 5: // over all keys and queries
    return apply(w.binary<graph::DivOp>(e, w.reduce("sum", e, "st")));
  case 6: // softmax over queries and keys
    return apply(w.binary<graph::DivOp>(exponential(s, "st"), w.reduce("sum", exponential(s, "st"), "st")));
  case 7: // softmax over the heads
    return apply(w.softmaxOp(s, 'h'));
  case 8: // a share of the sum that the maximum is not taken from
    return apply(w.binary<graph::DivOp>(e, w.binary<graph::AddOp>(z, w.unary<graph::ExpOp>(w.argument("h")))));
  case 9: { // a share from which it is taken twice
    Tensor m = w.reduce("max", s, "s"), twice = w.binary<graph::AddOp>(m, m);
    Tensor share = w.unary<graph::ExpOp>(w.binary<graph::SubOp>(w.argument("h"), twice));
    return apply(w.binary<graph::DivOp>(e, w.binary<graph::AddOp>(z, share)));
  }
  case 10: { // scores normalised over the keys first
    Tensor centred = w.binary<graph::SubOp>(s, w.reduce("sum", s, "s"));
    return apply(w.softmaxOp(centred, 's'));
  }
  case 11: // the maximum over another axis does not drop out
    return apply(w.binary<graph::DivOp>(exponential(s, "h"), w.reduce("sum", exponential(s, "h"), "s")));
  case 12: { // a mask in the numerator alone
    Tensor seen = w.argument("bs", w.builder.getI1Type());
    return apply(w.binary<graph::DivOp>(w.select(seen, e, w.constant(0)), z));
  }
  case 13: { // another mask in the denominator
    Tensor one = w.argument("bs", w.builder.getI1Type()), other = w.argument("bs", w.builder.getI1Type());
    return apply(w.binary<graph::DivOp>(w.select(one, e, w.constant(0)),
                                        w.reduce("sum", w.select(other, e, w.constant(0)), "s")));
  }
  case 14: { // powers of another base
    auto power = [&](double base) { return w.binary<graph::PowOp>(w.constant(base), s); };
    return apply(w.binary<graph::DivOp>(power(2), w.reduce("sum", power(3), "s")));
  }
  case 15: { // exponentials that any number multiplies
    Tensor scaled = w.binary<graph::MulOp>(e, w.argument("bs"));
    return apply(w.binary<graph::DivOp>(scaled, w.reduce("sum", scaled, "s")));
  }
  case shareOfAnotherBase: {
    auto power = [&](double base, Tensor x) { return w.binary<graph::PowOp>(w.constant(base), x); };
    Tensor e2 = power(2, s), share = power(3, w.argument("h"));
    return apply(w.binary<graph::DivOp>(e2, w.binary<graph::AddOp>(w.reduce("sum", e2, "s"), share)));
  }
  case 17: { // a key is left out, not the logit
    Tensor all = w.withLogit(s, w.argument("h"), false);
    return apply(w.withoutLogit(w.softmaxOp(all, 'x'), true));
  }
  default: // exp(x - log(sum)) of another sum
    return apply(w.unary<graph::ExpOp>(
        w.binary<graph::SubOp>(s, w.unary<graph::LogOp>(w.reduce("sum", w.unary<graph::ExpOp>(s), "h")))));
  }
}
