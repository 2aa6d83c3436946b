#!/usr/bin/env python3
"""The page of `fovea explain --format=html` as a browser builds it: chains, places and facts are those of the JSON report, the graph
before and after fusion is drawn, chains are highlighted, nothing is fetched.

usage: page.py --fovea FOVEA --work FOLDER

Skipped (exit code 77) without Chromium or Graphviz; with FOVEA_REQUIRE_BROWSER set that is a failure.
"""
import argparse
import html.parser
import json
import os
import pathlib
import shutil
import subprocess
import sys

MODEL = pathlib.Path(__file__).resolve().parent / "page.fov"
VOID = set("area base br col embed hr img input link meta param source track wbr".split())


class Element:
    def __init__(self, name, attributes, parent):
        self.name, self.attributes, self.parent = name, dict(attributes), parent
        self.children, self.pieces = [], []

    @property
    def classes(self):
        return (self.attributes.get("class") or "").split()

    def text(self):
        return "".join(piece if isinstance(piece, str) else piece.text() for piece in self.pieces).strip()

    def all(self, name, *classes):
        """Elements below with this name and all of these classes, in order."""
        for child in self.children:
            if child.name == name and set(classes) <= set(child.classes):
                yield child
            yield from child.all(name, *classes)


class Tree(html.parser.HTMLParser):
    """What the browser prints is well formed: every tag is closed."""

    def __init__(self):
        super().__init__()
        self.root = self.at = Element("root", (), None)

    def handle_starttag(self, name, attributes):
        child = Element(name, attributes, self.at)
        self.at.children.append(child)
        self.at.pieces.append(child)
        if name not in VOID:
            self.at = child

    def handle_endtag(self, name):
        if name not in VOID:
            expect(self.at.name == name, f"the end of <{self.at.name}>, not of <{name}>")
            self.at = self.at.parent

    def handle_data(self, text):
        self.at.pieces.append(text)


def expect(condition, what):
    if not condition:
        sys.exit(f"expected: {what}")


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    if result.returncode:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{result.stdout}{result.stderr}")
    return result.stdout


def browser(drawing=True):
    """Chromium's path; exits where it is missing, or Graphviz, which draws graphs."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = [name for name, there in (("chromium", found), ("graphviz", not drawing or shutil.which("dot"))) if not there]
    if missing:
        print(f"missing: {', '.join(missing)}")
        sys.exit(1 if "FOVEA_REQUIRE_BROWSER" in os.environ else 77)
    return found


def dom(chromium, page, work):
    profile = work / "profile"
    text = run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
               "--dump-dom", page.as_uri())
    shutil.rmtree(profile, ignore_errors=True)
    tree = Tree()
    tree.feed(text)
    expect(tree.at is tree.root, "all tags closed")
    return tree.root


def place(where):
    return f"{where['file']}:{where['line']}:{where['column']}"


def check_chain(section, chain):
    """A chain's section says what JSON says."""
    expect(section.attributes["data-place"] == place(chain["place"]), f"the place {chain['place']}")
    expect(section.attributes["data-function"] == chain["function"], f"the function {chain['function']}")
    expect(("fused" in section.classes) == chain["fused"] and ("missed" in section.classes) != chain["fused"], "fused or missed")
    head = next(section.all("h2")).text()
    expect(head.startswith(chain["place"]["text"]) and chain["path"] in head, f"place and path in {head}")
    facts = [item.text() for facts in section.all("ul", "facts") for item in facts.all("li")]
    expect(facts == chain["facts"], f"the facts {chain['facts']}, not {facts}")
    if not chain["fused"]:
        failure, why, help = chain["failure"], next(section.all("p", "failure")), next(section.all("p", "help"))
        expect(why.attributes["data-place"] == place(failure["place"]), f"the place {failure['place']}")
        expect(why.text().startswith(failure["fact"]) and help.text() == failure["help"], f"fact and help of {failure}")
        return
    rows = {}
    for row in next(section.all("table", "rows")).all("tr"):
        rows.setdefault(next(row.all("th")).text(), []).append(next(row.all("td")).text())
    attention, (runs,) = chain["attention"], chain["runs"]
    term = attention["mask"]["terms"][0]
    expect(rows["mask"] == [f"{attention['mask']['text']} ({term['formula']}), {term['place']['text']}"], f"the mask, not {rows['mask']}")
    expect(all(variant["condition"] in rows["kernel"][0] for variant in chain["targets"][0]["variants"]), "the variants' conditions")
    expect(runs["flops"] in rows["costs"][0] and runs["bytes"] in rows["costs"][0], "operations and bytes")
    expect(str(len(runs["paths"])) in rows["runs"][0], "how often it runs")
    tiles = runs["at"]["tiles"][0]
    counts = f"{tiles['tiles']} tiles: {tiles['skipped']} skipped, {tiles['full']} full, {tiles['masked']} masked"
    expect(counts in rows["at"][0], f"{counts} in {rows['at'][0]}")


def titles(figure, *classes):
    """The op of each node of a drawing that has these classes."""
    return [next(node.all("text")).text() for node in figure.all("g", "node", *classes)]


def check_drawings(root):
    before, after = (next(element for element in root.all("figure") if element.attributes["id"] == name) for name in ("before", "after"))
    for figure in (before, after):
        expect(len(list(figure.all("svg"))) == 1 and len(list(figure.all("g", "edge"))) > 5, "a drawing")
        expect(titles(figure, "missed", "chain-2") == ["softmax"] or figure is before, "the softmax that stays")
        expect(titles(figure, "blocked", "chain-2") == ["reduce prod"], "what is in its way")
    chain = titles(before, "chain", "chain-1")
    expect(chain.count("contract") == 2 and {"exp", "div"} <= set(chain), f"the chain from product to product, not {chain}")
    expect(titles(after, "chain", "chain-1") == ["attention"], "one op of it")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    chromium = browser()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    command = [arguments.fovea, "explain", MODEL, "--at=T=200,S=100", "--target=x86-64-v3"]
    page = work / "page.html"
    run(*command, "--format=html", "-o", page)
    report = json.loads(run(*command, "--format=json"))
    root = dom(chromium, page, work)

    expect(next(root.all("title")).text() == "Page: 1 of 2 chains fused", "the title")
    sections = list(root.all("section", "chain"))
    expect(len(sections) == len(report["chains"]) == 2, "two chains")
    for number, (section, chain) in enumerate(zip(sections, report["chains"]), 1):
        expect(section.attributes["id"] == f"chain-{number}", f"chain {number}")
        check_chain(section, chain)
    links = [link.attributes["href"] for nav in root.all("nav") for link in nav.all("a")]
    expect(links == ["#chain-1", "#chain-2"], f"links to both, not {links}")
    expect(report["chains"][0]["attention"]["mask"]["terms"][0]["kind"] == "causal", "a causal mask")
    check_drawings(root)
    text = page.read_text()
    foreign = [word for word in ("<script", "<link", "<img", "@import", "url(", ' src="', 'href="http') if word in text]
    expect(not foreign, f"nothing from elsewhere, not {foreign}")
    print(f"{page}: {len(text)} bytes, {len(sections)} chains")


if __name__ == "__main__":
    main()
