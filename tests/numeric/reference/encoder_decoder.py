"""The Transformer of "Attention Is All You Need" from torch.nn.Transformer, with tied, scaled token embeddings."""
import math

import torch

BASE = dict(vocab=1000, dim=512, heads=8, depth=6, ffn=2048)
SMALL = dict(vocab=53, dim=32, heads=4, depth=2, ffn=48)


class EncoderDecoder(torch.nn.Module):
    def __init__(self, vocab, dim, heads, depth, ffn):
        super().__init__()
        self.dim = dim
        self.embedding = torch.nn.Embedding(vocab, dim)
        self.transformer = torch.nn.Transformer(dim, heads, depth, depth, ffn, dropout=0.0, batch_first=True)

    def embed(self, ids):
        """Embeddings times sqrt(dim), plus sines at even and cosines at odd places."""
        t = torch.arange(ids.shape[1], dtype=torch.float64)[:, None]
        i = torch.arange(0, self.dim, 2, dtype=torch.float64)[None, :]
        angle = t / 10000.0 ** (i / self.dim)
        positions = torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(ids.shape[1], self.dim)
        return self.embedding(ids) * math.sqrt(self.dim) + positions.to(self.embedding.weight.dtype)

    @torch.no_grad()
    def states(self, source, target, source_mask):
        """The decoder's states [B, T, dim]; `source_mask` is true where the source is not padding."""
        padding = ~source_mask
        causal = torch.triu(torch.ones(target.shape[1], target.shape[1], dtype=torch.bool), diagonal=1)
        # Both calls, rather than transformer(…): the fast path of nn.TransformerEncoder packs padded rows away.
        torch.backends.mha.set_fastpath_enabled(False)
        memory = self.transformer.encoder(self.embed(source), src_key_padding_mask=padding)
        return self.transformer.decoder(self.embed(target), memory, tgt_mask=causal, memory_key_padding_mask=padding)

    @torch.no_grad()
    def logits(self, source, target, source_mask):
        return self.states(source, target, source_mask) @ self.embedding.weight.T


def make(shape, seed=11):
    torch.manual_seed(seed)
    model = EncoderDecoder(**shape).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(1 / math.sqrt(shape["dim"]))
        for name, parameter in model.named_parameters():  # torch starts norms at 1 and biases at 0: too easy to get right
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def batch(shape, source_lengths, target_length, seed=5):
    """(source, target, source_mask): random ids, the source padded to its longest."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(source_lengths)
    source = torch.randint(shape["vocab"], (len(source_lengths), longest), generator=generator)
    target = torch.randint(shape["vocab"], (len(source_lengths), target_length), generator=generator)
    mask = torch.arange(longest)[None, :] < torch.tensor(source_lengths)[:, None]
    return source, target, mask
