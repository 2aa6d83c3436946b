"""Two towers and a cross-encoder from PyTorch's own layers."""
import torch
from torch.nn import functional as F

from .checkpoints import scramble
from .library import Reference

SMALL = dict(channels=2, image=20, patch=5, vocab=53, words=16, dim=32, heads=4, depth=2, cross_depth=1, ffn=48, space=12)


def layers(kind, count):
    return torch.nn.ModuleList(kind(SMALL["dim"], SMALL["heads"], SMALL["ffn"], dropout=0.0, activation="gelu", batch_first=True,
                                    norm_first=True) for _ in range(count))


class TwoTowers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn, dim = torch.nn, SMALL["dim"]
        self.patches = nn.Conv2d(SMALL["channels"], dim, SMALL["patch"], stride=SMALL["patch"])
        self.places = nn.Embedding((SMALL["image"] // SMALL["patch"]) ** 2, dim)
        self.pictures, self.sentences = (layers(nn.TransformerEncoderLayer, SMALL["depth"]) for _ in range(2))
        self.picture_norm, self.sentence_norm, self.cross_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.picture_out, self.sentence_out = (nn.Linear(dim, SMALL["space"], bias=False) for _ in range(2))
        self.embedding, self.positions = nn.Embedding(SMALL["vocab"], dim), nn.Embedding(SMALL["words"], dim)
        self.cross = layers(nn.TransformerDecoderLayer, SMALL["cross_depth"])
        self.verdict = nn.Linear(dim, 1)
        self.temperature = nn.Parameter(torch.zeros(()))

    def look(self, picture):
        x = self.patches(picture).flatten(2).transpose(1, 2) + self.places.weight
        for layer in self.pictures:
            x = layer(x)
        return self.picture_norm(x)

    def read(self, ids, mask):
        x = self.embedding(ids) + self.positions.weight[:ids.shape[1]]
        for layer in self.sentences:
            x = layer(x, src_key_padding_mask=~mask)
        return self.sentence_norm(x)

    def embed_pictures(self, picture):
        return F.normalize(self.picture_out(self.look(picture).mean(1)), dim=-1)

    def embed_sentences(self, ids, mask):
        x = torch.stack([row[seen].mean(0) for row, seen in zip(self.read(ids, mask), mask)])
        return F.normalize(self.sentence_out(x), dim=-1)

    def similarity(self, picture, ids, mask):
        return self.embed_pictures(picture) @ self.embed_sentences(ids, mask).T * self.temperature.exp()

    def match(self, picture, ids, mask):
        x, squares = self.read(ids, mask), self.look(picture)
        for layer in self.cross:
            x = layer(x, squares, tgt_key_padding_mask=~mask)
        return self.verdict(self.cross_norm(x)[:, 0]).sigmoid().squeeze(-1)


def make():
    torch.backends.mha.set_fastpath_enabled(False)
    return scramble(TwoTowers(), 71)


def weights(model):
    """PyTorch's layers under our names: as in the library's, but for what this model calls `mix` and `look`."""
    renamed = Reference.RENAMED | {"self_attn": "mix", "multihead_attn": "look"}
    return Reference.weights(model, renamed)


def cases(model):
    generator = torch.Generator().manual_seed(72)
    picture = torch.rand((3, SMALL["channels"], SMALL["image"], SMALL["image"]), generator=generator) * 2 - 1
    ids = torch.randint(SMALL["vocab"], (3, 11), generator=generator)
    mask = torch.arange(11)[None, :] < torch.tensor([11, 1, 6])[:, None]
    yield "similarity", dict(picture=picture[:2], ids=ids, mask=mask), model.similarity, dict(set=SMALL)
    yield "match", dict(picture=picture, ids=ids, mask=mask), model.match, dict(set=SMALL)
