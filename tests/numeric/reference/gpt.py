"""GPT-2 as text generation: every call computes the whole sequence, nothing is kept."""
import torch

from . import gpt2

make, weights = gpt2.small, gpt2.weights
PROMPT = [5, 44, 17, 60, 0, 23, 23, 8, 31]
STEPS = 12


@torch.no_grad()
def greedy(model):
    """The tokens that PROMPT goes on with, and the logarithms of their probabilities."""
    ids, scores = torch.tensor([PROMPT]), []
    for _ in range(STEPS):
        logarithms = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        scores.append(logarithms.max())
        ids = torch.cat([ids, logarithms.argmax()[None, None]], 1)
    return ids[0, len(PROMPT):], torch.stack(scores)


def cases(model):
    def following(ids, past):
        scores = model(input_ids=ids).logits[:, -1].log_softmax(-1)
        return dict(word=scores.argmax(-1), score=scores.amax(-1))

    ids = torch.randint(gpt2.SMALL["vocab"], (2, 19), generator=torch.Generator().manual_seed(10))
    extra = dict(set=gpt2.SMALL, sizes=dict(limit=22))
    yield "logits", dict(ids=ids, past=0), lambda ids, past: model(input_ids=ids).logits, dict(extra)
    yield "next", dict(ids=ids, past=0), following, dict(extra)
