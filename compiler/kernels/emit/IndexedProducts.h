// Products that the scores read at places of their own, such as a distance: kernel.dot in a score region.
//
//   score(s, t, j) = s + q'[t] . r[f(t, j)]        and likewise k'[j] . r[f(t, j)]
//
// Over a block of queries and keys f has few values (IndexSpread): those rows of r, from the least to the greatest, are
// multiplied with the block's queries (or keys), which lie in the lanes, into scratch,
//
//   P[f - least][lane] = q'[lane] . r[f]
//
// from where the region reads its elements, along diagonals. So the product is held for one tile at a time. Few queries
// would leave most lanes idle: then the rows of r lie in the lanes, P[query][f - least].
#pragma once

#include "compiler/kernels/emit/MaskRules.h"
#include "compiler/kernels/emit/MicroKernel.h"
#include "compiler/kernels/emit/Vectorize.h"
#include "compiler/kernels/emit/Visibility.h"
#include "dialects/kernel/KernelDialect.h"

#include <memory>

namespace fovea::kernels {

class IndexedProducts {
public:
  using Box = Visibility::Box;

  /// What lies in the lanes of products of queries.
  enum class Lanes { Queries, Rows };

  /// Boxes have at most so many queries and keys.
  IndexedProducts(Code &code, const Target &target, const mlir::IRMapping &outer, mlir::Block &score, int64_t queries,
                  int64_t keys, Lanes lanes);

  bool empty() const { return products.empty(); }
  /// `panels` of queries are kept at once, `queryLanes` each; of keys one block.
  void reserve(ScratchLayout &layout, int64_t panels, int64_t queryLanes);
  /// What is the same for all queries and keys of a batch index. Comes first.
  void enter(mlir::ValueRange batch);
  /// Takes queries from `first` into a panel's lanes, up to number `last`, which stands in beyond it.
  void loadQueries(mlir::Value panel, mlir::Value first, mlir::Value last);
  /// Takes a block of keys, likewise.
  void loadKeys(mlir::Value first, mlir::Value last);
  /// All products of a box, whose queries are a panel's and whose keys are of the block.
  void multiply(const Box &box, mlir::Value panel);
  /// Makes the products known to the score region's code. `query` and `key` are places in the panel and in the block.
  mlir::LogicalResult bind(PointVectorizer &points, LaneValue query, LaneValue key);

private:
  struct Product {
    kernel::DotOp op;
    bool byQuery;     ///< its row of `a` is the query, otherwise the key
    bool rowsInLanes; ///< of `b`; otherwise those of `a`
    int64_t rows;     ///< of `b`, at most
    mlir::Value depth;
    mlir::Value lanes; ///< rows of `a`, [panel * depth + column][lane], or of `b`, [column][row of b - low]
    mlir::Value tile;  ///< [row of b - low][lane], or [query][row of b - low]
    mlir::Value copy;  ///< rows of b; null where they are read from where they lie
    Code::Values aBatch, bBatch;
    mlir::Value low, next; ///< the first row of b, for this box and the one of the keys that follow
  };

  mlir::Value mapped(mlir::Value value) { return outer.lookupOrDefault(value); }
  static constexpr int mostRows = 8;    ///< of a tile's product
  static constexpr int mostQueries = 4; ///< of a tile whose lanes are rows of b
  static constexpr int mostVectors = 4; ///< of one query's
  void load(Product &product, mlir::Value first, mlir::Value last, mlir::Value base);
  std::pair<mlir::Value, mlir::Value> rowsOf(Product &product, mlir::Value count);
  void multiply(Product &product, mlir::Value count, mlir::Value base);
  /// Of the queries [begin, end) with `count` rows of b.
  void multiplyRows(Product &product, mlir::Value count, mlir::Value begin, mlir::Value end);
  llvm::SmallVector<mlir::Operation *> inOrder(llvm::ArrayRef<mlir::Value> values);

  Code &code;
  const Target &target;
  const mlir::IRMapping &outer;
  mlir::Block &score;
  const int64_t queries, keys;
  MaskFormula formula;
  CodeDomain domain;
  std::unique_ptr<MaskRules<CodeDomain>> rules;
  llvm::SmallVector<Product, 2> products;
};

} // namespace fovea::kernels
