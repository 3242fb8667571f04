"""Render a made-up study into the working folder: the child process of test_reproducible."""

from pathlib import Path

import made_up_report as made_up

from workflow_scripts.report.figures import FIGURES

if __name__ == "__main__":
    report, inputs = made_up.write_study(Path("study"))
    made_up.render_study(Path("out"), report, inputs, FIGURES)
