"""The settings that the rules hand to the gate, the verdict and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study import schema
from workflow_scripts.study.config import SECTIONS, Arm, Study
from workflow_scripts.study.lock import current_state
from workflow_scripts.study.measures import STAGES, file_of, rows_of
from workflow_scripts.study.points import point_named_by
from workflow_scripts.study.preregistration import Preregistration, asked_point, preregistered_preset

ANCHORS = "config/anchors.yaml"
# The sections that an arm may override.
PER_ARM = ("method", "model", "diffusion", "loss", "training")


def _at(study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    preset = preregistered_preset(preregistrations)
    return {
        "study": study.name,
        "preset": study.preset,
        "preregistered_preset": preset,
        "rehearsal": study.preset != preset,
        "pilot": study.pilot,
    }


def _own(arm: Arm) -> int:
    return arm.settings["training"]["num_steps"]


def _final_step(study: Study) -> int:
    """How many steps most arms train, by the first of them; an arm may have a number of its own."""
    return _own(study.arms[0])


def main_point(study: Study, preregistrations: list[Preregistration]) -> str:
    """The point of the first hypothesis about samples; ConfigError unless the preset has it."""
    for item in preregistrations:
        for metric in (hypothesis.get("metric", {}) for hypothesis in item.hypotheses):
            if "point" in metric or "sampler" in metric:
                if (point := point_named_by(study.points, metric)) is None:
                    raise ConfigError(
                        f"{study.preset_file}: sampling.samplers and points leave out "
                        f"{asked_point(metric)}, which {item.path} is about"
                    )
                return point
    return next(iter(study.points))


def gate_settings(root: Path, study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """Settings of check_preregistration."""
    return {
        **_at(study, preregistrations),
        "now": current_state(root, study, preregistrations),
        "settings": {arm.name: arm.settings for arm in study.arms},
        "preregistrations": [
            {"path": p.path, "sha256": p.sha256, "experiment": p.experiment, "title": p.front["title"]}
            | {key: p.front[key] for key in ("pilot", "power") if key in p.front}
            for p in preregistrations
        ],
        "comparisons": [
            {**comparison, "experiment": item.experiment, "preregistration": item.path}
            for item in preregistrations
            for comparison in item.front["comparisons"]
        ],
    }


def verdict_settings(study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """Settings of decide_verdict."""
    analyses = [item.front["analysis"] for item in preregistrations]
    if any(analysis != analyses[0] for analysis in analyses):
        raise ConfigError(
            f"the preregistrations of {study.name} give different analysis rules; they must agree"
        )
    return {
        "hypotheses": [hypothesis for item in preregistrations for hypothesis in item.hypotheses],
        "analysis": analyses[0],
        "context": {
            **_at(study, preregistrations),
            "final_step": _final_step(study),
            "final_steps": {
                arm.name: steps for arm in study.arms if (steps := _own(arm)) != _final_step(study)
            },
            "metric": study.shared("extractor")["name"],
            "points": study.points,
            "num_probes": study.shared("curvature")["num_probes"],
            "arms": {arm.name: list(arm.seeds) for arm in study.arms},
            "untrained": [arm.name for arm in study.arms if not arm.trained],
        },
    }


def report_settings(root: Path, study: Study, preregistrations: list[Preregistration]) -> dict[str, Any]:
    """The `report` settings of figures, notebooks, summary and report.

    Its sections hold what all arms share; each arm has its own PER_ARM sections, whole.
    """
    main = main_point(study, preregistrations)
    for point in (study.main_point_of(arm.name, main) for arm in study.arms):
        if "num_seeds" in study.points[point]:
            raise ConfigError(
                f"{study.preset_file}: {point} is a main point, which every seed needs; remove num_seeds"
            )
        if (count := study.points[point]["num_samples"]) < 16:  # of which finite_sample judges the eighths
            raise ConfigError(
                f"{study.preset_file}: {point} has num_samples {count}, and the distance's interval at the "
                "main point needs 16; raise it"
            )
    return {
        **_at(study, preregistrations),
        "study_title": study.title,
        "question": study.question,
        "preset_title": study.preset_title,
        "metric": study.shared("extractor")["name"],
        "main_point": main,
        # Of each metric in rows, which may end with *: the file of a run, the better direction, the unit.
        "metric_rows": {
            row: {"file": f"metrics/{file_of(name)}.json", **told}
            for name in study.metrics
            if name not in STAGES
            for row, told in rows_of(name).items()
        },
        "dataset_title": study.shared("data")["title"],
        "anchors": published_anchors(root, study),
        "arms": [
            {
                "name": arm.name,
                "label": arm.label,
                "look": arm.look,
                "trained": arm.trained,
                "final_step": _own(arm),
                "seeds": list(arm.seeds),
                "points": list(study.points_of(arm.name)),
                "by_step": study.by_step_of(arm.name),
                "main_point": study.main_point_of(arm.name, main),
                "experiment": arm.experiment,
                "baseline": arm.baseline,
                **{section: arm.settings[section] for section in PER_ARM},
            }
            for arm in study.arms
        ],
        "seeds": list(study.seeds),
        "final_step": _final_step(study),
        # A list, because settings are handed on with sorted keys.
        "points": [{"name": name, **point} for name, point in study.points.items()],
        **{
            section: study.shared(section)
            for section in SECTIONS
            if section not in ("points", "by_step", "metrics")
        },
        "metrics": study.metrics,
        "sections": list(study.sections),
        **claims_of(root, study),
    }


def claims_of(root: Path, study: Study) -> dict[str, Any]:
    """The study's file of claims, for the section that shows them; nothing for a study without."""
    if study.claims is None:
        return {}
    content = schema.read_yaml(root / study.claims)
    schema.check(content, "claims", study.claims)
    for table in content["tables"]:
        for row in table["rows"]:
            if len(row["says"]) != len(table["columns"]):
                raise ConfigError(f"{study.claims}: {row['says'][0]!r} needs one text per column")
    return {"claims": content}


def published_anchors(root: Path, study: Study) -> list[dict[str, Any]]:
    """The values in config/anchors.yaml for the study's metric and dataset; none for part of a dataset."""
    content = schema.read_yaml(root / ANCHORS)
    schema.check(content, "anchors", ANCHORS)
    for anchor in content["anchors"]:
        for number, curve in enumerate(anchor["curves"], start=1):
            if len(curve["nfe"]) != len(curve["values"]):
                raise ConfigError(
                    f"{ANCHORS}: {anchor['label']}, curve {number}: needs as many values as nfe"
                )
    data, metric = study.shared("data"), study.shared("extractor")["name"]
    if data["num_train"] is not None:
        return []
    return [
        item for item in content["anchors"] if (item["metric"], item["source"]) == (metric, data["source"])
    ]


def setting_files(study: Study) -> dict[str, str]:
    """Map `arms`, `seeds`, `training.num_steps`, … to the file of each; with `<arm>/` where arms differ."""
    files = {"arms": study.arms_file, "seeds": study.preset_file}
    for arm in reversed(study.arms):
        files |= {
            f"{arm.name}/{key}" if key in study.varied else key: file for key, file in arm.files.items()
        }
    return files
