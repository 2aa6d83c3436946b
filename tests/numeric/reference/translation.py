"""Translation by beam search on torch.nn.Transformer: every step computes all words of all hypotheses, nothing is kept."""
import torch

from . import encoder_decoder, library

SMALL = encoder_decoder.SMALL
SOURCE = [7, 31, 2, 50, 18, 18, 40]
FIRST, LIMIT = 1, 11
SEARCHES = [(1, 43), (4, 43), (3, 22), (60, 43)]  # how many beams, and the last word; 60 are more than there are words


def make():
    model = encoder_decoder.make(SMALL, seed=29)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "decoder" in name and name.endswith("weight") and "norm" not in name:
                parameter.mul_(3)  # what was read and written before weighs more than the last word
    return model


def weights(model):
    """Under the names of examples/translation/translation.fov."""
    parts = library.Reference.weights(model)
    return {name.removeprefix("transformer."): tensor for name, tensor in parts.items()}


@torch.no_grad()
def search(model, beams, last):
    """Hypotheses in the order in which translate.c prints them: (mean logarithm, words)."""
    living, ended = [([FIRST], 0.0)], []
    while living and len(living[0][0]) <= LIMIT:
        ids = torch.tensor([words for words, _ in living])
        source = torch.tensor([SOURCE] * len(living))
        scores = model.logits(source, ids, torch.ones_like(source, dtype=torch.bool))[:, -1].log_softmax(-1).double()
        scores += torch.tensor([score for _, score in living], dtype=torch.double)[:, None]
        order = scores.flatten().sort(descending=True, stable=True)
        following = []
        for score, index in zip(order.values.tolist(), order.indices.tolist()):
            if len(following) + len(ended) == beams:
                break
            beam, word = divmod(index, scores.shape[1])
            (ended if word == last else following).append((living[beam][0] + [word], score))
        living = following
    return [(score / (len(words) - 1), words[1:]) for words, score in ended + living]
