"""The sections of report.html in order: what each says, and which figures and tables stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_scripts.report import tables
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.cost_tables import run_table, stage_table, total_text
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.html_tables import block_html, inline_html, page_table
from workflow_scripts.report.page_data import SETTING_SECTIONS, Lineage
from workflow_scripts.report.sourced_numbers import linked, source_numbers
from workflow_scripts.report.tables import Table, markdown, setting_cell
from workflow_scripts.study.config import flatten

Part = dict[str, Any]


class Sections:
    """Builds sections from the summary's words, the tables and the figures; what was not measured says so."""

    def __init__(
        self,
        context: ReportContext,
        gate: Mapping[str, Any],
        words: Mapping[str, str],
        figures: Mapping[str, Part],
        costs: Mapping[str, Any],
        lineage: Lineage,
    ) -> None:
        """`words` is the Markdown of summary.summary_content, `figures` what the template shows by figure name."""
        self.context, self.gate, self.words, self.figures = context, gate, words, figures
        self.costs, self.lineage = costs, lineage

    def all(self) -> list[dict[str, Any]]:
        """`{id, heading, parts}` in reading order; provenance is the template's own."""
        parts = {
            ("verdict", FIGURES["hypotheses"].section): self._hypotheses(),
            ("deviations", "Deviations and amendments"): self._deviations(),
            ("frontier", FIGURES["frechet_vs_nfe"].section): self._frontier(),
            ("curvature", FIGURES["curvature_vs_step"].section): self._curvature(),
            ("weights", FIGURES["snr_and_weights"].section): self._weights(),
            ("training", FIGURES["training_curves"].section): self._training(),
            ("samples", FIGURES["sample_grid"].section): self._drawn("sample_grid"),
            ("cost", "Cost"): self._cost(),
            ("methods", "Methods"): self._methods(),
        }
        return [
            {"id": name, "heading": heading, "parts": [part for part in own if part]}
            for (name, heading), own in parts.items()
        ]

    def _hypotheses(self) -> list[Part | None]:
        report, verdict = self.context.report, self.context.verdict
        caption = "Each hypothesis with the threshold that was locked before training, and its outcome"
        return [
            self._text("verdict_line"),
            self._table("hypotheses", caption, tables.hypothesis_table(report, verdict)),
            *self._drawn("hypotheses"),
            self._text("interpretation"),
            self._text("verdict_notes"),
            _heading("Exploratory"),
            self._text("exploratory"),
        ]

    def _deviations(self) -> list[Part | None]:
        substituted = tables.substitution_table(self.context.verdict)
        caption = "What differs from the preregistration"
        return [
            self._text("missing"),
            self._text("preregistration"),
            self._text("amendments"),
            self._table("deviations", caption, substituted)
            if substituted["rows"]
            else self._note("Nothing else differs."),
        ]

    def _frontier(self) -> list[Part | None]:
        context = self.context
        marks = tables.scale_mark_table(context)
        return [
            *self._drawn("frechet_vs_nfe"),
            self._table("main_result", self.words["main_result_title"], tables.main_result_table(context)),
            self._table("by_nfe", self.words["sweep_title"], tables.sweep_table(context)),
            self._table("scale", "For scale: distances between known sets of images", marks)
            if marks["rows"]
            else None,
            _heading("Further metrics"),
            self._text("further_metrics"),
            self._table(
                "further_metrics", "Other metrics of the same samples", tables.further_metrics_table(context)
            )
            if context.further_metrics
            else None,
            _heading("How much is due to the number of samples"),
            self._text("finite_sample"),
            self._table(
                "finite_sample", "Distance from parts of the samples", tables.finite_sample_table(context)
            )
            if context.finite_samples
            else None,
        ]

    def _curvature(self) -> list[Part | None]:
        caption = "Curvature at the last checkpoint, mean ± sd over seeds"
        return [
            self._text("curvature"),
            *self._drawn("curvature_vs_step"),
            self._table("curvature", caption, tables.curvature_table(self.context)),
            *self._drawn("curvature_vs_frechet"),
        ]

    def _weights(self) -> list[Part | None]:
        caption = "The arms, and the settings in which they differ"
        return [
            self._text("configurations"),
            *self._drawn("snr_and_weights"),
            self._table("arms", caption, tables.configuration_table(self.context.report)),
        ]

    def _training(self) -> list[Part | None]:
        return [self._text("training"), *self._drawn("training_curves", "timestep_mse")]

    def _cost(self) -> list[Part | None]:
        note = "Measured where the steps ran. It differs between machines and from run to run, and is part of no result."
        machines = "; ".join(map(markdown, self.costs["machines"]))
        stages, runs = stage_table(self.costs), run_table(self.context.report, self.costs)
        return [
            self._note(note + (source_numbers(f" Machines: {machines}.", "costs") if machines else "")),
            self._note(total_text(self.costs)) if stages["rows"] else None,
            self._table("cost_by_stage", "Cost of each stage, all its steps together", stages)
            if stages["rows"]
            else None,
            self._table("cost_by_run", "Cost of each training run", runs)
            if runs["rows"]
            else self._note("No run was timed."),
            *[self._note(text) for text in self.costs["missing"]],
        ]

    def _methods(self) -> list[Part | None]:
        report, gate = self.context.report, self.gate
        error_rates = tables.error_rate_table(self.context.verdict)
        return [
            self._text("setup"),
            _heading("Matched compute"),
            self._text("matched_compute"),
            self._table(
                "matched",
                "Every setting in which compared arms differ",
                tables.matched_compute_table(report, gate),
            ),
            _heading("How often the rule errs"),
            self._text("error_rates"),
            self._table("error_rates", "Simulated error rates of the rule", error_rates),
            _heading("Limitations"),
            self._text("limitations"),
            {
                "kind": "details",
                "title": "Every shared setting",
                "parts": [
                    self._table("settings", "Settings that all arms share", shared_settings_table(report)),
                ],
            },
        ]

    def _text(self, name: str) -> Part | None:
        words = self.words[name]
        return (
            {"kind": "text", "html": linked(block_html(words), self.lineage.key)} if words.strip() else None
        )

    def _note(self, text: str) -> Part:
        return {"kind": "note", "html": linked(inline_html(text), self.lineage.key)}

    def _drawn(self, *names: str) -> list[Part]:
        return [
            {"kind": "figure", **self.figures[name]}
            if name in self.figures
            else self._note(f"Figure not drawn: {markdown(name)}.")
            for name in names
        ]

    def _table(self, name: str, caption: str, table: Table) -> Part:
        return {
            "kind": "table",
            **page_table(name, caption.rstrip(":"), table, self.lineage.origin, self.lineage.key),
        }


def shared_settings_table(report: Mapping[str, Any]) -> Table:
    """Every setting that all arms share."""
    rows = [
        [f"`{section}.{key}`", setting_cell(value, f"setting/{section}.{key}")]
        for section in SETTING_SECTIONS
        for key, value in flatten(report[section]).items()
    ]
    return {"columns": ["Setting", "Value"], "rows": rows}


def _heading(text: str) -> Part:
    return {"kind": "heading", "text": text}
