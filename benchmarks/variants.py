"""Times every variant of attention fused and unfused, in turn (`./dev bench --variants`): does fusing ever cost?

Unfused is what the compiler makes of the same text with `--no-fuse`: its best products and softmax, scores in memory. A point is a
variant at S keys and T queries; its figure is how many times as long it takes unfused, the median of the rounds.
"""
import json
import os
import statistics

import programs
import rows

KEYS = (16, 128, 1024, 4096)
HEADS = 4
# What a variant takes besides queries, keys and values, as fovea-bench takes it.
MORE = {"full": [], "causal": [], "window": [], "prefix": [], "dilated": [], "neighbourhood": [], "padding": ["1,S"], "lengths": ["1%9"], "mask": ["T,S"],
        "documents": ["1,T%4", "1,S%4"], "biased": [f"{HEADS},T,S"], "alibi": [f"{HEADS}"], "relative": [f"{HEADS},257"], "capped": [],
        "second_product": [f"{HEADS},T,16", f"{HEADS},S,16"], "transformer_xl": [f"{HEADS},T+S,64"], "disentangled": [f"{HEADS},512,64"] * 2, "mixed": [f"{HEADS}"], "sink": [f"{HEADS}"], "sigmoid_causal": [], "squared_relu": [],
        "grouped": [], "log_sum": []}
SLOWER = 0.97  # below this fusing costs more than the noise


def points():
    """(variant, S, T)"""
    return [(variant, s, t) for variant in MORE for s in KEYS for t in dict.fromkeys((1, 16, s))]


def inputs(variant, s, t):
    """The entry's inputs in fovea-bench's words; grouped heads are one group of all."""
    queries, keys = (f"1,1,{HEADS},T,64", "1,1,S,64") if variant == "grouped" else (f"1,{HEADS},T,64", f"1,{HEADS},S,64")
    return [text.replace("T+S", str(t + s)).replace("T", str(t)).replace("S", str(s)) for text in [queries, keys, keys] + MORE[variant]]


def row(variant):
    return rows.Row(f"variant {variant}", "benchmarks/models/variants.fov", variant, [], 0, 0)


def measure(build, variant, s, t, seconds):
    """Seconds of a run, fused and unfused."""
    one, other = (programs.library(build, row(variant), fuses) for fuses in (True, False))
    command = [os.path.join(build, "bin", "fovea-bench"), one, variant, "--beside", other, "--seconds", str(seconds)]
    command += [word for item in inputs(variant, s, t) for word in ("--input", item)]
    return json.loads(programs.output(command))


def combined(rounds):
    """A point's result over its rounds."""
    ratios = [r["beside"] / r["seconds"] for r in rounds]
    return {"seconds": statistics.median(r["seconds"] for r in rounds), "unfused": statistics.median(r["beside"] for r in rounds),
            "ratio": round(statistics.median(ratios), 3), "spread": [round(min(ratios), 3), round(max(ratios), 3)]}


def slower(results):
    """Names of the points at which fusing costs."""
    return [name for name, r in results.items() if r["ratio"] < SLOWER]


def table(results):
    """Markdown: a line a variant, a column for each number of keys and queries; how many times as long it takes unfused."""
    columns = list(dict.fromkeys((s, t if t < s else "S") for _, s, t in points()))
    lines = ["| times as long unfused: S, T | " + " | ".join(f"{s}, {t}" for s, t in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for variant in MORE:
        cells = []
        for s, t in columns:
            r = results.get(f"{variant} {s} {t}")
            cells.append("" if r is None else f"{r['ratio']:.2f}" + (" **slower**" if r["ratio"] < SLOWER else ""))
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(build, only, rounds, seconds, path, processor):
    """Measures, prints and adds to the file's results; whether fusing costs nowhere."""
    chosen = [p for p in points() if only in p[0]]
    found = {}
    for _ in range(rounds):
        for variant, s, t in chosen:
            found.setdefault(f"{variant} {s} {t if t < s else 'S'}", []).append(measure(build, variant, s, t, seconds))
    results = {name: combined(each) for name, each in found.items()}
    for name, r in results.items():
        print(f"{name:28}  {1e6 * r['seconds']:10.1f} us  {1e6 * r['unfused']:10.1f} us unfused  {r['ratio']:6.2f}  {r['spread'][0]:.2f}-{r['spread'][1]:.2f}"
              + ("  slower" if name in slower(results) else ""))
    known = {}
    if os.path.exists(path):
        with open(path) as file:
            known = json.load(file)["rows"]
    with open(path, "w") as file:
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(r)}" for name, r in (known | results).items())
        file.write(f'{{\n "processor": {json.dumps(processor)},\n "rows": {{\n{lines}\n }}\n}}\n')
    return not slower(results)
