// Every rule beside central differences, both in double precision.
#include "compiler/autodiff/Passes.h"
#include "tests/unit/interpret/Harness.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

#include <random>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;

namespace {

/// A value computed from inputs of numbers between `low` and `high`: a body that ends with %y.
struct Case {
  const char *name;
  std::vector<const char *> inputs; // sizes: "2, T"; T is 3, S is 4
  const char *body;
  const char *type; // of %y
  double low = -2, high = 2;
};

/// The sum of squares of %y in `@main`, and its gradients as outputs in `@grad`.
std::string source(const Case &c) {
  std::string arguments, names, types;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    std::string comma = i ? ", " : "", name(1, char('a' + i)), type = "<<" + std::string(c.inputs[i]) + ":f32>>";
    arguments += comma + "%" + name + ": " + type + " {graph.input = \"" + name + "\"}";
    names += comma + "%" + name;
    types += comma + type;
  }
  std::string type = c.type;
  size_t axes = type.empty() ? 0 : 1 + std::count(type.begin(), type.end(), ',');
  std::string all;
  for (size_t i = 0; i < axes; ++i)
    all += (i ? ", " : "") + std::to_string(i);
  std::string body = std::string(c.body) + "\n%square = graph.mul %y, %y : <<" + type +
                     ":f32>>\n%loss = graph.reduce \"sum\" %square [" + all + "] : <<" + type + ":f32>> -> <<:f32>>\n";
  std::string results;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    results +=
        (i ? ", " : "") + ("<<" + std::string(c.inputs[i]) + ":f32>> {graph.output = \"") + char('a' + i) + "\"}";
  std::string gradients = c.inputs.size() == 1 ? "%grad" : "%grad:" + std::to_string(c.inputs.size()), returned;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    returned += (i ? ", " : "") + (c.inputs.size() == 1 ? std::string("%grad") : "%grad#" + std::to_string(i));
  std::string symbols;
  for (const char *symbol : {"T", "S"})
    if (arguments.find(symbol) != std::string::npos)
      symbols += (symbols.empty() ? "" : ", ") + std::string(symbol);
  symbols = symbols.empty() ? "" : "<[" + symbols + "]>";
  return "graph.func @main" + symbols + "(" + arguments +
         ") -> (<<:f32>> {graph.output = \"loss\"}) attributes {entry} {\n" + body +
         "graph.return %loss : <<:f32>>\n}\ngraph.func @grad" + symbols + "(" + arguments + ") -> (" + results +
         ") attributes {entry} {\n" + body + gradients + " = graph.grad %loss wrt(" + names + ") : (<<:f32>>, " +
         types + ") -> (" + types + ")\ngraph.return " + returned + " : " + types + "\n}\n";
}

struct Fixture : Harness {
  OwningOpRef<ModuleOp> differentiate(const std::string &text) {
    auto module = parseSourceString<ModuleOp>(expand(text), &context);
    REQUIRE_MESSAGE(module, message << expand(text));
    PassManager passes(&context);
    passes.addPass(createDifferentiate());
    if (failed(passes.run(*module)))
      return {};
    return module;
  }
  static HostTensor random(const Case &c, const char *sizes, std::mt19937 &generator) {
    std::vector<int64_t> shape;
    int64_t count = 1;
    for (llvm::StringRef rest = sizes; !rest.empty();) {
      auto [size, tail] = rest.split(',');
      size = size.trim();
      int64_t n = 0;
      if (size == "T" || size == "S")
        n = size == "T" ? 3 : 4;
      else
        size.getAsInteger(10, n);
      shape.push_back(n);
      count *= n;
      rest = tail;
    }
    std::uniform_real_distribution<double> numbers(c.low, c.high);
    std::vector<double> values(count);
    for (double &x : values)
      x = numbers(generator);
    return HostTensor::ofReals(shape, values);
  }
  Results runEntry(ModuleOp module, llvm::StringRef entry, const Arguments &arguments) {
    llvm::Expected<Results> results = Interpreter(module).run(entry, arguments);
    error = results ? "" : llvm::toString(results.takeError());
    REQUIRE_MESSAGE(error.empty(), error);
    return error.empty() ? *results : Results();
  }

