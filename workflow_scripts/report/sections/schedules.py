"""The arms' noise schedules side by side."""

from __future__ import annotations

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import number, schedule_label
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import Cell, Table, markdown

METRICS = ()
FIGURES = ("noise_schedules",)


def schedules(context: ReportContext, setting: Setting) -> Section:
    """The figure, and the weights of image and noise in the middle and at the end."""
    words = "At timestep t an image is √ᾱ of the original plus √(1 − ᾱ) of noise."
    caption = "Weights of image and noise by schedule"
    return Section("Noise schedules", words, ["noise_schedules", ("schedules", caption, _table(context))])


def _table(context: ReportContext) -> Table:
    shown: dict[str, list[str]] = {}
    for arm in context.report["arms"]:
        alphas_cumprod = alphas_cumprod_of(make_betas(arm["diffusion"]))
        values = [
            value**0.5
            for t in (len(alphas_cumprod) // 2, -1)
            for value in (alphas_cumprod[t], 1 - alphas_cumprod[t])
        ]
        cells = [Cell(number(value, 3), value, of=["lock"]) for value in values]
        shown.setdefault(schedule_label(arm["diffusion"]), cells)
    titles = [f"{part}, {when}" for when in ("half-way", "at the end") for part in ("image", "noise")]
    return {"columns": ["Schedule", *titles], "rows": [[markdown(name), *row] for name, row in shown.items()]}
