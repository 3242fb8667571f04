"""The sections of report.html in order, and the text, figures and tables in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow_scripts.report import tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.costs import run_table, stage_table, total_text
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.page import block_html, inline_html, page_table
from workflow_scripts.report.page_data import SETTING_SECTIONS, Lineage
from workflow_scripts.report.sourced_numbers import linked, source_numbers
from workflow_scripts.report.tables import Table, markdown, setting_cell
from workflow_scripts.study.config import flatten

Part = dict[str, Any]


@dataclass(frozen=True)
class Sections:
    """Build the sections; `words` is the Markdown of summary.summary_content, `figures` is by figure name."""

    context: ReportContext
    gate: Mapping[str, Any]
    words: Mapping[str, str]
    figures: Mapping[str, Part]
    costs: Mapping[str, Any]
    lineage: Lineage

    def all(self) -> list[dict[str, Any]]:
        """`{id, heading, parts}` in reading order; the template adds provenance."""
        parts = {
            ("verdict", FIGURES["hypotheses"].section): self._hypotheses(),
            ("deviations", "Deviations and amendments"): self._deviations(),
            ("frontier", FIGURES["frechet_vs_nfe"].section): self._frontier(),
            ("curvature", FIGURES["curvature_vs_step"].section): self._curvature(),
            ("weights", FIGURES["snr_and_weights"].section): self._weights(),
            ("training", FIGURES["training_curves"].section): self._training(),
            ("samples", FIGURES["sample_grid"].section): [self._figure("sample_grid")],
            ("cost", "Cost"): self._cost(),
            ("methods", "Methods"): self._methods(),
        }
        return [
            {"id": name, "heading": heading, "parts": [part for part in own if part]}
            for (name, heading), own in parts.items()
        ]

    def _hypotheses(self) -> list[Part | None]:
        table = tables.hypothesis_table(self.context.report, self.context.verdict)
        caption = "Each hypothesis with the threshold that was locked before training, and its outcome"
        return [
            self._text("verdict_line"),
            self._table("hypotheses", caption, table),
            self._figure("hypotheses"),
            self._text("interpretation"),
            self._text("verdict_notes"),
            _heading("Exploratory"),
            self._text("exploratory"),
        ]

    def _deviations(self) -> list[Part | None]:
        table = tables.substitution_table(self.context.verdict)
        return [
            self._text("missing"),
            self._text("preregistration"),
            self._text("amendments"),
            self._table("deviations", "Deviations from the preregistration", table)
            or self._note("There are no other deviations."),
        ]

    def _frontier(self) -> list[Part | None]:
        context = self.context
        return [
            self._figure("frechet_vs_nfe"),
            self._table("main_result", self.words["main_result_title"], tables.main_result_table(context)),
            self._table("by_nfe", self.words["sweep_title"], tables.sweep_table(context)),
            self._table(
                "scale",
                "For scale: distances between known sets of images",
                tables.scale_mark_table(context),
            ),
            _heading("Further metrics"),
            self._text("further_metrics"),
            context.further_metrics
            and self._table(
                "further_metrics", "Other metrics of the same samples", tables.further_metrics_table(context)
            ),
            _heading("Effect of the number of samples"),
            self._text("finite_sample"),
            context.finite_samples
            and self._table(
                "finite_sample", "Distance from subsets of the samples", tables.finite_sample_table(context)
            ),
        ]

    def _curvature(self) -> list[Part | None]:
        caption = "Curvature at the last checkpoint, mean ± sd over seeds"
        return [
            self._text("curvature"),
            self._figure("curvature_vs_step"),
            self._table("curvature", caption, tables.curvature_table(self.context)),
            self._figure("curvature_vs_frechet"),
        ]

    def _weights(self) -> list[Part | None]:
        table = tables.configuration_table(self.context.report)
        return [
            self._text("configurations"),
            self._figure("snr_and_weights"),
            self._table("arms", "The arms, and the settings in which they differ", table),
        ]

    def _training(self) -> list[Part | None]:
        return [self._text("training"), self._figure("training_curves"), self._figure("timestep_mse")]

    def _cost(self) -> list[Part | None]:
        costs = self.costs
        note = "Measured where the steps ran; differs between machines and runs, and no result depends on it."
        machines = "; ".join(map(markdown, costs["machines"]))
        return [
            self._note(note + (source_numbers(f" Machines: {machines}.", "costs") if machines else "")),
            self._note(total_text(costs)) if costs["stages"] else None,
            self._table("cost_by_stage", "Cost of each stage, summed over its steps", stage_table(costs)),
            self._table("cost_by_run", "Cost of each training run", run_table(self.context.report, costs))
            or self._note("No run was timed."),
            *[self._note(text) for text in costs["missing"]],
        ]

    def _methods(self) -> list[Part | None]:
        report, settings = self.context.report, "Settings that all arms share"
        matched = tables.matched_compute_table(report, self.gate)
        error_rates = tables.error_rate_table(self.context.verdict)
        return [
            self._text("setup"),
            _heading("Matched compute"),
            self._text("matched_compute"),
            self._table("matched", "Every setting in which compared arms differ", matched),
            _heading("Error rates of the rule"),
            self._text("error_rates"),
            self._table("error_rates", "Simulated error rates of the rule", error_rates),
            _heading("Limitations"),
            self._text("limitations"),
            {
                "kind": "details",
                "title": "All shared settings",
                "parts": [self._table("settings", settings, shared_settings_table(report))],
            },
        ]

    def _text(self, name: str) -> Part | None:
        if not self.words[name].strip():
            return None
        return {"kind": "text", "html": linked(block_html(self.words[name]), self.lineage.key)}

    def _note(self, text: str) -> Part:
        return {"kind": "note", "html": linked(inline_html(text), self.lineage.key)}

    def _figure(self, name: str) -> Part:
        if name not in self.figures:
            return self._note(f"Figure not drawn: {markdown(name)}.")
        return {"kind": "figure", **self.figures[name]}

    def _table(self, name: str, caption: str, table: Table) -> Part | None:
        if not table["rows"]:
            return None
        prepared = page_table(name, caption.rstrip(":"), table, self.lineage.origin, self.lineage.key)
        return {"kind": "table", **prepared}


def shared_settings_table(report: Mapping[str, Any]) -> Table:
    """All settings that the arms share."""
    rows = [
        [f"`{section}.{key}`", setting_cell(value, f"setting/{section}.{key}")]
        for section in SETTING_SECTIONS
        for key, value in flatten(report[section]).items()
    ]
    return {"columns": ["Setting", "Value"], "rows": rows}


def _heading(text: str) -> Part:
    return {"kind": "heading", "text": text}