  void check(const Case &c) {
    CAPTURE(c.name);
    OwningOpRef<ModuleOp> module = differentiate(source(c));
    REQUIRE_MESSAGE(module, message);
    if (!module)
      return;
    std::mt19937 generator(7);
    Arguments arguments;
    for (size_t i = 0; i < c.inputs.size(); ++i)
      arguments.inputs[std::string(1, char('a' + i))] = std::make_shared<HostTensor>(random(c, c.inputs[i], generator));
    Results gradients = runEntry(*module, "grad", arguments);
    for (auto &[name, gradient] : gradients.outputs) {
      TensorRef original = arguments.inputs[name];
      for (int64_t i = 0; i < original->count(); ++i) {
        auto lossAt = [&](double step) {
          auto moved = std::make_shared<HostTensor>(*original);
          moved->reals[i] += step;
          Arguments changed = arguments;
          changed.inputs[name] = moved;
          return runEntry(*module, "main", changed).outputs["loss"]->reals[0];
        };
        // Central differences of two steps: an error of the fourth order.
        constexpr double h = 1e-3;
        double slope = (8 * (lossAt(h) - lossAt(-h)) - (lossAt(2 * h) - lossAt(-2 * h))) / (12 * h);
        INFO("gradient by " << name << " at " << i);
        CHECK(gradient->reals[i] == doctest::Approx(slope).epsilon(1e-6).scale(1e-2));
      }
    }
  }
};

#define UNARY(op) "%y = graph." op " %a : <<2, T:f32>>"
#define BINARY(op) "%y = graph." op " %a, %b : <<2, T:f32>>"

