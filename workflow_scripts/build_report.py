"""Build report.html: one offline file with verdict, figures, summary, settings, cost and links."""

from __future__ import annotations

from workflow_scripts.common.files import write_text
from workflow_scripts.common.step import Step, run
from workflow_scripts.report.html import build_report


def main(step: Step) -> None:
    """Settings `report`; inputs as report/html.py lists them; output html."""
    for name in ("summary", "verdict", "gate", "results", "manifest", "extractor_info"):
        step.input(name)
    html = build_report(step.setting("report"), step.inputs, step.output("html"), step.input_lineage_sha256)
    write_text(step.output("html"), html)
    step.say(f"{len(html) / 1e6:.1f} MB, {len(step.inputs.get('figures', []))} figures")


if __name__ == "__main__":
    run(main, volatile=("html",))  # it shows how long training took
