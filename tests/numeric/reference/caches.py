"""The caches of the library, into which all rows come at once: attention back along the rows, and over a window."""
import torch
from torch.nn import functional as F

HEADS, GROUPS, DIM, WINDOW, PAGE = 2, 2, 12, 5, 4
BATCH, LENGTH, PAGES = 2, 13, 5


def attend(q, k, v, window=None):
    t = torch.arange(q.shape[2])
    distance = t[:, None] - t
    seen = (distance >= 0) & (distance < (window or len(t)))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)


def cases():
    g = torch.Generator().manual_seed(51)
    rand = lambda heads: torch.randn((BATCH, heads, LENGTH, DIM), generator=g)
    rows = dict(q=rand(HEADS * GROUPS), k=rand(HEADS), v=rand(HEADS))
    yield "in_order", dict(rows, past=0), lambda q, k, v, past: attend(q, k, v), dict(sizes=dict(limit=LENGTH))
    yield "in_ring", dict(rows, past=0), lambda q, k, v, past: attend(q, k, v, WINDOW), dict(sizes=dict(slots=LENGTH + WINDOW - 1))
    table = torch.randperm(BATCH * PAGES + 1, generator=g)[:BATCH * PAGES].view(BATCH, PAGES)
    yield "in_pages", dict(rows, table=table, past=torch.zeros(BATCH, dtype=torch.long)), lambda q, k, v, table, past: attend(q, k, v), dict(
        sizes=dict(pages=BATCH * PAGES + 1))
