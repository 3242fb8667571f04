"""report.html: one self-contained file, made from the summary's text, the figures and what only the report shows (cost)."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mistune
from markupsafe import Markup

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import read_json, sha256_file
from workflow_scripts.report import interpretation
from workflow_scripts.report.context import arm_and_seed
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.labels import OUTCOME_WORDS, number, rehearsal_line
from workflow_scripts.report.page import render
from workflow_scripts.report.tables import setting_value

SETTING_SECTIONS = ("data", "extractor", "model", "training", "sampling", "curvature")


def build_report(
    report: Mapping[str, Any], inputs: Mapping[str, Sequence[Path]], output: Path, input_lineage_sha256: str | None = None
) -> str:
    """The page as text; `output` is where it will lie, so that links to notebooks and CSV files are relative.

    Inputs by name: summary, verdict, gate, results, figures (SVG), captions, timings, scale_marks, manifest,
    extractor_info, templates, and notebooks (HTML). Everything from files and settings is escaped. PipelineError when
    a figure is unknown or has no caption. `input_lineage_sha256` (common/step.py) leads from the page back to its run.
    """
    verdict = read_json(inputs["verdict"][0])
    figures = _figures(inputs.get("figures", []), inputs.get("captions", []), output)
    sections = _sections(inputs["summary"][0], figures)
    return render(
        list(inputs["templates"]), "report.html.j2",
        title=f"{report['study_title']}: {report['preset_title']}",
        banner=rehearsal_line(report) if report["rehearsal"] else "",
        question=report["question"],
        outcome=verdict["outcome"],
        outcome_words=OUTCOME_WORDS[verdict["outcome"]],
        answer=Markup(_inline(interpretation.answer(report, verdict))),
        sections=sections,
        costs=[_cost(report, path) for path in sorted(inputs.get("timings", []))],
        settings=[
            (f"{section}.{key}", setting_value(value)) for section in SETTING_SECTIONS for key, value in report[section].items()
        ],
        input_lineage_sha256=input_lineage_sha256,
        hashes=[("input_lineage_sha256 of this page", input_lineage_sha256 or "not recorded"), *_hashes(inputs, verdict)],
        notebooks=[(path.stem, _relative(path, output)) for path in inputs.get("notebooks", [])],
        data_files=[(figure["title"], figure["data"]) for figure in figures.values()],
    )  # fmt: skip


def _sections(summary: Path, figures: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The summary's parts under level-two headings, as HTML, each with its figures. What precedes them is the page's head."""
    try:
        parts = summary.read_text(encoding="utf-8").split("\n## ")[1:]
    except OSError as error:
        raise PipelineError(f"cannot read {summary}: {error.strerror}; delete it and run again") from error
    to_html = mistune.create_markdown(escape=True, plugins=["table"])
    sections = []
    for number_, part in enumerate(parts, start=1):
        heading, _, body = part.partition("\n")
        own = [figure for name, figure in figures.items() if FIGURES[name].section == heading]
        sections.append({"id": f"section-{number_}", "heading": heading, "body": Markup(to_html(body)), "figures": own})
    return sections


def _inline(text: str) -> str:
    """One paragraph of Markdown as HTML without the paragraph's tags."""
    html = mistune.create_markdown(escape=True)(text)
    return html.strip().removeprefix("<p>").removesuffix("</p>")


def _figures(paths: Sequence[Path], captions: Sequence[Path], output: Path) -> dict[str, dict[str, Any]]:
    by_name = {path.stem: path for path in captions}
    drawn = {path.stem: path for path in paths}
    for name in drawn:
        if name not in FIGURES or name not in by_name:
            raise PipelineError(f"figure {name!r} is unknown or has no caption; known are {', '.join(FIGURES)}")
    figures = {}
    for name in FIGURES:
        if name in drawn:
            path = drawn[name]
            figures[name] = {
                "title": FIGURES[name].title,
                "alt": FIGURES[name].alt,
                # As an image each SVG keeps its ids to itself, and cannot load anything from elsewhere.
                "source": "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode(),
                "caption": " ".join(by_name[name].read_text(encoding="utf-8").split()),
                "data": _relative(path.with_suffix(".csv"), output),
            }
    return figures


def _cost(report: Mapping[str, Any], path: Path) -> list[str]:
    arm, seed = arm_and_seed(path)
    labels = {item["name"]: item["label"] for item in report["arms"]}
    timing = read_json(path)
    values = [number(timing.get(key), 3) for key in ("wall_s", "steps_per_s", "peak_memory_mb")]
    return [labels.get(arm, arm), str(seed), *values, f"{timing['num_parameters']:,}"]


def _hashes(inputs: Mapping[str, Sequence[Path]], verdict: Mapping[str, Any]) -> list[tuple[str, str]]:
    gate, manifest = read_json(inputs["gate"][0]), read_json(inputs["manifest"][0])
    extractor = read_json(inputs["extractor_info"][0])
    results = sha256_file(inputs["results"][0])
    if results != verdict["results_sha256"]:
        raise PipelineError(
            f"{inputs['verdict'][0]} was decided from other results than {inputs['results'][0]}; delete both and run again"
        )
    return [
        ("results.jsonl", results),
        (gate["lock"]["path"], gate["lock"]["sha256"]),
        *((item["path"], item["sha256"]) for item in gate["preregistrations"]),
        ("training images", manifest["train"]["sha256"]),
        ("test images", manifest["test"]["sha256"]),
        (f"extractor {extractor['name']}", extractor["extractor_sha256"]),
    ]


def _relative(path: Path, output: Path) -> str:
    return Path(os.path.relpath(path, output.parent)).as_posix()
