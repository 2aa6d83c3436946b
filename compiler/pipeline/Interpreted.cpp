#include "compiler/pipeline/Interpreted.h"

#include "compiler/interpret/Interpreter.h"

#include "llvm/ADT/APFloat.h"
#include <cstring>

using namespace llvm;

namespace fovea::pipeline {

using interpret::HostTensor;

static sema::DType dtypeOf(int32_t dtype) {
  static constexpr sema::DType types[] = {sema::DType::F32, sema::DType::F16, sema::DType::BF16, sema::DType::I64,
                                          sema::DType::I32, sema::DType::I8,  sema::DType::Bool, sema::DType::F64};
  return types[dtype];
}

static const fltSemantics &semanticsOf(int32_t dtype) {
  return dtype == FOVEA_F16 ? APFloat::IEEEhalf() : APFloat::BFloat();
}

template <class T> static T load(const void *data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char *>(data) + i * sizeof(T), sizeof(T));
  return value;
}

template <class T> static void store(void *data, int64_t i, T value) {
  std::memcpy(static_cast<char *>(data) + i * sizeof(T), &value, sizeof(T));
}

static double loadReal(int32_t dtype, const void *data, int64_t i) {
  if (dtype == FOVEA_F64)
    return load<double>(data, i);
  if (dtype == FOVEA_F32)
    return load<float>(data, i);
  return APFloat(semanticsOf(dtype), APInt(16, load<uint16_t>(data, i))).convertToDouble();
}

static int64_t loadInt(int32_t dtype, const void *data, int64_t i) {
  if (dtype == FOVEA_I64)
    return load<int64_t>(data, i);
  return dtype == FOVEA_I32 ? load<int32_t>(data, i) : load<int8_t>(data, i);
}

static void storeReal(int32_t dtype, void *data, int64_t i, double value) {
  if (dtype == FOVEA_F64)
    return store(data, i, value);
  if (dtype == FOVEA_F32)
    return store(data, i, static_cast<float>(value));
  APFloat rounded(value);
  bool inexact;
  rounded.convert(semanticsOf(dtype), APFloat::rmNearestTiesToEven, &inexact);
  store(data, i, static_cast<uint16_t>(rounded.bitcastToAPInt().getZExtValue()));
}

static void storeInt(int32_t dtype, void *data, int64_t i, int64_t value) {
  if (dtype == FOVEA_I64)
    store(data, i, value);
  else if (dtype == FOVEA_I32)
    store(data, i, static_cast<int32_t>(value));
  else
    store(data, i, static_cast<int8_t>(value));
}

/// A tensor of the frame: sizes from the symbols' values.
static interpret::TensorRef read(const program::TensorSpec &spec, const void *data,
                                 const DimExpr::Assignment &symbols) {
  auto tensor = std::make_shared<HostTensor>();
  tensor->dtype = dtypeOf(spec.dtype);
  for (DimExpr dim : spec.dims)
    tensor->shape.push_back(dim.evaluate(symbols).value_or(0));
  int64_t count = tensor->count();
  for (int64_t i = 0; i < count; ++i) {
    if (tensor->isFloat())
      tensor->reals.push_back(loadReal(spec.dtype, data, i));
    else
      tensor->ints.push_back(loadInt(spec.dtype, data, i));
  }
  return tensor;
}

static void write(const HostTensor &tensor, int32_t dtype, void *data) {
  for (int64_t i = 0, count = tensor.count(); i < count; ++i) {
    if (tensor.isFloat())
      storeReal(dtype, data, i, tensor.reals[i]);
    else
      storeInt(dtype, data, i, tensor.ints[i]);
  }
}

/// Hands a value to --dump, in its own type.
static void offer(fovea_exec *exec, const std::string &path, const HostTensor &value) {
  std::vector<int64_t> layout = value.shape, strides(value.shape.size());
  int64_t stride = 1;
  for (size_t axis = strides.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= value.shape[axis];
  }
  layout.insert(layout.end(), strides.begin(), strides.end());
  static_assert(int(sema::DType::F32) == FOVEA_F32 && int(sema::DType::F64) == FOVEA_F64);
  auto dtype = static_cast<int32_t>(value.dtype);
  std::vector<char> data(value.count() * sizeof(int64_t)); // the widest type
  write(value, dtype, data.data());
  fovea_origin origin = {path.c_str(), "", ""};
  exec->services->dump(exec, &origin, dtype, static_cast<int32_t>(strides.size()), layout.data(), data.data());
}

int32_t InterpretedProgram::run(int32_t number, fovea_exec *exec, const fovea_frame *frame) const {
  const program::Entry &entry = interface.entries[number];
  auto symbols = [&](std::string_view name) -> std::optional<int64_t> {
    for (size_t i = 0; i < entry.symbols.size(); ++i)
      if (entry.symbols[i] == name)
        return frame->symbols[i];
    return std::nullopt;
  };
  // States are named by the program's symbols; this entry's own stand for them.
  auto stateSymbols = [&](std::string_view name) -> std::optional<int64_t> {
    for (auto [common, own] : entry.stateSizes)
      if (interface.stateSymbols[common] == name)
        return frame->symbols[own];
    return std::nullopt;
  };
  interpret::Arguments arguments;
  for (size_t i = 0; i < entry.inputs.size(); ++i)
    arguments.inputs[entry.inputs[i].name] = read(entry.inputs[i], frame->inputs[i], symbols);
  for (size_t i = 0; i < interface.params.size(); ++i)
    arguments.params[interface.params[i].name] = read(interface.params[i], frame->params[i], symbols);
  for (size_t state : entry.states)
    arguments.states[interface.states[state].name] = read(interface.states[state], frame->states[state], stateSymbols);
  interpret::Observer observer;
  if (exec->dumping)
    observer = [&](const std::string &path, const HostTensor &value) { offer(exec, path, value); };
  interpret::Interpreter interpreter(graph, observer);
  Expected<interpret::Results> results = interpreter.run(entry.function, arguments);
  if (!results) {
    static thread_local std::string failure; // taken from `exec` on this thread
    failure = toString(results.takeError());
    exec->services->fail(exec, FOVEA_FAIL_MESSAGE, failure.c_str(), 0, 0, 0, 0);
    return 1;
  }
  for (size_t i = 0; i < entry.outputs.size(); ++i)
    write(*results->outputs.at(entry.outputs[i].name), entry.outputs[i].dtype, frame->outputs[i]);
  for (size_t state : entry.states)
    if (auto it = results->states.find(interface.states[state].name); it != results->states.end())
      write(*it->second, interface.states[state].dtype, frame->states[state]);
  return 0;
}

} // namespace fovea::pipeline
