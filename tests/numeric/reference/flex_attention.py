"""The examples of PyTorch's FlexAttention (its documentation, its announcement, attention-gym), as they are written there.

An example is a score_mod, a mask_mod or both, over scores `score`, batches `b`, heads `h`, queries `q_idx` and keys `kv_idx`.
"""
import torch
from torch.nn.attention.flex_attention import and_masks, create_block_mask, flex_attention, or_masks

B, H, S, D, E = 2, 2, 211, 8, 5
WIDTH, HEIGHT, KERNEL = 17, 16, 7  # the picture of the neighbourhoods
WINDOW, DILATION, CAP = 48, 3, 2.0


def inputs(seed):
    """Arguments by name; `image_…` are the operands of the neighbourhoods."""
    generator = torch.Generator().manual_seed(seed)
    uniform = lambda *shape: torch.rand(*shape, generator=generator) * 2 - 1
    cuts = torch.zeros(S, dtype=torch.int64)
    cuts[[37, 101, 102, 180]] = 1
    pixels = WIDTH * HEIGHT
    return {"q": uniform(B, H, S, D) * 2, "k": uniform(B, H, S, D) * 2, "v": uniform(B, H, S, E),
            "image_q": uniform(1, H, pixels, D) * 2, "image_k": uniform(1, H, pixels, D) * 2, "image_v": uniform(1, H, pixels, E),
            "document_id": cuts.cumsum(0), "prefix_length": torch.tensor([70, 3]), "alibi_bias": torch.tensor([0.25, 0.0625]),
            "table": uniform(H, 2 * S - 1), "offset": torch.tensor([0, 37, 101, 102, 180, S])}


# ---- the functions of the documentation


def causal_mask(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def sliding_window(b, h, q_idx, kv_idx):
    return q_idx - kv_idx <= WINDOW


def dilated_sliding_window(b, h, q_idx, kv_idx):
    diff = torch.abs(q_idx - kv_idx)
    return (diff <= WINDOW) & ((diff % DILATION) == 0)


def soft_cap(score, b, h, q_idx, kv_idx):
    return torch.tanh(score / CAP) * CAP


def relative_positional(score, b, h, q_idx, kv_idx):
    return score + (q_idx - kv_idx)


def causal_score(score, b, h, q_idx, kv_idx):
    return torch.where(q_idx >= kv_idx, score, -float("inf"))


def x_y(index):
    return index // WIDTH, index % WIDTH


def natten_mask(b, h, q_idx, kv_idx):
    """NATTEN: the window around the pixel, moved so that it lies within the picture."""
    q_x, q_y = x_y(q_idx)
    kv_x, kv_y = x_y(kv_idx)
    kernel_x = q_x.clamp(KERNEL // 2, (HEIGHT - 1) - KERNEL // 2)
    kernel_y = q_y.clamp(KERNEL // 2, (WIDTH - 1) - KERNEL // 2)
    return ((kernel_x - kv_x).abs() <= KERNEL // 2) & ((kernel_y - kv_y).abs() <= KERNEL // 2)


def neighbourhood_mask(b, h, q_idx, kv_idx):
    q_x, q_y = x_y(q_idx)
    kv_x, kv_y = x_y(kv_idx)
    return ((q_x - kv_x).abs() <= KERNEL // 2) & ((q_y - kv_y).abs() <= KERNEL // 2)


# ---- examples: what an entry of flex_attention.fov computes, from its inputs by name


def attend(q, k, v, score_mod=None, mask_mod=None):
    mask = mask_mod and create_block_mask(mask_mod, B=q.shape[0], H=q.shape[1], Q_LEN=q.shape[2], KV_LEN=k.shape[2], device="cpu")
    return flex_attention(q, k, v, score_mod=score_mod, block_mask=mask)


def full(q, k, v):
    return attend(q, k, v)


def causal(q, k, v):
    return attend(q, k, v, mask_mod=causal_mask)


def causal_by_score(q, k, v):
    return attend(q, k, v, causal_score)


def sliding(q, k, v):
    return attend(q, k, v, mask_mod=and_masks(causal_mask, sliding_window))


def prefix(q, k, v, prefix_length):
    return attend(q, k, v, mask_mod=or_masks(lambda b, h, q_idx, kv_idx: kv_idx <= prefix_length[b], causal_mask))


def documents(q, k, v, document_id):
    return attend(q, k, v, mask_mod=lambda b, h, q_idx, kv_idx: document_id[q_idx] == document_id[kv_idx])


def documents_causal(q, k, v, document_id):
    return attend(q, k, v, mask_mod=and_masks(causal_mask, lambda b, h, q_idx, kv_idx: document_id[q_idx] == document_id[kv_idx]))


def documents_relative(q, k, v, document_id, offset, alibi_bias):
    """A score_mod that counts places within each document, on top of the documents' mask."""
    def score(score, b, h, q_idx, kv_idx):
        q_in, kv_in = q_idx - offset[document_id[q_idx]], kv_idx - offset[document_id[kv_idx]]
        return score + alibi_bias[h] * (kv_in - q_in)

    return attend(q, k, v, score, and_masks(causal_mask, lambda b, h, q_idx, kv_idx: document_id[q_idx] == document_id[kv_idx]))


def alibi(q, k, v, alibi_bias):
    return attend(q, k, v, lambda score, b, h, q_idx, kv_idx: score + alibi_bias[h] * (kv_idx - q_idx))


def softcap(q, k, v):
    return attend(q, k, v, soft_cap)


def relative(q, k, v):
    return attend(q, k, v, relative_positional)


def relative_table(q, k, v, table):
    return attend(q, k, v, lambda score, b, h, q_idx, kv_idx: score + table[h, q_idx - kv_idx + S - 1])


def dilated(q, k, v):
    return attend(q, k, v, mask_mod=dilated_sliding_window)


def natten(image_q, image_k, image_v):
    return attend(image_q, image_k, image_v, mask_mod=natten_mask)


def neighbourhood(image_q, image_k, image_v):
    return attend(image_q, image_k, image_v, mask_mod=neighbourhood_mask)


def stacked(q, k, v, alibi_bias):
    """Gemma's capped scores with ALiBi under a sliding window."""
    def score(score, b, h, q_idx, kv_idx):
        return soft_cap(score, b, h, q_idx, kv_idx) + alibi_bias[h] * (kv_idx - q_idx)

    return attend(q, k, v, score, and_masks(causal_mask, sliding_window))


def stacked_prefix(q, k, v, document_id, prefix_length):
    """A prefix language model over packed documents with capped scores."""
    masks = or_masks(lambda b, h, q_idx, kv_idx: kv_idx <= prefix_length[b], causal_mask)
    same = lambda b, h, q_idx, kv_idx: document_id[q_idx] == document_id[kv_idx]
    return attend(q, k, v, soft_cap, and_masks(same, masks))


EXAMPLES = (full, causal, causal_by_score, sliding, prefix, documents, documents_causal, documents_relative, alibi, softcap, relative, relative_table,
            dilated, natten, neighbourhood, stacked, stacked_prefix)


# ---- how far two computations in f32 may be apart


def tolerance(entry):
    """1e-5 as for all that PyTorch is asked (docs/testing.md), and what is added to the scores is rounded on both sides: half a
    unit of the largest sum, and twice that of each weight."""
    added = {"alibi": S * 0.25, "relative": S, "documents_relative": S * 0.25, "stacked": S * 0.25}.get(entry, 0)
    return 1e-5 + 4 * 2.0**-24 * added
