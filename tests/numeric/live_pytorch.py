#!/usr/bin/env python3
"""Runs Fovea's programs and PyTorch side by side on fresh random inputs, and compares.

usage: live_pytorch.py --fovea FOVEA --work FOLDER --minilm FOLDER [--seed N]

Unlike golden files this sees sizes that nobody chose beforehand. Without PyTorch it fails: a comparison that is silently left
out proves nothing. Every run prints its seed.
"""
import argparse
import pathlib
import random
import subprocess
import sys
import time

import tensors

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# What the project promises against PyTorch's float32, for outputs of size 1 (see cases.json).
TOLERANCE = 1e-5


def run(command):
    print("+", " ".join(str(part) for part in command), flush=True)
    subprocess.run([str(part) for part in command], check=True)


def build(fovea, source, output, settings):
    started = time.monotonic()
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    run([fovea, "build", source, "-o", output, *options])
    print(f"built in {time.monotonic() - started:.1f} s, {output.stat().st_size / 1e6:.2f} MB")


def compare(name, program, entry, inputs, weights, expected, work):
    """True where the program's answer on `inputs` (name to torch tensor) is PyTorch's."""
    paths = []
    for key, tensor in inputs.items():
        paths.append(work / f"{name}.{key}.npy")
        numpy.save(paths[-1], tensor.numpy())
    output, reference = work / f"{name}.out.npy", work / f"{name}.expected.npy"
    output.unlink(missing_ok=True)
    numpy.save(reference, expected.numpy())
    run([program, entry, *paths, "--weights", weights, "-o", output])
    why = tensors.worst_difference(tensors.read(output)[""], tensors.read(reference)[""], TOLERANCE)
    print(f"{name}: {'agrees with PyTorch within ' + str(TOLERANCE) if why is None else 'DIFFERS: ' + why}", flush=True)
    return why is None


def minilm_cases(rounds, generator):
    """Padded batches of random tokens: one token, many, one sentence, several."""
    for batch, longest in [(1, 1), (1, 128), (7, 33)] + [(generator.randint(1, 9), generator.randint(2, 300)) for _ in range(rounds)]:
        lengths = [longest] + [generator.randint(1, longest) for _ in range(batch - 1)]
        mask = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
        yield torch.tensor([[generator.randrange(30522) for _ in range(longest)] for _ in lengths]) * mask, mask


def check_minilm(arguments, generator):
    program = arguments.work / "minilm"
    build(arguments.fovea, ROOT / "examples/minilm/minilm.fov", program, {})
    model = minilm.published(arguments.minilm)
    return [compare(f"minilm-{number}-{'x'.join(map(str, ids.shape))}", program, "embed", dict(ids=ids, mask=mask),
                    arguments.minilm / "model.safetensors", minilm.embed(model, ids, mask), arguments.work)
            for number, (ids, mask) in enumerate(minilm_cases(3, generator))]


def check_encoder_decoder(arguments, generator):
    shape = encoder_decoder.BASE
    program, weights = arguments.work / "encoder_decoder", arguments.work / "encoder_decoder.safetensors"
    build(arguments.fovea, ROOT / "examples/encoder_decoder/encoder_decoder.fov", program, shape)
    model = encoder_decoder.make(shape, seed=generator.randrange(2**31))
    save_file(model.state_dict(), weights)
    results = []
    for lengths, target in [([1], 1), ([9, 31, 16], 24), ([generator.randint(1, 64) for _ in range(4)], generator.randint(1, 64))]:
        inputs = encoder_decoder.batch(shape, lengths, target, seed=generator.randrange(2**31))
        named = dict(zip(("source", "target", "source_mask"), inputs))
        name = f"encoder_decoder-{len(lengths)}x{max(lengths)}x{target}"
        results.append(compare(name, program, "states", named, weights, model.states(*inputs), arguments.work))
        results.append(compare(name, program, "logits", named, weights, model.logits(*inputs), arguments.work))
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--minilm", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    print(f"PyTorch {torch.__version__}, seed {arguments.seed}")
    generator = random.Random(arguments.seed)
    results = check_minilm(arguments, generator) + check_encoder_decoder(arguments, generator)
    print(f"{sum(results)} of {len(results)} comparisons with PyTorch agree")
    sys.exit(0 if all(results) else 1)


try:
    import numpy
    import torch
    from reference import encoder_decoder, minilm
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"live_pytorch.py: {error}: this comparison needs torch, transformers, safetensors and numpy")
main()
