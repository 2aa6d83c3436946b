#!/usr/bin/env python3
"""Builds the programs of the table, times them beside the machine's limits, prints the table and writes JSON.

    benchmarks/run.py [--build DIR] [--only TEXT] [--rounds N] [--seconds S] [--json FILE] [--check] [--peers [--python FILE]]
    benchmarks/run.py --sweep [--build DIR] [--only TEXT]
    benchmarks/run.py --variants [--build DIR] [--only TEXT] [--rounds N] [--seconds S] [--json FILE]

A row's share is the time at the physical limit over the time measured: 1.0 is the limit, the slower of flops over the FMA
peak and bytes over the read bandwidth of the level of memory that holds them, both measured in the same process, between
the runs; products of rounded operands count at the peak of the dot products that the machine has for them. Rounds go over all rows; a row's figure is the median of its rounds, its spread what lies between the least and
the greatest. Rows of fresh processes and of the compiler are times, beside that of an empty Python process.

With --peers other systems run the same work, each in turn with ours, from a virtual environment (benchmarks/peers/README.md).
With --check the figures are compared with those of the same processor, or else with benchmarks/results.json. Needs nothing but Python's own library.
"""
import argparse
import contextlib
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import processes
import programs
import rows
import sweep
import variants

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TURNS = 7  # of a peer and ours at least: more of them where a turn is short
AGAIN, CLOSE = 2, 1.1  # so many times a peer that takes less than CLOSE times as long as ours takes turns once more, when all others have
TURN_SECONDS = 0.05  # shorter than the times for which a shared host is fast or slow
PEERS = ("torch", "torch.compile", "onnxruntime", "openvino")


def bench_command(build, row, seconds):
    """What times a row's program; None where its weights are not there."""
    weights = programs.weights(build, row)
    if row.weights and not weights:
        return None
    command = [os.path.join(build, "bin", "fovea-bench"), programs.library(build, row), row.entry]
    for item in row.inputs:
        command += ["--input", item]
    for name, value in row.sizes.items():
        command += ["--size", f"{name}={value}"]
    if weights:
        command += ["--weights", weights]
    return command + ["--threads", str(row.threads), "--seconds", str(seconds)]


def measure(build, row, seconds):
    """One round of a row; None where its weights are not there."""
    command = bench_command(build, row, seconds)
    if not command:
        return None
    command += ["--flops", str(row.flops), "--bytes", str(row.bytes)]
    if row.dot_flops:
        command += ["--dot-flops", str(row.dot_flops), "--dot-bytes", {"bf16": "2", "int8": "1"}[row.matmul_precision]]
    return json.loads(programs.output(command + ["--cold"] * row.cold))


def goal_of(row, figures):
    """(what is to be reached, its name): a share, or for two threads bound by arithmetic how much faster than one they are."""
    if row.threads == 1:
        return row.goal, "share"
    if figures["binds"] == "FMA":
        return rows.TWO_THREADS_SPEEDUP, "speedup"
    return rows.TWO_THREADS_READING, "share"


