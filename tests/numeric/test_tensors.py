#!/usr/bin/env python3
"""What the numeric runner itself must get right: a runner that accepts everything would hide every error."""
import pathlib
import tempfile

import tensors

nan, inf = float("nan"), float("inf")


def f32(*values, shape=None):
    return tensors.Tensor("<f4", shape or (len(values),), values)


def main():
    assert tensors.worst_difference(f32(1.0, 2.0), f32(1.0, 2.0), 0) is None
    assert tensors.worst_difference(f32(1.0, nan), f32(1.0, nan), 0) is None
    assert tensors.worst_difference(f32(inf), f32(inf), 0) is None
    assert tensors.worst_difference(f32(1.0, nan), f32(1.0, 2.0), 9) is not None
    assert tensors.worst_difference(f32(1.0, 2.0), f32(1.0, nan), 9) is not None
    assert tensors.worst_difference(f32(inf), f32(1.0), 9) is not None
    assert tensors.worst_difference(f32(inf), f32(-inf), 9) is not None
    assert tensors.worst_difference(f32(1.0), f32(1.5), 0.5) is None
    assert "(1, 0)" in tensors.worst_difference(f32(1, 2, 3, 4, shape=(2, 2)), f32(1, 2, 9, 4, shape=(2, 2)), 1)
    assert tensors.worst_difference(f32(1.0), f32(1.0, shape=(1, 1)), 1) is not None
    assert tensors.worst_difference(tensors.Tensor("<f8", (1,), (1.0,)), f32(1.0), 1) is not None
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.npy"
        for tensor in (f32(1, 2, 3, 4, 5, 6, shape=(2, 3)), f32(7.0, shape=()), f32(shape=(0, 4)),
                       tensors.Tensor("|b1", (2,), (True, False)), tensors.Tensor("<i8", (1,), (-(2**40),))):
            tensors.write_npy(path, tensor)
            assert tensors.read(path)[""] == tensor, tensor
    reference = pathlib.Path(__file__).parent / "golden/minilm_small"
    assert tensors.read(reference / "embed.npy")[""].shape == (4, 32)
    assert tensors.read(reference / "model.safetensors")["embeddings.word_embeddings.weight"].shape == (61, 32)


main()
