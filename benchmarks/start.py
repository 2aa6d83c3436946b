#!/usr/bin/env python3
"""Times a fresh process up to its first result on disk, and its memory: MiniLM at 1 x 16, with the file cache warm.

    benchmarks/start.py [--build DIR] [--processes N] [--threads N...] [--json FILE]

Weights are read and packed in the process, mapped as a packed file, or lie in the program. Anonymous memory is what a process has resident
that runs again and again. Needs nothing but Python's own library, and MiniLM's weights (`./dev weights`).
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import time

import programs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IDS = [101, 1037, 4937, 25126, 2006, 1996, 4010, 3332, 28398, 1012, 1996, 18401, 2003, 5983, 2182, 102]


def write_npy(path, descr, values):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, {len(values)}), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        file.write(struct.pack(f"<{len(values)}{'q' if descr == '<i8' else '?'}", *values))


def build(folder, compiler, weights):
    """The programs and the packed file; gives the command of each way to start."""
    source = os.path.join(ROOT, "examples/minilm/minilm.fov")
    plain, whole, packed = (os.path.join(folder, name) for name in ("minilm", "minilm-whole", "minilm.packed"))
    for command in ([compiler, "build", source, "-o", plain], [compiler, "build", source, "-o", whole, "--embed-weights", weights],
                    [plain, "pack", "--weights", weights, "-o", packed]):
        programs.output(command)
    return {"weights": [plain, "--weights", weights], "packed": [plain, "--packed", packed], "embedded": [whole]}


def milliseconds(command):
    begun = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    status = os.waitpid(process, 0)[1]
    if status:
        sys.exit(f"{command}: status {status}")
    return 1e3 * (time.perf_counter() - begun)


def anonymous_kib(command):
    """Of a process that runs again and again: once this no longer grows, the weights are there and results have been made."""
    process = subprocess.Popen([*command, "--repeat", "1000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kib, before = 0, -1
    try:
        while kib != before:
            time.sleep(0.3)
            with open(f"/proc/{process.pid}/smaps_rollup") as file:
                before, kib = kib, next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
        if process.poll() is not None:
            sys.exit(f"{command}: ended with {process.returncode} before it was looked at")
    finally:
        process.kill()
        process.wait()
    return kib


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count()])
    parser.add_argument("--json", help="write the figures here as well")
    options = parser.parse_args()
    weights = os.path.join(options.build, "downloads/minilm/model.safetensors")
    if not os.path.exists(weights):
        sys.exit(f"{weights} is missing: `./dev weights` fetches it")
    folder = os.path.abspath(os.path.join(options.build, "bench/start"))
    os.makedirs(folder, exist_ok=True)
    ids, mask, output = (os.path.join(folder, name) for name in ("ids.npy", "mask.npy", "out.npy"))
    write_npy(ids, "<i8", IDS)
    write_npy(mask, "|b1", [True] * len(IDS))
    ways = build(folder, os.path.join(options.build, "bin/fovea"), os.path.abspath(weights))
    results = {}
    print("              median     min     max  ms   anonymous memory")
    for threads in dict.fromkeys(options.threads):
        for way, words in ways.items():
            command = [words[0], "embed", ids, mask, *words[1:], "--threads", str(threads)]
            anonymous = anonymous_kib(command)
            times = [milliseconds([*command, "-o", output]) for _ in range(options.processes + 2)][2:]
            median = statistics.median(times)
            results[f"{way}, {threads} threads"] = {"ms": times, "median": median, "anonymous_kib": anonymous}
            print(f"{way:8} x {threads}  {median:8.2f}{min(times):8.2f}{max(times):8.2f}   {anonymous:7} KiB", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
