"""Compare two reports in the terminal and as a page: python -m workflow_scripts.tools.compare A B"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, sha256_file, write_text
from workflow_scripts.provenance.manifest import SUFFIX, read_manifest
from workflow_scripts.report.comparison import Side, as_page, as_text, compare
from workflow_scripts.study.config import flatten
from workflow_scripts.study.results import flat, read_rows
from workflow_scripts.study.schema import nearest
from workflow_scripts.tools import errors_in_one_line, run

TEMPLATES = ("page.html.j2", "compare.html.j2")
PROJECT = Path(__file__).parents[2]


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.tools.compare", description=__doc__)
    where = "STUDY/PRESET of this project, or the path of a results or report folder of any checkout"
    for name in ("A", "B"):
        parser.add_argument(name, help=where)
    parser.add_argument(
        "--output", type=Path, help="where to write the page; default: reports/comparisons/<A>_and_<B>.html"
    )
    arguments = parser.parse_args(argv)
    folders = [find_results(root, text, name) for name, text in (("A", arguments.A), ("B", arguments.B))]
    if folders[0].resolve() == folders[1].resolve():
        raise PipelineError(f"A and B are both {arguments.A}; give two different reports")
    a, b = (load_side(folder) for folder in folders)
    sections = compare(a, b)
    name = "_and_".join(f"{side.name.replace('/', '.')}.{side.results_sha256[:8]}" for side in (a, b))
    output = arguments.output or root / "reports" / "comparisons" / f"{name}.html"
    page = as_page(a, b, sections, [PROJECT / "reports" / "templates" / name for name in TEMPLATES])
    write_text(output, page)
    print(f"{as_text(sections)}\n\ncomparison: {output}")


def find_results(root: Path, text: str, name: str) -> Path:
    """Return the results folder that `text` names; raise PipelineError if there is none. `name` is A or B."""
    if not text:
        raise PipelineError(f"{name} is missing: make compare A=STUDY/PRESET B=STUDY/PRESET (or folders)")
    given = Path(text)
    candidates = [root / "results" / given]
    if given.is_dir():
        candidates.insert(0, given)
        *_, reports, study, preset = ("", "", *given.absolute().parts)
        if reports == "reports":
            candidates.append(given.absolute().parents[2] / "results" / study / preset)
    for folder in candidates:
        if (folder / "results.jsonl").is_file():
            return folder
    if given.is_dir():
        raise PipelineError(f"{name}: neither {text} nor a results folder beside it contains results.jsonl")
    known = [path.parent.relative_to(root / "results") for path in root.glob("results/*/*/results.jsonl")]
    hint = nearest(text, sorted(map(Path.as_posix, known))) if known else "nothing has been run here yet"
    raise PipelineError(f"{name}: no results of {text!r} (STUDY/PRESET, or the path of a folder); {hint}")


def load_side(folder: Path) -> Side:
    """Read results, verdict and, if there are manifests, settings and code of one results folder."""
    verdict = read_json(folder / "verdict.json")
    needed = {"study", "preset", "hypotheses", "results_sha256"}
    if not isinstance(verdict, dict) or not needed <= verdict.keys():
        raise PipelineError(f"{folder / 'verdict.json'} is not a verdict; delete it and run again")
    digest = sha256_file(folder / "results.jsonl")
    if digest != verdict["results_sha256"]:
        raise PipelineError(f"{folder}: verdict.json was decided from other results; run: make report")
    rendered = folder.resolve().parents[2] / "reports" / verdict["study"] / verdict["preset"]
    paths = [path for place in (folder, rendered) for path in sorted(place.rglob(f"*{SUFFIX}"))]
    manifests = [read_manifest(path) for path in paths]
    lineages = [manifest["lineage"] for manifest in manifests]
    gates = [lineage for lineage in lineages if lineage["entry"] == "check_preregistration"]
    settings = {arm: flatten(own) for arm, own in gates[0]["settings"]["settings"].items()} if gates else None
    commits = sorted({manifest["circumstances"].get("commit") for manifest in manifests} - {None})
    rows = [flat(row) for row in read_rows(folder / "results.jsonl")]
    return Side(rows, verdict, digest, settings, lineages, commits)


if __name__ == "__main__":
    run(main)
