"""How smoothly and stably the arms train."""

from __future__ import annotations

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import by_arm, mean_sd

METRICS = ("training_smoothness", "training_stability", "frechet_roughness")
FIGURES = ("loss_by_epoch",)
OF_THE_LOG = {
    "excess_total_variation": "excess total variation",
    "error_reduction_epoch10": "error reduction by epoch 10",
    "error_reduction_epoch50": "error reduction by epoch 50",
    "gradient_spikes": "gradient spikes",
    "error_deviation": "deviation of the error",
    "discriminator_saturation": "discriminator saturated",
}
OF_CHECKPOINTS = {"frechet_rises": "rises of log distance", "frechet_last_over_best": "last / best"}


def smoothness(context: ReportContext, setting: Setting) -> Section:
    """A table by arm, and the error by epoch."""
    columns = [
        (title, rows, mean_sd)
        for names, weights in ((OF_THE_LOG, "last"), (OF_CHECKPOINTS, "ema"))
        for name, title in names.items()
        if len(rows := context.final_rows(name, weights=weights))
    ]
    words = (
        "Excess total variation is 0 where the error falls from epoch to epoch. Error reduction: a share of "
        "the first epoch's mean. Spikes, deviation and saturation: in the second half of training. A GAN's "
        "loss is no error, so networks of different kinds are compared on the distance of checkpoints."
    )
    caption = f"Smoothness and stability of training, {context.spread}"
    table = ("smoothness", caption, by_arm(context, columns))
    return Section("Smoothness", words, ["loss_by_epoch", table])
