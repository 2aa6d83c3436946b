"""all-MiniLM-L6-v2 as PyTorch and transformers compute it: the published network, and a small one of the same form."""
import pathlib

import torch
from transformers import BertConfig, BertModel

SMALL = dict(vocab=61, dim=32, heads=4, depth=2, ffn=48)


def published(folder):
    """The network with the weights that the package's `model` folder holds."""
    model = BertModel.from_pretrained(pathlib.Path(folder), add_pooling_layer=False, attn_implementation="eager")
    return model.eval()


def small(seed=7, scale=0.3, positions=512):
    """Random weights, large enough that scores and norms are far from trivial."""
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=SMALL["vocab"], hidden_size=SMALL["dim"], num_attention_heads=SMALL["heads"],
                        num_hidden_layers=SMALL["depth"], intermediate_size=SMALL["ffn"], hidden_act="gelu",
                        max_position_embeddings=positions,
                        layer_norm_eps=1e-12, attn_implementation="eager")
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            size = 0.1 if name.endswith("bias") else scale
            parameter.copy_(torch.randn_like(parameter) * size + (1.0 if name.endswith("LayerNorm.weight") else 0.0))
    return model


@torch.no_grad()
def embed(model, ids, mask):
    """One unit vector a sentence: the masked mean of the last layer's tokens."""
    hidden = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    weight = mask.to(hidden.dtype)[:, :, None]
    return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


@torch.no_grad()
def states(model, ids, kinds, mask):
    """The last layer's tokens."""
    return model(input_ids=ids, token_type_ids=kinds, attention_mask=mask.long()).last_hidden_state


def tokenize(folder, sentences):
    """(ids, mask) of one padded batch."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=None)
    batch = tokenizer.encode_batch(sentences)
    return torch.tensor([e.ids for e in batch]), torch.tensor([e.attention_mask for e in batch]).bool()
