#!/usr/bin/env python3
"""Makes inputs, expected outputs and rows of cases.json for tests/numeric/relative.fov, with PyTorch and the package transformers.

usage: make_relative.py

Stops where PyTorch's float64 is further from its float32 than a third of the tolerance: scores are sums of 24 products of normal numbers,
up to 10, and a weight is off by as much as its score.
"""
import inspect
import json
import pathlib

import numpy as np
import torch
from reference import relative

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = "tests/numeric/golden/relative"
TOLERANCE = 1e-5


def main():
    rows = []
    (ROOT / FOLDER).mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(relative.SIZES):
        inputs = relative.inputs(size, seed=83 + number)
        for name, value in inputs.items():
            np.save(ROOT / FOLDER / f"{size}.{name}.npy", value.numpy())
        for function in relative.EXAMPLES:
            entry, names = function.__name__, inspect.signature(function).parameters
            result = function(*(inputs[name].double() for name in names))
            error = (result - function(*(inputs[name] for name in names))).abs().max().item()
            print(f"{entry}, {size}: float32 is within {error:.1e} of float64")
            if error > TOLERANCE / 3:
                raise SystemExit(f"{entry}: too far to be compared")
            np.save(ROOT / FOLDER / f"{entry}.{size}.result.npy", result.float().numpy())
            rows.append({"name": f"relative_{entry}_{size}", "source": "tests/numeric/relative.fov", "entry": entry,
                         "inputs": [f"{FOLDER}/{size}.{name}.npy" for name in names],
                         "outputs": {"result": f"{FOLDER}/{entry}.{size}.result.npy"},
                         "via": ["program", "interpreter"], "tolerance": TOLERANCE})
    distance = torch.arange(-2048, 2049)
    found = {"distance": distance} | relative.buckets(distance)
    for name, value in found.items():
        np.save(ROOT / FOLDER / f"buckets.{name}.npy", value.numpy())
    # In float64 the constant's logarithm, which is an f32, is too large for the numerators' exact ones: a bucket less at 16, 32, 64.
    rows.append({"name": "relative_buckets", "source": "tests/numeric/relative.fov", "entry": "buckets", "inputs": [f"{FOLDER}/buckets.distance.npy"],
                 "outputs": {name: f"{FOLDER}/buckets.{name}.npy" for name in found if name != "distance"}, "via": ["program", "memory"], "tolerance": 0})
    path = HERE / "cases.json"
    table = json.loads(path.read_text())
    table["cases"] = [case for case in table["cases"] if not case["name"].startswith("relative_")] + rows
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


with torch.no_grad():
    main()
