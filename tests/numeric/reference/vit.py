"""ViT as transformers computes it, small and with random weights."""
import torch
from transformers import ViTConfig, ViTForImageClassification

from .checkpoints import published, scramble

SMALL = dict(channels=3, image=24, patch=8, dim=32, heads=4, depth=2, ffn=48, classes=7)


def make():
    config = ViTConfig(num_channels=SMALL["channels"], image_size=SMALL["image"], patch_size=SMALL["patch"], hidden_size=SMALL["dim"],
                       num_attention_heads=SMALL["heads"], num_hidden_layers=SMALL["depth"], intermediate_size=SMALL["ffn"],
                       num_labels=SMALL["classes"], attn_implementation="sdpa")
    return scramble(ViTForImageClassification(config), 41)


weights = published


def cases(model):
    def classify(pictures):
        scores = model(pixel_values=pictures).logits
        return dict(best=scores.argmax(-1), scores=scores)

    pictures = torch.rand((3, 3, 24, 24), generator=torch.Generator().manual_seed(42)) * 2 - 1
    yield "classify", dict(pictures=pictures), classify, dict(set=SMALL)
