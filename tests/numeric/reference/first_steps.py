"""The three smallest networks, written in PyTorch with plain operations, and their small weights."""
import math

import torch


def weights(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) / math.sqrt(shape[-1]) for name, shape in shapes.items()}


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def shapes_of(**layers):
    """layers: name = (out, in)."""
    result = {}
    for name, (out, inside) in layers.items():
        result[name + ".weight"] = (out, inside)
        result[name + ".bias"] = (out,)
    return result


# -- self-attention: every token of a sentence attends to every token -------------------------------------------------
SELF = {"embedding.weight": (12, 8), **shapes_of(query=(8, 8), key=(8, 8), value=(8, 8), output=(3, 8))}


def self_attention(w, ids):
    x = w["embedding.weight"][ids]
    scores = linear(w, "query", x) @ linear(w, "key", x).transpose(-1, -2) / math.sqrt(8)
    attention = scores.softmax(-1)
    context = attention @ linear(w, "value", x)
    return attention, linear(w, "output", context.mean(1))


# -- cross-attention: the tokens of a question attend to the rows of a picture ----------------------------------------
CROSS = {"embedding.weight": (12, 8), **shapes_of(patch=(8, 6), query=(8, 8), key=(8, 8), value=(8, 8), output=(4, 8))}


def cross_attention(w, ids, patches, visible):
    question, picture = w["embedding.weight"][ids], linear(w, "patch", patches)
    scores = linear(w, "query", question) @ linear(w, "key", picture).transpose(-1, -2) / math.sqrt(8)
    attention = scores.masked_fill(~visible[:, None, :], -math.inf).softmax(-1)
    context = attention @ linear(w, "value", picture)
    return attention, linear(w, "output", context)


# -- hierarchical: words make sentences, sentences make a document ----------------------------------------------------
HIERARCHICAL = {
    "embedding.weight": (20, 8),
    **shapes_of(word_hidden=(8, 8)), "word_query": (8,),
    **shapes_of(sentence_hidden=(8, 8)), "sentence_query": (8,),
    **shapes_of(output=(5, 8)),
}


def pooled(w, level, x, visible):
    scores = linear(w, level + "_hidden", x).tanh() @ w[level + "_query"]
    attention = scores.masked_fill(~visible, -math.inf).softmax(-1)
    attention = attention.masked_fill(~visible, 0.0)  # a sentence without words weighs nothing
    return attention, (attention[..., None] * x).sum(-2)


def hierarchical(w, ids, visible):
    word_attention, sentences = pooled(w, "word", w["embedding.weight"][ids], visible)
    sentence_attention, document = pooled(w, "sentence", sentences, visible.any(-1))
    return word_attention, sentence_attention, linear(w, "output", document)
