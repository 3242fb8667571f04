"""Preregistrations: front matter that the pipeline reads, above prose that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.study import schema
from workflow_scripts.study.config import Study, flatten, load_preset, load_study


@dataclass(frozen=True)
class Preregistration:
    """One experiment's preregistration: where it lies, the hash of every byte of it, and its checked front matter."""

    path: str
    sha256: str
    front: dict[str, Any]

    @property
    def experiment(self) -> str:
        return self.front["experiment"]

    @property
    def hypotheses(self) -> list[dict[str, Any]]:
        """The hypotheses, with ids that are unique in the study (`E2.H1`) and their experiment."""
        return [
            {**hypothesis, "id": f"{self.experiment}.{hypothesis['id']}", "experiment": self.experiment}
            for hypothesis in self.front["hypotheses"]
        ]


def parse_front_matter(text: str, where: str) -> dict[str, Any]:
    """The checked front matter between the first two `---` lines; a one-line ConfigError for anything else."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        raise ConfigError(f"{where}: must start with front matter between two lines of ---")
    end = next(number for number, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    front = schema.parse_yaml("\n".join(lines[1:end]), where)
    schema.check(front, "preregistration", where)
    return front


def read_preregistrations(root: Path, study: Study) -> list[Preregistration]:
    """Read and check every preregistration of `study`, also against each other and against the study's arms."""
    found = []
    for path in study.preregistration_paths:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        found.append(Preregistration(path, sha256_file(root / path), parse_front_matter(text, path)))
    presets = {item.front["preset"] for item in found}
    if len(presets) != 1:
        raise ConfigError(
            f"the preregistrations of {study.name} name different presets: {', '.join(sorted(presets))}"
        )
    load_preset(root, preset := presets.pop())
    full = study if preset == study.preset else load_study(root, study.name, preset)
    for item in found:
        _check_against(item, full)
    ids = [hypothesis["id"] for item in found for hypothesis in item.hypotheses]
    for number, name in enumerate(ids):
        if name in ids[:number]:
            raise ConfigError(
                f"the preregistrations of {study.name} hold two hypotheses {name}; number them apart"
            )
    claimed = [arm for item in found for arm in item.front["arms"]]
    for arm in full.arms:
        if claimed.count(arm.name) != 1:
            where = f"config/study/{study.name}/{arm.name}.yaml"
            raise ConfigError(
                f"{where}: the arm stands in {claimed.count(arm.name)} preregistrations, must stand in one"
            )
    return found


def _check_against(item: Preregistration, full: Study) -> None:
    """The claims of one preregistration must be about arms, seeds and evaluations that the study has."""
    front, arms = item.front, [arm.name for arm in full.arms]

    def known(key: str, name: str) -> None:
        if name not in arms:
            raise ConfigError(f"{item.path}: {key}: no arm {name!r}; {schema.nearest(name, arms)}")

    if front["study"] != full.name:
        raise ConfigError(f"{item.path}: study is {front['study']!r}, the configuration says {full.name!r}")
    if list(front["seeds"]) != list(full.seeds):
        raise ConfigError(
            f"{item.path}: seeds {front['seeds']} differ from config/preset/{full.preset}.yaml: {list(full.seeds)}"
        )
    for name in (*front["arms"], *([front["comparator"]] if front["comparator"] else [])):
        known("arms", name)
    compared = set()
    for comparison in front["comparisons"]:
        known("comparisons", comparison["arm"])
        known("comparisons", comparison["comparator"])
        compared.add((comparison["arm"], comparison["comparator"]))
        keys = list(flatten(full.arms[0].settings))
        for key in comparison["factor"]:
            if key not in keys:
                raise ConfigError(f"{item.path}: factor {key!r} is no setting; {schema.nearest(key, keys)}")
    for hypothesis in front["hypotheses"]:
        pair = (hypothesis["arm"], hypothesis["comparator"])
        if pair not in compared:
            raise ConfigError(
                f"{item.path}: {hypothesis['id']} compares {pair[0]} with {pair[1]}, which comparisons does not list"
            )
        metric = hypothesis["metric"]
        if "sampler" in metric and (metric["sampler"], metric.get("nfe")) not in full.sampler_nfe:
            raise ConfigError(
                f"{item.path}: {hypothesis['id']}: {metric['sampler']} at NFE {metric.get('nfe')} is not evaluated by "
                f"config/preset/{full.preset}.yaml"
            )
