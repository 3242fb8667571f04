"""The lineage on the page: every step once, linked to what made its inputs; gaps and cycles are handled."""

from __future__ import annotations

import json

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import Chain, manifests
from workflow_scripts.report.lineage_graph import lineage_graph

INPUTS = [
    "results/S1_made_up/tiny/verdict.json",
    "reports/S1_made_up/tiny/figures/hypotheses.svg",
    "reports/captions/x.rst",
]


@pytest.fixture
def report() -> dict:
    return made_up.report_settings()


def graph_of(report: dict, chain: list[dict]) -> dict:
    return lineage_graph(chain, INPUTS, [arm["name"] for arm in report["arms"]])


def training(graph: dict) -> dict:
    return next(step for step in graph["steps"] if step["entry"] == "train_model")


def test_every_upstream_step_is_there_once_and_upstream_first(report):
    chain = manifests(report)
    chain.append(Chain().step("old", [], ["results/S1_made_up/tiny/old.json"]))
    graph = graph_of(report, chain)
    entries = [step["entry"] for step in graph["steps"]]
    arms, seeds, points = 3, 3, 3
    assert entries.count("train_model") == arms * seeds
    assert entries.count("sample_images") == arms * seeds * points
    assert "old" not in entries and entries.count("draw_figure") == 1  # frechet_vs_nfe is no input here
    for place, step in enumerate(graph["steps"]):
        assert all(item[4] is None or item[4] < place for item in step["inputs"])
    assert graph["unknown"] == ["reports/captions/x.rst"]


def test_boxes_hold_every_step_and_edges_go_right(report):
    graph = graph_of(report, manifests(report))
    boxes = graph["boxes"]
    assert sorted(step for box in boxes for step in box["steps"]) == list(range(len(graph["steps"])))
    assert len({(box["column"], box["row"]) for box in boxes}) == len(boxes)  # none covers another
    assert graph["edges"] and all(boxes[a]["column"] < boxes[b]["column"] for a, b in graph["edges"])
    sampling = {box["arm"]: len(box["steps"]) for box in boxes if box["entry"] == "sample_images"}
    assert sampling == {arm["name"]: 9 for arm in report["arms"]}
    tops = [min(box["row"] for box in boxes if box["arm"] == arm["name"]) for arm in report["arms"]]
    assert tops == sorted(tops)  # arms keep their order


def test_texts_are_kept_once_and_a_step_can_be_put_together_again(report):
    chain = manifests(report)
    graph = graph_of(report, chain)
    assert len(graph["sources"]) == len({step["entry"] for step in graph["steps"]})
    assert len(graph["packages"]) == 1
    trained = training(graph)
    original = next(item["lineage"] for item in chain if item["lineage_sha256"] == trained["sha256"])
    settings = {key: graph["settings"][place] for key, place in trained["settings"].items()}
    assert settings == original["settings"]
    outputs = [[item["path"], item["sha256"]] for item in original["outputs"]]
    assert [item[1:3] for item in trained["outputs"]] == outputs
    assert len(json.dumps(graph)) < 1200 * len(graph["steps"])


def test_a_lost_manifest_is_a_gap_and_a_changed_one_a_broken_link(report):
    chain = manifests(report)
    assert training(graph_of(report, chain[1:]))["inputs"][0][4:] == [None, False]
    chain[0]["lineage_sha256"] = "0" * 64  # prepare_data ran again since
    graph = graph_of(report, chain)
    maker, chained = training(graph)["inputs"][0][4:]
    assert graph["steps"][maker]["entry"] == "prepare_data" and chained is False


def test_manifests_in_a_cycle_do_not_hang(report):
    chain = manifests(report)
    verdict = next(item for item in chain if item["lineage"]["entry"] == "decide_verdict")
    path = verdict["lineage"]["outputs"][0]["path"]
    file = {"name": "x", "path": path, "size": 1, "sha256": "0", "lineage_sha256": None}
    chain[0]["lineage"]["inputs"].append(file)
    # only what is outside the cycle
    assert {step["entry"] for step in graph_of(report, chain)["steps"]} == {"draw_figure"}


def test_nothing_known_is_an_empty_graph(report):
    graph = graph_of(report, [])
    assert graph["steps"] == graph["boxes"] == graph["edges"] == [] and graph["unknown"] == sorted(INPUTS)


def test_ten_times_the_arms_stay_one_box_each(report):
    large = {**report, "arms": [{**report["arms"][0], "name": f"A{number:02d}"} for number in range(30)]}
    boxes = graph_of(large, manifests(large))["boxes"]
    assert len([box for box in boxes if box["entry"] == "train_model"]) == 30
    assert len({(box["column"], box["row"]) for box in boxes}) == len(boxes) < 8 * 30 + 10
