// Graph text in, numbers out.
#pragma once

#include "compiler/interpret/Interpreter.h"
#include "dialects/graph/GraphDialect.h"

#include "mlir/Parser/Parser.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace fovea::interpret {

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double NaN = std::numeric_limits<double>::quiet_NaN();

struct Harness {
  mlir::MLIRContext context;
  std::string message;
  Harness() {
    mlir::DialectRegistry registry;
    graph::registerDialect(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &d) { message += d.str() + "\n"; });
  }

  /// Expands `[2, T] f32` in braces to the type: "{2, T: f32}" is "!graph.tensor<[2, T], f32>".
  static std::string expand(llvm::StringRef text) {
    std::string out;
    while (!text.empty()) {
      size_t open = text.find("<<");
      out += text.substr(0, open);
      if (open == llvm::StringRef::npos)
        break;
      text = text.drop_front(open + 2);
      size_t close = text.find(">>");
      auto [dims, element] = text.substr(0, close).rsplit(':');
      out += ("!graph.tensor<[" + dims + "], " + element + ">").str();
      text = text.drop_front(close + 2);
    }
    return out;
  }

  /// Runs @main; `error` holds the message of a failure.
  Results run(llvm::StringRef text, const Arguments &arguments) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(expand(text), &context);
    REQUIRE_MESSAGE(module, message << expand(text));
    llvm::Expected<Results> results = Interpreter(*module).run("main", arguments);
    error = results ? "" : llvm::toString(results.takeError());
    return error.empty() ? *results : Results();
  }
  std::string error;

  /// A function of named inputs a, b, c… whose body computes %y of the given type.
  TensorRef compute(llvm::StringRef body, llvm::StringRef type,
                    std::vector<std::pair<llvm::StringRef, HostTensor>> inputs) {
    std::string text = "graph.func @main(";
    Arguments arguments;
    char name = 'a';
    for (auto &[inputType, tensor] : inputs) {
      std::string n(1, name++);
      text += (n == "a" ? "%" : ", %") + n + ": " + inputType.str() + " {graph.input = \"" + n + "\"}";
      arguments.inputs[n] = std::make_shared<HostTensor>(std::move(tensor));
    }
    text += (") -> (" + type + " {graph.output = \"y\"}) {\n" + body + "\ngraph.return %y : " + type + "\n}").str();
    Results results = run(text, arguments);
    if (results.outputs.count("y"))
      return results.outputs["y"];
    return std::make_shared<HostTensor>();
  }
};

inline HostTensor reals(std::vector<int64_t> shape, std::vector<double> values) {
  return HostTensor::ofReals(shape, values);
}
inline HostTensor ints(std::vector<int64_t> shape, std::vector<int64_t> values) {
  return HostTensor::ofInts(shape, values);
}
inline HostTensor bools(std::vector<int64_t> shape, std::vector<int64_t> values) {
  return HostTensor::ofInts(shape, values, sema::DType::Bool);
}

/// Equal, NaN to NaN and infinities included, within 1e-14 relative otherwise.
inline bool same(const std::vector<double> &got, const std::vector<double> &expected) {
  bool equal = got.size() == expected.size();
  for (size_t i = 0; equal && i < got.size(); ++i)
    equal = std::isnan(expected[i])
                ? std::isnan(got[i])
                : got[i] == expected[i] || std::fabs(got[i] - expected[i]) <= 1e-14 * std::fabs(expected[i]);
  if (!equal) {
    std::string text;
    for (double x : got)
      text += std::to_string(x) + " ";
    MESSAGE("got " << text);
  }
  return equal;
}

} // namespace fovea::interpret
