"""Whether samples show the classes asked for, and all classes."""

from __future__ import annotations

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.sections import Section
from workflow_scripts.report.summary_words import Setting
from workflow_scripts.report.tables import by_arm, mean_sd

METRICS = ("class_accuracy", "class_histogram")
FIGURES = ("class_grid", "class_histogram")
NAMES = {
    "class_accuracy": "accuracy",
    "class_accuracy_ratio": "accuracy, ratio to real images",
    "class_kl": "KL of classes, nats",
    "smallest_class_share": "rarest class, ratio to real",
    "lost_classes": "lost classes",
}


def classes(context: ReportContext, setting: Setting) -> Section:
    """A table by arm at each arm's main point, guided points beside it, and the two figures."""
    columns = [(title, context.main_rows(name), mean_sd) for name, title in NAMES.items()]
    for name, point in context.points.items():
        if "guidance_scale" in point:
            title = f"accuracy, guidance {point['guidance_scale']:g}"
            columns.append((title, context.final_rows("class_accuracy", point=name), mean_sd))
    words = (
        "A classifier trained on real images judges the samples. Accuracy: the share that it takes for the "
        "class asked for. A class is lost if it is below a tenth of its real share."
    )
    table = ("classes", f"Classes of the samples, {context.spread}", by_arm(context, columns))
    return Section("Classes", words, ["class_grid", table, "class_histogram"])
