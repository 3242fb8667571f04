"""What a study's file of claims says, beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import estimate_text, interval_text, number
from workflow_scripts.report.sections import Section
from workflow_scripts.report.sourced_numbers import source_numbers
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import NONE, Cell, Table, markdown, mean_sd

METRICS = ()
FATES = {"better": "held", "held": "held", "inconclusive": "undecided", "not_run": "not run here"}


def claims(context: ReportContext, setting: Setting) -> Section:
    """Words and tables of the file that `claims` in base.yaml names; hypotheses decide a claim's fate."""
    told = context.report["claims"]
    parts = [
        (f"claims_{place}", markdown(table["caption"]), _table(context, table))
        for place, table in enumerate(told["tables"], start=1)
    ]
    return Section("Claims", told["words"].strip(), parts)


def _table(context: ReportContext, table: Mapping[str, Any]) -> Table:
    rows = [
        [*map(markdown, row["says"]), _measured(context, row), _fate(context, row)] for row in table["rows"]
    ]
    return {"columns": [*map(markdown, table["columns"]), "Measured here", "Fate"], "rows": rows}


def _hypotheses(context: ReportContext, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    decided = {item["id"]: item for item in context.verdict["hypotheses"]}
    return [decided[name] for name in row.get("hypotheses", ()) if name in decided]


def _measured(context: ReportContext, row: Mapping[str, Any]) -> str:
    texts, places = [], []
    for item in _hypotheses(context, row):
        if item["interval"] is not None:
            text = f"{item['id']}: {estimate_text(item)} ({interval_text(item)})"
            texts.append(source_numbers(markdown(text), f"hypothesis/{item['id']}"))
    if values := row.get("values"):
        metric = context.report["metric"] if values["metric"] == "distance" else values["metric"]
        at = {"weights": "last"} if values.get("log") else {}
        rows = context.final_rows(metric, **at)
        if not values.get("log"):
            points = rows["arm"].map(context.main_points)
            rows = rows[rows["point"] == (values.get("point") or points)]
        for arm in (arm for arm in values["arms"] if arm in context.arms):
            if len(mine := rows[rows["arm"] == arm]):
                texts.append(f"{markdown(context.label(arm))}: {mean_sd(mine)}")
                places += list(mine["row"])
    arm, t = row.get("signal", (None, 0))
    if arm in context.arms:
        left = alphas_cumprod_of(make_betas(context.arm(arm)["diffusion"]))[t]
        text = f"signal {number(left**0.5, 3)}, noise {number((1 - left) ** 0.5, 3)}"
        texts.append(source_numbers(text, "lock"))
    return Cell("; ".join(texts), rows=places) if texts else NONE


def _fate(context: ReportContext, row: Mapping[str, Any]) -> str:
    own = row.get("fates", {})
    fates = [
        own.get(item["outcome"], FATES.get(item["outcome"], "failed")) for item in _hypotheses(context, row)
    ]
    if fates:
        return f"**{', '.join(dict.fromkeys(fates))}**"
    return markdown(row.get("fate", NONE))
