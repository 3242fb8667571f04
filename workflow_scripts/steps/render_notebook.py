"""Run a notebook template on the study's results and write it as .ipynb and as an offline HTML page."""

from __future__ import annotations

from workflow_scripts.core.files import write_text
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.notebooks import execute, to_html, to_json

OWN_INPUTS = ("template", "templates")


def main(step: Step) -> None:
    """Settings `notebook`, `report`; outputs notebook, html.

    Inputs: template (.ipynb), templates (page and notebook .html.j2), inputs of ReportContext.load.
    """
    step.say(f"running {step.setting('notebook')}")
    inputs = {name: paths for name, paths in step.inputs.items() if name not in OWN_INPUTS}
    report = step.setting("report")
    notebook, warnings = execute(step.input("template"), report, inputs)
    for line in warnings:
        step.say(f"a cell warned: {line}")
    html = to_html(notebook, report, step.inputs.get("templates", []))
    write_text(step.output("notebook"), to_json(notebook))
    write_text(step.output("html"), html)


if __name__ == "__main__":
    run(main)
