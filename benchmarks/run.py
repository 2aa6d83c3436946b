#!/usr/bin/env python3
"""Builds the programs of the table, times them beside the machine's limits, prints the table and writes JSON.

    benchmarks/run.py [--build DIR] [--only TEXT] [--repeats N] [--json FILE] [--check]

`share` is the time at the physical limit (the slower of flops over the FMA peak and bytes over the read bandwidth, both
measured in the same process) over the measured median: 1.0 is the limit. Rows run one after the other, in two rounds;
the better median of the two is kept and both are in the JSON. Needs nothing but Python's own library.
"""
import argparse
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def attention(entry, s):
    """B 1, H 12, D 64: two matmuls of S x S x D a head; half of it is seen under a causal mask."""
    flops = 4 * 12 * s * s * 64
    if entry == "causal":
        flops = 4 * 12 * 64 * (s * (s + 1) // 2)
    shape = f"1,12,{s},64"
    shapes = [shape, shape, shape] + ([f"12,{s},{s}"] if entry == "biased" else [])
    return dict(name=f"attention {entry} {s}", model="benchmarks/models/attention.fov", entry=entry, shapes=shapes,
                flops=flops, bytes=4 * 4 * 12 * s * 64)


def decode(keys):
    """One query of 32 heads in 8 groups, D 128: keys and values are read once."""
    shared = f"1,8,{keys},128"
    return dict(name=f"attention decode {keys}", model="benchmarks/models/attention.fov", entry="grouped",
                shapes=["1,8,4,1,128", shared, shared], flops=4 * 32 * keys * 128, bytes=2 * 4 * 8 * keys * 128)


def matmul(m, n, k):
    return dict(name=f"matmul {m}x{n}x{k}", model="benchmarks/models/matmul.fov", entry="run", shapes=[f"{m},{k}"],
                sets=[f"inner={k}", f"outer={n}"], flops=2 * m * n * k, bytes=4 * (n * k + m * k + m * n))


def minilm(batch, tokens, threads=1, cold=False):
    """Six layers, 384 wide, 1536 in between: matmuls and attention."""
    rows, dim, ffn, layers = batch * tokens, 384, 1536, 6
    flops = layers * (2 * rows * dim * (4 * dim + 2 * ffn) + 4 * batch * tokens * tokens * dim)
    weights = layers * (4 * dim * dim + 2 * dim * ffn) * 4
    suffix = (f", {threads} threads" if threads > 1 else "") + (", cold" if cold else "")
    return dict(name=f"MiniLM {batch}x{tokens}{suffix}", model="examples/minilm/minilm.fov", entry="embed", weights="minilm",
                shapes=[f"{batch},{tokens}"] * 2, flops=flops, bytes=weights, threads=threads, cold=cold)


def rows():
    for entry in ("full", "causal"):
        for s in (128, 512, 1024, 2048, 4096):
            yield attention(entry, s)
    yield attention("biased", 1024)
    for keys in (1024, 4096, 16384):
        yield decode(keys)
    for m, n, k in ((128, 384, 384), (128, 1536, 384), (512, 768, 768), (512, 3072, 768), (2048, 768, 768), (1, 768, 768),
                    (2, 768, 768), (3, 768, 768), (4, 768, 768), (6, 768, 768), (8, 768, 768), (16, 768, 768), (1, 3072, 768)):
        yield matmul(m, n, k)
    for batch, tokens in ((1, 16), (1, 127), (1, 128), (1, 129), (8, 128)):
        yield minilm(batch, tokens)
    yield minilm(1, 128, cold=True)
    yield minilm(8, 128, threads=2)


def weights_file(build, name, row):
    """A weights file for the row: the published one, or zeros of the right shape made on the spot."""
    if name == "minilm":
        path = os.path.join(build, "downloads", "minilm.safetensors")
        for folder, _, files in os.walk(os.path.join(build, "downloads")):
            for file in files:
                if file.endswith(".safetensors"):
                    path = os.path.join(folder, file)
        return path if os.path.exists(path) else None
    sizes = dict(item.split("=") for item in row["sets"])
    n, k = int(sizes["outer"]), int(sizes["inner"])
    path = os.path.join(build, "bench", f"weight_{n}x{k}.safetensors")
    if not os.path.exists(path):
        header = json.dumps({"weight": {"dtype": "F32", "shape": [n, k], "data_offsets": [0, 4 * n * k]}}).encode()
        header += b" " * (-len(header) % 8)
        with open(path, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header + bytes(4 * n * k))
    return path


def library(build, row):
    """Compiles the row's model to a library; one for each model and setting."""
    key = os.path.basename(row["model"])[:-4] + "".join("_" + s.replace("=", "") for s in row.get("sets", []))
    folder = os.path.join(build, "bench", key)
    os.makedirs(folder, exist_ok=True)
    path = None
    for file in os.listdir(folder):
        if file.endswith(".so"):
            path = os.path.join(folder, file)
    source = os.path.join(ROOT, row["model"])
    compiler = os.path.join(build, "bin", "fovea")
    newest = max(os.path.getmtime(source), os.path.getmtime(os.path.join(build, "lib", "libFovea.so")))
    if path and os.path.getmtime(path) > newest:
        return path
    sets = [word for s in row.get("sets", []) for word in ("--set", s)]
    subprocess.run([compiler, "build", source, "--emit=lib", *sets], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return library(build, row)


def measure(build, row, repeats):
    command = [os.path.join(build, "bin", "fovea-bench"), library(build, row), row["entry"]]
    for shape in row["shapes"]:
        command += ["--shape", shape]
    if row.get("weights") or row.get("sets"):
        weights = weights_file(build, row.get("weights"), row)
        if not weights:
            return None
        command += ["--weights", weights]
    # Long runs repeat less: about two seconds a row at half the peak.
    repeats = max(5, min(repeats, int(2e11 / row["flops"]) + 5))
    command += ["--threads", str(row.get("threads", 1)), "--repeats", str(repeats), "--flops", str(row["flops"]),
                "--bytes", str(row["bytes"])] + (["--cold"] if row.get("cold") else [])
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def check(results, committed):
    """Names the rows whose share fell by more than the noise: the spread of both runs, at least 5 points."""
    fell = []
    for name, result in results.items():
        before = committed.get(name)
        if before and result["share"] < before["share"] - max(0.05, before["noise"], result["noise"]):
            fell.append(f"{name}: {before['share']:.2f} before, {result['share']:.2f} now")
    return fell


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", help="write the results here (default: bench/results.json in the build folder)")
    parser.add_argument("--check", action="store_true", help="compare with benchmarks/results.json")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    os.makedirs(os.path.join(build, "bench"), exist_ok=True)
    results = {}
    selected = [row for row in rows() if options.only in row["name"]]
    for round_number in range(2):
        for row in selected:
            figures = measure(build, row, options.repeats)
            if figures is None:
                if round_number == 0:
                    print(f"{row['name']}: left out, its weights are not there (./dev demo fetches them)", file=sys.stderr)
                continue
            rounds = results.get(row["name"], {}).get("rounds", []) + [figures]
            best = max(rounds, key=lambda r: r["share"])
            results[row["name"]] = dict(best, rounds=rounds, noise=round(best["share"] - min(r["share"] for r in rounds), 4))
    width = max((len(name) for name in results), default=0)
    print(f"{'':{width}}  share  noise   GFLOP/s        ms   (limits: FMA GFLOP/s, read GB/s)")
    for name, r in results.items():
        print(f"{name:{width}}  {r['share']:5.2f}  {r['noise']:5.2f}  {r['gflops']:8.1f}  {1e3 * r['seconds'][1]:8.3f}"
              f"   ({r['fma_gflops']:.0f}, {r['read_gbs']:.0f}) {r['target']}")
    output = options.json or os.path.join(build, "bench", "results.json")
    with open(output, "w") as file:
        json.dump({"processor": processor(), "rows": results}, file, indent=1)
    if options.check:
        with open(os.path.join(HERE, "results.json")) as file:
            fell = check(results, json.load(file)["rows"])
        print("\n".join(["fell by more than the noise:"] + fell) if fell else "nothing fell by more than the noise")
        return 1 if fell else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
