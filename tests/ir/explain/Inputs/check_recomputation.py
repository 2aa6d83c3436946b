"""Checks the record of a training of twelve layers: each layer keeps what it starts from, all else of it runs again."""
import json
import sys

entries = {entry["name"]: entry for entry in json.load(open(sys.argv[1]))["entries"]}
assert entries["predict"]["recomputation"] is None  # no gradients
head = entries["head_step"]["recomputation"]
assert not head["repeated"] and head["bytes"] == head["bytes_before"] <= head["limit"]

step = entries["step"]["recomputation"]
assert step["sizes"] == {"B": 4, "T": 40} and step["limit"] == 1300 * 1024
assert step["bytes"] <= step["limit"] and step["bytes_before"] > 4 * step["bytes"]
assert [arena["bytes"] for arena in entries["step"]["arenas"]] == [step["bytes"]]


def counts(rows):
    """By the path in the first layer: `norm1.layer_norm.centred`."""
    return {row["path"].removeprefix("layers.0."): row["count"] for row in rows}


kept, repeated = counts(step["kept"]), counts(step["repeated"])
# Both halves of a layer start from what a normalisation has read.
assert kept["norm1.layer_norm.centred"] == 24 and kept["norm1.layer_norm.sqrt"] == 24, kept
# All norms but the last, which is next to the loss; the first product of the other half leaves its kernel with the activation.
assert repeated["norm1"] == 23 and repeated["feed_forward.gelu"] == 12, repeated
# The three products before attention of each layer, but for two of the last layer, which are kept.
assert repeated["attention.query"] == 3 * 12 - 2 and kept["layers.11.attention.key"] == 2, (repeated, kept)
assert sum(row["flops"] for row in step["repeated"]) < step["flops"] / 5
