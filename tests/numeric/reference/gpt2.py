"""GPT-2 as transformers computes it, small and with random weights."""
import torch
from transformers import GPT2Config, GPT2LMHeadModel

SMALL = dict(vocab=61, dim=32, heads=4, depth=2, positions=24)


def small(seed=13):
    """Norms and biases are far from 1 and 0, so that none can be left out unseen."""
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=SMALL["vocab"], n_embd=SMALL["dim"], n_head=SMALL["heads"], n_layer=SMALL["depth"],
                        n_positions=SMALL["positions"], activation_function="gelu_new", attn_implementation="eager")
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = ".ln_" in name and name.endswith("weight")
            parameter.copy_(torch.randn_like(parameter) * (0.1 if name.endswith("bias") else 0.3) + (1.0 if norm else 0.0))
        model.transformer.wte.weight.mul_(0.3)  # outputs are its products: of size 1
    return model


def weights(model):
    """The published checkpoint's names: no prefix, and no output matrix beside the embedding."""
    return model.transformer.state_dict()


@torch.no_grad()
def next_logits(model, ids):
    """The scores of every word to come after all of `ids`."""
    return model(input_ids=ids).logits[:, -1]
