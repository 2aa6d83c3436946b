// The meaning of a model: graph IR run in double precision, op by op. Written to be read, not to be fast.
#pragma once

#include "compiler/sema/Model.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fovea::interpret {

/// A dense tensor, row-major. Floats of every width are doubles in `reals`, never rounded to their type; integers and
/// bools (0 or 1) are in `ints`. The other vector is empty.
struct HostTensor {
  sema::DType dtype = sema::DType::F32;
  std::vector<int64_t> shape;
  std::vector<double> reals;
  std::vector<int64_t> ints;

  static HostTensor ofReals(std::vector<int64_t> shape, std::vector<double> values,
                            sema::DType dtype = sema::DType::F32);
  static HostTensor ofInts(std::vector<int64_t> shape, std::vector<int64_t> values,
                           sema::DType dtype = sema::DType::I64);
  /// All zero.
  static HostTensor zeros(std::vector<int64_t> shape, sema::DType dtype);

  bool isFloat() const {
    return dtype == sema::DType::F32 || dtype == sema::DType::F16 || dtype == sema::DType::BF16 ||
           dtype == sema::DType::F64;
  }
  int64_t count() const;
  /// Element i as a double, whatever the type.
  double real(int64_t i) const { return isFloat() ? reals[i] : static_cast<double>(ints[i]); }
};

using TensorRef = std::shared_ptr<const HostTensor>;

/// Tensors by role and name: `graph.input`, `graph.param`, `graph.state` of the entry's arguments. More than the entry
/// takes is allowed.
struct Arguments {
  std::map<std::string, TensorRef> inputs, params, states;
};

/// `graph.output` and `graph.state` of the entry's results.
struct Results {
  std::map<std::string, TensorRef> outputs, states;
};

/// Hears of values by their source path, as `--dump` names them, while an entry runs.
using Observer = std::function<void(const std::string &path, const HostTensor &value)>;

/// Runs functions of one module, which must be verified and must outlive this. Takes graph IR before and after fusion;
/// not `derived` arguments.
///
/// The numerical contract (docs/design): softmax as graph.softmax says; a weight that is exp(-inf), hence exactly 0,
/// contributes nothing to a product that is summed, NaN included, however the softmax was written.
class Interpreter {
public:
  explicit Interpreter(mlir::ModuleOp module, Observer observer = {}) : module(module), observer(std::move(observer)) {}

  /// Symbols get their values from the shapes of the arguments and from rank-0 integer inputs. Fails, with a message
  /// for people, on an unknown entry, missing or ill-shaped tensors, a precondition that doesn't hold, an index outside
  /// its tensor, or sizes beyond memory.
  llvm::Expected<Results> run(llvm::StringRef entry, const Arguments &arguments);

private:
  mlir::ModuleOp module;
  Observer observer;
};

} // namespace fovea::interpret
