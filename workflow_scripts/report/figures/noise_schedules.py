"""What each noise schedule leaves of the image, and its signal-to-noise ratio, against the timestep."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, make_betas, snr_of
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext

PANELS = {"alphas_cumprod": ("Signal left", "ᾱ"), "snr": ("Signal-to-noise ratio", "ᾱ / (1 − ᾱ)")}


def draw(context: ReportContext) -> tuple[Figure, pd.DataFrame]:
    """Both follow from the settings of arms that diffuse; arms with equal schedules share a line."""
    figure = style.new_figure(10.0, 3.8)
    panels = figure.subplots(1, 2)
    shown: list[dict] = []
    records = []
    for arm in context.arms:
        diffusion = context.arm(arm)["diffusion"]
        direct = all(context.points[point]["sampler"] == "direct" for point in context.arm(arm)["points"])
        if direct or diffusion in shown:
            continue
        shown.append(diffusion)
        alphas_cumprod = alphas_cumprod_of(make_betas(diffusion))
        look = {**style.arm_style(context, arm), "marker": ""}
        for axes, (quantity, values) in zip(
            panels, (("alphas_cumprod", alphas_cumprod), ("snr", snr_of(alphas_cumprod)))
        ):
            axes.plot(values, label=f"schedule: {diffusion['schedule']}", **look)
            records += [(quantity, diffusion["schedule"], t, value) for t, value in enumerate(values)]
    for axes, (title, ylabel) in zip(panels, PANELS.values()):
        axes.set_title(title)
        axes.set_xlabel("timestep t (0 is the least noisy)")
        axes.set_ylabel(ylabel)
    panels[1].set_yscale("log")
    style.log_ticks(panels[1].yaxis)
    style.finish(context, figure, [])
    return figure, pd.DataFrame(records, columns=["quantity", "schedule", "t", "value"])
