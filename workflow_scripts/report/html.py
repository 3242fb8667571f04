"""report.html: one offline file with verdict, figures, tables, costs and the lineage of every number."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, sha256_file
from workflow_scripts.report import interpretation, tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.costs import run_table, stage_table, total_text
from workflow_scripts.report.figures import FIGURES
from workflow_scripts.report.labels import OUTCOME_WORDS, counted, rehearsal_line, seeds_words
from workflow_scripts.report.lineage_graph import Manifest
from workflow_scripts.report.page import block_html, inline_html, page_table, render
from workflow_scripts.report.page_data import Lineage, json_for_script
from workflow_scripts.report.sections import sections_of
from workflow_scripts.report.sourced_numbers import linked, source_numbers
from workflow_scripts.report.summary import summary_blocks
from workflow_scripts.report.summary_words import setting_words
from workflow_scripts.report.tables import markdown

TEMPLATE, WORDS, STYLE, SCRIPT = "report.html.j2", "summary.md.j2", "report.css", "report.js"
# The sections of the page by their place in the template; those that the study lists stand between.
HEADINGS_BEFORE = {
    "verdict": FIGURES["hypotheses"].section,
    "deviations": "Deviations and amendments",
    "frontier": FIGURES["frechet_vs_nfe"].section,
}
HEADINGS_AFTER = {
    "weights": FIGURES["snr_and_weights"].section,
    "training": FIGURES["training_curves"].section,
    "samples": FIGURES["sample_grid"].section,
    "cost": "Cost",
    "methods": "Methods",
    "provenance": "Provenance",
}


def build_report(
    report: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Path]],
    output: Path,
    manifests: Sequence[Manifest] = (),
    input_lineage_sha256: str | None = None,
    setting_files: Mapping[str, str] | None = None,
) -> str:
    """Build the page as text; links to notebooks and CSV files are relative to `output`.

    Inputs by name: verdict, gate, results, scale_marks, finite_samples, manifest (of the data),
    extractor_info, costs, figures (SVG), captions, notebooks (HTML), summary, templates. `manifests` are
    those of the steps upstream, `input_lineage_sha256` is one hash over their lineage (core/step.py), and
    `setting_files` maps a setting to its file (study/description.py). All text from files and settings is
    escaped. Raises PipelineError for an unknown figure, a missing caption, or a verdict on other results.
    """
    context = ReportContext.load(
        dict(report), {name: paths for name, paths in inputs.items() if name != "samples"}
    )
    verdict, gate = context.verdict, read_json(inputs["gate"][0])
    data_manifest, extractor = read_json(inputs["manifest"][0]), read_json(inputs["extractor_info"][0])
    files_read = [path.as_posix() for paths in inputs.values() for path in paths]
    lineage = Lineage(context, manifests, files_read, setting_files or {}, gate["lock"]["path"])
    figures = _figures(inputs.get("figures", []), inputs.get("captions", []), output, lineage)
    costs, sections = read_json(inputs["costs"][0]), sections_of(context, setting_words(report))
    templates = {path.name: path for path in inputs["templates"]}
    script = _page_file(templates, SCRIPT)
    shown = {
        **tables.summary_tables(context, gate),
        "scale": tables.scale_mark_table(context),
        "deviations": tables.substitution_table(verdict),
        "settings": tables.shared_settings_table(report),
        **{part[0]: part[2] for s in sections.values() for part in s.parts if not isinstance(part, str)},
        "cost_by_stage": stage_table(costs),
        "cost_by_run": run_table(report, costs),
    }

    def inline(text: str) -> Markup:
        return linked(inline_html(text), lineage.key)

    def prose(text: str) -> Markup:
        return linked(block_html(text), lineage.key)

    return render(
        [path for name, path in templates.items() if name == TEMPLATE],
        TEMPLATE,
        title=f"{report['study_title']}: {report['preset_title']}",
        study_title=report["study_title"],
        preset_title=report["preset_title"],
        banner=rehearsal_line(report) if report["rehearsal"] else "",
        question=report["question"],
        outcome=verdict["outcome"],
        outcome_words=OUTCOME_WORDS[verdict["outcome"]],
        answer=interpretation.answer(report, verdict),
        facts=_facts(report),
        inline=inline,
        prose=prose,
        headings={**HEADINGS_BEFORE, **{name: s.heading for name, s in sections.items()}, **HEADINGS_AFTER},
        sections=sections,
        words=summary_blocks(context, gate, data_manifest, extractor, _template(templates, WORDS)),
        figures=figures,
        tables={name: page_table(table, lineage.origin, lineage.key) for name, table in shown.items()},
        further_metrics=context.further_metrics,
        finite_samples=context.finite_samples,
        machines=source_numbers("; ".join(map(markdown, costs["machines"])), "costs"),
        total_cost=total_text(costs) if costs["stages"] else "",
        costs_missing=costs["missing"],
        hashes=_hashes(inputs, verdict, gate, data_manifest, extractor),
        input_lineage_sha256=input_lineage_sha256,
        report_path=f"{lineage.rendered}/report.html",
        num_steps=len(lineage.graph["steps"]),
        unknown=lineage.graph["unknown"],
        notebooks=[(path.stem, _relative(path, output)) for path in inputs.get("notebooks", [])],
        data_files=[(figure["title"], figure["data"]) for figure in figures.values()],
        summary=_relative(inputs["summary"][0], output) if inputs.get("summary") else None,
        data=json_for_script(lineage.data(figures, verdict)),
        style=Markup(_page_file(templates, STYLE)),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _facts(report: Mapping[str, Any]) -> list[str]:
    counts = {
        "arms": counted(len(report["arms"]), "arm"),
        "seeds": f"{seeds_words(report)} per arm",
        "training.num_steps": f"{report['final_step']:,} training steps",
        "sampling.num_samples": f"{report['sampling']['num_samples']:,} samples per run",
    }
    return [
        markdown(report["dataset_title"]),
        *(source_numbers(text, f"setting/{name}") for name, text in counts.items()),
    ]


def _template(templates: Mapping[str, Path], name: str) -> Path:
    if name not in templates:
        raise PipelineError(f"the template {name} is missing; given are {', '.join(sorted(templates))}")
    return templates[name]


def _page_file(templates: Mapping[str, Path], name: str) -> str:
    """Read a style sheet or script, which must not hold the end tag of the element around it."""
    path = _template(templates, name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"cannot read the template {path}: {error.strerror}") from error
    if "</" in text:
        raise PipelineError(f"{path} contains '</', which would end its element in the page early")
    return "\n" + text


def _figures(
    paths: Sequence[Path], captions: Sequence[Path], output: Path, lineage: Lineage
) -> dict[str, dict[str, Any]]:
    by_name = {path.stem: path for path in captions}
    drawn = {path.stem: path for path in paths}
    for name in drawn:
        if name not in FIGURES or name not in by_name:
            raise PipelineError(f"figure {name!r} is unknown or has no caption; known: {', '.join(FIGURES)}")
    figures = {}
    for name in (name for name in FIGURES if name in drawn):
        caption = source_numbers(markdown(by_name[name].read_text(encoding="utf-8")), f"figure/{name}")
        figures[name] = {
            "name": name,
            "title": FIGURES[name].title,
            "alt": FIGURES[name].alt,
            # As an image, an SVG runs no script and loads nothing, whatever it contains.
            "svg_base64": base64.b64encode(drawn[name].read_bytes()).decode(),
            "caption": caption,
            "data": _relative(drawn[name].with_suffix(".csv"), output),
        }
    return figures


def _hashes(
    inputs: Mapping[str, Sequence[Path]],
    verdict: Mapping[str, Any],
    gate: Mapping[str, Any],
    manifest: Mapping[str, Any],
    extractor: Mapping[str, Any],
) -> list[tuple[str, str]]:
    path, results = inputs["results"][0], sha256_file(inputs["results"][0])
    if results != verdict["results_sha256"]:
        raise PipelineError(
            f"{inputs['verdict'][0]} was decided from other results than {path}; delete both and run again"
        )
    return [
        ("results.jsonl", results),
        *([(gate["lock"]["path"], gate["lock"]["sha256"])] if gate["lock"]["sha256"] else []),
        *((item["path"], item["sha256"]) for item in gate["preregistrations"]),
        ("training images", manifest["train"]["sha256"]),
        ("test images", manifest["test"]["sha256"]),
        (f"extractor {extractor['name']}", extractor["extractor_sha256"]),
    ]


def _relative(path: Path, output: Path) -> str:
    return Path(os.path.relpath(path, output.parent)).as_posix()
