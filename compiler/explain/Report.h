// What `fovea explain` says, as data: which chains are attention, what was proved of them, how they run. Text, JSON and
// HTML are renderings of it. No MLIR here.
#pragma once

#include "compiler/analysis/RecomputationReport.h"
#include "compiler/explain/MaskClass.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fovea::explain {

/// Why a chain is not fused.
struct Failure {
  std::string fact;
  Place place;
  std::string help; ///< what would mend it; empty where nothing is known to
};

/// How a tensor is read along one axis of the scores.
enum class Access { Broadcast, Contiguous, Strided, Gathered };

/// A tensor that the score or the mask reads.
struct Capture {
  std::string name, type;
  bool inScore = false, inMask = false;
  std::vector<std::string> indices; ///< of the first place that reads it, over b0, b1, ..., t and j
  Access byQuery = Access::Broadcast, byKey = Access::Broadcast;
};

/// What would make a fused chain faster.
struct Hint {
  std::string text;
  Place place;
};

/// What a fused chain computes. Sizes are over the symbols of its function.
struct Attention {
  std::vector<std::string> batch;
  std::string queries, keys, inner, values;
  std::string q, k, v, result; ///< types
  struct Part {
    std::string inner, q, k;
  };
  std::vector<Part> joined;                        ///< to q and k, in `inner` as well
  std::vector<std::string> keyPieces, valuePieces; ///< where they lie in several places
  std::vector<std::string> widened;                ///< operands of 16 bits, as "k bf16"
  std::vector<std::string> shared;                 ///< batch axes along which keys and values repeat, as "b1 (3)"
  std::string normalizer;
  std::string score;  ///< the score of the product s
  std::string factor; ///< of the weight where it meets its value; empty: 1
  std::string scale;  ///< its head, which is taken into the queries: "s / 8"; empty where there is none
  Mask mask;
  std::vector<Capture> captures;
  std::vector<Hint> hints;
};

/// How a fused chain runs on one target.
struct TargetRun {
  std::string target;
  int64_t tileQueries = 0, tileKeys = 0;
  struct Variant {
    std::string name;
    std::string condition; ///< "T <= 8"; "always", "never" where the number of queries is known
    std::string decidedBy; ///< "no mask", "formula", "summaries" or "mask": see docs/explain.md
  };
  std::vector<Variant> variants;
};

/// What tiles are on one target at given sizes.
struct Tiles {
  std::string target, variant;
  bool counted = false; ///< false: too many to look at
  int64_t tiles = 0, skipped = 0, full = 0, masked = 0, open = 0;
  int64_t flops = 0; ///< of the tiles that are not skipped
};

/// A fused chain at given sizes.
struct Amounts {
  std::vector<int64_t> batch;
  int64_t queries = 0, keys = 0;
  int64_t flops = 0, bytes = 0, scoreBytes = 0;
  std::vector<Tiles> tiles; ///< one a target
};

/// Calls of a chain's function from one entry that agree in their sizes. Formulas are over the entry's symbols.
struct Run {
  std::string entry;
  std::vector<std::string> paths; ///< the module path of each
  std::string flops, bytes, scoreBytes;
  std::optional<Amounts> at;
  bool isTooLarge = false; ///< amounts at the sizes asked for do not fit 64 bits: there is no `at`
};

struct Chain {
  Place place;
  std::string path, function;
  bool fused = false;
  std::vector<std::string> facts; ///< proved when it was matched, in order
  std::optional<Failure> failure; ///< where it is not fused
  std::string heldBytes;          ///< then: the scores in memory, over the function's symbols; empty where not known
  std::optional<Attention> attention;
  std::vector<TargetRun> targets;
  std::vector<Run> runs;
};

struct Entry {
  std::string name;
  std::vector<std::string> symbols;
  struct Arena {
    std::string target, formula;
    std::optional<int64_t> bytes;
  };
  std::vector<Arena> arenas;
  std::vector<std::string> missing;                 ///< symbols that the sizes asked for do not give
  std::vector<std::string> broken;                  ///< preconditions that do not hold at these sizes
  std::optional<RecomputationReport> recomputation; ///< of an entry with gradients, at sizes that are all known
};

/// Graphviz text of the functions that hold chains.
struct Drawings {
  std::string before, after;
};

struct Report {
  std::string model, source; ///< the model's name and its file
  std::vector<std::string> targets;
  std::vector<std::pair<std::string, int64_t>> sizes; ///< asked for
  std::vector<Entry> entries;
  std::vector<Chain> chains;
  Drawings drawings;

  size_t fused() const;
};

/// "broadcast", "contiguous", "strided", "gathered".
const char *accessName(Access access);

std::string renderText(const Report &report);
/// The schema is docs/explain.md's.
std::string renderJson(const Report &report);
/// One page without references to anything else. `before` and `after` are SVG of the drawings.
std::string renderHtml(const Report &report, const std::string &before, const std::string &after);

} // namespace fovea::explain
