"""Holds files of `fovea explain --format=json` to the schema that docs/explain.md describes.

usage: check_schema.py FUSED.json MISSED.json MASKS.json
"""
import json
import pathlib
import sys

TEXT, NUMBER, FLAG = str, int, bool
PLACE = {"file": TEXT, "line": NUMBER, "column": NUMBER, "text": TEXT}
TILES = {"target": TEXT, "variant": TEXT, "tiles?": NUMBER, "skipped?": NUMBER, "full?": NUMBER, "masked?": NUMBER, "open?": NUMBER,
         "flops?": NUMBER}
AT = {"batch": [NUMBER], "queries": NUMBER, "keys": NUMBER, "flops": NUMBER, "bytes": NUMBER, "score_bytes": NUMBER, "tiles": [TILES]}
RUN = {"entry": TEXT, "paths": [TEXT], "flops": TEXT, "bytes": TEXT, "score_bytes": TEXT, "at?": AT}
MASK = {"text": TEXT, "formula": (TEXT, None), "terms": [{"kind": TEXT, "formula": TEXT, "place": (PLACE, None), "from?": TEXT, "to?": TEXT}]}
CAPTURE = {"name": TEXT, "type": TEXT, "regions": [TEXT], "indices": [TEXT], "by_query": TEXT, "by_key": TEXT}
ATTENTION = {"batch": [TEXT], "queries": TEXT, "keys": TEXT, "inner": TEXT, "values": TEXT, "q": TEXT, "k": TEXT,
             "joined": [{"q": TEXT, "k": TEXT}], "v": TEXT, "pieces": {"k": [TEXT], "v": [TEXT]}, "result": TEXT,
             "shared": [TEXT], "normalizer": TEXT, "score": TEXT, "factor": (TEXT, None), "scale": (TEXT, None), "mask": MASK, "captures": [CAPTURE],
             "hints": [{"text": TEXT, "place": (PLACE, None)}]}
VARIANT = {"name": TEXT, "condition": TEXT, "decided_by": TEXT}
TARGET = {"target": TEXT, "tile_queries": NUMBER, "tile_keys": NUMBER, "variants": [VARIANT]}
FAILURE = {"fact": TEXT, "place": (PLACE, None), "help": (TEXT, None)}
CHAIN = {"place": (PLACE, None), "path": TEXT, "function": TEXT, "fused": FLAG, "held_bytes": (TEXT, None), "facts": [TEXT], "failure": (FAILURE, None),
         "attention": (ATTENTION, None), "targets": [TARGET], "runs": [RUN]}
ARENA = {"target": TEXT, "formula": TEXT, "bytes": (NUMBER, None)}
KEPT = {"place": TEXT, "path": TEXT, "count": NUMBER, "bytes": NUMBER}
REPEATED = {"place": TEXT, "path": TEXT, "count": NUMBER, "flops": NUMBER}
RECOMPUTATION = {"sizes": dict, "limit": (NUMBER, None), "bytes_before": NUMBER, "bytes": NUMBER, "flops": NUMBER, "kept": [KEPT], "repeated": [REPEATED]}
ENTRY = {"name": TEXT, "symbols": [TEXT], "arenas": [ARENA], "missing": [TEXT], "broken": [TEXT], "recomputation": (RECOMPUTATION, None)}
REPORT = {"schema": NUMBER, "model": TEXT, "source": TEXT, "targets": [TEXT], "sizes": dict, "entries": [ENTRY], "chains": [CHAIN]}

KINDS = set("causal from window prefix documents blocks lengths padding queries diagonal tensor formula other".split())
DECISIONS = {"no mask", "formula", "summaries", "mask"}


def check(value, schema, where):
    """Exits where `value` is not what `schema` says; every field must be there, and no other."""
    if isinstance(schema, tuple):
        if value is not None:
            check(value, schema[0], where)
    elif isinstance(schema, list):
        check(value, list, where)
        for i, element in enumerate(value):
            check(element, schema[0], f"{where}[{i}]")
    elif isinstance(schema, dict):
        check(value, dict, where)
        known = {name.rstrip("?") for name in schema}
        for name in value.keys() - known:
            sys.exit(f"{where}.{name} is not in the schema")
        for name, inner in schema.items():
            if name.rstrip("?") in value:
                check(value[name.rstrip("?")], inner, f"{where}.{name}")
            elif not name.endswith("?"):
                sys.exit(f"{where}.{name} is missing")
    elif type(value) is not schema:
        sys.exit(f"{where} is {value!r}, no {schema.__name__}")


def expect(condition, what):
    if not condition:
        sys.exit(f"expected: {what}")


def main():
    fused, missed, masks = reports = [json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:]]
    for report in reports:
        check(report, REPORT, "report")
        expect(report["schema"] == 1, "schema 1")
        for chain in report["chains"]:
            expect(chain["fused"] == (chain["failure"] is None) == (chain["attention"] is not None), f"one of both in {chain}")
            expect({term["kind"] for term in (chain["attention"] or {"mask": {"terms": []}})["mask"]["terms"]} <= KINDS, "known kinds")
            expect({variant["decided_by"] for target in chain["targets"] for variant in target["variants"]} <= DECISIONS, "known decisions")
            for run in chain["runs"]:
                for tiles in run.get("at", {}).get("tiles", []):
                    parts = sum(tiles[part] for part in ("skipped", "full", "masked", "open"))
                    expect(tiles["tiles"] == parts, f"tiles that add up in {tiles}")
                    expect(tiles["flops"] <= run["at"]["flops"], f"no more operations than without a mask in {tiles}")

    expect(fused["sizes"] == {"B": 1, "T": 100, "S": 200} and fused["targets"] == ["x86-64-v4"], "what was asked for")
    causal = fused["chains"][1]
    expect([term["kind"] for term in causal["attention"]["mask"]["terms"]] == ["causal"], "a causal mask")
    expect(causal["attention"]["mask"]["terms"][0]["to"] == "0", "its offset")
    at = causal["runs"][0]["at"]
    expect((at["batch"], at["queries"], at["keys"]) == ([1, 8], 100, 100), "its sizes")
    expect(at["tiles"][0] == {"target": "x86-64-v4", "variant": "many_queries", "tiles": 32, "skipped": 8, "full": 8, "masked": 16,
                              "open": 0, "flops": 15761408}, f"its tiles, not {at['tiles'][0]}")
    expect(len(causal["runs"][0]["paths"]) == 6, "its six layers")
    expect(causal["attention"]["mask"]["terms"][0]["place"]["line"] > 0, "the place of the mask")
    expect(missed["chains"][0]["held_bytes"] == "4*H*S*T", "the scores of a miss")
    # Every miss has its place and what would mend it.
    for chain in missed["chains"]:
        expect(chain["failure"]["help"] and chain["failure"]["place"]["line"] > 0, f"a place and help in {chain['failure']}")
    expect("at" not in masks["chains"][0]["runs"][0] and masks["sizes"] == {}, "no numbers where no sizes are asked for")


if __name__ == "__main__":
    main()
