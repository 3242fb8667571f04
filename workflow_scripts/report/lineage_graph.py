"""The lineage graph of a report's inputs: every step once, every repeated value once, laid out as boxes.

A manifest is what a step recorded about itself (docs/architecture.md, Provenance). The graph holds only what
two equal runs share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import canonical_json
from workflow_scripts.provenance.lineage import trace

Manifest = Mapping[str, Any]


def upstream_manifests(paths: Sequence[Path]) -> list[Manifest]:
    """Read the manifests of all steps upstream of the files; call it in the project's root.

    Skips a manifest that cannot be read: the page shows the gap, and the audit explains it.
    """
    lineage = trace(Path.cwd(), [path.as_posix() for path in paths])
    return [step.manifest for step in lineage.steps.values()]


class Interned:
    """Distinct values in order of first use; elsewhere, the place in `values` stands for a value."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Return the place of the value in `values`, adding it if it is new."""
        key = canonical_json(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def lineage_graph(
    manifests: Iterable[Manifest], inputs: Sequence[str], arms: Sequence[str]
) -> dict[str, Any]:
    """Build the graph of all steps upstream of `inputs` (paths as manifests spell them).

        {"steps": [{"rule", "entry", "wildcards", "sha256", "settings": {name: place}, "source": place,
                    "packages": place, "inputs": [[name, path, sha256, size, step or null, chained]],
                    "outputs": [[name, path, sha256, size]], "box": number}],
         "settings": [...], "sources": [{"digest", "files"}], "packages": [{"digest", "versions"}],
         "boxes": [{"entry", "arm", "column", "row", "steps": [...]}], "edges": [[box, box]],
         "unknown": [those of `inputs` that no manifest lists as an output]}

    Upstream steps come first. Columns count from the left, rows from the top; arms keep the order of `arms`.
    `chained` is false if the manifest of the step that an input names is missing or has changed since.
    """
    by_hash = {manifest["lineage_sha256"]: manifest for manifest in manifests}
    by_path = {
        output["path"]: digest
        for digest, manifest in sorted(by_hash.items())
        for output in manifest["lineage"]["outputs"]
    }

    def maker(item: Mapping[str, Any]) -> str | None:
        """The step that an input names or, if its manifest is gone, the one that wrote the path."""
        named = item["lineage_sha256"]
        return named if named in by_hash else by_path.get(item["path"])

    makers = {
        digest: [maker(item) for item in manifest["lineage"]["inputs"]]
        for digest, manifest in by_hash.items()
    }
    levels = _levels({by_path[path] for path in inputs if path in by_path}, makers)

    def order(digest: str) -> tuple:
        lineage = by_hash[digest]["lineage"]
        arm = lineage["wildcards"].get("arm")
        place = arms.index(arm) if arm in arms else len(arms)
        wildcards = canonical_json(lineage["wildcards"])
        return (-levels[digest], place, lineage["entry"], lineage["rule"], wildcards, digest)

    digests = sorted(levels, key=order)
    place = {digest: number for number, digest in enumerate(digests)}
    tables = {name: Interned() for name in ("settings", "sources", "packages")}
    steps = []
    for digest in digests:
        lineage = by_hash[digest]["lineage"]
        settings = sorted(lineage["settings"].items())
        steps.append(
            {
                "rule": lineage["rule"],
                "entry": lineage["entry"],
                "wildcards": dict(lineage["wildcards"]),
                "sha256": digest,
                "settings": {name: tables["settings"].place(value) for name, value in settings},
                "source": tables["sources"].place(lineage["source"]),
                "packages": tables["packages"].place(lineage["packages"]),
                "inputs": [
                    [*_file(item), place.get(made_by), item["lineage_sha256"] == made_by]
                    for item, made_by in zip(lineage["inputs"], makers[digest])
                ],
                "outputs": [_file(item) for item in lineage["outputs"]],
            }
        )
    boxes, edges = _boxes(steps, [levels[digest] for digest in digests], arms)
    return {
        "steps": steps,
        **{name: table.values for name, table in tables.items()},
        "boxes": boxes,
        "edges": edges,
        "unknown": sorted(path for path in inputs if path not in by_path),
    }


def _file(item: Mapping[str, Any]) -> list[Any]:
    return [item["name"], item["path"], item["sha256"], item["size"]]


def _levels(last: set[str], makers: Mapping[str, Sequence[str | None]]) -> dict[str, int]:
    """Map every step upstream of `last` to its longest distance from the report, at least 1.

    Leaves out steps in a cycle, which only forged manifests can form.
    """
    users: dict[str, set[str]] = {digest: set() for digest in last}
    waiting = list(last)
    while waiting:
        digest = waiting.pop()
        for maker in set(makers[digest]) - {None}:
            if maker not in users:
                users[maker] = set()
                waiting.append(maker)
            users[maker].add(digest)
    sorter = TopologicalSorter(users)
    with suppress(CycleError):
        sorter.prepare()
    levels: dict[str, int] = {}
    while ready := sorter.get_ready():
        for digest in ready:
            levels[digest] = 1 + max((levels[user] for user in users[digest]), default=0)
        sorter.done(*ready)
    return levels


def _boxes(
    steps: list[dict[str, Any]], levels: Sequence[int], arms: Sequence[str]
) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Put steps of one entry point, arm and level into one box; set their `box`; return boxes and edges.

    What belongs to no arm comes on top; below, each arm has a band as high as its fullest column.
    """
    boxes: dict[tuple, dict[str, Any]] = {}
    for number, (step, level) in enumerate(zip(steps, levels)):
        key = {"entry": step["entry"], "arm": step["wildcards"].get("arm"), "column": max(levels) - level}
        boxes.setdefault(tuple(key.values()), {**key, "steps": []})["steps"].append(number)
        step["box"] = list(boxes).index(tuple(key.values()))
    found = {box["arm"] for box in boxes.values()}
    top = 0
    for arm in [None, *arms, *sorted(found - {None, *arms})]:
        heights: dict[int, int] = {}
        for box in (box for box in boxes.values() if box["arm"] == arm):
            box["row"] = top + heights.get(box["column"], 0)
            heights[box["column"]] = heights.get(box["column"], 0) + 1
        top += max(heights.values(), default=0)
    edges = {
        (steps[item[4]]["box"], step["box"])
        for step in steps
        for item in step["inputs"]
        if item[4] is not None
    }
    return list(boxes.values()), [list(edge) for edge in sorted(edges) if edge[0] != edge[1]]
