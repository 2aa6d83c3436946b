/// What the attentions of a run look at, as a page. Linked where the program has attention maps alone.
#ifndef FOVEA_RUNTIME_MAIN_ATTENTIONPAGE_H
#define FOVEA_RUNTIME_MAIN_ATTENTIONPAGE_H

#include "runtime/core/File.h"
#include "runtime/core/Status.h"

namespace fovea::rt {

/// An entry's twin is called `<entry>-attention-maps`: its outputs are the entry's own, and then three of each
/// attention: weights by cells of keys, a number for each query, the mass of each key.
inline constexpr const char *mapsSuffix = "-attention-maps";

struct AttentionPage {
  const fovea_program *program;
  const fovea_entry *maps; ///< the twin
  int32_t own;             ///< how many outputs are the entry's
  const fovea_tensor *inputs, *outputs;
  const char *heads;      ///< "0,3"; null: all
  const char *rows;       ///< "10:20", queries; null: all
  int32_t sequence;       ///< of the batch
  const char *vocabulary; ///< a file with a token a line; null: tokens are shown as their numbers
};

/// Whether an entry is such a twin.
inline bool isMaps(const char *name) {
  size_t length = strlen(name), suffix = strlen(mapsSuffix);
  return length > suffix && strcmp(name + length - suffix, mapsSuffix) == 0;
}

/// The entry that has the maps of entry number `entry`; -1 where there is none.
int32_t findMaps(const fovea_program &program, int32_t entry);

} // namespace fovea::rt

/// Writes the page to `file`. Fails where heads, rows or the sequence are not there, or a file can't be read.
extern "C" [[gnu::weak]] fovea_code fovea_write_attention_page(const fovea::rt::AttentionPage *page,
                                                               fovea::rt::OutputFile *file, fovea_error *error);
#endif
