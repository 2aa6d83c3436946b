"""Rows that are times: a fresh process up to its first result on disk, and the compiler.

Their share, by which runs on different machines are compared, is the time of an empty Python process over theirs.
"""
import os
import statistics
import sys

import start

MINILM = os.path.join(start.ROOT, "examples", "minilm", "minilm.fov")
# How start.py's programs get their weights: what the row is called, and its goals in ms and KiB.
WAYS = {"weights": ("weights read", 45, None), "packed": ("weights packed before", 20, 4096), "embedded": ("weights in the program", None, None)}


def build_rows(build):
    """(name, goal in ms, command) of the compiler's rows."""
    output = os.path.join(build, "bench", "built")
    command = [os.path.join(build, "bin", "fovea"), "build", MINILM, "-o", output]
    yield "build MiniLM", 1500, command
    yield "build MiniLM, 48 layers", 1800, command + ["--set", "depth=48"]


def start_rows(build):
    """The same for fresh processes; nothing where the published weights are missing."""
    folder = os.path.join(build, "bench", "start")
    weights = os.path.join(build, "downloads", "minilm", "model.safetensors")
    if not os.path.exists(weights):
        return
    os.makedirs(folder, exist_ok=True)
    ids, mask, output = (os.path.join(folder, name) for name in ("ids.npy", "mask.npy", "out.npy"))
    start.write_npy(ids, "<i8", start.IDS)
    start.write_npy(mask, "|b1", [True] * len(start.IDS))
    for way, words in start.build(folder, os.path.join(build, "bin", "fovea"), weights).items():
        name, goal, _ = WAYS[way]
        yield f"start MiniLM 1x16, {name}", goal, [words[0], "embed", ids, mask, *words[1:], "--threads", "1", "-o", output]


def anonymous(name, command):
    """KiB of memory that the process of a start row has to itself while it runs, and what is wanted."""
    goal = next(kib for way, _, kib in WAYS.values() if name.endswith(way))
    return dict(anonymous_kib=start.anonymous_kib(command[: command.index("-o")]), goal_kib=goal)


def collect(build, only, rounds):
    """Results by name. A round of a start row is ten processes."""
    wanted = [row for rows in (build_rows, start_rows) for row in rows(build) if only in row[0]]
    empty = [sys.executable, "-I", "-S", "-c", "pass"]
    times = {name: [] for name, _, _ in wanted}
    yardstick = []
    for _ in range(rounds if wanted else 0):
        for name, _, command in wanted:
            for _ in range(10 if name.startswith("start") else 1):
                yardstick.append(start.milliseconds(empty))
                times[name].append(start.milliseconds(command))
    results = {}
    for name, goal, command in wanted:
        ms, unit = sorted(times[name]), statistics.median(yardstick)
        quartiles = [ms[len(ms) // 4], statistics.median(ms), ms[3 * len(ms) // 4]]
        results[name] = dict(ms=quartiles, goal_ms=goal, yardstick_ms=unit, share=unit / quartiles[1],
                             spread=[unit / quartiles[2], unit / quartiles[0]])
        if name.startswith("start"):
            results[name] |= anonymous(name, command)
    return results


def below(result):
    """Whether the time or the memory is more than wanted."""
    late = result["goal_ms"] is not None and result["ms"][1] > result["goal_ms"]
    return late or (result.get("goal_kib") is not None and result["anonymous_kib"] > result["goal_kib"])


def show(results, reference):
    for name, r in results.items():
        if "ms" in r:
            peers = [f"{p['ms']:.0f} {p['peer']}*" for p in reference.get(name, [])[:1]]
            memory = f", {r['anonymous_kib']} KiB of its own" if "anonymous_kib" in r else ""
            print(f"{name}: {r['ms'][1]:.1f} ms ({r['ms'][0]:.1f}-{r['ms'][2]:.1f}){memory}; goal {r['goal_ms'] or 'none'}{'<' * below(r)}; "
                  f"best peer {peers[0] if peers else 'unknown'}; an empty Python process {r['yardstick_ms']:.1f}")
