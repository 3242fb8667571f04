"""What the page knows about every number and figure, as compact JSON that its script looks up on a click."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.labels import OUTCOME_WORDS, arms_text, estimand_label
from workflow_scripts.report.lineage_graph import Interned, Manifest, lineage_graph
from workflow_scripts.report.tables import NONE, Cell, shared_settings, varied_settings
from workflow_scripts.study.estimands import ESTIMATE, estimate
from workflow_scripts.study.reasons import claim, kind_of_run, metric_name
from workflow_scripts.study.results import DIVERGED, FLOP_COUNTS

# The columns of a result row on the page; each distinct value is stored once.
NOT_COLUMNS = ("study", "preset")
# The parts of a metric's identity that a hypothesis states.
MEASURED = ("metric", "sampler", "nfe", "objective", "num_samples", "num_probes", "weights")
FILES = {
    "lock": "gate.json",
    "reference": "stats/scale_marks.json",
    "data": "data/manifest.json",
    "costs": "costs.json",
    "extractor": "extractor/extractor.json",
    "verdict": "verdict.json",
    "results": "results.jsonl",
    "power": "power.json",
}


class Lineage:
    """The lineage of one report: the graph of its steps, and the step behind each row, figure and file."""

    def __init__(
        self,
        context: ReportContext,
        manifests: Sequence[Manifest],
        inputs: Sequence[str],
        setting_files: Mapping[str, str],
        lock: str,
    ) -> None:
        """`inputs` are the report's input paths, `lock` that of the preregistration's lock."""
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
        self._makers = {
            output[1]: number for number, step in enumerate(self.graph["steps"]) for output in step["outputs"]
        }

    def key(self, origin: str) -> str:
        """The page's key for the lineage of an origin; empty if the page has none.

        hypothesis/<id> <id> …       h:  hypotheses
        setting/[<arm>/]<name>       c:  a setting and its file; as `lock` if it is not known here
        figure/<name>                f:
        stage/<entry>, cost/<entry>  e: and k:  all steps of one entry point, and their cost
        run/<arm>/<seed>, finite_sample/<arm>/<seed>, and the names in FILES
                                     s:  the step that made the file
        """
        kind, _, rest = origin.partition("/")
        if kind in ("hypothesis", "figure"):
            return f"{kind[0]}:{rest}"
        if kind == "setting" and rest in self.settings:
            return f"c:{rest}"
        if kind in ("stage", "cost") and any(step["entry"] == rest for step in self.graph["steps"]):
            return f"{'e' if kind == 'stage' else 'k'}:{rest}"
        if kind == "stage":
            return ""
        maker = self._makers.get(self._path({"setting": "lock", "cost": "costs"}.get(kind, origin)))
        return "" if maker is None else f"s:{maker}"

    def origin(self, cell: Cell) -> str:
        """The key for a cell: its hypothesis, its result rows (`r:`), or its named origins, or ""."""
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
        """Everything that the page's script looks up."""
        values, report = Interned(), self.context.report
        names = dict.fromkeys(name for row in self.context.results for name in row if name not in NOT_COLUMNS)
        rows = [
            [*map(values.place, (*map(row.get, names), file)), self._makers.get(file)]
            for row in self.context.results
            for file in [self._row_path(row)]
        ]
        locked = {"lock": self.lock, "locked": report["preregistered_preset"], "kind": kind_of_run(report)}
        return {
            "folders": {"results": self.results, "rendered": self.rendered},
            "settings": self.settings,
            "gate": {**self._file(self._path("lock")), **locked},
            "costs": self._file(self._path("costs")),
            "verdict": self._file(self._path("verdict")),
            "preset": report["preset"],
            "labels": {arm["name"]: arm["label"] for arm in report["arms"]},
            "metrics": {
                metric: metric_name(metric)
                for metric in sorted({row["metric"] for row in self.context.results})
            },
            "columns": [*names, "file", "maker"],
            "values": values.values,
            "rows": rows,
            "hypotheses": {item["id"]: self._hypothesis(item) for item in verdict["hypotheses"]},
            "figures": {
                name: {"title": figure["title"], **self._file(f"{self.rendered}/figures/{name}.svg")}
                for name, figure in figures.items()
            },
            "graph": self.graph,
        }

    def _file(self, path: str) -> dict[str, Any]:
        return {"path": path, "maker": self._makers.get(path)}

    def _path(self, origin: str) -> str:
        """The file that an origin `s:` stands for."""
        kind, *run = origin.split("/")
        if kind == "run":
            return f"{self.results}/runs/{run[0]}/seed{run[1]}/timing.json"
        if kind == "finite_sample":
            point = self.context.main_points[run[0]]
            return f"{self.results}/runs/{run[0]}/seed{run[1]}/finite_sample/{point}.json"
        return f"{self.results}/{FILES[kind]}"

    def _row_path(self, row: Mapping[str, Any]) -> str:
        """The file of a run in which a result row was first written."""
        run = f"{self.results}/runs/{row['arm']}/seed{row['seed']}"
        if row["metric"] in FLOP_COUNTS:
            return f"{self.results}/flops/{row['arm']}.json"
        if row["metric"] == DIVERGED:
            return f"{run}/status.json"
        if "point" in row and row["step"] not in (0, self.context.final_step(row["arm"])):
            return f"{run}/metrics/frechet_by_step.json"
        if told := self.context.told_of(row["metric"]):
            return f"{run}/{told['file']}"
        return f"{run}/probes/step{row['step']:07d}.json"

    def _hypothesis(self, item: Mapping[str, Any]) -> dict[str, Any]:
        used = {name: (item["metric_used"] or {}).get(name) for name in MEASURED}
        wanted = {name: value for name, value in used.items() if value is not None}
        places = {
            (row["arm"], row["seed"]): place
            for place, row in enumerate(self.context.results)
            if all(row.get(name) == value for name, value in wanted.items())
            and row["step"] in (0, self.context.final_step(row["arm"]))
        }
        copied = ("statement", "role", "reason", "arm", "comparator", "estimand", "confidence", "interval")
        return {
            **{name: item[name] for name in copied},
            "outcome": OUTCOME_WORDS[item["outcome"]],
            "metric": estimand_label(item["metric_used"]),
            "threshold": arms_text(item) if item["how"] else claim(item),
            "change": estimate(item),
            "seeds": [
                [
                    seed["seed"],
                    *(places.get((item[side], seed["seed"])) for side in ("arm", "comparator")),
                    seed[ESTIMATE[item["estimand"]]],
                ]
                for seed in item["seeds"]
            ],
        }


def _setting_values(report: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the report, by its name in study.description.setting_files."""
    values = {"arms": [arm["name"] for arm in report["arms"]], "seeds": report["seeds"]}
    values |= shared_settings(report)
    for arm, own in varied_settings(report).items():
        values |= {f"{arm}/{name}": value for name, value in own.items()}
    return values


def json_for_script(value: Any) -> Markup:
    """JSON that is safe between script tags: it can neither end the element nor open another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
