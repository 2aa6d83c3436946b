"""A hierarchical attention network, one sentence and one document at a time: nothing is padded, nothing is masked."""
import torch
from torch import nn

from .checkpoints import scramble
from .library import Reference

SMALL = dict(vocab=53, dim=32, heads=4, depth=2, ffn=48, words=12, sentences=8, classes=5)


class Pool(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.hidden, self.query = nn.Linear(dim, dim), nn.Parameter(torch.zeros(dim))

    def weights(self, x):
        return (self.hidden(x).tanh() @ self.query).softmax(-1)

    def forward(self, x):
        return self.weights(x) @ x


class Level(nn.Module):
    def __init__(self, limit):
        super().__init__()
        dim = SMALL["dim"]
        self.positions = nn.Embedding(limit, dim)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(
            dim, SMALL["heads"], SMALL["ffn"], dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(SMALL["depth"]))
        self.norm, self.pool = nn.LayerNorm(dim), Pool(dim)

    def states(self, x):
        x = (x + self.positions.weight[:len(x)])[None]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x[0])

    def forward(self, x):
        return self.pool(self.states(x))


class Documents(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(SMALL["vocab"], SMALL["dim"])
        self.words, self.sentences = Level(SMALL["words"]), Level(SMALL["sentences"])
        self.head = nn.Linear(SMALL["dim"], SMALL["classes"])

    def read(self, ids, lengths):
        return torch.stack([self.words(self.embedding(row[:length])) for row, length in zip(ids, lengths) if length])

    def classify(self, ids, lengths):
        return torch.stack([self.head(self.sentences(self.read(*document))) for document in zip(ids, lengths)])

    def explain(self, ids, lengths):
        result = torch.zeros(lengths.shape, dtype=self.head.weight.dtype)
        for row, document in zip(result, zip(ids, lengths)):
            weights = self.sentences.pool.weights(self.sentences.states(self.read(*document)))
            row[:len(weights)] = weights
        return result


def make():
    torch.backends.mha.set_fastpath_enabled(False)
    return scramble(Documents(), 91)


def weights(model):
    return Reference.weights(model, Reference.RENAMED | {"self_attn": "mix"})


def packed(ids, lengths):
    """The same documents without padding: words and sentences one after the other, with the number of what each is in."""
    sentences = [(document, row[:length]) for document, (rows, its) in enumerate(zip(ids, lengths))
                 for row, length in zip(rows, its) if length]
    counts = torch.tensor([len(words) for _, words in sentences])
    document = torch.tensor([document for document, _ in sentences])
    return dict(ids=torch.cat([words for _, words in sentences]), sentence_of=torch.arange(len(counts)).repeat_interleave(counts),
                words_from=torch.cat([torch.zeros(1, dtype=int), counts.cumsum(0)]), document_of=document,
                sentences_from=torch.searchsorted(document, torch.arange(len(ids) + 1)))


def cases(model):
    """Three documents: of full length, of one word, and of sentences that all differ."""
    lengths = torch.tensor([[9, 9, 9, 9, 9], [1, 0, 0, 0, 0], [3, 8, 1, 5, 0]])
    ids = torch.randint(SMALL["vocab"], (3, 5, 9), generator=torch.Generator().manual_seed(92))
    yield "classify", dict(ids=ids, lengths=lengths), model.classify, dict(set=SMALL)
    yield "classify_packed", packed(ids, lengths), lambda *_: model.classify(ids, lengths), dict(set=SMALL)
    yield "explain", dict(ids=ids, lengths=lengths), model.explain, dict(set=SMALL)
