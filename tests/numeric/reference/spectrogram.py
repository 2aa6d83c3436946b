"""The Audio Spectrogram Transformer as transformers computes it, small and with random weights."""
import torch
from transformers import ASTConfig, ASTForAudioClassification

from .checkpoints import published, scramble

SMALL = dict(bins=16, frames=27, patch=4, stride=3, dim=32, heads=4, depth=2, ffn=48, classes=7)


def make():
    config = ASTConfig(num_mel_bins=SMALL["bins"], max_length=SMALL["frames"], patch_size=SMALL["patch"],
                       frequency_stride=SMALL["stride"], time_stride=SMALL["stride"], hidden_size=SMALL["dim"],
                       num_attention_heads=SMALL["heads"], num_hidden_layers=SMALL["depth"], intermediate_size=SMALL["ffn"],
                       num_labels=SMALL["classes"], attn_implementation="sdpa")
    return scramble(ASTForAudioClassification(config), 51)


weights = published


def cases(model):
    sound = torch.randn((2, SMALL["frames"], SMALL["bins"]), generator=torch.Generator().manual_seed(52))
    yield "classify", dict(sound=sound), lambda sound: model(input_values=sound).logits, dict(set=SMALL)
