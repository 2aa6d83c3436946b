// The numbers go into the page as one object of JSON, tensors as base64 of little-endian f32; a script draws them.
#include "runtime/main/AttentionPage.h"

#include "runtime/main/Page.h"

#include <errno.h>
#include <stdlib.h>

namespace fovea::rt {
namespace {

/// Rows of a picture at most: of more queries each row is the mean of some.
constexpr int64_t mostRows = 128;

extern const char *const head, *const tail;

/// Lines of a file by number.
class Vocabulary {
public:
  fovea_code open(const char *path, fovea_error *error) {
    if (!path)
      return FOVEA_OK;
    if (fovea_code code = file.open(path, error))
      return code;
    const char *text = reinterpret_cast<const char *>(file.data());
    for (size_t begin = 0; begin < file.size();) {
      const void *end = memchr(text + begin, '\n', file.size() - begin);
      size_t length = end ? static_cast<size_t>(static_cast<const char *>(end) - text) - begin : file.size() - begin;
      if (!lines.push({text + begin, length}))
        return outOfMemory(error, "the vocabulary", 0);
      begin += length + 1;
    }
    return FOVEA_OK;
  }
  bool has(int64_t number) const { return number >= 0 && number < static_cast<int64_t>(lines.size()); }
  Text operator[](int64_t number) const { return lines[static_cast<size_t>(number)]; }

private:
  MappedFile file;
  Array<Text> lines;
};

class Writer : PageWriter {
public:
  Writer(const AttentionPage &page, OutputFile &file, fovea_error *error) : PageWriter(file, error), page(page) {}

  fovea_code run() {
    if (fovea_code code = vocabulary.open(page.vocabulary, error))
      return code;
    text(head);
    text("{\"model\": ");
    string(page.program->name);
    text(", \"entry\": ");
    size_t length = strlen(page.maps->name) - strlen(mapsSuffix);
    string(Text(page.maps->name, length));
    text(", \"chains\": [");
    for (int32_t i = page.own; i + 2 < page.maps->output_count && !code; i += 3) {
      text(i == page.own ? "\n" : ",\n");
      chain(i);
    }
    text("]}");
    text(pageMiddle);
    text(tail);
    return code;
  }

private:
  /// A range or a list of places below `size`; all where `given` is null.
  fovea_code places(const char *given, const char *option, int64_t size, Array<int64_t> &out) {
    auto push = [&](int64_t place) {
      if (place < 0 || place >= size)
        return fail(error, FOVEA_INVALID_ARGUMENT, "%s: %lld is not one of %lld", option, static_cast<long long>(place),
                    static_cast<long long>(size));
      return out.push(place) ? FOVEA_OK : outOfMemory(error, "a list", 0);
    };
    fovea_code result = FOVEA_OK;
    if (!given)
      for (int64_t i = 0; i < size && !result; ++i)
        result = push(i);
    for (const char *at = given; at && *at && !result;) {
      char *end;
      errno = 0;
      int64_t first = strtoll(at, &end, 10), last = first + 1;
      bool isNumber = end != at && !errno;
      if (isNumber && *end == ':') {
        at = end + 1;
        last = *at && *at != ',' ? strtoll(at, &end, 10) : size;
        isNumber = (end != at || last == size) && last >= first && last <= size;
        end = end < at ? const_cast<char *>(at) : end;
      }
      if (!isNumber || (*end && *end != ','))
        return fail(error, FOVEA_INVALID_ARGUMENT, "%s takes numbers and ranges below %lld, as 0,4:8, not `%s`", option,
                    static_cast<long long>(size), given);
      for (int64_t i = first; i < last && !result; ++i)
        result = push(i);
      at = *end ? end + 1 : end;
    }
    return result;
  }

