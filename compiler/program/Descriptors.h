// Values that cross between memrefs and plain words: argument blocks, entry frames.
#pragma once

#include "dialects/dim/DimExpr.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"

#include <functional>

namespace fovea::program {

/// Number of 8-byte words that a value of `type` takes in an argument block: a memref its address, dynamic offset, sizes
/// and strides; anything else one word.
int64_t wordCount(mlir::Type type);

/// The words of `value`, as i64.
llvm::SmallVector<mlir::Value> toWords(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value);

/// The inverse: takes the words in the order of `toWords` from `next`.
mlir::Value fromWords(mlir::OpBuilder &b, mlir::Location loc, mlir::Type type, const std::function<mlir::Value()> &next);

/// A contiguous memref of `type` over memory at `pointer` (!llvm.ptr); `dims` gives the sizes (index), one an axis.
mlir::Value contiguousMemref(mlir::OpBuilder &b, mlir::Location loc, mlir::MemRefType type, mlir::Value pointer,
                             mlir::ValueRange dims);

} // namespace fovea::program
