"""What a figure may look at: the report's settings, and the result files it was handed, read on demand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, read_json_lines

RUN_PATH = re.compile(r"(?:^|/)runs/(?P<arm>[^/]+)/seed(?P<seed>\d+)/")
SAMPLES_NAME = re.compile(r"(?P<sampler>.+)_nfe(?P<nfe>\d+)\.npz$")


@dataclass(frozen=True)
class ReportContext:
    """Settings (`report`) and results of one study and preset. What was not handed over is empty, never guessed."""

    report: dict[str, Any]
    results: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] | None = None
    scale_marks: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[tuple[str, int], Path] = field(default_factory=dict)
    probes: dict[tuple[str, int], list[Path]] = field(default_factory=dict)
    samples: dict[tuple[str, int, str, int], Path] = field(default_factory=dict)
    finite_samples: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, report: dict[str, Any], inputs: Mapping[str, Sequence[Path]]) -> ReportContext:
        """Read the inputs of a rule by name, each of which may be absent.

        They are results, verdict, scale_marks, logs, probes, samples and finite_samples.
        """
        results = [row for path in inputs.get("results", []) for row in read_json_lines(path)]
        verdict = [read_json(path) for path in inputs.get("verdict", [])]
        marks = [mark for path in inputs.get("scale_marks", []) for mark in read_json(path)]
        probes: dict[tuple[str, int], list[Path]] = {}
        for path in inputs.get("probes", []):
            probes.setdefault(arm_and_seed(path), []).append(path)
        samples = {}
        for path in inputs.get("samples", []):
            name = SAMPLES_NAME.search(Path(path).name)
            if name is None:
                raise PipelineError(
                    f"{path}: a sample file is called <sampler>_nfe<nfe>.npz; give the right files"
                )
            samples[(*arm_and_seed(path), name["sampler"], int(name["nfe"]))] = Path(path)
        logs = {arm_and_seed(path): Path(path) for path in inputs.get("logs", [])}
        finite_samples = [read_json(path) for path in inputs.get("finite_samples", [])]
        return cls(
            report, results, verdict[0] if verdict else None, marks, logs, probes, samples, finite_samples
        )

    @property
    def arms(self) -> list[str]:
        """Arm names in the order of the settings, which is the order of every legend and table."""
        return [arm["name"] for arm in self.report["arms"]]

    def arm(self, name: str) -> dict[str, Any]:
        """The settings of one arm."""
        return next(arm for arm in self.report["arms"] if arm["name"] == name)

    def label(self, name: str) -> str:
        """What people read instead of the arm's name."""
        return self.arm(name)["label"]

    def rows(self, metric: str, **identity: Any) -> pd.DataFrame:
        """Result rows of the report's arms for one metric, with the EMA weights, restricted by further identity fields.

        Columns arm, seed, step, sampler, eta, nfe, objective, value, stderr, interval_low, interval_high, and row, the place
        in `results`; empty when there are none. Two rows of one run that the identity does not tell apart are an error: a figure must not average
        unlike numbers.
        """
        told_apart_by = ["arm", "seed", "step", "sampler", "eta", "nfe", "objective"]
        columns = [*told_apart_by, "value", "stderr", "interval_low", "interval_high", "row"]
        wanted = {"metric": metric, "ema": True, **identity}
        rows = [
            {**{column: row.get(column) for column in columns}, "row": place}
            for place, row in enumerate(self.results)
            if all(row.get(key) == value for key, value in wanted.items())
        ]
        frame = pd.DataFrame(rows, columns=columns)
        frame = frame[frame["arm"].isin(self.arms)].reset_index(drop=True)
        if frame.duplicated(told_apart_by).any():
            raise PipelineError(
                f"results hold {metric} more than once for one arm, seed, step, sampler and NFE; "
                "delete results.jsonl and run again"
            )
        return frame

    def final_rows(self, metric: str, **identity: Any) -> pd.DataFrame:
        """`rows` at the last training step."""
        return self.rows(metric, step=self.report["final_step"], **identity)

    def main_rows(self, metric: str | None = None) -> pd.DataFrame:
        """A metric (the main one) with the main sampler at the main number of network calls, last training step."""
        report = self.report
        eta = next(
            (
                sampler.get("eta")
                for sampler in report["samplers"]
                if sampler["name"] == report["main_sampler"]
            ),
            None,
        )
        return self.final_rows(
            metric or report["metric"], sampler=report["main_sampler"], nfe=report["main_nfe"], eta=eta
        )

    @property
    def further_metrics(self) -> list[str]:
        """The metrics of samples other than the main one, sorted."""
        return sorted(
            {row["metric"] for row in self.results if row["sampler"] is not None} - {self.report["metric"]}
        )


def arm_and_seed(path: str | Path) -> tuple[str, int]:
    """Arm and seed from the path parts runs/<arm>/seed<seed>/."""
    match = RUN_PATH.search(Path(path).as_posix())
    if match is None:
        raise PipelineError(f"{path} does not lie in runs/<arm>/seed<seed>/; give the files of a run")
    return match["arm"], int(match["seed"])
