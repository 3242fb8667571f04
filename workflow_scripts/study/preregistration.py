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
from workflow_scripts.study.config import Study, flatten, load_study, preset_path, read_base
from workflow_scripts.study.estimands import BOUND, complete
from workflow_scripts.study.measures import STAGES, needs_of, rows_named
from workflow_scripts.study.points import point_named_by
from workflow_scripts.study.results import PILOT


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
        _check_against(item, full, root)
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


def _check_against(item: Preregistration, full: Study, root: Path) -> None:
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
        arm, comparator = hypothesis["arm"], hypothesis["comparator"]
        if hypothesis["test"] == BOUND and hypothesis["bound"]["low"] >= hypothesis["bound"]["high"]:
            raise ConfigError(f"{where}: bound.low must be less than bound.high")
        if comparator is None and arm not in arms:
            raise ConfigError(f"{where}: the arm {arm!r} is unknown; {schema.nearest(arm, arms)}")
        if comparator is not None and (arm, comparator) not in compared:
            raise ConfigError(f"{where} compares {arm} with {comparator}, which comparisons does not list")
        at = hypothesis.get("preset")
        if at is not None and hypothesis["role"] == "confirmatory":
            raise ConfigError(f"{where}: preset {at} is not locked, so only exploratory hypotheses name one")
        _check_measured(hypothesis, full if at is None else load_study(root, full.name, at), where)
    _check_power(item, root)


def _check_measured(hypothesis: Mapping[str, Any], full: Study, where: str) -> None:
    """Refuse a metric that the preset does not measure, as it is asked for, of both arms."""
    metric, preset_file = hypothesis["metric"], full.preset_file
    extractor, name = full.shared("extractor")["name"], metric["name"]
    point = point_named_by(full.points, metric)
    sides = {"point": (hypothesis["arm"], point)}
    if hypothesis["comparator"] is not None:
        sides["comparator_point"] = (hypothesis["comparator"], metric.get("comparator_point", point))
    for key, (arm, at) in sides.items():
        rows = {row: measure for measure in full.metrics_of(arm) for row in rows_named(measure, extractor)}
        if name not in rows:
            raise ConfigError(
                f"{where}: metric.name {name!r} is not measured of {arm} by {preset_file}; "
                f"{schema.nearest(name, [*rows])}"
            )
        of_log, curvature = "log" in needs_of(rows[name]), rows[name] in STAGES
        if metric["ema"] == of_log:
            raise ConfigError(f"{where}: metric.ema must be {'false' if of_log else 'true'} for {name}")
        foreign = {"objective", "num_probes"} if not curvature else set()
        foreign |= (
            {"point", "comparator_point", "sampler", "nfe", "num_samples"} if of_log or curvature else set()
        )
        if unfit := metric.keys() & foreign:
            raise ConfigError(f"{where}: metric.{min(unfit)} has no place beside {name}; leave it out")
        if curvature and "objective" not in metric:
            raise ConfigError(f"{where}: metric.objective is missing beside {name}")
        if not of_log and not curvature:
            _check_point(metric, key, arm, at, full, where)
    probes = full.shared("curvature")["num_probes"]
    if metric.get("num_probes", probes) != probes:
        raise ConfigError(
            f"{where}: metric.num_probes is {metric['num_probes']}, but {preset_file} has {probes}"
        )


def _check_point(
    metric: Mapping[str, Any], key: str, arm: str, point: str | None, full: Study, where: str
) -> None:
    """Refuse a point that the arm does not have, and another number of samples than are drawn there."""
    if point is None or point not in full.points:
        if point is None and not {"point", "sampler"} & metric.keys():
            raise ConfigError(f"{where}: metric.point is missing; {metric['name']} is measured at points")
        shown = point or asked_point(metric)
        hint = schema.nearest(shown, [*full.points])
        raise ConfigError(f"{where}: {shown} is not evaluated by {full.preset_file}; {hint}")
    if point not in (points := full.points_of(arm)):
        hint = schema.nearest(point, [*points])
        raise ConfigError(f"{where}: metric.{key} {point} is not one at which {arm} can generate; {hint}")
    found = points[point]["num_samples"]
    if (asked := metric.get("num_samples", found)) != found:
        raise ConfigError(
            f"{where}: metric.num_samples is {asked}, but {full.preset_file} has {found} at {point}"
        )
    if (other := full.points[point_named_by(full.points, metric)]["num_samples"]) != found:
        raise ConfigError(f"{where}: {point} has num_samples {found}, but the arm's point has {other}")


def _check_power(item: Preregistration, root: Path) -> None:
    """A planned power comes from a preset's pilot, and then every confirmatory hypothesis has one."""
    pilot, power = item.front.get("pilot", "none"), item.front.get("power", {})
    roles = {one["id"]: one["role"] for one in map(complete, item.front["hypotheses"]) if not one["how"]}
    known = ["none", *(f"{path.stem}{PILOT}" for path in root.glob(preset_path(item.front["study"], "*")))]
    if pilot not in known:
        raise ConfigError(f"{item.path}: pilot {pilot} is that of no preset; {schema.nearest(pilot, known)}")
    if power and pilot == "none":
        raise ConfigError(f"{item.path}: power needs pilot, the results that it comes from")
    for name in power:
        if name not in roles:
            raise ConfigError(f"{item.path}: power: no hypothesis {name}; {schema.nearest(name, [*roles])}")
    for name, role in roles.items():
        if pilot != "none" and role == "confirmatory" and name not in power:
            raise ConfigError(
                f"{item.path}: power.{name} is missing; `make power` prints what the pilot says"
            )


def asked_point(metric: Mapping[str, Any]) -> str:
    """The point of a hypothesis' metric as its author wrote it."""
    return metric.get("point") or f"{metric.get('sampler')} at NFE {metric.get('nfe')}"
