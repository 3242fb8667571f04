"""Merge the files in config/ into every arm's settings: defaults, dataset, base, preset, arm; later wins."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.core.limits import is_trained
from workflow_scripts.core.registry import constant_of, parameters_of
from workflow_scripts.study import schema
from workflow_scripts.study.constraints import check_settings
from workflow_scripts.study.measures import can_be_probed, needs_of, restores
from workflow_scripts.study.points import fits, merge, points_of
from workflow_scripts.study.results import PILOT

SECTIONS = (
    *("data", "extractor", "method", "model", "diffusion", "loss", "training", "sampling", "points"),
    *("by_step", "curvature", "metrics"),
)
DEFAULTS = "config/defaults.yaml"
# What is added to a seed of the study to get one of its pilot.
PILOT_SEEDS = 1000


@dataclass(frozen=True)
class Arm:
    """One configuration of a study; `experiment` is the part of its name before the first underscore.

    One that is not `trained` has no seeds: its single run is `seed0`.
    `look` is the number of its colour and marker in figures, the same in every preset. `files` names the file
    that each setting comes from, by dotted key.
    """

    name: str
    seeds: tuple[int, ...]
    label: str
    baseline: bool
    look: int
    settings: dict[str, Any]
    files: dict[str, str]

    @property
    def experiment(self) -> str:
        return self.name.split("_", 1)[0]

    @property
    def trained(self) -> bool:
        return is_trained(self.settings["method"])


@dataclass(frozen=True)
class Study:
    """A study at one preset, or the pilot of one: every arm that runs, with its resolved settings.

    `seeds` are those of the arms that have none of their own. `arms_file` is the file or folder that decides
    which arms run. `resources` limits one job of a stage. `sections` are the study's own in the report. `make
    publish` writes the summary of the preregistered preset to `published_summary`.
    """

    name: str
    title: str
    question: str
    preset: str
    preset_title: str
    preregistration_paths: tuple[str, ...]
    arms: tuple[Arm, ...]
    arms_file: str
    seeds: tuple[int, ...]
    resources: dict[str, dict[str, int]]
    sections: tuple[str, ...]
    published_summary: str
    networks: tuple[Arm, ...] = ()
    claims: str | None = None

    @property
    def pilot(self) -> bool:
        return self.preset.endswith(PILOT)

    @property
    def preset_file(self) -> str:
        return preset_path(self.name, self.preset.removesuffix(PILOT))

    def arm(self, name: str) -> Arm:
        return next(arm for arm in (*self.arms, *self.networks) if arm.name == name)

    @cached_property
    def varied(self) -> set[str]:
        """The dotted keys of the settings in which the arms differ."""
        first, *others = (flatten(arm.settings) for arm in self.arms)
        return {
            key
            for own in others
            for key in first.keys() | own.keys()
            if key not in first or key not in own or first[key] != own[key]
        }

    def shared(self, section: str) -> dict[str, Any]:
        """The settings of a section that all arms share: the whole section, unless arms override it."""
        own = self.arms[0].settings[section]
        return {key: value for key, value in own.items() if f"{section}.{key}" not in self.varied}

    @property
    def runs(self) -> list[tuple[str, int]]:
        """(arm, seed) of every run."""
        return [(arm.name, seed) for arm in self.arms for seed in arm.seeds]

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        """Every way of generating from a finished run, by name."""
        return points_of(self.arms[0].settings)

    @property
    def metrics(self) -> list[str]:
        """The metrics that are measured, in the study's order, without those that need other features."""
        settings = self.arms[0].settings
        inception = settings["extractor"]["kind"] == "inception"
        return [name for name in settings["metrics"] if inception or "logits" not in needs_of(name)]

    def metrics_of(self, arm: str) -> list[str]:
        """The metrics that are measured of an arm's runs.

        Without training there is no log, targets are for restorations, labels for arms of classes.
        """
        method = self.arm(arm).settings["method"]
        absent = set() if is_trained(method) else {"log"}
        absent |= set() if restores(method) else {"targets"}
        absent |= set() if method.get("condition") == "class" else {"labels"}
        several = self.arm(arm).settings["training"]["checkpoint_steps"][1:]
        judged = bool(several) and self.by_step_of(arm) is not None
        absent |= set() if judged else {"distances"}
        of_stage = {"curvature": can_be_probed(method), "frechet_by_step": judged}
        return [name for name in self.metrics if of_stage.get(name, True) and not absent & {*needs_of(name)}]

    def by_step_of(self, arm: str) -> str | None:
        """The point at which frechet_by_step judges an arm's checkpoints; None if there is none."""
        judged = "frechet_by_step" in self.metrics and self.arm(arm).trained
        points = self.arms[0].settings["by_step"] if judged else ()
        return next((point for point in points if point in self.points_of(arm)), None)

    def main_point_of(self, arm: str, main: str) -> str:
        """The study's main point, or the first one at which the arm can generate."""
        points = list(self.points_of(arm))
        return main if main in points else points[0]

    def points_of(self, arm: str, seed: int | None = None) -> dict[str, dict[str, Any]]:
        """The points at which an arm's runs can generate, or those at which the run with a seed does."""
        method = self.arm(arm).settings["method"]
        place = 0 if seed is None else self.arm(arm).seeds.index(seed)
        return {
            name: point
            for name, point in self.points.items()
            if fits(point, method) and place < point.get("num_seeds", place + 1)
        }


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE words of a command line, numbers read as Snakemake's --config reads them."""
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
    """(study, preset, data root) from config/config.yaml and the command line's --config, all checked.

    Without a preset, that is the study's `default_preset`; with `pilot`, the preset is its pilot.
    """
    value = {**schema.read_yaml(root / "config/config.yaml"), **overrides}
    schema.check(value, "config", "config/config.yaml or --config")
    preset = value.get("preset") or read_base(root, value["study"])["default_preset"]
    if value.get("pilot") in ("yes", True):
        preset = preset.removesuffix(PILOT) + PILOT
    return value["study"], preset, Path(os.path.expanduser(value["data_root"]))


def load_study(root: Path, study: str, preset: str) -> Study:
    """Read, check and merge the files of `study` at `preset`; any mistake is a one-line ConfigError."""
    scale_name = preset.removesuffix(PILOT)
    folder, preset_file = f"config/study/{study}", preset_path(study, scale_name)
    base, scale = read_base(root, study), _read_preset(root, study, scale_name)
    own = _read_arms(root, folder)
    looks = arm_looks(folder, own)
    arm_files = {name: f"{folder}/{name}.yaml" for name in own}
    listed = scale.get("arms", list(own))
    networks_given = merge(base.get("networks", {}), scale.get("networks", {}))
    if preset != scale_name:
        scale = _for_pilot(scale, preset_file)
        networks_given = {
            key: {**one, "seed": one["seed"] + PILOT_SEEDS} for key, one in networks_given.items()
        }
        scratch = _read_arms(root, f"{folder}/scratch", required=False)
        if twice := scratch.keys() & own.keys():
            raise ConfigError(f"{folder}/scratch/{min(twice)}.yaml: the study has this arm; rename the file")
        arm_files |= {name: f"{folder}/scratch/{name}.yaml" for name in scratch}
        looks |= {name: number for number, name in enumerate(scratch, start=max(looks.values()) + 1)}
        own, listed = {**own, **scratch}, [*listed, *scratch]
    layers = {
        DEFAULTS: _read(root, DEFAULTS, "defaults"),
        f"config/data/{scale['dataset']}.yaml": _read_named(
            root, "dataset", "config/data/*.yaml", scale["dataset"], f"{preset_file}: "
        ),
        f"{folder}/base.yaml": base,
        preset_file: scale,
    }
    for key in ("arm_seeds", "arm_settings"):
        if unknown := [name for name in scale.get(key, {}) if name not in scale.get("arms", own)]:
            raise ConfigError(f"{preset_file}: {key}: the preset has no arm {unknown[0]!r}")
    networks = _networks(layers, networks_given, preset_file)
    if twice := own.keys() & {network.name for network in networks}:
        raise ConfigError(f"{preset_file}: networks: {min(twice)} is the name of an arm; choose another")
    arms: list[Arm] = []
    for name in listed:
        if name not in own:
            raise ConfigError(f"{preset_file}: arms: no arm {name!r}; {schema.nearest(name, list(own))}")
        mine = {arm_files[name]: own[name]}
        if name in scale.get("arm_settings", {}):
            mine[f"arm_settings of {preset_file}"] = scale["arm_settings"][name]
        settings, files = _resolve({**layers, **mine}, preset_file)
        known, network = [one.name for one in networks], settings["method"].get("network")
        if network is not None and network not in known:
            hint = schema.nearest(network, known) if known else "networks lists none"
            raise ConfigError(f"{files['method.network']}: method.network {network} is unknown; {hint}")
        told = own[name] | scale.get("arm_settings", {}).get(name, {})
        label, baseline = told.get("label", name), told.get("baseline", False)
        seeds = tuple(scale.get("arm_seeds", {}).get(name, scale["seeds"]))
        seeds = seeds if is_trained(settings["method"]) else (0,)
        arms.append(Arm(name, seeds, label, baseline, looks[name], settings, files))
        if not any(fits(point, settings["method"]) for point in points_of(settings).values()):
            raise ConfigError(
                f"{arm_files[name]}: no point of {preset_file} has a sampler of method.name "
                f"{settings['method']['name']}; add one to points"
            )
        # Arms that train equally long are judged and probed at the same milestones.
        own_steps = settings["training"]["checkpoint_steps"]
        for other in arms:
            steps = other.settings["training"]["checkpoint_steps"]
            if own_steps != steps and own_steps[-1] == steps[-1]:
                raise ConfigError(
                    f"{arm_files[name]}: training.checkpoint_steps differs from that of {other.name}"
                )
    for arm in arms:
        matched = arm.settings["training"].get("flops_matched_to")
        if matched is not None and matched not in (known := [one.name for one in arms if one != arm]):
            raise ConfigError(
                f"{arm.files['training.flops_matched_to']}: training.flops_matched_to {matched} is no other "
                f"arm of {preset_file}; {schema.nearest(matched, known)}"
            )
    return Study(
        name=study,
        title=base["title"],
        question=base["question"].strip(),
        preset=preset,
        preset_title=scale["title"] + (" (pilot)" if preset.endswith(PILOT) else ""),
        preregistration_paths=tuple(base["preregistrations"]),
        arms=tuple(arms),
        arms_file=preset_file if "arms" in scale else f"{folder}/",
        seeds=tuple(scale["seeds"]),
        resources=scale.get("resources", {}),
        sections=tuple(
            dict.fromkeys(
                (
                    *_sections(
                        *((scale, preset_file) if "sections" in scale else (base, f"{folder}/base.yaml")),
                        arms[0].settings["metrics"],
                    ),
                    "power",
                )
            )
        ),
        claims=base.get("claims"),
        published_summary=base.get("published_summary", f"docs/experiments/{study}_summary.md"),
        networks=networks,
    )


def _for_pilot(scale: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The preset with seeds of which none is the study's, so that no run of a pilot is one of the study."""
    seeds, of_arms = scale["seeds"], scale.get("arm_seeds", {})
    taken = {*seeds, *chain(*of_arms.values())}
    if "pilot" in scale:
        if both := taken & {*scale["pilot"]["seeds"]}:
            raise ConfigError(f"{where}: pilot.seeds: {min(both)} is a seed of the study; choose another")
        return {**scale, "seeds": scale["pilot"]["seeds"], "arm_seeds": {}}
    more = next(n for n in count(PILOT_SEEDS, PILOT_SEEDS) if not taken & {seed + n for seed in taken})
    arm_seeds = {arm: [seed + more for seed in own] for arm, own in of_arms.items()}
    return {**scale, "seeds": [seed + more for seed in seeds], "arm_seeds": arm_seeds}


def _sections(base: Mapping[str, Any], where: str, metrics: list[str]) -> tuple[str, ...]:
    """The study's own sections of the report, each with the metrics that it shows."""
    for name in base.get("sections", ()):
        parameters_of("sections", name)
        for metric in constant_of("sections", name, "METRICS"):
            if metric not in metrics:
                raise ConfigError(f"{where}: sections: {name} shows {metric}, which metrics does not list")
    return tuple(base.get("sections", ()))


def _networks(
    layers: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]], preset_file: str
) -> tuple[Arm, ...]:
    """The networks that arms share, resolved and checked as arms are; only the last checkpoint is kept."""
    found = []
    for name, own in given.items():
        settings, files = _resolve({**layers, f"networks.{name} in {preset_file}": own}, preset_file)
        settings["training"]["checkpoint_steps"] = [settings["training"]["num_steps"]]
        found.append(Arm(name, (own["seed"],), name, False, 0, settings, files))
    return tuple(found)


def preset_path(study: str, preset: str) -> str:
    return f"config/study/{study}/presets/{preset}.yaml"


def read_base(root: Path, study: str) -> dict[str, Any]:
    """What all arms of a study share, checked."""
    return _read_named(root, "study", "config/study/*/base.yaml", study)


def _read_preset(root: Path, study: str, preset: str) -> dict[str, Any]:
    for path in sorted(root.glob(preset_path(study, f"*{PILOT}"))):
        raise ConfigError(
            f"{preset_path(study, path.stem)}: {path.stem} is the name of a pilot; rename the file"
        )
    for old in sorted(root.glob("config/preset/*.yaml")):
        raise ConfigError(
            f"config/preset/{old.name}: a preset belongs to a study now; move it to "
            f"{preset_path(study, old.stem)} and name a dataset of config/data/ in it"
        )
    owners = {file.parts[-3] for file in root.glob(preset_path("*", "*")) if file.stem == preset}
    if owners and study not in owners:
        raise ConfigError(
            f"study {study} has no preset {preset!r}, {min(owners)} has; run that study or copy it to "
            f"{preset_path(study, preset)}"
        )
    return _read_named(root, "preset", preset_path(study, "*"), preset)


def _read_named(root: Path, kind: str, pattern: str, name: str, where: str = "") -> dict[str, Any]:
    """The checked file of a name, the * in `pattern`; ConfigError with the nearest if there is none."""
    path = pattern.replace("*", name)
    if not (root / path).is_file():
        depth = pattern[: pattern.index("*")].count("/")
        known = [Path(file.relative_to(root).parts[depth]).stem for file in root.glob(pattern)]
        raise ConfigError(f"{where}unknown {kind} {name!r} (no {path}); {schema.nearest(name, known)}")
    return _read(root, path, kind)


def _read_arms(root: Path, folder: str, required: bool = True) -> dict[str, dict[str, Any]]:
    """Map each arm's name to the content of its file, sorted by name."""
    names = sorted(path.stem for path in (root / folder).glob("*.yaml") if path.stem != "base")
    if required and not names:
        raise ConfigError(f"{folder}: no arm; add a file such as E1_baseline.yaml beside base.yaml")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):  # it names folders, wildcards and targets
            raise ConfigError(
                f"{folder}/{name}.yaml: an arm's name may hold letters, digits and _; rename the file"
            )
    return {name: _read(root, f"{folder}/{name}.yaml", "arm") for name in names}


def arm_looks(folder: str, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Number the looks (1, 2, …) of all arms of a study, so that an arm looks the same in every preset.

    `arms` maps names to the content of the files in `folder`. An arm keeps the `look` that its file gives;
    the others take the free numbers in the order of their names. ConfigError when two arms give the same.
    """
    given = {own["look"]: name for name, own in arms.items() if "look" in own}
    free = (number for number in count(1) if number not in given)
    for name, own in arms.items():
        if (owner := given.get(own.get("look"), name)) != name:
            raise ConfigError(
                f"{folder}/{name}.yaml: look {own['look']} already belongs to {owner}; {next(free)} is free"
            )
    return {name: own["look"] if "look" in own else next(free) for name, own in sorted(arms.items())}


def _resolve(
    layers: Mapping[str, Mapping[str, Any]], preset_file: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """(checked settings of one arm, the file of each) from its layers, by file; the last one wins."""
    settings: dict[str, Any] = {}
    files: dict[str, str] = {}
    for path, layer in layers.items():
        own = {key: value for key, value in layer.items() if key in SECTIONS}
        settings = merge(settings, own)
        files |= dict.fromkeys(flatten(own), path)
    schema.check(settings, "resolved", f"{preset_file} with {list(layers)[-1]}")
    for section in ("method", "model"):
        _leave_out_keys_of_others(section, settings[section], files, list(layers))
    check_settings(settings, lambda key: files.get(key, preset_file))
    return settings, files


def _leave_out_keys_of_others(
    section: str, own: dict[str, Any], files: dict[str, str], layers: list[str]
) -> None:
    """Remove the keys that layers below the one that names the section's object set for another one."""
    with contextlib.suppress(ConfigError):  # check_settings says what is wrong, and in which file
        takes = parameters_of(f"{section}.name", own["name"])
        below = layers[: layers.index(files[f"{section}.name"])]
        for key in [key for key in own if key not in takes and files.get(f"{section}.{key}") in below]:
            del own[key], files[f"{section}.{key}"]


def _read(root: Path, relative: str, definition: str) -> dict[str, Any]:
    value = schema.read_yaml(root / relative)
    schema.check(value, definition, relative)
    return value


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `{"training.num_steps": 2000, …}`; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
