"""What references share that take their networks from transformers: random weights, under the names of published checkpoints."""
import pathlib
import tempfile

import torch
from safetensors.torch import load_file


@torch.no_grad()
def scramble(model, seed, scale=0.2):
    """Norms and biases far from 1 and 0, so that none can be left out unseen; matrices large enough that scores differ."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # a table of known numbers, sinusoids
            continue
        norm = name.endswith("weight") and any(word in name for word in ("norm", "ln_"))
        size = 0.1 if name.endswith("bias") else scale
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * size + (1.0 if norm else 0.0))
    return model.eval()


def published(model):
    """The weights as a checkpoint of the model has them: what is in memory has other names in some versions of transformers."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")