  void chain(int32_t first) {
    const fovea_tensor &weights = page.outputs[first], &sums = page.outputs[first + 1], &mass = page.outputs[first + 2];
    const fovea_tensor_spec &sumSpec = page.maps->outputs[first + 1], &massSpec = page.maps->outputs[first + 2];
    int32_t batchAxes = weights.rank - 2;
    int64_t queries = weights.shape[batchAxes], cells = weights.shape[batchAxes + 1], keys = mass.shape[batchAxes];
    int64_t sequences = batchAxes > 1 ? weights.shape[0] : 1, heads = 1;
    for (int32_t axis = batchAxes > 1; axis < batchAxes; ++axis)
      heads *= weights.shape[axis];
    if (page.sequence >= sequences) {
      code = fail(error, FOVEA_INVALID_ARGUMENT, "--attention-sequence: %d is not one of %lld", page.sequence,
                  static_cast<long long>(sequences));
      return;
    }
    Array<int64_t> rows, chosen;
    if (!code)
      code = places(page.rows, "--attention-rows", queries, rows);
    if (!code)
      code = places(page.heads, "--attention-heads", heads, chosen);
    int64_t width = keys > cells ? (keys + cells - 1) / cells : 1, used = (keys + width - 1) / width;
    int64_t count = static_cast<int64_t>(rows.size());
    int64_t together = count > mostRows ? (count + mostRows - 1) / mostRows : 1;
    text("{\"path\": ");
    const char *name = page.maps->outputs[first].name;
    string(Text(name, strlen(name) - strlen(".weights")));
    bool isEntropy = strcmp(sumSpec.name + strlen(sumSpec.name) - 8, ".entropy") == 0;
    number(isEntropy ? ", \"sum\": \"entropy\", \"queries\": " : ", \"sum\": \"sum\", \"queries\": ", queries);
    number(", \"keys\": ", keys);
    number(", \"width\": ", width);
    number(", \"cells\": ", used);
    number(", \"together\": ", together);
    list(", \"rows\": ", rows);
    tokens(", \"query_tokens\": ", sumSpec.dims[sumSpec.rank - 1].text, queries);
    tokens(", \"key_tokens\": ", massSpec.dims[massSpec.rank - 1].text, keys);
    text(", \"heads\": [");
    for (size_t i = 0; i < chosen.size() && !code; ++i) {
      int64_t at = page.sequence * heads + chosen[i];
      number(i ? ",\n{\"head\": " : "\n{\"head\": ", chosen[i]);
      const float *w = static_cast<const float *>(weights.data) + at * queries * cells;
      text(", \"weights\": \"");
      for (int64_t r = 0; r < count; r += together)
        for (int64_t c = 0; c < used; ++c) {
          double sum = 0;
          int64_t end = r + together < count ? r + together : count;
          for (int64_t j = r; j < end; ++j)
            sum += static_cast<double>(w[rows[static_cast<size_t>(j)] * cells + c]);
          base64(static_cast<float>(sum / static_cast<double>(end - r)));
        }
      endBase64();
      text("\", \"sums\": \"");
      const float *s = static_cast<const float *>(sums.data) + at * queries;
      for (int64_t row : rows)
        base64(s[row]);
      endBase64();
      text("\", \"mass\": \"");
      const float *m = static_cast<const float *>(mass.data) + at * keys;
      for (int64_t j = 0; j < keys; ++j)
        base64(m[j]);
      endBase64();
      text("\"}");
    }
    text("]}");
  }

  /// The tokens along an axis of size `size`, whose formula is `dim`: of the first input of i64 whose last axis is of
  /// it.
  void tokens(const char *label, const char *dim, int64_t size) {
    for (int32_t i = 0; i < page.maps->input_count; ++i) {
      const fovea_tensor_spec &spec = page.maps->inputs[i];
      const fovea_tensor &input = page.inputs[i];
      bool fits = input.dtype == FOVEA_I64 && (input.rank == 1 || input.rank == 2) &&
                  strcmp(spec.dims[spec.rank - 1].text, dim) == 0 && input.shape[input.rank - 1] == size &&
                  (input.rank == 1 || page.sequence < input.shape[0]);
      if (!fits)
        continue;
      const auto *ids =
          static_cast<const unsigned char *>(input.data) + (input.rank == 2 ? page.sequence * size : 0) * 8;
      text(label);
      for (int64_t j = 0; j < size; ++j) {
        int64_t id;
        memcpy(&id, ids + j * 8, 8);
        text(j ? ", " : "[");
        if (vocabulary.has(id)) {
          string(vocabulary[id]);
        } else {
          number("\"", id);
          text("\"");
        }
      }
      text(size ? "]" : "[]");
      return;
    }
  }

  void list(const char *label, const Array<int64_t> &numbers) {
    text(label);
    text("[");
    for (size_t i = 0; i < numbers.size(); ++i)
      number(i ? ", " : "", numbers[i]);
    text("]");
  }

  void base64(float value) {
    unsigned char bytes[4];
    memcpy(bytes, &value, 4);
    for (unsigned char byte : bytes) {
      bits = bits << 8 | byte;
      if (++held == 3)
        flush(4);
    }
  }
  void endBase64() {
    if (!held)
      return;
    unsigned full = held + 1;
    bits <<= 8 * (3 - held);
    flush(full);
    text(full == 2 ? "==" : "=");
  }
  void flush(unsigned characters) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char out[4];
    for (int i = 0; i < 4; ++i)
      out[i] = digits[bits >> (18 - 6 * i) & 63];
    if (!code)
      code = file.write(out, characters, error);
    bits = held = 0;
  }

