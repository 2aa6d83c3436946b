#!/usr/bin/env python3
"""The trace of a program on two threads: every launch with its source place, path, arithmetic and bytes, and both threads at work.

usage: trace.py --fovea FOVEA --work FOLDER
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

import tensors

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOKENS, REPEATS = 64, 10
# On a busy machine the second thread may come too late for small kernels.
BATCHES = (8, 64, 512, 512, 512)
SMALL = {"vocab": 61, "dim": 32, "heads": 4, "depth": 2, "ffn": 48}
WEIGHTS = ROOT / "tests/numeric/golden/minilm_small/model.safetensors"


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{result.stdout}{result.stderr}")


def expect(condition, what):
    if not condition:
        sys.exit(f"expected: {what}")


def traced(program, work, batch, tokens=TOKENS):
    """The events of a run on two threads."""
    count = batch * tokens
    tensors.write_npy(work / "ids.npy", tensors.Tensor("<i8", (batch, tokens), tuple(i % SMALL["vocab"] for i in range(count))))
    tensors.write_npy(work / "mask.npy", tensors.Tensor("|b1", (batch, tokens), (True,) * count))
    run(program, "embed", work / "ids.npy", work / "mask.npy", "--weights", WEIGHTS, "--threads", 2, "--repeat", REPEATS,
        "--profile", work / "trace.json", "-o", work / "out.npy")
    return [event for event in json.loads((work / "trace.json").read_text())["traceEvents"] if event["ph"] == "X"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    source, program = ROOT / "examples/minilm/minilm.fov", work / "minilm"
    run(arguments.fovea, "build", source, "-o", program, *[f"--set={key}={value}" for key, value in SMALL.items()])
    for batch in BATCHES:
        events = traced(program, work, batch)
        launches, parts = ([event for event in events if (event["tid"] > 0) == isPart] for isPart in (False, True))
        shared = sum(a["args"]["launch"] == b["args"]["launch"] and a["tid"] != b["tid"] for a, b in zip(parts, parts[1:]))
        print(f"batch {batch}: {len(launches)} launches, {len(parts)} parts, {shared} times two threads on one launch")
        if shared:
            break
    expect({event["tid"] for event in parts} == {1, 2}, "both threads, and no other")
    # Runs are alike: as many launches each, the first one without a number behind it.
    expect(len(launches) % (REPEATS + 1) == 0, f"the same launches in each of {REPEATS + 1} runs, not {len(launches)} in all")

    lines = source.read_text().count("\n")
    for event in launches:
        facts = event["args"]
        place = re.match(r"(.*?\.fov):(\d+):\d+", facts["place"])
        expect(place and pathlib.Path(place[1]) == source and int(place[2]) <= lines, f"a place in the model's text, not {facts['place']}")
        expect(facts["flops"] > 0 and facts["bytes"] > 0 and event["dur"] > 0, f"amounts of {event}")
    paths = {event["args"]["path"] for event in launches}
    expect({"embeddings.norm", "layers.0.attention.y", "layers.1.up", "normalize"} <= paths, f"the paths of both layers in {paths}")

    # Attention is named after the variant that ran: the sizes are many queries'.
    kernels = {event["name"] for event in launches if event["args"]["kind"] == "attention"}
    expect(kernels == {"attention_8_masked.many_queries"}, f"the variant of many queries, not {kernels}")
    one = {event["name"] for event in traced(program, work, 1, tokens=1) if event["args"].get("kind") == "attention"}
    expect(one == {"attention_8_masked.few_queries"}, f"for one token the variant of few queries, not {one}")
    expect({event["name"] for event in parts} >= kernels, "its parts under the same name")

    # One run's products: two operations for each weight and token, and a few for each result behind them.
    first = launches[: len(launches) // (REPEATS + 1)]
    products = sum(event["args"]["flops"] for event in first if event["args"]["kind"] == "matmul")
    weights = SMALL["depth"] * (4 * SMALL["dim"] ** 2 + 2 * SMALL["dim"] * SMALL["ffn"])
    expect(1 <= products / (2 * weights * batch * TOKENS) <= 1.2, f"{2 * weights * batch * TOKENS} operations in products, not {products}")

    # The parts of a launch are its tasks, each once; the numbers of launches start anew with each run.
    ends = collections.Counter()
    for event in parts:
        ends[event["args"]["launch"]] += event["args"]["tasks"]
    for event in first:
        number = event["args"]["launch"]
        expect(ends[number] == event["args"]["tasks"] * (REPEATS + 1), f"all tasks of launch {number} in parts of threads")


main()
