"""Build report.html: one offline file with verdict, figures, tables, cost, and the lineage of every number."""

from __future__ import annotations

from workflow_scripts.core.files import write_text
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.html import build_report
from workflow_scripts.report.manifests import upstream_manifests


def main(step: Step) -> None:
    """Settings `report` and `setting_files`; inputs as report/html.py lists them; output html. Manifests are side files of the inputs."""
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
    step.say(
        f"{len(html.encode()) / 1e6:.1f} MB, {len(step.inputs.get('figures', []))} figures, lineage of {len(manifests)} steps"
    )


if __name__ == "__main__":
    run(main, volatile=("html",))  # it shows what the steps cost
