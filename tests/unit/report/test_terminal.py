"""The terminal's table contains every hypothesis and the study's outcome."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report.labels import verdict_table


@pytest.mark.parametrize("rehearsal", [True, False])
def test_every_hypothesis_is_an_aligned_line_with_its_numbers(rehearsal):
    report = made_up.report_settings(rehearsal=rehearsal)
    verdict = made_up.verdict(report, made_up.result_rows(report, "better"))
    lines = verdict_table(verdict).splitlines()
    assert "S1_made_up (tiny): BETTER." in lines[-1]
    assert lines[0].startswith("REHEARSAL") == rehearsal
    header, rule, *rows = lines[rehearsal:-2]
    low, high = (f"{100 * end:+.1f} %".replace("-", "−") for end in verdict["hypotheses"][0]["interval"])
    for wanted in (
        "B_weighted / A_plain",
        "FD (fd_toy), ddpm, NFE 50",
        "7 % lower",
        "−20.0 %",
        f"{low} to {high} (97.5 %)",
        "better",
    ):
        assert wanted in rows[0]
    assert rows[3].startswith("B.X2") and rows[3].endswith("not run")
    columns = [index for index in range(len(rule)) if rule[index] == "-" and rule[index - 1 : index] != "-"]
    for line in (header, *rows):
        assert all(line[start - 1 : start] in ("", " ") and line[start] != " " for start in columns)


def test_importing_the_table_loads_neither_torch_nor_plotting():
    code = (
        "import sys, workflow_scripts.report.labels\n"
        "print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
