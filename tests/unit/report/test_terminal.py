"""The terminal's table holds every hypothesis and the study's outcome."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report.terminal import verdict_table


def verdict_of(outcome: str, rehearsal: bool = True) -> dict:
    report = made_up.report_settings(rehearsal=rehearsal)
    return made_up.verdict(report, made_up.result_rows(report, outcome))


def test_every_hypothesis_is_a_line_with_its_numbers():
    verdict = verdict_of("better")
    lines = verdict_table(verdict).splitlines()
    line = next(line for line in lines if line.startswith("B.H1"))
    low, high = (f"{100 * end:+.1f} %".replace("-", "−") for end in verdict["hypotheses"][0]["interval"])
    interval = f"{low} to {high} (97.5 %)"
    for wanted in (
        "B_weighted / A_plain",
        "FD (fd_toy), ddpm, NFE 50",
        "7 % lower",
        "−20.0 %",
        interval,
        "better",
    ):
        assert wanted in line
    assert next(line for line in lines if line.startswith("B.X2")).endswith("not run")
    assert lines[0].startswith("REHEARSAL")
    assert "S1_made_up (tiny): BETTER." in lines[-1]


def test_columns_line_up():
    lines = verdict_table(verdict_of("inconclusive", rehearsal=False)).splitlines()
    header, rule = lines[0], lines[1]
    assert "REHEARSAL" not in header
    starts = [
        index for index in range(len(rule)) if rule[index] == "-" and (index == 0 or rule[index - 1] == " ")
    ]
    for line in [header, *lines[2:6]]:
        assert all(line[start - 1 : start] in ("", " ") and line[start] != " " for start in starts)


def test_importing_the_table_loads_neither_torch_nor_plotting():
    code = "import sys, workflow_scripts.report.terminal; print(sorted({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
