"""The lineage of a report's inputs as the page holds it: every step once, every repeated text once, boxes laid out.

A manifest is one step's account of itself (docs/architecture.md, Manifests). The graph holds only the part of it that
does not differ between two equal runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workflow_scripts.core.files import canonical_json
from workflow_scripts.report.manifests import Chain, Manifest


class Interned:
    """Values kept once each, in the order in which they first came; `place` is what stands for them elsewhere."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Where the value stands in `values`."""
        key = canonical_json(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def lineage_graph(
    manifests: Iterable[Manifest], inputs: Sequence[str], arms: Sequence[str]
) -> dict[str, Any]:
    """Steps upstream of `inputs` (paths as manifests spell them), boxes of steps of one kind and arm, and their edges.

        {"steps": [{"rule", "entry", "wildcards", "sha256", "settings": {name: place}, "source": place,
                    "packages": place, "inputs": [[name, path, sha256, size, step or null, chained]],
                    "outputs": [[name, path, sha256, size]], "box": number}],
         "settings": [...], "sources": [{"digest", "files"}], "packages": [{"digest", "versions"}],
         "boxes": [{"entry", "arm", "column", "row", "steps": [...]}], "edges": [[box, box]],
         "unknown": [those of `inputs` that no manifest accounts for]}

    Steps stand upstream first. Columns count from the left, rows from the top; arms keep the order of `arms`. `chained`
    is false where an input names a step whose manifest is not there, or is no longer the one it was.
    """
    chain = Chain(manifests)
    by_hash, makers = chain.by_hash, chain.makers
    levels = _levels(chain.upstream(inputs), makers)
    order = sorted(levels, key=lambda digest: (-levels[digest], _sort_key(by_hash[digest], arms)))
    place = {digest: number for number, digest in enumerate(order)}
    tables = {name: Interned() for name in ("settings", "sources", "packages")}
    steps = [_step(by_hash[digest], makers[digest], place, tables) for digest in order]
    boxes, edges = _boxes(
        [by_hash[digest] for digest in order], [levels[digest] for digest in order], steps, arms
    )
    return {
        "steps": steps,
        **{name: table.values for name, table in tables.items()},
        "boxes": boxes,
        "edges": edges,
        "unknown": sorted(path for path in inputs if path not in chain.by_path),
    }


def _levels(reached: set[str], makers: Mapping[str, list[str | None]]) -> dict[str, int]:
    """Steps, each with the length of the longest way from it to the report (at least 1)."""
    # A step's level is settled once everything made from it has one; steps in a circle, which no honest manifests
    # form, never are, and are left out.
    users = dict.fromkeys(reached, 0)
    for digest in reached:
        for maker in set(makers[digest]) - {None}:
            users[maker] += 1
    levels = {digest: 1 for digest in reached if users[digest] == 0}
    waiting = list(levels)
    settled = []
    while waiting:
        digest = waiting.pop()
        settled.append(digest)
        for maker in set(makers[digest]) - {None}:
            levels[maker] = max(levels.get(maker, 0), levels[digest] + 1)
            users[maker] -= 1
            if users[maker] == 0:
                waiting.append(maker)
    return {digest: levels[digest] for digest in settled}


def _sort_key(manifest: Manifest, arms: Sequence[str]) -> tuple:
    lineage = manifest["lineage"]
    arm = lineage["wildcards"].get("arm")
    return (
        arms.index(arm) if arm in arms else len(arms),
        lineage["entry"],
        lineage["rule"],
        canonical_json(lineage["wildcards"]),
        manifest["lineage_sha256"],
    )


def _step(
    manifest: Manifest, makers: Sequence[str | None], place: Mapping[str, int], tables: Mapping[str, Interned]
) -> dict[str, Any]:
    lineage = manifest["lineage"]
    return {
        "rule": lineage["rule"],
        "entry": lineage["entry"],
        "wildcards": dict(lineage["wildcards"]),
        "sha256": manifest["lineage_sha256"],
        "settings": {
            key: tables["settings"].place(value) for key, value in sorted(lineage["settings"].items())
        },
        "source": tables["sources"].place(lineage["source"]),
        "packages": tables["packages"].place(lineage["packages"]),
        "inputs": [
            [
                item["name"],
                item["path"],
                item["sha256"],
                item["size"],
                place.get(maker),
                _chained(item, maker),
            ]
            for item, maker in zip(lineage["inputs"], makers)
        ],
        "outputs": [
            [item["name"], item["path"], item["sha256"], item["size"]] for item in lineage["outputs"]
        ],
    }


def _chained(item: Mapping[str, Any], maker: str | None) -> bool:
    return item["lineage_sha256"] == maker


def _boxes(
    manifests: Sequence[Manifest], levels: Sequence[int], steps: list[dict[str, Any]], arms: Sequence[str]
) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Put each step into the box of its entry point, arm and level; give the boxes columns and rows."""
    deepest = max(levels, default=0)
    boxes: dict[tuple, dict[str, Any]] = {}
    for number, (manifest, level) in enumerate(zip(manifests, levels)):
        lineage = manifest["lineage"]
        arm = lineage["wildcards"].get("arm")
        key = (deepest - level, lineage["entry"], arm)
        box = boxes.setdefault(
            key, {"entry": lineage["entry"], "arm": arm, "column": deepest - level, "steps": []}
        )
        box["steps"].append(number)
    ordered = list(boxes.values())
    _give_rows(ordered, arms)
    for number, box in enumerate(ordered):
        for step in box["steps"]:
            steps[step]["box"] = number
    edges = {
        (steps[item[4]]["box"], step["box"])
        for step in steps
        for item in step["inputs"]
        if item[4] is not None and steps[item[4]]["box"] != step["box"]
    }
    return ordered, [list(edge) for edge in sorted(edges)]


def _give_rows(boxes: list[dict[str, Any]], arms: Sequence[str]) -> None:
    """Each arm has a band as high as its fullest column; what belongs to no arm stands in the middle, or below the bands."""
    known = [*arms, *sorted({box["arm"] for box in boxes if box["arm"] is not None} - set(arms))]
    columns = sorted({box["column"] for box in boxes})
    top = 0
    for arm in known:
        heights = [
            _stack([box for box in boxes if box["arm"] == arm and box["column"] == column], top)
            for column in columns
        ]
        top += max(heights, default=0)
    for column in columns:
        here = [box for box in boxes if box["column"] == column]
        shared = [box for box in here if box["arm"] is None]
        below = len(shared) < len(here)
        _stack(shared, top if below else max(0, (top - len(shared)) // 2))


def _stack(boxes: list[dict[str, Any]], top: int) -> int:
    for number, box in enumerate(boxes):
        box["row"] = top + number
    return len(boxes)
