"""Looks for sizes at which a kernel falls off: times all of a range and compares each with the trend of its neighbours.

A size's trend is the straight line through the times of the sizes around it (least squares, as many on each side, at most
eight, itself left out). Sizes that take more than a quarter longer than that are timed again with their neighbours; those
that do so each time are listed (`./dev bench --sweep`).
"""
import os

import programs
import rows

NEIGHBOURS = 8
MOST = 1.25
TAKES = 3  # of what sticks out, besides the first: what else runs on a machine slows sizes too, but others each time


def sweeps():
    """(name, row whose program it is, inputs with `x` for the size, last size)."""
    yield "matmul x by 768 by 768", rows.matmul(1, 768, 768, None), ["x,768"], 300
    heads, d = 12, 64
    keys = f"1,{heads},x,{d}"
    for entry, queries in [("full", t) for t in (1, 2, 7, 16, "x")] + [("causal", "x")]:
        yield (f"attention {entry}, {queries} queries, x keys", rows.attention(entry, 128), [f"1,{heads},{queries},{d}", keys, keys],
               1100)


def trend(points, at):
    """What the neighbours of points[at] let one expect: [(size, seconds)]."""
    reach = min(NEIGHBOURS, at, len(points) - 1 - at)
    if reach == 0:  # the first and the last one have neighbours on one side only
        return points[at][1]
    near = [p for i, p in enumerate(points) if 0 < abs(i - at) <= reach]
    n, sx, sy = len(near), sum(x for x, _ in near), sum(y for _, y in near)
    sxx, sxy = sum(x * x for x, _ in near), sum(x * y for x, y in near)
    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)
    return (sy - slope * sx) / n + slope * points[at][0]


def ratios(points):
    return [seconds / trend(points, i) for i, (_, seconds) in enumerate(points)]


def outliers(points):
    """[(size, times as long as the trend)] of those that are too slow."""
    return [(size, ratio) for (size, _), ratio in zip(points, ratios(points)) if ratio > MOST]


def again(found, take, last):
    """The least that the sizes in `found` stick out by, of what sticks out each time; `take` times (first, last)."""
    for _ in range(TAKES):
        least = []
        for size, ratio in found:
            near = take(max(1, size - NEIGHBOURS), min(last, size + NEIGHBOURS))
            least.append((size, min(ratio, dict(zip((n for n, _ in near), ratios(near)))[size])))
        found = [(size, ratio) for size, ratio in least if ratio > MOST]
    return found


def run(build, only):
    """Prints each sweep's greatest ratio and what lies above the bound each time; whether nothing does."""
    good = True
    for name, row, inputs, last in sweeps():
        if only not in name:
            continue
        bench, library, weights = os.path.join(build, "bin", "fovea-bench"), programs.library(build, row), programs.weights(build, row)
        arguments = (["--weights", weights] if weights else []) + [word for item in inputs for word in ("--input", item)]

        def take(first, end):
            lines = programs.output([bench, library, row.entry, "--sweep", f"{first}:{end}", *arguments]).splitlines()
            return [(int(size), float(seconds)) for size, seconds in map(str.split, lines)]

        points = take(1, last)
        once = outliers(points)
        found = again(once, take, last)
        print(f"{name}, 1 to {last}: at most {max(ratios(points)):.2f} times the neighbours' trend"
              + (f", {len(once)} above {MOST} at first, {len(found)} each time" if once else "")
              + "".join(f"\n    {size}: {ratio:.2f}" for size, ratio in found), flush=True)
        good = good and not found
    return good
