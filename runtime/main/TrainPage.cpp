// The log's lines go into the page as they are, in an array of JSON; a script draws a chart for each metric.
#include "runtime/main/TrainPage.h"

namespace fovea::rt {

namespace {

/// Points of a curve at most.
constexpr size_t mostPoints = 2000;

extern const char *const head, *const tail;

bool isStep(Text line) {
  static const char mark[] = "\"kind\": \"step\"";
  return memmem(line.data(), line.size(), mark, sizeof(mark) - 1) != nullptr;
}

/// Calls `visit` with every whole line.
template <typename Visit> void forEachLine(const MappedFile &file, Visit visit) {
  const char *text = reinterpret_cast<const char *>(file.data());
  for (size_t begin = 0; begin < file.size();) {
    const void *end = memchr(text + begin, '\n', file.size() - begin);
    if (!end)
      return;
    size_t length = static_cast<size_t>(static_cast<const char *>(end) - text) - begin;
    visit(Text(text + begin, length));
    begin += length + 1;
  }
}

/// A line of JSON within a script: `<` stands in strings alone.
void writeLine(PageWriter &page, Text line) {
  size_t begin = 0;
  for (size_t i = 0; i < line.size(); ++i)
    if (line[i] == '<') {
      page.text(Text(line.data() + begin, i - begin));
      page.text("\\u003c");
      begin = i + 1;
    }
  page.text(Text(line.data() + begin, line.size() - begin));
}

} // namespace

fovea_code writeTrainPage(const char *path, const fovea_program &program, const fovea_entry &entry, const char *log,
                          fovea_error *error) {
  MappedFile lines;
  OutputFile file;
  fovea_code code = lines.open(log, error);
  if (!code)
    code = file.open(path, error, true);
  if (code)
    return code;
  size_t counts[2] = {};
  forEachLine(lines, [&](Text line) { ++counts[isStep(line)]; });
  size_t strides[2];
  for (int i = 0; i < 2; ++i)
    strides[i] = (counts[i] + mostPoints - 1) / mostPoints;
  PageWriter page(file, error);
  page.text(head);
  page.text("{\"model\": ");
  page.string(program.name);
  page.text(", \"entry\": ");
  page.string(entry.name);
  page.text(", \"lines\": [");
  bool first = true;
  size_t seen[2] = {};
  forEachLine(lines, [&](Text line) {
    int step = isStep(line);
    // The last line of a kind is there whatever the stride.
    if (seen[step]++ % strides[step] && seen[step] != counts[step])
      return;
    page.text(first ? "\n" : ",\n");
    writeLine(page, line);
    first = false;
  });
  page.text("]}");
  page.text(pageMiddle);
  page.text(tail);
  return page.code ? page.code : file.commit(error);
}

namespace {

const char *const head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Training</title><style>
body { font: 15px/1.45 sans-serif; margin: 2em; color: #222 } h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin: 1.2em 0 .2em }
section { border-left: 4px solid #b9cfe3; padding-left: 1em; margin: 1em 0 } p { color: #555; margin: .3em 0 }
svg { font: 11px monospace; display: block } .point { opacity: 0 } .point:hover { opacity: 1 }
table { border-collapse: collapse; font: 12px monospace } th, td { text-align: right; padding: .1em 0 .1em 1.2em } th { color: #666; font-weight: normal } .best td { font-weight: bold }
</style></head><body><h1></h1><main></main><script id="log" type="application/json">
)";

const char *const tail =
    R"(const log = JSON.parse(document.getElementById('log').textContent), main = document.querySelector('main');
const steps = log.lines.filter(x => x.kind == 'step'), epochs = log.lines.filter(x => x.kind == 'epoch');
const colours = {step: '#b9cfe3', train: '#1d4f91', valid: '#d60'};
const names = [...new Set(epochs.flatMap(x => [...Object.keys(x.train ?? {}), ...Object.keys(x.valid ?? {})]))];
if (!names.length && steps.length) names.push('loss');
const loss = names[0];
const series = name => [['step', name == loss ? steps.map(x => [x.step, x.loss, x.epoch]) : []], ['train', epochs.map(x => [x.step, x.train?.[name], x.epoch])],
  ['valid', epochs.map(x => [x.step, x.valid?.[name], x.epoch])]].map(([kind, points]) => [kind, points.filter(p => p[1] != null)]).filter(([, points]) => points.length);
function chart(name) {
  const section = make('section', main, null, {'data-metric': name}), all = series(name), points = all.flatMap(([, p]) => p);
  make('h2', section, name);
  const legend = make('p', section);
  for (const [kind] of all) make('span', legend, (kind == 'step' ? 'single steps' : kind == 'train' ? 'training, mean of an epoch' : 'evaluation') + '\u2003', {style: 'color: ' + colours[kind]});
  const w = 720, h = 260, left = 70, right = 20, top = 10, bottom = 30, svg = make(':svg', section, null, {width: w, height: h});
  const range = i => { const v = points.map(p => p[i]); let a = Math.min(...v), b = Math.max(...v); if (a == b) { a -= Math.abs(a) * .1 || 1; b += Math.abs(b) * .1 || 1 } return [a, b] };
  const [x0, x1] = range(0), [y0, y1] = range(1), log10 = y0 > 0 && y1 / y0 > 50, scale = log10 ? Math.log : y => y;
  const x = v => left + (v - x0) / (x1 - x0) * (w - left - right), y = v => h - bottom - (scale(v) - scale(y0)) / (scale(y1) - scale(y0)) * (h - top - bottom);
  for (let i = 0; i <= 4; ++i) {
    const v = log10 ? Math.exp(scale(y0) + (scale(y1) - scale(y0)) * i / 4) : y0 + (y1 - y0) * i / 4, s = x0 + (x1 - x0) * i / 4;
    make(':line', svg, null, {x1: left, x2: w - right, y1: y(v), y2: y(v), stroke: '#eee'});
    make(':text', svg, shown(v), {x: left - 8, y: y(v) + 4, 'text-anchor': 'end'});
    make(':text', svg, Math.round(s), {x: x(s), y: h - 10, 'text-anchor': 'middle'}) }
  for (const [kind, p] of all) {
    make(':polyline', svg, null, {class: kind, points: p.map(q => x(q[0]).toFixed(1) + ',' + y(q[1]).toFixed(1)).join(' '), fill: 'none', stroke: colours[kind], 'stroke-width': kind == 'step' ? 1 : 2});
    for (const q of p) make(':title', make(':circle', svg, null, {class: 'point ' + kind, cx: x(q[0]).toFixed(1), cy: y(q[1]).toFixed(1), r: 4, fill: colours[kind], 'data-step': q[0], 'data-value': q[1]}),
      `${kind} ${name} ${shown(q[1])}, step ${q[0]}, epoch ${q[2]}`) }
}
document.querySelector('h1').textContent = `Training ${log.model}.${log.entry}`;
const last = log.lines[log.lines.length - 1];
make('p', main, last ? `${last.step} steps, ${epochs.length} epochs` : 'no steps yet');
names.forEach(chart);
if (epochs.length) {
  const table = make('table', main), line = make('tr', table), cells = x => [x.epoch, x.step, ...names.flatMap(n => [x.train?.[n], x.valid?.[n]])];
  for (const t of ['epoch', 'step', ...names.flatMap(n => [n, 'valid ' + n])]) make('th', line, t);
  epochs.slice(-200).forEach(x => { const tr = make('tr', table, null, x.best ? {class: 'best'} : {}); cells(x).forEach((c, i) => make('td', tr, c == null ? '' : i < 2 ? c : shown(c))) })
}
</script></body></html>
)";

} // namespace
} // namespace fovea::rt
