"""What each arm's training takes, in FLOPs and in images."""

from __future__ import annotations

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import number
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import Cell, by_arm

METRICS = ("training_flops",)


def matched_flops(context: ReportContext, setting: Setting) -> Section:
    """A table by arm."""
    per_step, total = (
        context.final_rows(name, weights="last") for name in ("flops_per_step", "training_flops")
    )
    first = total[total["arm"] == context.arms[0]]["value"].mean()
    batch = {arm: context.arm(arm)["training"]["batch_size"] for arm in context.arms}
    seen = [context.final_step(arm) * batch[arm] for arm in total["arm"]]

    def four_digits(frame) -> str:
        value = float(frame["value"].iloc[0])  # of every seed
        return Cell(number(value), value, frame["row"])

    def count(frame) -> str:
        value = int(frame["value"].iloc[0])
        return Cell(f"{value:,}", value, of=["setting/training.num_steps"])

    columns = [
        ("FLOPs per step", per_step, four_digits),
        ("images seen", total.assign(value=seen), count),
        ("FLOPs in all", total, four_digits),
        ("ratio to the first arm", total.assign(value=total["value"] / first), four_digits),
    ]
    words = (
        "FLOPs of all networks, forwards and backwards, counted by torch for one update; a multiplication "
        "and an addition are two. An arm that is matched to another takes as many within 2 %."
    )
    caption = "FLOPs and images of each arm's training"
    return Section("Matched FLOPs", words, [("matched_flops", caption, by_arm(context, columns))])
