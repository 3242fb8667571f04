"""Preregistrations: front matter that the pipeline reads, above prose that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.files import sha256_lines
from workflow_scripts.study import schema
from workflow_scripts.study.config import Study, flatten, load_study, read_base
from workflow_scripts.study.estimands import BOUND, complete
from workflow_scripts.study.points import point_named_by


@dataclass(frozen=True)
class Preregistration:
    """One experiment's preregistration: its path, the hash of its text, and its checked front matter."""

    path: str
    sha256: str
    front: dict[str, Any]

    @property
    def experiment(self) -> str:
        return self.front["experiment"]

    @property
    def hypotheses(self) -> list[dict[str, Any]]:
        """Complete hypotheses with their experiment and ids that are unique in the study (`E2.H1`)."""
        found = [complete(hypothesis) for hypothesis in self.front["hypotheses"]]
        for item in found:
            item |= {"id": f"{self.experiment}.{item['id']}", "experiment": self.experiment}
            if how := item["how"]:
                item[how] = [f"{self.experiment}.{part}" for part in item[how]]
        return found


def parse_front_matter(text: str, where: str) -> dict[str, Any]:
    """Return the checked front matter between the first two `---` lines; ConfigError for anything else."""
    lines = [line.rstrip() for line in text.splitlines()]
    if lines[:1] != ["---"] or "---" not in lines[1:]:
        raise ConfigError(f"{where}: must start with front matter between two lines of ---")
    front = schema.parse_yaml("\n".join(lines[1 : lines.index("---", 1)]), where)
    schema.check(front, "preregistration", where)
    return front


def preregistered_preset(preregistrations: list[Preregistration]) -> str:
    """The preset that the study was preregistered for; any other is a rehearsal."""
    return preregistrations[0].front["preset"]


def read_preregistrations(root: Path, study: str) -> list[Preregistration]:
    """Read a study's preregistrations; check each against the others and the arms of their preset."""
    found = []
    for path in read_base(root, study)["preregistrations"]:
        front = parse_front_matter(schema.read_text(root / path), path)
        found.append(Preregistration(path, sha256_lines(root / path), front))
    presets = {item.front["preset"] for item in found}
    if len(presets) != 1:
        raise ConfigError(
            f"the preregistrations of {study} name different presets: {', '.join(sorted(presets))}"
        )
    full = load_study(root, study, presets.pop())
    for item in found:
        _check_against(item, full)
    ids = [hypothesis["id"] for item in found for hypothesis in item.hypotheses]
    for name in ids:
        if ids.count(name) > 1:
            raise ConfigError(
                f"the preregistrations of {study} have two hypotheses {name}; give each its own number"
            )
    claimed = [arm for item in found for arm in item.front["arms"]]
    for arm in full.arms:
        if claimed.count(arm.name) != 1:
            raise ConfigError(
                f"config/study/{study}/{arm.name}.yaml: the arm is in {claimed.count(arm.name)} "
                "preregistrations, must be in one"
            )
    return found


def _check_against(item: Preregistration, full: Study) -> None:
    """Refuse claims about arms, seeds and evaluations that the study does not have."""
    front, preset_file = item.front, full.preset_file
    arms = [arm.name for arm in full.arms]
    settings = list(dict.fromkeys(key for arm in full.arms for key in flatten(arm.settings)))
    if front["study"] != full.name:
        raise ConfigError(f"{item.path}: study is {front['study']!r}, the configuration says {full.name!r}")
    judged = [hypothesis.get(side) for hypothesis in front["hypotheses"] for side in ("arm", "comparator")]
    judged = judged or front["arms"]
    for arm in full.arms:
        if arm.trained and arm.name in judged and front["seeds"] != list(arm.seeds):
            raise ConfigError(
                f"{item.path}: seeds {front['seeds']} differ from those of {arm.name} in {preset_file}: "
                f"{list(arm.seeds)}"
            )
    compared = [(comparison["arm"], comparison["comparator"]) for comparison in front["comparisons"]]
    named = [*front["arms"], *chain(*compared), *filter(None, [front["comparator"]])]
    factors = chain(*(comparison["factor"] for comparison in front["comparisons"]))
    for kind, names, known in (("arm", named, arms), ("factor", factors, settings)):
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"{item.path}: the {kind} {name!r} is unknown; {schema.nearest(name, known)}"
                )
    above: dict[str, str] = {}
    for hypothesis in map(complete, front["hypotheses"]):
        where = f"{item.path}: {hypothesis['id']}"
        for part in hypothesis.get(hypothesis["how"], ()):
            if part not in above:
                raise ConfigError(f"{where} combines {part}, which must be a hypothesis above it")
            if hypothesis["role"] == "confirmatory" != above[part]:
                raise ConfigError(f"{where} is confirmatory but combines {part}, which is exploratory")
        above[hypothesis["id"]] = hypothesis["role"]
        if hypothesis["how"]:
            continue
        arm, comparator, metric = hypothesis["arm"], hypothesis["comparator"], hypothesis["metric"]
        if hypothesis["test"] == BOUND and hypothesis["bound"]["low"] >= hypothesis["bound"]["high"]:
            raise ConfigError(f"{where}: bound.low must be less than bound.high")
        if comparator is None and arm not in arms:
            raise ConfigError(f"{where}: the arm {arm!r} is unknown; {schema.nearest(arm, arms)}")
        if comparator is not None and (arm, comparator) not in compared:
            raise ConfigError(f"{where} compares {arm} with {comparator}, which comparisons does not list")
        if {"point", "sampler"} & metric.keys() and point_named_by(full.points, metric) is None:
            raise ConfigError(f"{where}: {asked_point(metric)} is not evaluated by {preset_file}")
        if metric.get("comparator_point", next(iter(full.points))) not in full.points:
            raise ConfigError(f"{where}: {metric['comparator_point']} is not evaluated by {preset_file}")


def asked_point(metric: Mapping[str, Any]) -> str:
    """The point of a hypothesis' metric as its author wrote it."""
    return metric.get("point") or f"{metric.get('sampler')} at NFE {metric.get('nfe')}"
