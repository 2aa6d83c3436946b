#!/usr/bin/env python3
"""The page of `train --page` as a browser builds it: a chart for each metric, whose points are the log's numbers; nothing is fetched.

usage: page_of_curves.py --fovea FOVEA --work FOLDER

Skipped (exit code 77) without Chromium; with FOVEA_REQUIRE_BROWSER set that is a failure.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "explain")]
from page import browser, dom, expect  # noqa: E402
from training import write_data  # noqa: E402


def points(section, kind):
    return [(int(c.attributes["data-step"]), float(c.attributes["data-value"])) for c in section.all("circle", kind)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    chromium = browser(drawing=False)
    work = arguments.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    subprocess.run([arguments.fovea, "build", HERE / "fit.fov", "--model", "Fit", "-o", work / "fit"], check=True, stdout=subprocess.DEVNULL)
    write_data(work / "train.npz", 64, 1)
    write_data(work / "valid.npz", 23, 2)
    page = work / "curves.html"
    command = [work / "fit", "train", "--data", work / "train.npz", "--valid", work / "valid.npz", "--save", work / "s", "--page", page,
               "--batch", "8", "--log-steps", "1"]
    subprocess.run([*command, "--epochs", "6"], check=True, stdout=subprocess.DEVNULL)
    log = [json.loads(line) for line in (work / "curves.html.jsonl").read_text().splitlines()]
    steps, epochs = ([line for line in log if line["kind"] == kind] for kind in ("step", "epoch"))
    root = dom(chromium, page, work)
    expect(next(root.all("h1")).text() == "Training Fit.step", "what is trained")
    charts = {section.attributes["data-metric"]: section for section in root.all("section")}
    expect(list(charts) == ["loss", "accuracy"], f"a chart a metric, not {list(charts)}")
    expect(points(charts["loss"], "step") == [(line["step"], line["loss"]) for line in steps], "the loss of each step")
    expect(points(charts["accuracy"], "step") == [], "no accuracy of steps")
    for name, section in charts.items():
        for kind in ("train", "valid"):
            expect(points(section, kind) == [(line["step"], line[kind][name]) for line in epochs], f"{kind} {name} of each epoch")
            corners = next(section.all("polyline", kind)).attributes["points"].split()
            expect(len(corners) == len(epochs), "a line through all of them")
    shown = next(charts["loss"].all("circle", "valid")).all("title")
    value = float(f"{epochs[0]['valid']['loss']:.4g}")
    expect(next(shown).text() == f"valid loss {value:g}, step 8, epoch 1", "values under the mouse")
    drawn = [(float(c.attributes["data-value"]), -float(c.attributes["cy"])) for c in charts["loss"].all("circle")]
    expect([y for _, y in sorted(drawn)] == sorted(y for _, y in drawn), "larger values higher up")
    expect(len(list(next(root.all("table")).all("tr"))) == 7, "a table of epochs")
    text = page.read_text()
    expect("src=" not in text and "href=" not in text and text.count("http") == 1, "a page that fetches nothing")  # SVG's namespace

    # Of many steps some are drawn, the last one among them.
    subprocess.run([*command, "--epochs", "400", "--resume"], check=True, stdout=subprocess.DEVNULL)
    drawn = points(next(dom(chromium, page, work).all("section")), "step")
    expect(1000 < len(drawn) <= 2001 and drawn[-1][0] == 3200 and len(set(drawn)) == len(drawn), f"some of 3200 steps, not {len(drawn)}")
    print(f"{len(charts)} charts")


main()