def summary(row, rounds):
    """The row's result over its rounds."""
    middle = sorted(rounds, key=lambda r: r["share"])[(len(rounds) - 1) // 2]  # of an even number the lower one: never the best
    goal, metric = goal_of(row, middle)
    result = dict(middle, flops=row.flops, bytes=row.bytes, rounds=[r["seconds"] for r in rounds], metric=metric, goal=goal)
    shares = [r["share"] for r in rounds]
    result["spread"] = [min(shares), max(shares)]
    if row.memory_goal:
        result["memory_goal"] = row.memory_goal
    if row.threads > 1:
        result["speedup"] = statistics.median(r["speedup"] for r in rounds)
    return result


class TurnFailed(Exception):
    """(command, exit code, what it said)"""


class Turns:
    """A program that answers each line of its standard input with a line of JSON."""

    def __init__(self, command):
        self.command = command
        self.words = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.words, text=True)

    def take(self):
        """The figures of a turn; None where it ends instead, as it does not run such a row, TurnFailed where it fails."""
        with contextlib.suppress(BrokenPipeError):
            print(file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        if code := self.process.wait():
            self.words.seek(0)
            raise TurnFailed(self.command, code, self.words.read().strip())
        return None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.words.close()


def turns(peer, ours, seconds):
    """Runs two commands in turn, for about `seconds` each and TURNS times at least: [(the peer's figures, ours)]. Every other time ours is the first."""
    with Turns(peer) as theirs:
        if not theirs.take():  # each starts up while nothing else runs: its first turn does not count
            return []
        with Turns(ours) as own:
            own.take()
            found, begun = [], time.perf_counter()
            while len(found) < TURNS or time.perf_counter() - begun < 2 * seconds:
                both = (own, theirs) if len(found) % 2 else (theirs, own)
                figures = [each.take() for each in both]
                found.append(tuple(figures[::-1] if len(found) % 2 else figures))
    return found


def beside(found, share):
    """A peer's result from turns with ours, whose share of the limit is given: how many times as long it takes (median and quartiles of the turns), and its share by that."""
    middle = sorted(found, key=lambda turn: turn[0]["seconds"][1])[len(found) // 2][0]
    times = sorted(peer["seconds"][1] / ours["seconds"][1] for peer, ours in found)
    median = statistics.median(times)
    return dict(middle, share=round(share / median, 4), times=round(median, 3), turns=len(times),
                spread=[round(times[(len(times) - 1) * part // 4], 3) for part in (1, 3)])


def peer_turns(options, row, peer):
    """The turns of a peer and ours; of a peer that fails, TurnFailed."""
    command = [options.python, os.path.join(HERE, "peers", "peers.py"), peer, row.name, "--work", os.path.join(options.build, "bench", "peers"),
               "--seconds", str(TURN_SECONDS), "--turns"]
    try:
        return turns(command, bench_command(options.build, row, TURN_SECONDS) + ["--turns"], options.seconds)
    except TurnFailed as failed:
        of, code, words = failed.args
        if of is command:
            raise
        raise SystemExit(f"{' '.join(of)} ended with {code}\n{words}") from failed


def measure_peers(options, selected, results):
    """Adds to the results what peers need for the same work. Turns of close pairs at other times count as well."""
    found, absent = {}, {}
    for row in selected:
        results[row.name]["peers"] = {}
        for peer in PEERS:
            if peer in absent:
                continue
            try:
                pair = peer_turns(options, row, peer)
            except TurnFailed as failed:
                _, code, words = failed.args
                if code == 77:  # the package is missing
                    absent[peer] = words.splitlines()[-1]
                else:
                    results[row.name]["peers"][peer] = {"failed": words[-300:]}
                continue
            if pair:
                found[row.name, peer] = (row, pair)
    for _ in range(AGAIN):
        for (_, peer), (row, pair) in found.items():
            if beside(pair, 1)["times"] < CLOSE:
                with contextlib.suppress(TurnFailed):  # what it did before counts
                    pair += peer_turns(options, row, peer)
    for (name, peer), (_, pair) in found.items():
        results[name]["peers"][peer] = beside(pair, results[name]["share"])
    for peer, why in absent.items():
        print(f"{peer}: left out: {why}", file=sys.stderr)


def fastest(result):
    """(name, figures) of the peer in this run that comes nearest to us, by turns where it took any; None where none has run."""
    ran = [(peer, p) for peer, p in result.get("peers", {}).items() if "share" in p]
    return min(ran, key=lambda each: (each[1].get("times", 0), -each[1]["share"]), default=None)


def best_peer(name, result, reference):
    """(share, peer) of the fastest other system: in this run, or else in the reference."""
    here = fastest(result)
    return (here[1]["share"], here[0]) if here else max([(p["share"], p["peer"] + "*") for p in reference.get(name, [])], default=None)


def least_times(result):
    """How many times as long the fastest peer beside us takes; None where none took turns with us."""
    here = fastest(result)
    return here[1].get("times") if here else None


def memory_ratio(result):
    """Of PyTorch's process at its peak; None where it has not run."""
    peer = result.get("peers", {}).get("torch", {})
    return result["peak_kib"] / peer["peak_kib"] if "peak_kib" in peer else None


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return platform.processor()
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    return f"{fields.get('model name', '')}, family {fields.get('cpu family', '?')} model {fields.get('model', '?')}, {os.cpu_count()} cores"


def committed():
    """The committed results: of results.json by the name "", of results-NAME.json by NAME."""
    documents = {}
    for path in sorted(glob.glob(os.path.join(HERE, "results*.json"))):
        with open(path) as file:
            documents[os.path.basename(path).removeprefix("results").removesuffix(".json").lstrip("-")] = json.load(file)
    return documents


def check(results, committed):
    """Names the rows whose figure fell by more than the noise, as ratios: the spreads of both runs, at least 5%."""
    fell = []
    for name, now in results.items():
        before = committed.get(name)
        if not before:
            continue
        noise = max([0.05] + [(r["spread"][1] - r["spread"][0]) / r["share"] for r in (before, now)])
        ratio = now["share"] / before["share"]
        if ratio < 1 - noise:
            fell.append(f"{name}: {ratio:.2f} of what it was ({before['share']:.2f}, now {now['share']:.2f}; noise {noise:.2f})")
    return fell


def as_text(document):
    """JSON with a line for each row."""
    lines = [f"  {json.dumps(name)}: {json.dumps(result)}" for name, result in document["rows"].items()]
    return f'{{\n "processor": {json.dumps(document["processor"])},\n "rows": {{\n' + ",\n".join(lines) + "\n }\n}\n"


def show(results, reference):
    width = max((len(name) for name in results), default=0)
    print(f"{'':{width}}  share  spread     goal  best peer             times         ms   GFLOP/s   GB/s  bound by")
    for name, r in results.items():
        if "limit_seconds" not in r:
            continue
        peer = best_peer(name, r, reference)
        reached = r[r["metric"]]
        goal = "" if r["goal"] is None else f"{r['goal']:.2f}{' ' if reached >= r['goal'] else '<'}"
        speedup = f", {r['speedup']:.2f} times one thread" if "speedup" in r else ""
        print(f"{name:{width}}  {r['share']:5.2f}  {r['spread'][0]:.2f}-{r['spread'][1]:.2f}  {goal:>5}  "
              f"{f'{peer[0]:.2f} {peer[1]}' if peer else '':20.20}  {f'{times:.2f}' if (times := least_times(r)) else '':>6}  {1e3 * r['seconds'][1]:8.3f}  {r['gflops']:8.1f}  {r['gbs']:5.1f}"
              f"  {r['binds']}{speedup}")
        if "memory_goal" in r:
            ratio = memory_ratio(r)
            print(f"{'':{width}}  {r['peak_kib'] / 1024:.0f} MiB at its peak" + (f", {ratio:.2f} of PyTorch's; goal {r['memory_goal']}" if ratio else ""))
    processes.show(results, reference)
    print("(* reference machine, benchmarks/peers/reference.json; <: below its goal)")


def collect(options, selected):
    """Results by name; the rounds go over all rows."""
    rounds = {}
    for number in range(options.rounds):
        for row in selected:
            figures = measure(options.build, row, options.seconds)
            if figures:
                rounds.setdefault(row.name, []).append(figures)
            elif number == 0:
                print(f"{row.name}: left out, its weights are not there (`./dev weights` fetches them)", file=sys.stderr)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    selected = [row for row in selected if row.name in rounds]
    results = {row.name: summary(row, rounds[row.name]) for row in selected}
    if options.peers:
        measure_peers(options, [row for row in selected if row.peer and row.threads == 1 and not row.cold], results)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of timed runs, a row and round")
    parser.add_argument("--json", help="write the results here (default: bench/results.json in the build folder)")
    parser.add_argument("--check", action="store_true", help="compare with the committed results")
    parser.add_argument("--sweep", action="store_true", help="instead: all sizes of a range, for those at which a kernel falls off")
    parser.add_argument("--variants", action="store_true", help="instead: variants of attention, fused and unfused")
    parser.add_argument("--peers", action="store_true", help="run other systems as well")
    parser.add_argument("--python", help="of the peers' virtual environment (default: venv/bin/python in the build folder)")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if options.sweep:
        return 0 if sweep.run(options.build, options.only) else 1
    if options.variants:
        os.makedirs(os.path.join(options.build, "bench"), exist_ok=True)
        path = options.json or os.path.join(options.build, "bench", "variants.json")
        return 0 if variants.run(options.build, options.only, options.rounds, options.seconds, path, processor()) else 1
    options.python = options.python or os.path.join(options.build, "venv", "bin", "python")
    os.makedirs(os.path.join(options.build, "bench"), exist_ok=True)
    with open(os.path.join(HERE, "peers", "reference.json")) as file:
        reference = json.load(file)["rows"]
    results = collect(options, [row for row in rows.table() if options.only in row.name])
    results |= processes.collect(options.build, options.only, options.rounds)
    show(results, reference)
    output = options.json or os.path.join(options.build, "bench", "results.json")
    with open(output, "w") as file:
        file.write(as_text({"processor": processor(), "rows": results}))
    if options.check:
        known = committed()
        fell = check(results, next((d for d in known.values() if d["processor"] == processor()), known[""])["rows"])
        print("\n".join(["fell by more than the noise:"] + fell) if fell else "nothing fell by more than the noise")
        return 1 if fell else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
