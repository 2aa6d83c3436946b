"""What PyTorch's own modules and functions say to the entries of tests/numeric/library.fov."""
import math

import torch
from torch.nn import functional as F

from .initialisers import probabilities
from .philox import kept, random_bits

DIM, HEADS, HIDDEN = 12, 3, 20


class Reference(torch.nn.Module):
    """Holds PyTorch's modules; their weights are handed to our program under our names by `weights`."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.linear_layer = nn.Linear(DIM, 5)
        self.unbiased = nn.Linear(DIM, 5, bias=False)
        self.table = nn.Embedding(9, DIM)
        self.layer_norm_layer = nn.LayerNorm(DIM)
        self.rms_norm_layer = nn.RMSNorm(DIM, eps=1e-6)
        self.multi_head = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        options = dict(dropout=0.0, batch_first=True)
        self.encoder_post = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, activation="gelu", **options)
        self.encoder_pre = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, norm_first=True, **options)
        self.decoder_post = nn.TransformerDecoderLayer(DIM, HEADS, HIDDEN, **options)
        self.decoder_pre = nn.TransformerDecoderLayer(DIM, HEADS, HIDDEN, activation="gelu", norm_first=True, **options)
        self.conv = nn.Conv1d(DIM, 7, 3)
        self.conv_strided = nn.Conv1d(DIM, 7, 4, stride=3, padding=2, bias=False)
        self.patches = nn.Conv2d(2, DIM, 3, stride=3)

    # Our modules' names for the parts of PyTorch's layers.
    RENAMED = {"self_attn": "attention", "multihead_attn": "cross_attention", "out_proj": "out", "linear1": "feed_forward.up",
               "linear2": "feed_forward.down"}

    def weights(self, renamed=RENAMED):
        result = {}
        for name, tensor in self.state_dict().items():
            name = ".".join(renamed.get(part, part) for part in name.split("."))
            if "in_proj_" in name:  # the three projections in one matrix
                for ours, part in zip(("query", "key", "value"), tensor.chunk(3)):
                    result[name.replace("in_proj_", ours + ".")] = part.clone()
            else:
                result[name] = tensor
        return result


def make(seed=23):
    torch.manual_seed(seed)
    torch.backends.mha.set_fastpath_enabled(False)
    model = Reference().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def causal_mask(t):
    return torch.triu(torch.ones(t, t, dtype=torch.bool), diagonal=1)


def turned(x, interleaved, offset=0):
    """Rotary positions by complex multiplication."""
    t, d = x.shape[-2:]
    frequency = 10000.0 ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
    angle = (torch.arange(t, dtype=torch.float64) + offset)[:, None] * frequency
    turn = torch.polar(torch.ones_like(angle), angle)
    pairs = x.double().unflatten(-1, (d // 2, 2)) if interleaved else x.double().unflatten(-1, (2, d // 2)).transpose(-1, -2)
    y = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn)
    return (y if interleaved else y.transpose(-1, -2)).flatten(-2).to(x.dtype)


def sinusoidal(x):
    t, d = x.shape[-2:]
    angle = torch.arange(t, dtype=torch.float64)[:, None] / 10000.0 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(x.dtype)


def softmax_masked(x):
    """Rows that are -inf throughout become zeros; NaN stays in its row."""
    return torch.where((x == -math.inf).all(-1, keepdim=True), torch.zeros_like(x), x.softmax(-1))


def pools(x, mask):
    weight = mask.to(x.dtype)[:, :, None]
    return dict(mean=x.mean(1), max=x.amax(1), masked=(x * weight).sum(1) / weight.sum(1).clamp(min=1), cls=x[:, 0])


def rotated(x, cosines, sines, positions):
    """The first 2R places of each head as complex numbers, turned by each position's angles."""
    turns = torch.complex(cosines, sines)[positions][:, None]
    places = 2 * cosines.shape[1]
    first, rest = x[..., :places], x[..., places:]
    halves = torch.complex(*first.chunk(2, -1)) * turns
    pairs = torch.view_as_complex(first.unflatten(-1, (-1, 2)).contiguous()) * turns
    return dict(halves=torch.cat([halves.real, halves.imag, rest], -1), pairs=torch.cat([torch.view_as_real(pairs).flatten(-2), rest], -1))


