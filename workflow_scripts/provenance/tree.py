"""A lineage for people and for programs: a tree for the terminal, repeated steps printed once, and a graph for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflow_scripts.provenance.lineage import Lineage, StepRecord
from workflow_scripts.provenance.manifest import digest
from workflow_scripts.provenance.verification import Problem, Verification, dataset_facts


def tree_lines(lineage: Lineage, found: Verification) -> list[str]:
    """One line per file (its sum, whether it holds) and per step (code, settings), down to what no step made.

    A step that was printed before is referred to by its number, `[12]`.
    """
    numbers: dict[str, int] = {}
    lines: list[str] = []
    for target in lineage.targets:
        lines += _file(lineage, found, target, "", "", numbers)
    return lines


def problem_lines(lineage: Lineage, found: Verification) -> list[str]:
    """One line per problem; what is the same for all steps of one kind, such as a changed module, is said once."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in found.problems:
        step = lineage.steps.get(problem.path)
        said = problem.message.replace(step.label, "") if step else problem.message
        groups.setdefault((step.lineage["entry"] if step else problem.path, problem.check, said), []).append(
            problem
        )
    lines = []
    for same in groups.values():
        others = [
            lineage.steps[problem.path].label if problem.path in lineage.steps else problem.path
            for problem in same[1:]
        ]
        named = ", ".join(others[:2]) + (", …" if len(others) > 2 else "")
        more = f" (the same for {len(others)} more: {named})" if others else ""
        lines.append(f"MISMATCH {same[0].path}: {same[0].message}{more}")
    return lines


def graph(lineage: Lineage, found: Verification) -> dict[str, Any]:
    """Nodes and edges: `steps` (by manifest path, with inputs and outputs) and `files`, each with what verification found."""
    steps = [
        {
            "manifest": step.path,
            "label": step.label,
            **{key: step.lineage[key] for key in ("rule", "wildcards", "entry")},
            "settings_sha256": digest(step.lineage["settings"]),
            "source_digest": step.lineage["source"]["digest"],
            "lineage_sha256": step.lineage_sha256,
            "commit": step.manifest["circumstances"].get("commit"),
            "inputs": [file.path for file in step.inputs],
            "outputs": [file.path for file in step.outputs],
            "ok": not found.of(step.path),
        }
        for step in lineage.steps.values()
    ]
    files = [
        {"path": path, "sha256": sha256, "made_by": lineage.makers.get(path), "ok": not found.of(path)}
        for path, sha256 in sorted(found.sums.items())
    ]
    return {"targets": lineage.targets, "steps": steps, "files": files}


def _file(
    lineage: Lineage, found: Verification, path: str, head: str, indent: str, numbers: dict[str, int]
) -> Iterator[str]:
    # an explicit stack would hide the shape; a lineage is about ten steps deep
    step = lineage.maker(path)
    record = next((f for f in step.outputs if f.path == path), None) if step else None
    if record is None:
        record = next((file for _, file in lineage.consumers.get(path, [])), None)
    kind = "" if step else "  (no step made it)"
    kind += "  (measured, outside the chain)" if record and record.volatile else ""
    yield f"{head}{path}  {_sum(found, path)}{kind}{_problems(found, path)}"
    if step is None:
        return
    if step.path in numbers:
        yield f"{indent}└─ [{numbers[step.path]}] {step.label}, see above"
        return
    numbers[step.path] = len(numbers) + 1
    yield f"{indent}└─ [{numbers[step.path]}] {_step(step)}{_problems(found, step.path)}"
    children = [file.path for file in step.inputs]
    deeper = indent + "   "
    facts = list(_dataset(lineage, step))
    for fact in facts:
        yield f"{deeper}{'├─' if children else '└─'} {fact}"
    for number, child in enumerate(children, start=1):
        last = number == len(children)
        yield from _file(
            lineage,
            found,
            child,
            deeper + ("└─ " if last else "├─ "),
            deeper + ("   " if last else "│  "),
            numbers,
        )


def _step(step: StepRecord) -> str:
    commit = step.manifest["circumstances"].get("commit")
    changed = "" if step.manifest["circumstances"].get("tree_clean") is not False else " with changes"
    at = f", commit {commit[:10]}{changed}" if commit else ""
    settings = digest(step.lineage["settings"])[:12]
    return f"{step.label}: code {str(step.lineage['source']['digest'])[:12]}, settings {settings}, lineage {step.lineage_sha256[:12]}{at}"


def _sum(found: Verification, path: str) -> str:
    return (found.sums.get(path) or "-")[:12]


def _problems(found: Verification, path: str) -> str:
    problems = found.of(path)
    if not problems:
        return "  ok" if found.sums.get(path) else ""
    return "".join(f"\n      !! {problem.message}" for problem in problems)


def _dataset(lineage: Lineage, step: StepRecord) -> Iterator[str]:
    """What a data manifest says of the dataset: the sums of its content and of the files it was read from."""
    if data := dataset_facts(lineage.root, step):
        sums = (data["train"]["sha256"], data["test"]["sha256"], data["sources_sha256"])
        yield "dataset {}: training images {:.12}, test images {:.12}, source files {:.12}".format(
            data["title"], *sums
        )
