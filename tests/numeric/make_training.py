#!/usr/bin/env python3
"""Makes what the tests of training compare with: initial weights, data, and PyTorch's losses and weights after each optimiser.

usage: make_training.py     (needs torch 2.13 and safetensors)

The expected values are float64's, rounded; the script stops where float32 is further from them than a third of the tests'
tolerance.
"""
import pathlib

import numpy
import torch
from reference import first_training, initialisers, optimisers, written
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent


def write(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    path.chmod(0o644)


def checked(name, single, double, tolerance):
    worst = max(((single[key].double() - double[key]) / (1 + double[key].abs())).abs().max().item() for key in double)
    print(f"{name}: float32 is within {worst:.1e} of float64")
    if worst > tolerance / 3:
        raise SystemExit(f"{name}: too far to be compared at {tolerance}")
    return {key: value.float() for key, value in double.items()}


def main():
    folder = HERE / "golden/initialisers"
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in initialisers.drawn().items():
        numpy.save(folder / f"{name}.npy", values.numpy())
    folder = HERE / "golden/written"
    write(folder / "weights.safetensors", written.weights())
    numpy.save(folder / "in.x.npy", written.rows().numpy())
    for name, values in checked("written", written.step(), written.step(torch.float64), 1e-5).items():
        numpy.save(folder / f"{name}.npy", values.numpy())
    folder = HERE / "golden/optimisers"
    write(folder / "weights.safetensors", optimisers.weights())
    x, y = optimisers.data()
    write(folder / "data.safetensors", {"x": x, "y": y})
    once = checked("adam_once", optimisers.run("adam", count=1), optimisers.run("adam", torch.float64, count=1), 1e-5)
    for name, values in {"in.x": x[0], "in.y": y[0], "before": once["losses"][0], "after": once["after"], "weight": once["hidden.weight"],
                         "bias": once["out.bias"]}.items():
        numpy.save(folder / f"once.{name}.npy", values.numpy())
    for name in optimisers.NAMES:
        double = optimisers.run(name, torch.float64)
        write(folder / f"{name}.safetensors", checked(name, optimisers.run(name), double, 1e-5))
    for name in first_training.NAMES:
        folder = HERE / "golden/first_training"
        write(folder / f"{name}.weights.safetensors", first_training.weights(name))
        double = first_training.run(name, torch.float64)
        write(folder / f"{name}.safetensors", checked(name, first_training.run(name), double, 1e-4))


main()
