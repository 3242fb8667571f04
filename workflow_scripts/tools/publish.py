"""Publish the summary of the preregistered preset: python -m workflow_scripts.tools.publish [--study NAME]"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, sha256_file, write_text
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.summary import build_summary
from workflow_scripts.study.config import PILOT, Study, load_study, read_config
from workflow_scripts.study.description import gate_settings, report_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.preregistration import (
    Preregistration,
    preregistered_preset,
    read_preregistrations,
)
from workflow_scripts.tools import errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.tools.publish", description=__doc__)
    parser.add_argument("--study", help="default: the study in config/config.yaml")
    parser.add_argument("--preset", help="only the preregistered one is published; default: that one")
    arguments = parser.parse_args(argv)
    print(publish(root, arguments.study, arguments.preset))


def publish(root: Path, study_name: str | None, preset: str | None) -> str:
    """Copy summary.md to the study's `published_summary`; return one line that says so.

    PipelineError, with nothing written, for a rehearsal, when the lock has drifted, or when summary.md does
    not follow from the current results, verdict, gate and settings.
    """
    name, *_ = read_config(root, {"study": study_name} if study_name else {})
    preregistrations = read_preregistrations(root, name)
    locked = preregistered_preset(preregistrations)
    if preset and preset != locked:
        kind = "pilot" if preset.endswith(PILOT) else "rehearsal"
        raise PipelineError(
            f"preset {preset} is a {kind} of {name}, which is preregistered for {locked}; only that "
            "preset's summary is published"
        )
    study = load_study(root, name, locked)
    text = _current_summary(root, study, preregistrations)
    summary = Path("reports", name, locked, "summary.md")
    again = f"run: make report STUDY={name} PRESET={locked}"
    try:
        current = (root / summary).read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"cannot read {summary}: {error.strerror}; {again}") from error
    if current != text:
        raise PipelineError(f"{summary} does not match its results and settings; {again}")
    write_text(root / study.published_summary, text)
    return f"{study.published_summary}: the summary of {name}, preset {locked}, as in {summary.as_posix()}"


def _current_summary(root: Path, study: Study, preregistrations: list[Preregistration]) -> str:
    results = root / "results" / study.name / study.preset
    again = f"run: make report STUDY={study.name} PRESET={study.preset}"
    if not (results / "verdict.json").is_file():
        raise PipelineError(f"no verdict of {study.name} at its preregistered preset {study.preset}; {again}")
    if read_json(results / "gate.json") != open_gate(root, gate_settings(root, study, preregistrations)):
        raise PipelineError(f"{study.name}: gate.json is older than lock, amendments or settings; {again}")
    if read_json(results / "verdict.json")["results_sha256"] != sha256_file(results / "results.jsonl"):
        raise PipelineError(f"{study.name}: verdict.json was decided from other results; {again}")
    report = report_settings(root, study, preregistrations)
    inputs = {
        "results": [results / "results.jsonl"],
        "verdict": [results / "verdict.json"],
        "scale_marks": [results / "stats" / "scale_marks.json"],
        "power": [results / "power.json"],
        "finite_samples": [
            results / "runs" / arm["name"] / f"seed{seed}" / "finite_sample" / f"{arm['main_point']}.json"
            for arm in report["arms"]
            for seed in arm["seeds"]
        ],
    }
    return build_summary(
        ReportContext.load(report, inputs),
        read_json(results / "gate.json"),
        read_json(results / "data" / "manifest.json"),
        read_json(results / "extractor" / "extractor.json"),
        root / "reports" / "templates" / "summary.md.j2",
    )


if __name__ == "__main__":
    run(main)
