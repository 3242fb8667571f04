"""Write summary.md, which presents the study in a few pages."""

from __future__ import annotations

from workflow_scripts.core.files import DATASET_MANIFEST, EXTRACTOR_INFO, read_document, read_json, write_text
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.summary import build_summary


def main(step: Step) -> None:
    """Settings `report`; output summary.

    Inputs: results, verdict, gate, scale_marks, data manifest, extractor_info, finite_samples, template.
    """
    for name in ("results", "verdict", "scale_marks"):
        step.input(name)
    text = build_summary(
        ReportContext.load(step.setting("report"), step.inputs),
        read_json(step.input("gate")),
        read_document(step.input("manifest"), DATASET_MANIFEST),
        read_document(step.input("extractor_info"), EXTRACTOR_INFO),
        step.input("template"),
    )
    write_text(step.output("summary"), text)
    step.say(f"{len(text.split())} words")


if __name__ == "__main__":
    run(main)
