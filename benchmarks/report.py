#!/usr/bin/env python3
"""Draws the charts and writes the tables of docs/performance.md from results.json, those of other machines
(results-NAME.json, tables alone) and variants.json.

    benchmarks/report.py [--check]      with --check nothing is written: exit code 1 where a file is not what would be
"""
import html
import json
import math
import os
import sys

import processes
import run
import variants

DOCS = os.path.join(run.ROOT, "docs")
OURS, PEER, GOAL, GREY = "#2a6fbb", "#b8bec7", "#d1495b", "#6b7280"
FONT = 'font-family="sans-serif" font-size="12"'


def text(x, y, words, anchor="start", fill="#222", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{html.escape(words)}</text>'


def picture(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {FONT}>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def peer_of(name, result, reference):
    return run.best_peer(name, result, reference) or (None, "")


def shares_chart(results, reference):
    """A bar a row: our share of the limit with its spread, the best peer's below it, the goal as a line."""
    rows = [(name, r) for name, r in results.items() if "limit_seconds" in r and r["threads"] == 1]
    left, right, step, top = 190, 40, 26, 60
    width, height = 760, top + step * len(rows) + 30
    x = lambda share: left + (width - left - right) * min(share, 1.0)
    parts = [text(left, 20, "Share of the physical limit, one thread", size=15)]
    for i, (colour, label) in enumerate(((OURS, "Fovea (line: spread)"), (PEER, "best peer"), (GOAL, "goal"))):
        parts += [f'<rect x="{left + 150 * i}" y="30" width="12" height="12" fill="{colour}"/>', text(left + 150 * i + 17, 40, label)]
    for tick in range(0, 11, 2):
        parts += [f'<line x1="{x(tick / 10):.1f}" y1="{top - 8}" x2="{x(tick / 10):.1f}" y2="{height - 24}" stroke="#e5e7eb"/>',
                  text(x(tick / 10), height - 8, f"{tick / 10:.1f}", "middle", GREY)]
    for i, (name, r) in enumerate(rows):
        y = top + step * i
        parts += [text(left - 8, y + 12, name, "end"),
                  f'<rect x="{left}" y="{y}" width="{x(r["share"]) - left:.1f}" height="11" fill="{OURS}"/>',
                  f'<line x1="{x(r["spread"][0]):.1f}" y1="{y + 5.5}" x2="{x(r["spread"][1]):.1f}" y2="{y + 5.5}" stroke="#0b2545" stroke-width="2"/>']
        peer = peer_of(name, r, reference)[0]
        if peer:
            parts.append(f'<rect x="{left}" y="{y + 12}" width="{x(peer) - left:.1f}" height="6" fill="{PEER}"/>')
        if r["goal"]:
            parts.append(f'<line x1="{x(r["goal"]):.1f}" y1="{y - 2}" x2="{x(r["goal"]):.1f}" y2="{y + 19}" stroke="{GOAL}" stroke-width="2"/>')
    return picture(width, height, parts)


def roofline_chart(results):
    """Operations a byte against operations a second of f32, with the roofs that the rows themselves have measured."""
    rows = [(name, r) for name, r in results.items() if "limit_seconds" in r and r["threads"] == 1 and "dot_gflops" not in r]
    width, height, left, bottom, top, right = 760, 460, 60, 50, 40, 20
    peak = max(r["fma_gflops"] for _, r in rows)
    roofs = {level: sorted(r["read_gbs"] for _, r in rows if r["level"] == level) for level in ("L2", "L3", "DRAM")}
    roofs = {level: rates[len(rates) // 2] for level, rates in roofs.items() if rates}
    low, high = -2.0, math.log2(max(r["flops"] / r["bytes"] for _, r in rows)) + 0.5
    floor, ceiling = math.log2(peak) - 6, math.log2(peak) + 0.5
    x = lambda intensity: left + (math.log2(intensity) - low) / (high - low) * (width - left - right)
    y = lambda rate: height - bottom - (max(math.log2(rate), floor) - floor) / (ceiling - floor) * (height - bottom - top)
    parts = [text(left, 20, "Roofline, one thread: what binds each row", size=15)]
    for power in range(-2, int(high) + 1, 2):
        parts.append(text(x(2**power), height - bottom + 18, f"{2**power:g}", "middle", GREY))
    for power in range(math.ceil(floor), int(ceiling) + 1):
        parts.append(text(left - 6, y(2**power) + 4, f"{2**power:g}", "end", GREY))
    parts += [text(width / 2, height - 10, "operations a byte", "middle", GREY), text(left, top - 6, "GFLOP/s", "start", GREY),
              f'<line x1="{x(2**low):.1f}" y1="{y(peak):.1f}" x2="{width - right}" y2="{y(peak):.1f}" stroke="{GREY}" stroke-width="1.5"/>',
              text(width - right, y(peak) - 5, f"FMA peak {peak:.0f}", "end", GREY)]
    for level, rate in roofs.items():
        begin = max(2**low, 2**floor / rate)
        parts += [f'<line x1="{x(begin):.1f}" y1="{y(rate * begin):.1f}" x2="{x(peak / rate):.1f}" y2="{y(peak):.1f}" stroke="{GREY}" stroke-dasharray="4 3"/>',
                  text(x(begin) + 4, y(rate * begin) - 4, f"{level} {rate:.0f} GB/s", "start", GREY)]
    for name, r in rows:
        colour = {"FMA": OURS, "L2": "#3a7d44", "L3": "#e09f3e", "DRAM": GOAL}[r["binds"]]
        at, rate = x(r["flops"] / r["bytes"]), y(r["gflops"])
        parts.append(f'<circle cx="{at:.1f}" cy="{rate:.1f}" r="4" fill="{colour}"><title>{html.escape(name)}: {r["share"]:.2f}</title></circle>')
    return picture(width, height, parts)


def cell(value, form):
    return "" if value is None else format(value, form)


def tables(results, reference):
    """Markdown: one thread, two threads, times."""
    ours = {name: r for name, r in results.items() if "limit_seconds" in r}
    lines = ["| one thread | share | spread | goal | best peer | times | ms | GFLOP/s | GB/s | bound by | operations a byte |", "|---" * 11 + "|"]
    for name, r in ours.items():
        if r["threads"] == 1:
            share, peer = peer_of(name, r, reference)
            below = " **below**" if r["goal"] and r["share"] < r["goal"] else ""
            lines.append(f"| {name} | {r['share']:.2f}{below} | {r['spread'][0]:.2f}-{r['spread'][1]:.2f} | {cell(r['goal'], '.2f')} | "
                         f"{cell(share, '.2f')} {peer} | {cell(run.least_times(r), '.2f')} | {1e3 * r['seconds'][1]:.3f} | {r['gflops']:.1f} | {r['gbs']:.1f} | {r['binds']} | {r['flops'] / r['bytes']:.1f} |")
    lines += ["", "| two threads | times one thread | share of two threads' limit | goal | ms | bound by |", "|---|---|---|---|---|---|"]
    for name, r in ours.items():
        if r["threads"] > 1:
            goal = f"{r['goal']:.2f} {'times' if r['metric'] == 'speedup' else 'of the limit'}"
            below = " **below**" if r[r["metric"]] < r["goal"] or r["speedup"] < 1 else ""
            lines.append(f"| {name.removesuffix(', 2 threads')} | {r['speedup']:.2f}{below} | {r['share']:.2f} | {goal} | {1e3 * r['seconds'][1]:.3f} | {r['binds']} |")
    lines += memory_table(ours)
    lines += ["", "| time | ms | quartiles | goal | own memory, KiB | goal | best peer |", "|---|---|---|---|---|---|---|"]
    for name, r in results.items():
        if "ms" in r:
            peer = next(iter(reference.get(name, [])), None)
            below = " **below**" if processes.below(r) else ""
            lines.append(f"| {name} | {r['ms'][1]:.1f}{below} | {r['ms'][0]:.1f}-{r['ms'][2]:.1f} | {cell(r['goal_ms'], 'd')} | "
                         f"{cell(r.get('anonymous_kib'), 'd')} | {cell(r.get('goal_kib'), 'd')} | "
                         + (f"{peer['ms']:g} {peer['peer']}*" if peer else "") + " |")
    return "\n".join(lines)


def memory_table(results):
    """Of the rows that have a goal for it."""
    rows = {name: r for name, r in results.items() if "memory_goal" in r}
    lines = ["", "| memory at its peak | MiB | PyTorch, MiB | ratio | goal |", "|---|---|---|---|---|"] if rows else []
    for name, r in rows.items():
        ratio = run.memory_ratio(r)
        below = " **above**" if ratio and ratio > r["memory_goal"] else ""
        lines.append(f"| {name} | {r['peak_kib'] / 1024:.0f} | {cell(ratio and r['peak_kib'] / ratio / 1024, '.0f')} | {cell(ratio, '.2f')}{below} | {r['memory_goal']:.2f} |")
    return lines


def outputs():
    """Path to contents of everything that is drawn from the results."""
    documents = run.committed()
    with open(os.path.join(run.HERE, "peers", "reference.json")) as file:
        reference = json.load(file)["rows"]
    with open(os.path.join(run.HERE, "variants.json")) as file:
        fused = json.load(file)
    results = documents[""]["rows"]
    page = os.path.join(DOCS, "performance.md")
    with open(page) as file:
        text = file.read()
    for name, document in documents.items():
        text = between(text, f"tables of {name}" if name else "tables", f"{document['processor']}.\n\n{tables(document['rows'], reference)}")
    return {page: between(text, "variants", f"{fused['processor']}.\n\n{variants.table(fused['rows'])}"),
            os.path.join(DOCS, "performance-shares.svg"): shares_chart(results, reference),
            os.path.join(DOCS, "performance-roofline.svg"): roofline_chart(results)}


def between(text, name, middle):
    """The text with `middle` between the marks of that name."""
    before, rest = text.split(f"<!-- {name} -->\n", 1)
    return f"{before}<!-- {name} -->\n{middle}\n<!-- end of {name} -->\n" + rest.split(f"<!-- end of {name} -->\n", 1)[1]


def main():
    stale = []
    for path, contents in outputs().items():
        if "--check" in sys.argv[1:]:
            if not os.path.exists(path) or open(path).read() != contents:
                stale.append(os.path.relpath(path, run.ROOT))
        else:
            with open(path, "w") as file:
                file.write(contents)
    if stale:
        print(f"not drawn from benchmarks/results*.json and variants.json (run benchmarks/report.py): {', '.join(stale)}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
