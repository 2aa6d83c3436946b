"""Relative positions as their authors compute them: Transformer-XL's shift of a padded matrix, DeBERTa and buckets by the package transformers."""
import torch
from transformers import DebertaV2Config
from transformers.models.deberta_v2 import modeling_deberta_v2 as deberta_v2
from transformers.models.t5.modeling_t5 import T5Attention

HEADS, DEPTH, REACH = 2, 24, 50
SIZES = {"many": (37, 131), "few": (3, 211)}  # queries, keys; DeBERTa has as many of both


def inputs(size, seed):
    torch.manual_seed(seed)
    queries, keys = SIZES[size]
    alike = max(queries, 4)
    rows = {"q": queries, "k": keys, "v": keys, "distances": keys, "queries": alike, "keys": alike, "values": alike,
            "key_places": 2 * REACH, "query_places": 2 * REACH}
    made = {name: torch.randn(HEADS, count, DEPTH) for name, count in rows.items()}
    return made | {name: torch.randn(HEADS, DEPTH) for name in ("content_bias", "distance_bias")}


def shifted(x):
    """`_rel_shift` of Transformer-XL: column c of row t comes from column c + queries - 1 - t."""
    padded = torch.cat([torch.zeros(*x.shape[:-1], 1, dtype=x.dtype), x], -1)
    return padded.reshape(*x.shape[:-2], x.shape[-1] + 1, x.shape[-2])[..., 1:, :].reshape(x.shape)


def transformer_xl(q, k, v, distances, content_bias, distance_bias):
    queries, keys = q.shape[-2], k.shape[-2]
    descending = torch.flip(distances, [-2])  # from the greatest distance to 0
    scores = (q + content_bias[:, None]) @ k.mT + shifted((q + distance_bias[:, None]) @ descending.mT)
    hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
    return torch.softmax((scores / DEPTH**0.5).masked_fill(hidden, -torch.inf), -1) @ v


class Given(torch.nn.Module):
    """In the place of a projection: what it has given for the places, [heads, places, depth]."""

    def __init__(self, places):
        super().__init__()
        self.places = places.transpose(0, 1).reshape(1, 2 * REACH, HEADS * DEPTH)

    def forward(self, _):
        return self.places


def deberta(queries, keys, values, key_places, query_places):
    config = DebertaV2Config(hidden_size=HEADS * DEPTH, num_attention_heads=HEADS, relative_attention=True, max_relative_positions=REACH,
                             position_buckets=-1, pos_att_type=["c2p", "p2c"], share_att_key=True, norm_rel_ebd="none")
    attention = deberta_v2.DisentangledSelfAttention(config)
    attention.key_proj, attention.query_proj = Given(key_places), Given(query_places)
    bias = attention.disentangled_attention_bias(queries, keys, None, torch.zeros(2 * REACH, HEADS * DEPTH), 3)
    return torch.softmax(queries @ keys.mT / (3 * DEPTH) ** 0.5 + bias, -1) @ values


def buckets(distance):
    bucket = T5Attention._relative_position_bucket
    return {"both": bucket(distance), "back": bucket(distance, bidirectional=False),
            "signed": deberta_v2.make_log_bucket_position(distance, 256, 512).long()}


EXAMPLES = [transformer_xl, deberta]
