"""What figures and tables are made from: settings, result files, and intervals over seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json
from workflow_scripts.study import rule
from workflow_scripts.study.results import flat, read_rows

RUN_PATH = re.compile(r"(?:^|/)runs/(?P<arm>[^/]+)/seed(?P<seed>\d+)/")
# Two rows of one metric that agree in all of these would be averaged although they are unlike.
TOLD_APART_BY = ["arm", "seed", "step", "point", "objective"]
ROW_COLUMNS = [
    *TOLD_APART_BY,
    "sampler",
    "eta",
    "nfe",
    "value",
    "stderr",
    "interval_low",
    "interval_high",
    "row",
]


@dataclass(frozen=True)
class ReportContext:
    """Settings (`report`) and results of one study and preset; what was not given is empty.

    `results` are rows as `study.results.flat` gives them.
    """

    report: dict[str, Any]
    results: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] | None = None
    scale_marks: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[tuple[str, int], Path] = field(default_factory=dict)
    probes: dict[tuple[str, int], list[Path]] = field(default_factory=dict)
    samples: dict[tuple[str, int, str], Path] = field(default_factory=dict)
    features: dict[tuple[str, int, str], Path] = field(default_factory=dict)
    train: Path | None = None
    finite_samples: list[dict[str, Any]] = field(default_factory=list)
    power: dict[str, Any] | None = None
    costs: dict[str, Any] | None = None

    @classmethod
    def load(cls, report: dict[str, Any], inputs: Mapping[str, Sequence[Path]]) -> ReportContext:
        """Read a rule's inputs by field name, each of them optional; large ones stay paths."""
        probes: dict[tuple[str, int], list[Path]] = {}
        for path in inputs.get("probes", []):
            probes.setdefault(arm_and_seed(path), []).append(path)
        return cls(
            report,
            results=[flat(row) for path in inputs.get("results", []) for row in read_rows(path)],
            **{
                name: next((read_json(path) for path in inputs.get(name, [])), None)
                for name in ("verdict", "power", "costs")
            },
            scale_marks=[mark for path in inputs.get("scale_marks", []) for mark in read_json(path)],
            logs={arm_and_seed(path): Path(path) for path in inputs.get("logs", [])},
            probes=probes,
            samples=_by_point(inputs.get("samples", [])),
            features=_by_point(inputs.get("features", [])),
            train=next(iter(inputs.get("train", [])), None),
            finite_samples=[read_json(path) for path in inputs.get("finite_samples", [])],
        )

    @property
    def arms(self) -> list[str]:
        """Arm names in the order of the settings, which every legend and table keeps."""
        return [arm["name"] for arm in self.report["arms"]]

    def arm(self, name: str) -> dict[str, Any]:
        """The settings of one arm."""
        return next(arm for arm in self.report["arms"] if arm["name"] == name)

    def label(self, name: str) -> str:
        """The arm's name for readers."""
        return self.arm(name)["label"]

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        """The settings of every planned point, by name."""
        return {point["name"]: point for point in self.report["points"]}

    def rows(self, metric: str, **identity: Any) -> pd.DataFrame:
        """Result rows of one metric (EMA weights) whose identity fields have the given values.

        Columns: ROW_COLUMNS, in which `row` is the place in `results`. PipelineError when two rows of one run
        cannot be told apart, since a mean over them would mix unlike numbers.
        """
        arms = self.arms
        wanted = {"metric": metric, "weights": "ema", **identity}
        # An arm without training has neither weights nor steps: its images are final.
        found = [
            (
                place,
                row if "weights" in row else {**row, "weights": "ema", "step": self.final_step(row["arm"])},
            )
            for place, row in enumerate(self.results)
            if row["arm"] in arms
        ]
        rows = [
            {**{column: row.get(column) for column in ROW_COLUMNS}, "row": place}
            for place, row in found
            if all(row.get(key) == value for key, value in wanted.items())
        ]
        frame = pd.DataFrame(rows, columns=ROW_COLUMNS)
        if frame.duplicated(TOLD_APART_BY).any():
            raise PipelineError(
                f"results hold {metric} more than once for one arm, seed, step and point; "
                "delete results.jsonl and run again"
            )
        return frame

    def final_rows(self, metric: str, **identity: Any) -> pd.DataFrame:
        """`rows` at each arm's last training step."""
        rows = self.rows(metric, **identity)
        return rows[rows["step"] == rows["arm"].map(self.final_step)]

    def final_step(self, arm: str) -> int:
        """The last training step of an arm."""
        return self.arm(arm).get("final_step", self.report["final_step"])

    def main_rows(self, metric: str | None = None) -> pd.DataFrame:
        """A metric (default: the main one) at the last step and each arm's main point."""
        rows = self.final_rows(metric or self.report["metric"])
        return rows[rows["point"] == rows["arm"].map(self.main_points)]

    @property
    def main_points(self) -> dict[str, str]:
        """The main point of each arm: that of the report, unless its method cannot generate there."""
        return {arm["name"]: arm["main_point"] for arm in self.report["arms"]}

    @property
    def spread(self) -> str:
        """What tables show beside a mean."""
        several = any(len(arm["seeds"]) > 1 for arm in self.report["arms"])
        return "mean ± sd over seeds" if several else "one seed, so no spread"

    @property
    def every_seed(self) -> list[int]:
        """The planned seeds of all arms that are trained, sorted."""
        return sorted({seed for arm in self.report["arms"] if arm["trained"] for seed in arm["seeds"]})

    def told_of(self, metric: str) -> dict[str, Any]:
        """The file, direction and unit of a metric's rows; empty for curvature."""
        told = self.report["metric_rows"].items()
        return next((own for pattern, own in told if fnmatchcase(metric, pattern)), {})

    def seeds(self, arm: str) -> list[int]:
        """The planned seeds of an arm."""
        return self.arm(arm)["seeds"]

    @property
    def further_metrics(self) -> list[str]:
        """The metrics of samples other than the main one, sorted."""
        of_samples = {row["metric"] for row in self.results if "point" in row}
        return sorted(of_samples - {self.report["metric"]})


def _by_point(paths: Sequence[Path]) -> dict[tuple[str, int, str], Path]:
    return {(*arm_and_seed(path), Path(path).stem): Path(path) for path in paths}


def arm_and_seed(path: str | Path) -> tuple[str, int]:
    """Arm and seed from the path parts runs/<arm>/seed<seed>/."""
    match = RUN_PATH.search(Path(path).as_posix())
    if match is None:
        raise PipelineError(f"{path} is not in a folder runs/<arm>/seed<seed>/; give the files of a run")
    return match["arm"], int(match["seed"])


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and two-sided Student t interval; low and high are NaN for fewer than two values."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return float(array.mean()), float("nan"), float("nan")
    return tuple(float(value) for value in rule.t_interval(array, confidence))


def geometric_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Geometric mean and t interval of the logarithms, for positive values."""
    return tuple(float(np.exp(value)) for value in t_interval(np.log(values), confidence))
