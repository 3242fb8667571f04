"""Put two reports side by side, in the terminal and as a page: python -m workflow_scripts.tools.compare A B [--output PATH]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, sha256_file, write_text
from workflow_scripts.provenance.manifest import SUFFIX, read_manifest
from workflow_scripts.report.comparison import Side, as_page, as_text, compare
from workflow_scripts.study.config import flatten, load_study
from workflow_scripts.study.results import read_rows
from workflow_scripts.study.schema import nearest

TEMPLATES = ("page.html.j2", "compare.html.j2")
PROJECT = Path(__file__).parents[2]


def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.tools.compare", description=__doc__)
    for name in ("A", "B"):
        parser.add_argument(
            name,
            help="STUDY/PRESET of this project, or the path of a results or report folder of any checkout",
        )
    parser.add_argument("--output", type=Path, help="the page; default: reports/comparisons/<A>_and_<B>.html")
    arguments = parser.parse_args(argv)
    try:
        folders = [find_results(root, text, name) for name, text in (("A", arguments.A), ("B", arguments.B))]
        if folders[0].resolve() == folders[1].resolve():
            raise PipelineError(f"A and B are both {arguments.A}; name two")
        a, b = (load_side(folder) for folder in folders)
        sections = compare(a, b)
        output = (
            arguments.output or root / "reports" / "comparisons" / f"{_file_name(a)}_and_{_file_name(b)}.html"
        )
        page = as_page(a, b, sections, [PROJECT / "reports" / "templates" / name for name in TEMPLATES])
        write_text(output, page)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{as_text(sections)}\n\ncomparison: {output}")


def find_results(root: Path, text: str, name: str) -> Path:
    """The results folder that `text` names; PipelineError, in one line, when there is none. `name` is A or B."""
    if not text:
        raise PipelineError(
            f"{name} is missing: make compare A=STUDY/PRESET B=STUDY/PRESET, or paths of results or report folders"
        )
    given = Path(text)
    here = root / "results" / given
    beside = [given, here] if given.is_dir() else [here]
    parts = given.absolute().parts
    if given.is_dir() and "reports" in parts[-3:-2]:
        # a report's numbers lie in the results beside it
        beside.append(given.absolute().parents[2] / "results" / Path(*parts[-2:]))
    for folder in beside:
        if (folder / "results.jsonl").is_file():
            return folder
    known = sorted(
        path.parent.relative_to(root / "results").as_posix()
        for path in root.glob("results/*/*/results.jsonl")
    )
    if given.is_dir():
        raise PipelineError(
            f"{name}: {text} holds no results.jsonl, and no results folder lies beside it; name the folder of finished results"
        )
    hint = nearest(text, known) if known else "nothing has been run here yet"
    raise PipelineError(
        f"{name}: there are no results of {text!r} (STUDY/PRESET, or the path of a folder); {hint}"
    )


def load_side(folder: Path) -> Side:
    """Results, verdict and, as far as they are recorded, settings and code of one results folder."""
    verdict = read_json(folder / "verdict.json")
    if (
        not isinstance(verdict, dict)
        or not {"study", "preset", "hypotheses", "results_sha256"} <= verdict.keys()
    ):
        raise PipelineError(f"{folder / 'verdict.json'} is not a verdict; delete it and run again")
    digest = sha256_file(folder / "results.jsonl")
    if digest != verdict["results_sha256"]:
        raise PipelineError(
            f"{folder}: the verdict was decided from other results than results.jsonl holds; run: make report"
        )
    checkout = folder.resolve().parents[2]
    rendered = checkout / "reports" / verdict["study"] / verdict["preset"]
    manifests = [
        read_manifest(path) for place in (folder, rendered) for path in sorted(place.rglob(f"*{SUFFIX}"))
    ]
    settings, source = _settings(checkout, verdict, manifests)
    commits = sorted({item["circumstances"].get("commit") for item in manifests} - {None})
    lineages = [item["lineage"] for item in manifests]
    return Side(read_rows(folder / "results.jsonl"), verdict, digest, settings, source, lineages, commits)


def _settings(
    checkout: Path, verdict: dict[str, Any], manifests: list[dict[str, Any]]
) -> tuple[dict[str, dict] | None, str]:
    """Flat settings by arm from the gate's manifest, else from the configuration of the checkout."""
    for manifest in manifests:
        if manifest["lineage"]["entry"] == "check_preregistration":
            by_arm = manifest["lineage"]["settings"]["settings"]
            return {
                arm: flatten(settings) for arm, settings in by_arm.items()
            }, "settings from the manifest of the run"
    try:
        study = load_study(checkout, verdict["study"], verdict["preset"])
    except PipelineError:
        return None, ""
    return {
        arm.name: flatten(arm.settings) for arm in study.arms
    }, "no manifest, so settings are those that the configuration gives now"


def _file_name(side: Side) -> str:
    return f"{side.name.replace('/', '.')}.{side.results_sha256[:8]}"


if __name__ == "__main__":
    main()
