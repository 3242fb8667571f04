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
from workflow_scripts.study.config import flatten
from workflow_scripts.study.reasons import metric_name

# The columns of a result row that hold text; each text is kept once.
TEXT = (
    "arm",
    "metric",
    "checkpoint_sha256",
    "sampler",
    "extractor",
    "extractor_sha256",
    "reference_sha256",
    "objective",
    "probe_sha256",
)
NUMBERS = (
    "seed",
    "step",
    "value",
    "stderr",
    "interval_low",
    "interval_high",
    "eta",
    "nfe",
    "num_samples",
    "num_probes",
    "ema",
)
# The sections of the settings that every arm of a report shares.
SETTING_SECTIONS = ("data", "extractor", "model", "training", "sampling", "curvature")


class Lineage:
    """The lineage of one report: the graph of steps, and which of them made a result row, a figure or a file."""

    def __init__(
        self,
        context: ReportContext,
        manifests: Sequence[Manifest],
        inputs: Sequence[str],
        setting_files: Mapping[str, str],
        lock: str,
    ) -> None:
        """`inputs` are the report's inputs and `lock` the preregistration's lock as manifests spell them, relative to the
        project's root; `setting_files` says which file each setting stands in."""
        report = context.report
        self.context, self.lock = context, lock
        self.settings = {
            name: [value, setting_files[name]]
            for name, value in _setting_values(report).items()
            if name in setting_files
        }
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

    def _made_by(self, path: str) -> str:
        step = self.maker(path)
        return "" if step is None else f"s:{step}"

    def key(self, origin: str) -> str:
        """The key of a lineage, for an origin by name; empty where the page knows nothing of it.

        hypothesis/<id> <id> …       h:  hypotheses
        setting/[<arm>/]<name>       c:  a setting and its file; where the study has no such arm here, as `lock`
        figure/<name>                f:
        stage/<entry>, cost/<entry>  e: and k:  every step of one entry point, and what these steps cost; as `costs`
                                     where the page knows none of them
        lock, reference, data, extractor, verdict, results, costs, run/<arm>/<seed>, finite_sample/<arm>/<seed>
                                     s:  the step that made the file
        """
        kind, _, rest = origin.partition("/")
        if kind == "hypothesis":
            return f"h:{rest}"
        if kind == "figure":
            return f"f:{rest}"
        if kind in ("stage", "cost"):
            if any(step["entry"] == rest for step in self.graph["steps"]):
                return f"{'e' if kind == 'stage' else 'k'}:{rest}"
            return self._made_by(self.file_of("costs")) if kind == "cost" else ""
        if kind == "setting":
            return f"c:{rest}" if rest in self.settings else self._made_by(self.file_of("lock"))
        return self._made_by(self.file_of(origin))

    def file_of(self, origin: str) -> str:
        """The file that an origin with a step stands for."""
        kind, *run = origin.split("/")
        report = self.context.report
        if kind == "run":
            return f"{self.results}/runs/{run[0]}/seed{run[1]}/timing.json"
        if kind == "finite_sample":
            name = f"{report['main_sampler']}_nfe{report['main_nfe']:04d}"
            return f"{self.results}/runs/{run[0]}/seed{run[1]}/finite_sample/{name}.json"
        return (
            f"{self.results}/"
            + {
                "lock": "gate.json",
                "reference": "stats/scale_marks.json",
                "data": "data/manifest.json",
                "costs": "costs.json",
                "extractor": "extractor/extractor.json",
                "verdict": "verdict.json",
                "results": "results.jsonl",
            }[kind]
        )

    def origin(self, cell: Cell) -> str:
        """The key of a cell's lineage: that of its hypothesis, of its result rows (`r:`), or of its origins by name."""
        if cell == NONE:
            return ""
        if cell.hypothesis is not None:
            return self.key(f"hypothesis/{cell.hypothesis}")
        if cell.rows:
            return "r:" + " ".join(map(str, cell.rows))
        keys = [found for name in cell.of if (found := self.key(name))]
        if len(keys) < 2:
            return "".join(keys)
        return "s:" + " ".join(map(str, sorted({int(found.removeprefix("s:")) for found in keys})))

    def data(self, figures: Mapping[str, Mapping[str, Any]], verdict: Mapping[str, Any]) -> dict[str, Any]:
        """Everything the page's script looks things up in."""
        texts, report = Interned(), self.context.report
        rows = [
            [
                *(texts.place(row.get(name)) for name in TEXT),
                *(row.get(name) for name in NUMBERS),
                self.maker(self.row_path(row)),
            ]
            for row in self.context.results
        ]
        metrics = {row["metric"] for row in self.context.results}
        return {
            "folders": {"results": self.results, "rendered": self.rendered},
            "settings": self.settings,
            "gate": {
                "path": self.file_of("lock"),
                "maker": self.maker(self.file_of("lock")),
                "lock": self.lock,
                "locked": report["preregistered_preset"],
            },
            "costs": {"path": self.file_of("costs"), "maker": self.maker(self.file_of("costs"))},
            "preset": report["preset"],
            "labels": {arm["name"]: arm["label"] for arm in report["arms"]},
            "metrics": {metric: metric_name(metric) for metric in sorted(metrics)},
            "columns": [*TEXT, *NUMBERS, "maker"],
            "num_texts": len(TEXT),
            "texts": texts.values,
            "rows": rows,
            "hypotheses": {item["id"]: self._hypothesis(item) for item in verdict["hypotheses"]},
            "verdict": {
                "path": f"{self.results}/verdict.json",
                "maker": self.maker(f"{self.results}/verdict.json"),
            },
            "figures": {
                name: {
                    "title": figure["title"],
                    "path": f"{self.rendered}/figures/{name}.svg",
                    "maker": self.maker(f"{self.rendered}/figures/{name}.svg"),
                }
                for name, figure in figures.items()
            },
            "graph": self.graph,
        }

    def _hypothesis(self, item: Mapping[str, Any]) -> dict[str, Any]:
        used = item["metric_used"]
        wanted = [
            key
            for key in ("metric", "sampler", "nfe", "objective", "num_samples", "num_probes", "ema")
            if used.get(key) is not None
        ]
        step = self.context.report["final_step"]
        places = {
            (row["arm"], row["seed"]): place
            for place, row in enumerate(self.context.results)
            if row["step"] == step and all(row.get(key) == used[key] for key in wanted)
        }
        return {
            "statement": item["statement"],
            "role": item["role"],
            "reason": item["reason"],
            "outcome": OUTCOME_WORDS[item["outcome"]],
            "arm": item["arm"],
            "comparator": item["comparator"],
            "metric": estimand_label(used),
            "threshold": f"{threshold_text(item['threshold'])} {item['direction']}",
            "confidence": item["confidence"],
            "change": item["relative_change"],
            "interval": item["interval"],
            "seeds": [
                [
                    seed["seed"],
                    places.get((item["arm"], seed["seed"])),
                    places.get((item["comparator"], seed["seed"])),
                    seed["relative_change"],
                ]
                for seed in item["seeds"]
            ],
        }


def _setting_values(report: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that the report knows, by the name it has in `study/setting_files.py`."""
    shared = {section: report[section] for section in SETTING_SECTIONS}
    values = {"arms": [arm["name"] for arm in report["arms"]], "seeds": report["seeds"], **flatten(shared)}
    for arm in report["arms"]:
        own = flatten({"diffusion": arm["diffusion"], "loss": arm["loss"]})
        values |= {f"{arm['name']}/{name}": value for name, value in own.items()}
    return values


def json_for_script(value: Any) -> Markup:
    """JSON that may stand between script tags: nothing in it can end the element or open another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
