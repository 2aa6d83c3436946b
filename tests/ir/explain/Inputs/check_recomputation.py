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
assert repeated["norm1"] == 24 and repeated["feed_forward.gelu.derivative"] == 12, repeated
# Products: all four of each layer, but for two of the last layer, which are kept: they are next to the loss.
assert repeated["attention.query"] == 4 * 12 - 2 and kept["layers.11.attention.value"] == 2, (repeated, kept)
assert sum(row["flops"] for row in step["repeated"]) < step["flops"] / 5
