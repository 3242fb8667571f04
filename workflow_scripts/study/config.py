"""From the files in config/ to the resolved settings of every arm. Later wins: base, preset, arm."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study import schema
from workflow_scripts.study.constraints import check_settings
from workflow_scripts.study.looks import arm_looks
from workflow_scripts.study.yaml_files import read_yaml

SECTIONS = ("data", "extractor", "model", "diffusion", "loss", "training", "sampling", "curvature")
# An arm may change what it tests, never the data, the evaluation or the seeds: those come from the preset.
SHARED_SECTIONS = ("data", "extractor", "sampling", "curvature")


@dataclass(frozen=True)
class Arm:
    """One configuration of a study: `name` is its file's name, `experiment` the part before the first underscore.

    `look` is the number of its colour and marker in figures, the same in every preset; `files` says which file each
    setting comes from, by its flattened name.
    """

    name: str
    label: str
    baseline: bool
    look: int
    settings: dict[str, Any]
    files: dict[str, str]

    @property
    def experiment(self) -> str:
        return self.name.split("_", 1)[0]


@dataclass(frozen=True)
class Study:
    """A study at one preset: every arm that the preset runs, with its resolved settings.

    `published_summary` is where the summary of the preregistered preset goes when it is published.
    """

    name: str
    title: str
    question: str
    preset: str
    preset_title: str
    preregistration_paths: tuple[str, ...]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    published_summary: str

    def arm(self, name: str) -> Arm:
        """The arm called `name`; ConfigError with the nearest name when the preset does not run it."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = [arm.name for arm in self.arms]
        raise ConfigError(
            f"study {self.name}, preset {self.preset}: no arm {name!r}; {schema.nearest(name, known)}"
        )

    def shared(self, section: str) -> dict[str, Any]:
        """A section that is the same for every arm: data, extractor, sampling or curvature."""
        if section not in SHARED_SECTIONS:
            raise ValueError(f"{section} may differ between arms")
        return self.arms[0].settings[section]

    @property
    def sampler_nfe(self) -> list[tuple[str, int]]:
        """Every (sampler, NFE) pair at which the runs are evaluated."""
        return [
            (sampler["name"], nfe)
            for sampler in self.shared("sampling")["samplers"]
            for nfe in sampler["nfe"]
        ]


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE words of a command line, as Snakemake's --config takes them: what reads as a number is one."""
    overrides: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--config takes KEY=VALUE, not {word!r}")
        overrides[key] = value
        for number in (float, int):
            with contextlib.suppress(ValueError):
                overrides[key] = number(value)
    return overrides


def read_config(root: Path, overrides: Mapping[str, Any]) -> tuple[str, str, Path]:
    """(study, preset, data root) from config/config.yaml and the command line's --config, all checked."""
    path = root / "config" / "config.yaml"
    schema.check(value := {**read_yaml(path), **overrides}, "config", "config/config.yaml or --config")
    for name in ("study", "preset", "data_root"):
        if name not in value:
            raise ConfigError(f"config/config.yaml: {name} is missing")
    try:
        return value["study"], value["preset"], Path(value["data_root"]).expanduser()
    except RuntimeError as error:  # no such user, or no home folder
        raise ConfigError(
            f"data_root {value['data_root']!r}: the home folder in it is not known; write the path out"
        ) from error


def load_study(root: Path, study: str, preset: str) -> Study:
    """Read, check and merge the files of `study` at `preset`; any mistake is a one-line ConfigError."""
    folder = root / "config" / "study" / study
    if not (folder / "base.yaml").is_file():
        known = sorted(path.parent.name for path in root.glob("config/study/*/base.yaml"))
        raise ConfigError(
            f"unknown study {study!r} (no config/study/{study}/base.yaml); {schema.nearest(study, known)}"
        )
    base = _read(root, f"config/study/{study}/base.yaml", "base")
    for key in ("title", "question", "preregistrations"):
        if key not in base:
            raise ConfigError(f"config/study/{study}/base.yaml: {key} is missing")
    for path in map(PurePosixPath, base["preregistrations"]):
        if path.is_absolute() or ".." in path.parts:
            raise ConfigError(
                f"config/study/{study}/base.yaml: preregistrations: {path} must lie below the project"
            )
    scale = load_preset(root, preset)
    names = sorted(path.stem for path in folder.glob("*.yaml") if path.stem != "base")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):  # it becomes a folder, a wildcard and a word of commands
            raise ConfigError(
                f"config/study/{study}/{name}.yaml: an arm's name may hold letters, digits and _; rename the file"
            )
    for name in scale.get("arms", []):
        if name not in names:
            raise ConfigError(
                f"config/preset/{preset}.yaml: arms: no arm {name!r}; {schema.nearest(name, names)}"
            )
    own = {name: _read(root, f"config/study/{study}/{name}.yaml", "arm") for name in names}
    looks = arm_looks(f"config/study/{study}", own)
    arms = [
        _load_arm(study, preset, name, base, scale, own[name], looks[name])
        for name in scale.get("arms", names)
    ]
    if not arms:
        raise ConfigError(
            f"config/study/{study}: no arm; add a file such as E1_baseline.yaml beside base.yaml"
        )
    for arm in arms[1:]:
        # One number says what "final" means, and every arm is probed at the same milestones.
        if arm.settings["training"]["checkpoint_steps"] != arms[0].settings["training"]["checkpoint_steps"]:
            raise ConfigError(
                f"config/study/{study}/{arm.name}.yaml: training.checkpoint_steps differs from that of {arms[0].name}"
            )
    for section in ("seeds", "title"):
        if section not in scale:
            raise ConfigError(f"config/preset/{preset}.yaml: {section} is missing")
    return Study(
        study,
        base["title"],
        base["question"].strip(),
        preset,
        scale["title"],
        tuple(base["preregistrations"]),
        tuple(arms),
        tuple(scale["seeds"]),
        base.get("published_summary", f"docs/experiments/{study}_summary.md"),
    )


def load_preset(root: Path, preset: str) -> dict[str, Any]:
    """One preset's own file, checked; an unknown name is a ConfigError with the nearest one."""
    if not (root / "config" / "preset" / f"{preset}.yaml").is_file():
        known = sorted(path.stem for path in root.glob("config/preset/*.yaml"))
        raise ConfigError(
            f"unknown preset {preset!r} (no config/preset/{preset}.yaml); {schema.nearest(preset, known)}"
        )
    return _read(root, f"config/preset/{preset}.yaml", "preset")


def _load_arm(study: str, preset: str, name: str, base: dict, scale: dict, own: dict, look: int) -> Arm:
    relative = f"config/study/{study}/{name}.yaml"
    preset_file = f"config/preset/{preset}.yaml"
    layers = {f"config/study/{study}/base.yaml": base, preset_file: scale, relative: own}
    settings: dict[str, Any] = {}
    for layer in layers.values():
        settings = merge(settings, {key: value for key, value in layer.items() if key in SECTIONS})
    schema.check(settings, "resolved", f"{preset_file} with {relative}")

    def file_of(key: str) -> str:
        return next((path for path, layer in reversed(layers.items()) if key in flatten(layer)), preset_file)

    check_settings(settings, file_of)
    files = {key: file_of(key) for key in flatten(settings)}
    return Arm(name, own.get("label", name), own.get("baseline", False), look, settings, files)


def _read(root: Path, relative: str, definition: str) -> dict[str, Any]:
    value = read_yaml(root / relative)
    schema.check(value, definition, relative)
    return value


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, key by key; lists and plain values are replaced whole."""
    result = copy.deepcopy(dict(under))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `{"training.num_steps": 2000, …}`; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
