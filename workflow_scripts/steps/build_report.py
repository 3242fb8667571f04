"""Build report.html: one offline file with verdict, figures, tables, costs and every number's lineage."""

from __future__ import annotations

from workflow_scripts.core.files import write_text
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.html import build_report
from workflow_scripts.report.lineage_graph import upstream_manifests


def main(step: Step) -> None:
    """Settings `report` and `setting_files`; inputs as in report/html.py; output html.

    Reads the manifests of the inputs and of everything upstream, which lie beside the files.
    """
    for name in ("verdict", "gate", "results", "manifest", "extractor_info", "costs"):
        step.input(name)
    manifests = upstream_manifests([path for paths in step.inputs.values() for path in paths])
    html = build_report(
        step.setting("report"),
        step.inputs,
        step.output("html"),
        manifests,
        step.input_lineage_sha256,
        step.setting("setting_files"),
    )
    write_text(step.output("html"), html)
    num_figures = len(step.inputs.get("figures", []))
    step.say(f"{len(html.encode()) / 1e6:.1f} MB, {num_figures} figures, lineage of {len(manifests)} steps")


if __name__ == "__main__":
    run(main, volatile=("html",))  # the page shows measured costs
