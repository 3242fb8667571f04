"""What the page knows about every number and figure, as the compact JSON that its script reads on a click."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import OUTCOME_WORDS, estimand_label, threshold_text
from workflow_scripts.report.lineage_graph import Interned, lineage_graph
from workflow_scripts.report.manifests import Manifest
from workflow_scripts.report.tables import NONE, Cell
from workflow_scripts.study.reasons import metric_name

# The columns of a result row that hold text; each text is kept once.
TEXT = ("arm", "metric", "checkpoint_sha256", "sampler", "extractor", "extractor_sha256", "reference_sha256", "objective",
        "probe_sha256")  # fmt: skip
NUMBERS = ("seed", "step", "value", "stderr", "interval_low", "interval_high", "eta", "nfe", "num_samples", "num_probes", "ema")


class Lineage:
    """The lineage of one report: the graph of steps, and which of them made a result row, a figure or a file."""

    def __init__(self, context: ReportContext, manifests: Sequence[Manifest], inputs: Sequence[str]) -> None:
        """`inputs` are the report's inputs as manifests spell them, relative to the project's root."""
        report = context.report
        self.context = context
        self.results = f"results/{report['study']}/{report['preset']}"
        self.rendered = f"reports/{report['study']}/{report['preset']}"
        self.graph = lineage_graph(manifests, inputs, context.arms)
        self._maker = {
            output[1]: number for number, step in enumerate(self.graph["steps"]) for output in step["outputs"]
        }

    def maker(self, path: str) -> int | None:
        """The step that made the file, or None where no manifest says so."""
        return self._maker.get(path)

    def row_path(self, row: Mapping[str, Any]) -> str:
        """The file of a run in which a result row was first written."""
        run = f"{self.results}/runs/{row['arm']}/seed{row['seed']}"
        if row["sampler"] is not None:
            return f"{run}/metrics/{row['sampler']}_nfe{row['nfe']:04d}.json"
        return f"{run}/probes/step{row['step']:07d}.json"

    def of(self, name: str) -> str:
        """The file that a table's cell names when it shows no result: `lock`, `reference`, `finite_sample/<arm>/<seed>`."""
        if name == "lock":
            return f"{self.results}/gate.json"
        if name == "reference":
            return f"{self.results}/stats/scale_marks.json"
        _, arm, seed = name.split("/")
        report = self.context.report
        file = f"{report['main_sampler']}_nfe{report['main_nfe']:04d}.json"
        return f"{self.results}/runs/{arm}/seed{seed}/finite_sample/{file}"

    def origin(self, cell: Cell) -> str:
        """The key of a cell's lineage: `r:` result rows, `h:` hypotheses, `s:` steps; empty where nothing is known."""
        if cell == NONE:
            return ""
        if cell.hypothesis is not None:
            return f"h:{cell.hypothesis}"
        if cell.rows:
            return "r:" + " ".join(map(str, cell.rows))
        steps = sorted({step for name in cell.of if (step := self.maker(self.of(name))) is not None})
        return "s:" + " ".join(map(str, steps)) if steps else ""

    def data(self, figures: Mapping[str, Mapping[str, Any]], verdict: Mapping[str, Any]) -> dict[str, Any]:
        """Everything the page's script looks things up in."""
        texts = Interned()
        rows = [
            [*(texts.place(row.get(name)) for name in TEXT), *(row.get(name) for name in NUMBERS),
             self.maker(self.row_path(row))]
            for row in self.context.results
        ]  # fmt: skip
        metrics = {row["metric"] for row in self.context.results}
        return {
            "folders": {"results": self.results, "rendered": self.rendered},
            "labels": {arm["name"]: arm["label"] for arm in self.context.report["arms"]},
            "metrics": {metric: metric_name(metric) for metric in sorted(metrics)},
            "columns": [*TEXT, *NUMBERS, "maker"],
            "num_texts": len(TEXT),
            "texts": texts.values,
            "rows": rows,
            "hypotheses": {item["id"]: self._hypothesis(item) for item in verdict["hypotheses"]},
            "verdict": {"path": f"{self.results}/verdict.json", "maker": self.maker(f"{self.results}/verdict.json")},
            "figures": {
                name: {"title": figure["title"], "path": f"{self.rendered}/figures/{name}.svg",
                       "maker": self.maker(f"{self.rendered}/figures/{name}.svg")}
                for name, figure in figures.items()
            },
            "graph": self.graph,
        }  # fmt: skip

    def _hypothesis(self, item: Mapping[str, Any]) -> dict[str, Any]:
        used = item["metric_used"]
        wanted = [key for key in ("metric", "sampler", "nfe", "objective", "num_samples", "num_probes", "ema") if used.get(key) is not None]
        step = self.context.report["final_step"]
        places = {
            (row["arm"], row["seed"]): place
            for place, row in enumerate(self.context.results)
            if row["step"] == step and all(row.get(key) == used[key] for key in wanted)
        }
        return {
            "statement": item["statement"], "role": item["role"], "reason": item["reason"],
            "outcome": OUTCOME_WORDS[item["outcome"]], "arm": item["arm"], "comparator": item["comparator"],
            "metric": estimand_label(used), "threshold": f"{threshold_text(item['threshold'])} {item['direction']}",
            "confidence": item["confidence"], "change": item["relative_change"], "interval": item["interval"],
            "seeds": [
                [seed["seed"], places.get((item["arm"], seed["seed"])), places.get((item["comparator"], seed["seed"])),
                 seed["relative_change"]]
                for seed in item["seeds"]
            ],
        }  # fmt: skip


def json_for_script(value: Any) -> Markup:
    """JSON that may stand between script tags: nothing in it can end the element or open another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