  const AttentionPage &page;
  Vocabulary vocabulary;
  unsigned bits = 0, held = 0; // of base64
};

const char *const head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Attention maps</title><style>
body { font: 15px/1.45 sans-serif; margin: 2em; color: #222 } h1 { font-size: 1.4em } summary { font-weight: bold; cursor: pointer }
section { border-left: 4px solid #b9cfe3; padding-left: 1em; margin: 1em 0 } p { color: #555; margin: .3em 0 }
svg { font: 10px monospace; max-width: none } .picture { overflow: auto } rect:hover { stroke: #d60 }
table { border-collapse: collapse; font: 12px monospace } th, td { text-align: left; padding: .1em .8em .1em 0; vertical-align: top } th { color: #666; font-weight: normal }
</style></head><body><h1></h1><main></main><script id="maps" type="application/json">
)";

const char *const tail = R"(const maps = JSON.parse(document.getElementById('maps').textContent), most = 200;
const numbers = text => { const s = atob(text), b = new Uint8Array(s.length); for (let i = 0; i < s.length; ++i) b[i] = s.charCodeAt(i);
  const v = new DataView(b.buffer); return Float32Array.from({length: b.length / 4}, (_, i) => v.getFloat32(4 * i, true)) };
const token = (tokens, i) => tokens ? tokens[i] : String(i);
const span = (tokens, first, last) => first == last ? token(tokens, first) : token(tokens, first) + ' … ' + token(tokens, last);
function draw(chain, head, place) {
  place.textContent = '';
  const w = numbers(head.weights), sums = numbers(head.sums), mass = numbers(head.mass), n = chain.cells, rows = Math.ceil(chain.rows.length / chain.together), size = 14;
  const keyOf = c => span(chain.key_tokens, c * chain.width, Math.min((c + 1) * chain.width, chain.keys) - 1);
  const queryOf = r => span(chain.query_tokens, chain.rows[r * chain.together], chain.rows[Math.min((r + 1) * chain.together, chain.rows.length) - 1]);
  let high = 0; for (const x of w) if (Math.abs(x) > high) high = Math.abs(x);
  const left = 130, top = 110, svg = make(':svg', make('div', place, null, {class: 'picture'}), null, {width: left + n * size + 10, height: top + rows * size + 10});
  for (let c = 0; c < n; ++c) make(':text', svg, keyOf(c), {class: 'key', transform: `translate(${left + c * size + 10} ${top - 5}) rotate(-60)`});
  for (let r = 0; r < rows; ++r) {
    make(':text', svg, queryOf(r), {class: 'query', x: left - 6, y: top + r * size + 11, 'text-anchor': 'end'});
    for (let c = 0; c < n; ++c) { const x = w[r * n + c]; if (!(Math.abs(x) < high / 256)) {
      const cell = make(':rect', svg, null, {x: left + c * size, y: top + r * size, width: size, height: size, fill: x < 0 ? '#b33' : '#1d4f91', 'fill-opacity': high ? Math.abs(x) / high : 0, 'data-query': r, 'data-key': c});
      make(':title', cell, `${queryOf(r)} → ${keyOf(c)}: ${shown(x)}`) } } }
  const table = make('table', place, null, {class: 'queries'}), line = make('tr', table);
  for (const t of ['query', chain.sum, 'looks at']) make('th', line, t);
  for (let r = 0; r < chain.rows.length && r < most; ++r) {
    const tr = make('tr', table), p = Math.floor(r / chain.together), order = Array.from({length: n}, (_, c) => c).sort((a, b) => w[p * n + b] - w[p * n + a] || a - b).slice(0, 5);
    make('td', tr, token(chain.query_tokens, chain.rows[r])); make('td', tr, shown(sums[r]));
    make('td', tr, order.map(c => keyOf(c) + ' ' + shown(w[p * n + c])).join(', ')) }
  const keys = make('table', place, null, {class: 'keys'}), first = make('tr', keys);
  for (const t of ['key', 'mass']) make('th', first, t);
  Array.from(mass.keys()).sort((a, b) => mass[b] - mass[a] || a - b).slice(0, most).forEach(j => { const tr = make('tr', keys); make('td', tr, token(chain.key_tokens, j)); make('td', tr, shown(mass[j])) });
}
document.querySelector('h1').textContent = `What ${maps.model}.${maps.entry} looks at`;
maps.chains.forEach((chain, i) => {
  const section = make('section', document.querySelector('main'), null, {class: 'chain', id: 'chain-' + (i + 1), 'data-path': chain.path}), details = make('details', section);
  make('summary', details, chain.path);
  make('p', details, `${chain.queries} queries, ${chain.keys} keys` + (chain.width > 1 ? `; a column is the sum over ${chain.width} keys` : '') + (chain.together > 1 ? `; a row is the mean of ${chain.together} queries` : ''));
  const choice = make('select', details), place = make('div', details, null, {class: 'head'});
  chain.heads.forEach(h => make('option', choice, 'head ' + h.head));
  const show = () => draw(chain, chain.heads[choice.selectedIndex], place);
  choice.onchange = show; details.ontoggle = () => { if (details.open && !place.firstChild && chain.heads.length) show() };
  if (i == 0 && chain.heads.length) { details.open = true; show() }
});
</script></body></html>
)";

} // namespace
} // namespace fovea::rt

extern "C" fovea_code fovea_write_attention_page(const fovea::rt::AttentionPage *page, fovea::rt::OutputFile *file,
                                                 fovea_error *error) {
  return fovea::rt::Writer(*page, *file, error).run();
}
