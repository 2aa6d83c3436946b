"""Rows that are times: a fresh process up to its first result on disk, and the compiler.

Their share, by which runs on different machines are compared, is the time of an empty Python process over theirs.
"""
import array
import os
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MINILM = os.path.join(ROOT, "examples", "minilm", "minilm.fov")
TOKENS = 16


def milliseconds(command):
    begun = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    status = os.waitpid(process, 0)[1]
    if status:
        raise SystemExit(f"{command}: status {status}")
    return 1e3 * (time.perf_counter() - begun)


def write_npy(path, descr, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, {TOKENS}), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


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
    program, ids, mask, output = (os.path.join(folder, name) for name in ("minilm", "ids.npy", "mask.npy", "out.npy"))
    write_npy(ids, "<i8", array.array("q", range(1000, 1000 + TOKENS)).tobytes())
    write_npy(mask, "|b1", b"\1" * TOKENS)
    subprocess.run([os.path.join(build, "bin", "fovea"), "build", MINILM, "-o", program], check=True, stdout=subprocess.DEVNULL)
    run = [program, "embed", ids, mask, "--threads", "1", "-o", output]
    yield "start MiniLM 1x16, weights read", 45, run + ["--weights", weights]


def collect(build, only, rounds):
    """Results by name. A round of a start row is ten processes."""
    wanted = [row for rows in (build_rows, start_rows) for row in rows(build) if only in row[0]]
    empty = [sys.executable, "-I", "-S", "-c", "pass"]
    times = {name: [] for name, _, _ in wanted}
    yardstick = []
    for _ in range(rounds if wanted else 0):
        for name, _, command in wanted:
            for _ in range(10 if name.startswith("start") else 1):
                yardstick.append(milliseconds(empty))
                times[name].append(milliseconds(command))
    results = {}
    for name, goal, _ in wanted:
        ms, unit = sorted(times[name]), statistics.median(yardstick)
        quartiles = [ms[len(ms) // 4], statistics.median(ms), ms[3 * len(ms) // 4]]
        results[name] = dict(ms=quartiles, goal_ms=goal, yardstick_ms=unit, share=unit / quartiles[1],
                             spread=[unit / quartiles[2], unit / quartiles[0]])
    return results


def show(results, reference):
    for name, r in results.items():
        if "ms" in r:
            peers = [f"{p['ms']:.0f} {p['peer']}*" for p in reference.get(name, [])[:1]]
            below = "<" if r["ms"][1] > r["goal_ms"] else ""
            print(f"{name}: {r['ms'][1]:.1f} ms ({r['ms'][0]:.1f}-{r['ms'][2]:.1f}), goal {r['goal_ms']}{below}; "
                  f"best peer {peers[0] if peers else 'unknown'}; an empty Python process {r['yardstick_ms']:.1f}")
