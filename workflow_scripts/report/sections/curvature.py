"""Curvature of the loss at the checkpoints."""

from __future__ import annotations

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import Table, by_arm, mean_error, mean_sd

METRICS = ("curvature",)


def curvature(context: ReportContext, setting: Setting) -> Section:
    probes, images = setting("curvature.num_probes", "probe"), setting("curvature.batch_size", "image")
    words = (
        f"Hutchinson's estimate of the Hessian trace with {probes} on one batch of {images}, the same for "
        f"all arms, at the last checkpoint; {context.spread}. The common objective (unweighted error of the "
        "predicted noise) is the primary estimand. The trace of an arm's own objective scales with its loss "
        "weights, so a difference there does not show flatter minima. It describes the neighbourhood of one "
        "checkpoint."
    )
    caption = "Curvature at the last checkpoint, mean ± sd over seeds"
    table = ("curvature", caption, _table(context))
    return Section("Curvature", words, ["curvature_vs_step", table, "curvature_vs_frechet"])


def _table(context: ReportContext) -> Table:
    """Curvature at the last checkpoint: mean ± sd over seeds, and the standard error of one trace."""
    common = context.final_rows("hessian_trace", objective="common")
    own = context.final_rows("hessian_trace", objective="own")
    top = context.final_rows("hessian_top_eigenvalue", objective="common")
    return by_arm(
        context,
        [
            ("trace, common objective", common, mean_sd),
            ("std. error of one estimate", common.assign(value=common["stderr"]), mean_error),
            ("trace, own objective", own, mean_sd),
            ("top eigenvalue, common objective", top, mean_sd),
        ],
    )
