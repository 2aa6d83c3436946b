"""A picture pixel by pixel: every pixel is drawn after the model has seen all before it anew."""
import torch

from . import library

SMALL = dict(shades=6, width=7, height=5, dim=32, heads=4, depth=2)
SEEDS = [(3, []), (4, [0, 5, 5, 2, 1, 0, 3, 3, 4])]  # the seed, and the pixels that are given


class ImageGeneration(torch.nn.Module):
    def __init__(self, shades, width, height, dim, heads, depth):
        super().__init__()
        nn = torch.nn
        self.start, self.width = shades, width
        self.shade, self.column, self.row = nn.Embedding(shades + 1, dim), nn.Embedding(width, dim), nn.Embedding(height, dim)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True,
                                                               norm_first=True) for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, shades, bias=False)

    @torch.no_grad()
    def forward(self, pixels):
        """The probabilities of the shades after each pixel, the start counted as one."""
        place = torch.arange(pixels.shape[1])
        x = self.shade(pixels) + self.column(place % self.width) + self.row(place // self.width)
        for layer in self.layers:
            x = layer(x, src_mask=library.causal_mask(len(place)))
        return self.out(self.norm(x)).softmax(-1)


def make(seed=31):
    torch.manual_seed(seed)
    torch.backends.mha.set_fastpath_enabled(False)
    model = ImageGeneration(**SMALL).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.out.weight.mul_(6)  # some shades are likelier than others
    return model


def weights(model):
    return library.Reference.weights(model)


def numbers(seed):
    """splitmix64, as paint.c has it."""
    mask = 2 ** 64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        yield ((z ^ z >> 31) >> 11) * 2.0 ** -53


def paint(model, seed, given):
    draw, pixels = numbers(seed), [model.start, *given]
    while len(pixels) <= SMALL["width"] * SMALL["height"]:
        shares = model(torch.tensor([pixels]))[0, -1].double().cumsum(0)
        pixels.append(min(int((shares <= next(draw)).sum()), model.start - 1))
    return pixels[1:]


def cases(model):
    """The whole sequence at once, as a prompt."""
    pixels = torch.randint(SMALL["shades"] + 1, (2, 20), generator=torch.Generator().manual_seed(8))
    yield "next", dict(pixels=pixels, past=0), lambda pixels, past: model(pixels)[:, -1], dict(set=SMALL, sizes=dict(limit=35))
