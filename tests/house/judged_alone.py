"""A section of one's own: what is judged on single images and on the log."""

from __future__ import annotations

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import by_arm, mean_sd

METRICS = ("tests.house.sharpness:sharpness", "tests.house.excess_total_variation:excess_total_variation")


def judged_alone(context: ReportContext, setting: Setting) -> Section:
    """A table of sharpness and excess total variation by arm."""
    logs = context.final_rows("excess_total_variation", weights="last")
    columns = [
        ("sharpness, ratio to real", context.main_rows("sharpness"), mean_sd),
        ("excess total variation", logs, mean_sd),
    ]
    words = f"Means over seeds after {setting('training.num_steps', 'step')}."
    caption = "Sharpness of samples, and how straight the loss falls"
    return Section("Judged alone", words, [("judged_alone", caption, by_arm(context, columns))])
