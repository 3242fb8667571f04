"""Draw one figure of the report from results: SVG, PNG and the plotted data as CSV."""

from __future__ import annotations

from workflow_scripts.core.step import Step, run
from workflow_scripts.provenance.figure_identity import identity_text
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.figures import draw


def main(step: Step) -> None:
    """Settings `figure`, `report`; inputs of ReportContext.load; outputs svg, png, data."""
    from workflow_scripts.report.style import save_figure

    figure, frame = draw(step.setting("figure"), ReportContext.load(step.setting("report"), step.inputs))
    identity = identity_text(
        step.input_lineage_sha256, step.setting("report"), step.rule, step.setting("figure")
    )
    save_figure(figure, frame, step.output("svg"), step.output("png"), step.output("data"), identity)
    step.say(f"{step.setting('figure')} drawn from {len(frame)} plotted values")


if __name__ == "__main__":
    run(main)