const Case cases[] = {
    {"neg", {"2, T"}, UNARY("neg"), "2, T"},
    {"abs", {"2, T"}, UNARY("abs"), "2, T"},
    {"exp", {"2, T"}, UNARY("exp"), "2, T"},
    {"log", {"2, T"}, UNARY("log"), "2, T", 0.5, 2},
    {"sqrt", {"2, T"}, UNARY("sqrt"), "2, T", 0.5, 2},
    {"rsqrt", {"2, T"}, UNARY("rsqrt"), "2, T", 0.5, 2},
    {"tanh", {"2, T"}, UNARY("tanh"), "2, T"},
    {"erf", {"2, T"}, UNARY("erf"), "2, T"},
    {"sin", {"2, T"}, UNARY("sin"), "2, T"},
    {"cos", {"2, T"}, UNARY("cos"), "2, T"},
    {"sigmoid", {"2, T"}, UNARY("sigmoid"), "2, T"},
    {"add", {"2, T", "2, T"}, BINARY("add"), "2, T"},
    {"sub", {"2, T", "2, T"}, BINARY("sub"), "2, T"},
    {"mul", {"2, T", "2, T"}, BINARY("mul"), "2, T"},
    {"div", {"2, T", "2, T"}, BINARY("div"), "2, T", 0.5, 2},
    {"max", {"2, T", "2, T"}, BINARY("max"), "2, T"},
    {"min", {"2, T", "2, T"}, BINARY("min"), "2, T"},
    {"pow", {"2, T", "2, T"}, BINARY("pow"), "2, T", 0.5, 2},
    {"mod", {"2, T", "2, T"}, BINARY("mod"), "2, T", 0.7, 2},
    {"select",
     {"2, T", "2, T"},
     R"(%c = graph.compare "lt" %a, %b : <<2, T:f32>> -> <<2, T:i1>>
        %d = graph.mul %a, %b : <<2, T:f32>>
        %y = graph.select %c, %a, %d : <<2, T:i1>>, <<2, T:f32>>)",
     "2, T"},
    {"cast to f64 and back",
     {"2, T"},
     R"(%w = graph.cast %a : <<2, T:f32>> -> <<2, T:f64>>
        %y = graph.cast %w : <<2, T:f64>> -> <<2, T:f32>>)",
     "2, T"},
    {"a floor has none",
     {"2, T"},
     R"(%f = graph.floor %a : <<2, T:f32>>
        %y = graph.add %a, %f : <<2, T:f32>>)",
     "2, T"},
    {"a function of one tensor, whose derivative is kept",
     {"2, T"},
     R"(%e = graph.erf %a : <<2, T:f32>>
        %t = graph.tanh %e : <<2, T:f32>>
        %p = graph.mul %a, %t : <<2, T:f32>>
        %y = graph.sub %p, %a : <<2, T:f32>>)",
     "2, T"},
    {"a derivative that is kept beside other reads",
     {"2, T", "2, T"},
     R"(%s = graph.sigmoid %a : <<2, T:f32>>
        %p = graph.mul %s, %a : <<2, T:f32>>
        %q = graph.mul %p, %b : <<2, T:f32>>
        %y = graph.add %q, %p : <<2, T:f32>>)",
     "2, T"},
    {"broadcast", {"T"}, "%y = graph.broadcast %a [1] : <<T:f32>> -> <<2, T, 4:f32>>", "2, T, 4"},
    {"reshape", {"2, T"}, "%y = graph.reshape %a : <<2, T:f32>> -> <<2*T:f32>>", "2*T"},
    {"transpose", {"2, T, S"}, "%y = graph.transpose %a [2, 0, 1] : <<2, T, S:f32>> -> <<S, 2, T:f32>>", "S, 2, T"},
    {"slice",
     {"7, 2"},
     "%y = graph.slice %a {axis = 0, start = #graph.dim<1>, step = 2} : <<7, 2:f32>> -> <<3, 2:f32>>",
     "3, 2"},
    {"update_slice",
     {"7, 2", "3, 2"},
     "%y = graph.update_slice %a, %b {axis = 0, start = #graph.dim<1>, step = 2} : <<7, 2:f32>>, <<3, 2:f32>> -> <<7, "
     "2:f32>>",
     "7, 2"},
    {"concat",
     {"2, T", "2, S"},
     "%y = graph.concat %a, %b, %a {axis = 1} : <<2, T:f32>>, <<2, S:f32>>, <<2, T:f32>> -> <<2, 2*T+S:f32>>",
     "2, 2*T+S"},
    {"gather, of places that are read twice",
     {"S, 2"},
     R"(%i = graph.iota : <<7:i64>>
        %m = graph.constant 3 : i64 : <<:i64>>
        %n = graph.broadcast %m [] : <<:i64>> -> <<7:i64>>
        %j = graph.mod %i, %n : <<7:i64>>
        %y = graph.gather %a at %j [0] : <<S, 2:f32>>, <<7:i64>> -> <<7, 2:f32>>)",
     "7, 2"},
    {"gather along the last axis",
     {"2, S"},
     R"(%i = graph.iota : <<7:i64>>
        %m = graph.constant 3 : i64 : <<:i64>>
        %n = graph.broadcast %m [] : <<:i64>> -> <<7:i64>>
        %j = graph.mod %i, %n : <<7:i64>>
        %y = graph.gather %a at %j [1] : <<2, S:f32>>, <<7:i64>> -> <<2, 7:f32>>)",
     "2, 7"},
    {"scatter, of which some is written over",
     {"S, 2", "3, 2"},
     R"(%i = graph.iota : <<3:i64>>
        %m = graph.constant 2 : i64 : <<:i64>>
        %n = graph.broadcast %m [] : <<:i64>> -> <<3:i64>>
        %j = graph.mod %i, %n : <<3:i64>>
        %y = graph.scatter %a, %b at %j [0] : <<S, 2:f32>>, <<3, 2:f32>>, <<3:i64>> -> <<S, 2:f32>>)",
     "S, 2"},
    {"scatter that adds",
     {"S, 2", "3, 2"},
     R"(%i = graph.iota : <<3:i64>>
        %m = graph.constant 2 : i64 : <<:i64>>
        %n = graph.broadcast %m [] : <<:i64>> -> <<3:i64>>
        %j = graph.mod %i, %n : <<3:i64>>
        %y = graph.scatter %a, %b at %j [0] {adds} : <<S, 2:f32>>, <<3, 2:f32>>, <<3:i64>> -> <<S, 2:f32>>)",
     "S, 2"},
    {"top_k", {"2, S"}, "%y, %i = graph.top_k %a : <<2, S:f32>> -> <<2, 2:f32>>, <<2, 2:i64>>", "2, 2"},
    {"matmul",
     {"T, 5", "5, S"},
     "%y = graph.contract %a [0, 1], %b [1, 2] -> [0, 2] : <<T, 5:f32>>, <<5, S:f32>> -> <<T, S:f32>>",
     "T, S"},
    {"batched, transposed",
     {"2, 5, T", "2, S, 5"},
     "%y = graph.contract %a [0, 1, 2], %b [0, 3, 1] -> [3, 0, 2] : <<2, 5, T:f32>>, <<2, S, 5:f32>> -> <<S, 2, "
     "T:f32>>",
     "S, 2, T"},
    {"outer product",
     {"T", "S"},
     "%y = graph.contract %a [0], %b [1] -> [1, 0] : <<T:f32>>, <<S:f32>> -> <<S, T:f32>>",
     "S, T"},
    {"dot product", {"T", "T"}, "%y = graph.contract %a [0], %b [0] -> [] : <<T:f32>>, <<T:f32>> -> <<:f32>>", ""},
    {"sum", {"2, T, S"}, "%y = graph.reduce \"sum\" %a [0, 2] : <<2, T, S:f32>> -> <<T:f32>>", "T"},
    {"max of a row", {"2, S"}, "%y = graph.reduce \"max\" %a [1] : <<2, S:f32>> -> <<2:f32>>", "2"},
    {"min of a row", {"2, S"}, "%y = graph.reduce \"min\" %a [1] : <<2, S:f32>> -> <<2:f32>>", "2"},
    {"prod", {"2, S"}, "%y = graph.reduce \"prod\" %a [1] : <<2, S:f32>> -> <<2:f32>>", "2"},
    {"prod with a zero",
     {"2, S"},
     R"(%i = graph.iota : <<S:i64>>
        %z = graph.constant 1 : i64 : <<:i64>>
        %w = graph.broadcast %z [] : <<:i64>> -> <<S:i64>>
        %c = graph.compare "eq" %i, %w : <<S:i64>> -> <<S:i1>>
        %d = graph.broadcast %c [1] : <<S:i1>> -> <<2, S:i1>>
        %f = graph.cast %d : <<2, S:i1>> -> <<2, S:f32>>
        %o = graph.constant 1.0 : f32 : <<:f32>>
        %p = graph.broadcast %o [] : <<:f32>> -> <<2, S:f32>>
        %k = graph.sub %p, %f : <<2, S:f32>>
        %x = graph.mul %a, %k : <<2, S:f32>>
        %q = graph.reduce "prod" %x [1] : <<2, S:f32>> -> <<2:f32>>
        %s = graph.slice %a {axis = 1, start = #graph.dim<0>} : <<2, S:f32>> -> <<2, 1:f32>>
        %t = graph.reshape %s : <<2, 1:f32>> -> <<2:f32>>
        %y = graph.add %q, %t : <<2:f32>>)",
     "2"},
    {"softmax", {"2, S"}, "%y = graph.softmax %a {axis = 1} : <<2, S:f32>>", "2, S"},
    {"softmax with a sink",
     {"2, S", "2"},
     "%y = graph.softmax %a sink %b {axis = 1} : <<2, S:f32>>, <<2:f32>>",
     "2, S"},
    {"logsumexp", {"T, S"}, "%y = graph.logsumexp %a {axis = 0} : <<T, S:f32>> -> <<S:f32>>", "S"},
    {"attention, as it is written",
     {"2, T, 5", "2, S, 5", "2, S, 3"},
     R"(%s = graph.contract %a [0, 1, 2], %b [0, 3, 2] -> [0, 1, 3] : <<2, T, 5:f32>>, <<2, S, 5:f32>> -> <<2, T, S:f32>>
        %w = graph.softmax %s {axis = 2} : <<2, T, S:f32>>
        %y = graph.contract %w [0, 1, 3], %c [0, 3, 2] -> [0, 1, 2] : <<2, T, S:f32>>, <<2, S, 3:f32>> -> <<2, T, 3:f32>>)",
     "2, T, 3"},
    {"attention, fused, with its log-sum-exp, what is joined, and all that the score reads",
     {"2, T, 5", "2, S, 5", "2, S, 3", "T, S", "2", "7", "2, T, 4", "2, S, 4", ""},
     R"(%r, %l = graph.attention q(%a) k(%b) joined(%g by %h) v(%c) captures(%d, %e, %f, %i) sinks(%e) score {
        ^bb(%s: f32, %n: index, %t: index, %j: index):
          %x = graph.at %i[] : <<:f32>> -> f32
          %s0 = arith.mulf %s, %x : f32
          %one = arith.constant 1.5 : f32
          %s1 = arith.divf %s0, %one : f32
          %s2 = math.tanh %s1 : f32
          %p = graph.at %d[%t, %j] : <<T, S:f32>> -> f32
          %s3 = arith.addf %s2, %p : f32
          %u = graph.at %e[%n] : <<2:f32>> -> f32
          %back = arith.subi %t, %j : index
          %ii = arith.index_cast %back : index to i64
          %far = arith.sitofp %ii : i64 to f32
          %m = arith.mulf %u, %far : f32
          %s4 = arith.subf %s3, %m : f32
          %three = arith.constant 3 : index
          %place = arith.addi %back, %three : index
          %w = graph.at %f[%place] : <<7:f32>> -> f32
          %s5 = arith.addf %s4, %w : f32
          %two = arith.constant 0.3 : f32
          %s6 = arith.maximumf %s5, %two : f32
          graph.yield %s6 : f32
        } mask {
        ^bb(%n: index, %t: index, %j: index):
          %v = arith.cmpi ule, %j, %t : index
          graph.yield %v : i1
        } : (<<2, T, 5:f32>>, <<2, S, 5:f32>>, <<2, T, 4:f32>>, <<2, S, 4:f32>>, <<2, S, 3:f32>>, <<T, S:f32>>, <<2:f32>>, <<7:f32>>, <<:f32>>, <<2:f32>>) -> (<<2, T, 3:f32>>, <<2, T:f32>>)
        %z = graph.broadcast %l [0, 1] : <<2, T:f32>> -> <<2, T, 3:f32>>
        %y = graph.mul %r, %z : <<2, T, 3:f32>>)",
     "2, T, 3",
     -1,
     1},
    {"attention without a softmax",
     {"2, T, 5", "2, S, 5", "2, S, 3", "S"},
     R"(%y = graph.attention q(%a) k(%b) v(%c) captures(%d) score {
        ^bb(%s: f32, %n: index, %t: index, %j: index):
          %p = graph.at %d[%j] : <<S:f32>> -> f32
          %x = arith.addf %s, %p : f32
          %one = arith.constant 1.0 : f32
          %e0 = arith.negf %x : f32
          %e1 = math.exp %e0 : f32
          %e2 = arith.addf %one, %e1 : f32
          %w = arith.divf %one, %e2 : f32
          graph.yield %w : f32
        } mask {} {normalizer = "pointwise"} : (<<2, T, 5:f32>>, <<2, S, 5:f32>>, <<2, S, 3:f32>>, <<S:f32>>) -> <<2, T, 3:f32>>)",
     "2, T, 3",
     -1,
     1},
    {"attention whose batch axes lie in one axis of what is read",
     {"2, 3, T, 2", "2, 3, S, 2", "2, 3, S, 2", "6, T, S", "3, 2"},
     R"(%y = graph.attention q(%a) k(%b) v(%c) captures(%d, %e) score {
        ^bb(%s: f32, %m: index, %n: index, %t: index, %j: index):
          %three = arith.constant 3 : index
          %h0 = arith.muli %m, %three : index
          %h = arith.addi %h0, %n : index
          %p = graph.at %d[%h, %t, %j] : <<6, T, S:f32>> -> f32
          %x = arith.addf %s, %p : f32
          %q = graph.at %e[%n, %m] : <<3, 2:f32>> -> f32
          %z = arith.mulf %x, %q : f32
          graph.yield %z : f32
        } mask {} : (<<2, 3, T, 2:f32>>, <<2, 3, S, 2:f32>>, <<2, 3, S, 2:f32>>, <<6, T, S:f32>>, <<3, 2:f32>>) -> <<2, 3, T, 2:f32>>)",
     "2, 3, T, 2",
     -1,
     1},
    {"a value used twice",
     {"2, T"},
     R"(%e = graph.exp %a : <<2, T:f32>>
        %f = graph.mul %e, %a : <<2, T:f32>>
        %y = graph.add %f, %e : <<2, T:f32>>)",
     "2, T"},
    {"a gradient of a gradient",
     {"2, T"},
     R"(%e = graph.tanh %a : <<2, T:f32>>
        %r = graph.reduce "sum" %e [0, 1] : <<2, T:f32>> -> <<:f32>>
        %y = graph.grad %r wrt(%a) : (<<:f32>>, <<2, T:f32>>) -> (<<2, T:f32>>))",
     "2, T"},
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "gradients are what differences are") {
  for (const Case &c : cases)
    check(c);
}

TEST_CASE_FIXTURE(Fixture, "every elementwise op has a case, or no derivative") {
  std::string text;
  for (const Case &c : cases)
    text += c.body;
  const std::set<std::string> flat{"floor", "ceil", "not", "floordiv", "philox", "and", "or", "compare"};
  for (RegisteredOperationName name : context.getRegisteredOperationsByDialect("graph"))
    if (name.hasInterface<graph::ElementwiseOpInterface>() && !flat.count(name.stripDialect().str()))
      CHECK_MESSAGE(text.find(("graph." + name.stripDialect() + " ").str()) != std::string::npos,
                    name.stripDialect().str());
}
