#!/usr/bin/env python3
"""The fuzzer of attention chains: random ones, fused, unfused and interpreted, beside their meaning in NumPy.

usage: run.py --fovea FOVEA --library LIBRARY --work FOLDER [--seed N] [--chains N | --seconds N] [--sizes N] [--targets all]
       run.py … --repeat FINDING.json

Chains are drawn from the seed, a file of them is built for each target in turn, and each chain runs at several sizes: a case is a
chain at one choice of sizes. What differs by more than its bound, is not compiled, not fused, or ends the process is shrunk to a small
chain, which is left in FOLDER/findings with its inputs and the command that repeats it.
"""
import argparse
import json
import os
import pathlib
import random as randoms
import re
import resource
import signal
import subprocess
import sys
import time
import traceback

import numpy_or_leave  # first: the others need NumPy
import numpy as np

import programs
import shrink
from chain import draw_sizes, make, rows_exist
from entry import Entry
from meaning import U, Data, Meaning

WAYS = ("interpreted", "unfused", "fused")
NEEDS = {"x86-64": set(), "x86-64-v3": {"avx2", "fma", "f16c", "bmi2"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl", "avx512dq"}}


def runnable(targets):
    """The targets of those named that this machine runs."""
    flags = set(re.findall(r"\S+", pathlib.Path("/proc/cpuinfo").read_text()))
    names = list(NEEDS) if targets == "all" else targets.split(",")
    return [name for name in names if NEEDS[name] <= flags]


def in_child(work, seconds=300):
    """What `work` returns, in a process of its own; a text where that ends in another way."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(seconds)
            try:
                answer = work()
            except Exception:
                answer = {"crash": traceback.format_exc()[-2000:]}
            with os.fdopen(writing, "w") as file:
                json.dump(answer, file)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return {"crash": f"ended by signal {os.WTERMSIG(status)}"}
    return json.loads(text) if text else {"crash": "ended without an answer"}


def difference(got, meant, bound, unknown, name):
    """How far the worst element is outside of its bound; None where none is."""
    got = got.astype(np.float64)
    if got.shape != meant.shape:
        return f"{name}: shape {got.shape}, expected {meant.shape}"
    with np.errstate(all="ignore"):
        away = np.abs(got - meant)
    equal = (got == meant) | (np.isnan(got) & np.isnan(meant))
    away = np.where(equal | unknown, 0, np.where(np.isnan(away), np.inf, away))
    ratio = away / np.maximum(bound, 1e-300)
    if ratio.size == 0 or np.max(ratio) <= 1:
        return None
    place = np.unravel_index(np.argmax(ratio), ratio.shape)
    return (f"{name} at {tuple(int(i) for i in place)}: got {float(got[place])!r}, expected {float(meant[place])!r}, "
            f"bound {float(bound[place]):.3g}; {int(np.sum(ratio > 1))} of {ratio.size} are off")


class Fuzzer:
    def __init__(self, options):
        self.options = options
        self.library = programs.Library(options.library)
        self.names = runnable(options.targets)
        self.counts = {"chains": 0, "cases": 0, "fused": 0, "rows": 0, "unknown rows": 0, "builds": 0.0, "runs": 0.0}
        self.findings = []

    # ---- building

    def build(self, folder, name, entries, target, fuses):
        """None, or what the compiler says. Writes `name`.fov and lib`name`.so."""
        model = name.capitalize()
        source, path = folder / f"{name}.fov", folder / f"lib{name}.so"
        source.write_text(f"model {model} {{\n" + "".join(e.text() for e in entries) + "}\n")
        path.unlink(missing_ok=True)
        command = [self.options.fovea, "build", source, "--emit=lib", "-o", path, f"--target={target}"] + ([] if fuses else ["--no-fuse"])
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        self.counts["builds"] += time.monotonic() - start
        return None if done.returncode == 0 else f"exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}"

    # ---- one way to run

    def outputs(self, program, entry, data, threads):
        limit = data.sizes["s"] + 2 if entry.states else 0
        context = program.context(threads, limit)
        try:
            dtypes = [dtype for _, dtype, _ in entry.outputs]
            if entry.states:
                program.run(entry.name, self.inputs(entry, data, True), dtypes, context)
            return program.run(entry.name, self.inputs(entry, data, False), dtypes, context)
        finally:
            self.library.release(context)

    def inputs(self, entry, data, before):
        """As the entry takes them; of a state, `before` is the run that writes the first keys."""
        given = []
        past = 0 if before else data.past
        if entry.states:
            given.append(("i64", np.array(past, np.int64)))
        sizes = {**data.sizes, "t": data.sizes["p"], "s": data.sizes["p"]} if before else data.sizes
        for input in entry.inputs:
            array = data.stored[input.name + "_old" if before and input.name in ("k", "v") else input.name]
            if before and input.name not in ("k", "v"):
                shape = [int(np.prod([sizes[a] for a in axis.split()])) if not axis.isdigit() else int(axis) for axis in input.axes]
                array = np.zeros(shape, array.dtype)
            given.append((input.dtype, array))
        return given

    def compare(self, way, program, entry, data, meanings, threads=1):
        """None, or what differs."""
        meaning = meanings[way == "interpreted"]
        try:
            arrays = self.outputs(program, entry, data, threads)
        except programs.Failed as why:
            return f"fails: {why}"
        for (name, dtype, _), array in zip(entry.outputs, arrays):
            meant, bound, unknown, undefined = meaning.results[name]
            unknown = unknown if way == "fused" else unknown | undefined
            bound = bound + (U["f32"] * np.abs(np.where(np.isfinite(meant), meant, 0)) + 2.0**-149 if way == "interpreted" else 0)
            values = programs.real(array, dtype)
            why = difference(values, meant, bound, unknown, name)
            if why:
                return why
        if way == "fused" and threads == 1 and data.sizes["s"] % 3 == 0:  # the same bits for any number of threads
            again = self.outputs(program, entry, data, 2)
            if any(a.tobytes() != b.tobytes() for a, b in zip(arrays, again)):
                return "other bits with two threads"
        return None

    # ---- a file of chains

    def sizes(self, chain, seed, number):
        random = randoms.Random(f"sizes {seed} {number}")
        while True:
            sizes = draw_sizes(chain, random, self.options.work_a_case)
            if rows_exist(chain, sizes):
                return sizes

    def run_file(self, folder, entries, cases, target, ways):
        """[(entry's number, case's number, way, what)], with the counts."""
        found, counts = [], {"cases": 0, "rows": 0, "unknown rows": 0}
        opened = {}
        for way in ways:
            path = folder / ("chains.fov" if way == "interpreted" else f"lib{way}.so")
            try:
                opened[way] = programs.Program(self.library, path, *((None, None) if way == "interpreted" else (f"{way}_program", target)))
            except programs.Failed as why:
                return {"found": [], "counts": counts, "unloadable": [way, f"is not loaded: {why}"]}
        for i, entry in enumerate(entries):
            for j, (sizes, seed) in enumerate(cases[i]):
                data = Data(entry, sizes, seed)
                meanings = [Meaning(data, broken=self.options.broken), Meaning(data, 2.0**-50, broken=self.options.broken)]
                counts["cases"] += 1
                unknown = meanings[0].results["y"][2]
                counts["rows"] += unknown.size
                counts["unknown rows"] += int(np.sum(unknown))
                for way in ways:
                    why = self.compare(way, opened[way], entry, data, meanings)
                    if why:
                        found.append([i, j, way, why])
                        break
        return {"found": found, "counts": counts}

    def check(self, folder, chains, target, ways=WAYS):
        """Builds and runs chains: [(number, sizes and seed or None, way, what)]."""
        folder.mkdir(parents=True, exist_ok=True)
        entries = [Entry(chain, f"e{i}") for i, (chain, _) in enumerate(chains)]
        (folder / "chains.fov").write_text("model Chains {\n" + "".join(e.text() for e in entries) + "}\n")
        failed = []
        for way in ways:
            if way == "interpreted":
                continue
            why = self.build(folder, way, entries, target, way == "fused")
            if why and len(chains) > 1:  # one by one
                return [(i, *f[1:]) for i, one in enumerate(chains) for f in self.check(folder, [one], target, ways)]
            if why:
                return [(0, None, way, "is not compiled: " + why)]
        start = time.monotonic()
        answer = in_child(lambda: self.run_file(folder, entries, [cases for _, cases in chains], target, ways))
        self.counts["runs"] += time.monotonic() - start
        if ("crash" in answer or "unloadable" in answer) and len(chains) > 1:  # one by one
            return [(i, *f[1:]) for i, one in enumerate(chains) for f in self.check(folder, [one], target, ways)]
        if "unloadable" in answer:
            return [(0, None, *answer["unloadable"])]
        if "crash" in answer:
            return [(0, self.crashing(folder, entries, chains[0][1], target, ways), "process", answer["crash"])]
        for name, count in answer["counts"].items():
            self.counts[name] += count
        self.counts["chains"] += len(chains)
        return failed + [(i, chains[i][1][j], way, why) for i, j, way, why in answer["found"]]

    def crashing(self, folder, entries, cases, target, ways):
        """The first of a chain's cases that ends the process alone; else the first."""
        for case in cases:
            if "crash" in in_child(lambda: self.run_file(folder, entries, [[case]], target, ways)):
                return case
        return cases[0]

    def batch(self, first):
        """The chains of some seeds, each at its sizes."""
        chains = []
        for seed in range(first, first + self.options.together):
            chain = make(seed)
            chains.append((chain, [(self.sizes(chain, seed, n), seed * 100 + n) for n in range(self.options.sizes)]))
        return chains

    def report(self, number, chain, case, target, way, why):
        """Shrinks what was found and leaves it in a folder."""
        print(f"chain {number}, {target}, {way}: {why}", flush=True)
        folder = self.options.work / "findings" / f"chain-{number}"
        finding = {"chain": chain, "case": case, "target": target, "way": way, "why": why}
        if self.options.shrink:
            finding = shrink.shrink(finding, lambda f: self.again(f), self.options.tries)
        write(folder, finding, self.options)
        self.findings.append(folder)
        print(f"  {finding['why'].splitlines()[0]}\n  shrunk to {folder}/chain.fov", flush=True)

    def again(self, finding):
        """What the chain of a finding shows now, in the way of the finding; None where nothing."""
        way, chain = finding["way"], finding["chain"]
        ways = WAYS if way == "process" else (way,)
        case = finding["case"] or (self.sizes(chain, 0, 0), 0)
        if not rows_exist(chain, case[0]):
            return None
        found = self.check(self.options.work / "shrinking", [(chain, [case])], finding["target"], ways)
        return found[0][3] if found and found[0][2] == way else None

    def run(self):
        folder, start = self.options.work / "chains", time.monotonic()
        first, done = self.options.seed, 0
        while (time.monotonic() - start < self.options.seconds) if self.options.seconds else (done < self.options.chains):
            target = self.names[(first // self.options.together) % len(self.names)]
            chains = self.batch(first)
            found = {}  # the first of each chain
            for i, *what in self.check(folder, chains, target):
                found.setdefault(i, what)
            for i, (case, way, why) in found.items():
                self.report(first + i, chains[i][0], case, target, way, why)
            first, done = first + len(chains), done + len(chains)
            if self.options.verbose:
                print(f"{done} chains, {self.summary()}", flush=True)
        print(f"seeds {self.options.seed} to {first - 1} on {', '.join(self.names)}: {self.summary()}, {len(self.findings)} findings")
        return 1 if self.findings else 0

    def summary(self):
        c = self.counts
        return (f"{c['cases']} cases, {c['unknown rows'] / max(c['rows'], 1):.1%} of the results not looked at, "
                f"{c['builds']:.0f} s building, {c['runs']:.0f} s running")


def write(folder, finding, options):
    """The chain as a file of its own, inputs, and how to repeat it."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = Entry(finding["chain"], "chain")
    (folder / "chain.fov").write_text("model Chain {\n" + entry.text() + "}\n")
    (folder / "finding.json").write_text(json.dumps(finding, indent=1) + "\n")
    target = finding["target"]
    lines = [f"run.py --fovea {options.fovea} --library {options.library} --work {options.work} --repeat {folder}/finding.json"]
    if finding["case"] and not entry.states:
        sizes, seed = finding["case"]
        data = Data(entry, sizes, seed)
        for input in entry.inputs:
            array = data.stored[input.name]
            np.save(folder / f"{input.name}.npy", programs.from_bf16(array) if input.dtype == "bf16" else array)
        for name, (meant, *_) in Meaning(data).results.items():
            if name in [n for n, _, _ in entry.outputs]:
                np.save(folder / f"expected-{name}.npy", meant)
        inputs = " ".join(f"{i.name}.npy" for i in entry.inputs)
        flag = " --no-fuse" if finding["way"] == "unfused" else ""
        lines.append(f"fovea build chain.fov -o chain --target={target}{flag} && ./chain chain {inputs}")
        lines.append(f"fovea run --interpret chain.fov chain {inputs}")
    (folder / "README").write_text(f"{finding['why']}\n\n" + "\n".join(lines) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--library", type=pathlib.Path, required=True, help="of Programs.cpp")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0, help="chains until so much time has passed")
    parser.add_argument("--together", type=int, default=16, help="chains in a file")
    parser.add_argument("--sizes", type=int, default=4, help="to run each chain at")
    parser.add_argument("--targets", default="all")
    parser.add_argument("--work-a-case", type=int, default=1_500_000, help="multiply-adds at most")
    parser.add_argument("--tries", type=int, default=60, help="of smaller chains, a finding")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--repeat", type=pathlib.Path, nargs="+", help="of a finding.json each")
    options = parser.parse_args()
    options.broken = None
    return options


def main():
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    fuzzer = Fuzzer(options)
    if options.repeat:
        shown = {path: fuzzer.again(json.loads(path.read_text())) for path in options.repeat}
        for path, why in shown.items():
            print(f"{path}: {why or 'nothing differs any more'}")
        return 1 if any(shown.values()) else 0
    return fuzzer.run()


if __name__ == "__main__":
    sys.exit(main())