def rope_parameters(rope_type, dim, rows=None, base=10000.0, most=None, **parameters):
    """transformers' frequencies and attention factor."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    config = LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim, max_position_embeddings=most or 1 << 20,
                         rope_parameters=dict(rope_type=rope_type, rope_theta=base, **parameters))
    return ROPE_INIT_FUNCTIONS[rope_type](config, device="cpu", seq_len=rows)


def rope_types(rows, factors):
    of = lambda *arguments, **parameters: rope_parameters(*arguments, **parameters)[0].log()
    trained = lambda n: dict(original_max_position_embeddings=n)
    stretched = 10000.0 * 4 ** (32 / 30)
    longrope = dict(short_factor=factors.tolist(), long_factor=[1.0] * 16, factor=4.0)
    return dict(
        linear=of("linear", 32, factor=4.0), ntk=-torch.arange(16, dtype=factors.dtype) / 16 * math.log(stretched),
        dynamic=of("dynamic", 32, rows=len(rows), most=64, factor=2.0), within=of("dynamic", 32, rows=len(rows), most=256, factor=2.0),
        yarn=of("yarn", 32, factor=4.0, **trained(2048)),
        yarn_exact=of("yarn", 32, base=50000.0, factor=40.0, beta_slow=2.0, truncate=False, **trained(4096)),
        llama3=of("llama3", 32, base=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **trained(8192)),
        longrope=of("longrope", 32, **longrope, **trained(4096)),
        proportional=rope_parameters("proportional", 32, base=1000000.0, factor=2.0, partial_rotary_factor=10 / 32)[0])


def rope_scaled(x, past):
    """Scaled angles of transformers, turned as its Llama turns whole rows and its Phi-3 a part of each."""
    from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb
    def turned(parameters):
        frequencies, scale = parameters
        angle = (torch.arange(x.shape[2]) + past)[:, None] * frequencies.double()
        cosines, sines = (torch.cat([f, f], -1).to(x.dtype) * scale for f in (angle.cos(), angle.sin()))
        return apply_rotary_pos_emb(x, x, cosines[None], sines[None])[0]
    ones = [1.0] * 6
    return dict(yarn=turned(rope_parameters("yarn", 8, factor=4.0, original_max_position_embeddings=32)),
                longrope=turned(rope_parameters("longrope", 12, short_factor=ones, long_factor=ones, factor=32.0, original_max_position_embeddings=4096)))


def rope_axial(x, rows, columns):
    from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLVisionRotaryEmbedding, apply_rotary_pos_emb_vision
    table = Qwen2VLVisionRotaryEmbedding(Qwen2VLVisionConfig(embed_dim=x.shape[1] * x.shape[2], num_heads=x.shape[1]))
    cosines, sines = table(x, torch.stack([rows, columns], -1))
    return apply_rotary_pos_emb_vision(x, x, cosines, sines)[0]


def yarn_scales(x):
    scale = lambda **parameters: rope_parameters("yarn", 32, original_max_position_embeddings=4096, **parameters)[1]
    return torch.tensor([scale(factor=0.5), scale(factor=4.0), scale(factor=40.0, mscale=1.3, mscale_all_dim=0.7)], dtype=x.dtype)


def attention_repeated(q, k, v, bias):
    weights = torch.softmax(q @ k.repeat_interleave(3, dim=1).mT / math.sqrt(q.shape[-1]) + bias, -1)
    return dict(full=F.scaled_dot_product_attention(q, k, v, enable_gqa=True), biased=weights @ v.repeat_interleave(3, dim=1), weights=weights)


def states(state, k, v, rate):
    return dict(linear=state + torch.einsum("bhd,bhe->bhde", k, v),
                delta=torch.stack([torch.stack([s + r * torch.outer(key, value - s.T @ key) for s, key, value, r in zip(*heads)])
                                   for heads in zip(state, k, v, rate)]))


def written(cache, rows, at):
    straight, circular = cache.clone(), cache.clone()
    for b, start in enumerate(at.tolist()):
        for n, row in enumerate(rows[b]):
            circular[b, (start + n) % cache.shape[1]] = row
            if 0 <= start + n < cache.shape[1]:
                straight[b, start + n] = row
    return dict(straight=straight, circular=circular)


def conv_causal(x, weight, past):
    rows = torch.cat([past, x], 1).transpose(1, 2)
    y = F.conv1d(rows, weight[:, None], groups=weight.shape[0])
    return dict(y=y.transpose(1, 2), past=rows.transpose(1, 2)[:, x.shape[1]:])


def dropped(x, seed):
    left = kept(seed, x.shape, 0.25)
    return dict(y=torch.where(left, x / 0.75, 0), back=torch.where(left, 2 * x / 0.75, 0))


def dropped_unseeded(x):
    """The seed of each call is a state that starts as a number of [0, 2^62) and is one more in each run."""
    seeds = [int(probabilities(f"{call}.next_seed.seed", 1, 0)[0] * 2**62) + 1 for call in ("dropout", "dropout#2")]
    left, right = (kept(seed, x.shape, rate) for seed, rate in zip(seeds, (0.25, 0.5)))
    both = left & right
    return dict(y=torch.where(left, x / 0.75, 0), z=torch.where(right, x / 0.5, 0), back=torch.where(both, 2 * x / 0.375, 0))


def cases(m):
    """(entry, inputs, function of the inputs giving a tensor or {output: tensor})."""
    g = torch.Generator().manual_seed(31)
    rand = lambda *shape: torch.randn(shape, generator=g)
    lengths = lambda sizes, longest: torch.arange(longest)[None, :] < torch.tensor(sizes)[:, None]
    x, memory, wide = rand(3, 17, DIM), rand(3, 7, DIM), rand(2, 5, 31) * 4
    mask, memory_mask = lengths([17, 1, 16], 17), lengths([7, 2, 5], 7)
    q, k, v = rand(2, 3, 5, 8), rand(2, 3, 33, 8), rand(2, 3, 33, 6)
    ids = torch.tensor([[0, 8, 3, 3], [1, 7, 5, 0]])
    special = rand(6, 9)
    special[0] = -math.inf
    special[1, 2:] = -math.inf
    special[2] = 1e30
    special[3, 4] = math.nan
    special[4] = torch.linspace(-200, 200, 9)
    even = rand(2, 9, 10)
    scores, classes, seen = rand(3, 4, 11) * 5, torch.randint(11, (3, 4), generator=g), lengths([4, 0, 2], 4)
    sdpa = F.scaled_dot_product_attention

    yield "linear_biased", dict(x=x), m.linear_layer
    yield "linear_unbiased", dict(x=x), m.unbiased
    yield "linear_function", dict(x=x), m.linear_layer
    yield "embedding_rows", dict(ids=ids), m.table
    yield "embedding_function", dict(ids=ids), m.table
    yield "layer_norm_rows", dict(x=x * 3 + 1), m.layer_norm_layer
    yield "rms_norm_rows", dict(x=x * 3 + 1), m.rms_norm_layer
    encode = lambda layer: lambda x, mask: layer(x, src_key_padding_mask=~mask)
    decode = lambda layer: lambda x, memory, mask: layer(x, memory, tgt_mask=causal_mask(x.shape[1]), memory_key_padding_mask=~mask)
    yield "encoder_layer_post", dict(x=x, mask=mask), encode(m.encoder_post)
    yield "encoder_layer_pre", dict(x=x, mask=mask), encode(m.encoder_pre)
    yield "decoder_layer_post", dict(x=x, memory=memory, mask=memory_mask), decode(m.decoder_post)
    yield "decoder_layer_pre", dict(x=x, memory=memory, mask=memory_mask), decode(m.decoder_pre)
    yield "activations", dict(x=wide), lambda x: dict(relu=F.relu(x), silu=F.silu(x), gelu=F.gelu(x),
                                                      gelu_tanh=F.gelu(x, approximate="tanh"), sigmoid=x.sigmoid())
    yield "softmaxes", dict(x=wide), lambda x: dict(last=x.softmax(-1), middle=x.softmax(1), logarithm=x.log_softmax(-1),
                                                    sums=x.logsumexp(-1), entropies=torch.special.entr((10 * x).softmax(-1)).sum(-1))
    yield "softmax_masked", dict(x=special), softmax_masked
    yield "unit_vectors", dict(x=wide), lambda x: F.normalize(x, dim=-1)
    visible = lengths([33, 20], 33)
    yield "attentions", dict(q=q, k=k, v=v, visible=visible), lambda q, k, v, visible: dict(
        full=sdpa(q, k, v), masked=sdpa(q, k, v, attn_mask=visible[:, None, None, :]))
    yield "attention_causal", dict(q=k, k=k * 0.7, v=v), lambda q, k, v: sdpa(q, k, v, is_causal=True)
    yield "multi_head_masked", dict(x=x, memory=memory, mask=memory_mask), lambda x, memory, mask: m.multi_head(
        x, memory, memory, key_padding_mask=~mask, need_weights=False)[0]
    yield "multi_head_causal", dict(x=x), lambda x: m.multi_head(
        x, x, x, attn_mask=causal_mask(x.shape[1]), need_weights=False)[0]
    yield "sinusoidal", dict(x=even), sinusoidal
    yield "rotary", dict(x=even), lambda x: dict(halves=turned(x, False), pairs=turned(x, True))
    yield "rotary_offset", dict(x=even, offset=3), lambda x, offset: turned(x, False, offset)
    yield "pools", dict(x=x, mask=lengths([17, 0, 16], 17)), pools
    rows = lambda conv: lambda x: conv(x.transpose(1, 2)).transpose(1, 2)
    yield "conv1d", dict(x=x), rows(m.conv)
    yield "conv1d_strided", dict(x=x), rows(m.conv_strided)
    yield "patch_embedding", dict(x=rand(2, 2, 9, 6)), lambda x: m.patches(x).flatten(2).transpose(1, 2)
    far = torch.tensor([0, 1, 2, 3, 4, -1, 2**32 - 1, 2**32, 2**40 + 5, 2**63 - 1, -2**63])
    yield "random_words", dict(seed=0x299F31D0A4093822, counter=far), lambda seed, counter: dict(
        bits=random_bits(seed, counter), numbers=random_bits(seed, counter) // 256 * 2.0**-24)
    yield "dropped", dict(x=wide, seed=-7), dropped
    yield "dropped_unseeded", dict(x=wide), dropped_unseeded
    yield "attention_dropped", dict(q=q, k=k, v=v, seed=1 << 40), lambda q, k, v, seed: torch.where(
        kept(seed, (*q.shape[:3], k.shape[2]), 0.1), (q @ k.mT / q.shape[-1]**0.5).softmax(-1) / 0.9, 0) @ v
    yield "loss_mse", dict(x=scores[0], y=scores[1]), F.mse_loss
    yield "loss_cross_entropy", dict(scores=scores, classes=classes), lambda s, c: F.cross_entropy(s.flatten(0, 1), c.flatten())
    yield "loss_masked", dict(scores=scores, classes=classes, mask=seen), lambda s, c, m: F.cross_entropy(s[m], c[m])
    yield "heads_repeated", dict(x=k[:, :, :4]), lambda x: x.repeat_interleave(3, dim=1)
    yield "states", dict(state=rand(2, 3, 8, 6), k=q[:, :, 0], v=v[:, :, 0], rate=rand(2, 3).sigmoid()), states
    cache, rows = rand(4, 7, 5), rand(4, 3, 5)
    cache[0, 2] = rows[1, 0] = math.nan  # what is replaced doesn't count, what is written stands
    yield "written", dict(cache=cache, rows=rows, at=torch.tensor([2, 0, 5, -1])), written
    angles = rand(11, 3) * 3
    yield "rotated", dict(x=rand(2, 3, 4, 10), cosines=angles.cos(), sines=angles.sin(), positions=torch.tensor([[0, 1, 2, 3], [10, 0, 5, 5]])), rotated
    yield "conv_causal", dict(x=x, weight=rand(DIM, 4), past=rand(3, 3, DIM)), conv_causal
    yield "attention_repeated", dict(q=rand(2, 9, 5, 8), k=k, v=v, bias=rand(9, 5, 33)), attention_repeated
    yield "rope_types", dict(rows=torch.arange(100), factors=rand(16).abs() * 3 + 1), rope_types
    yield "rope_scaled", dict(x=rand(2, 3, 5, 12), past=5), rope_scaled
    yield "rope_axial", dict(x=rand(6, 2, 16), rows=torch.tensor([0, 0, 0, 1, 1, 1]), columns=torch.tensor([0, 1, 2, 0, 1, 13])), rope_axial
    yield "yarn_scales", dict(x=rand(1)), yarn_scales
