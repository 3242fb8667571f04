"""A made-up study with known numbers: settings, results, verdict and files, for each outcome of the rule."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.files import (
    canonical_json,
    read_json,
    sha256_text,
    write_csv,
    write_json,
    write_json_lines,
    write_npz,
)
from workflow_scripts.core.step import run
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.tables import shared_settings, varied_settings
from workflow_scripts.steps import build_report, draw_figure, render_notebook, write_summary
from workflow_scripts.study.power import power_of
from workflow_scripts.study.verdict import decide

REPORTS = Path(__file__).resolve().parents[3] / "reports"
TEMPLATES = REPORTS / "templates"
PAGE = [TEMPLATES / name for name in ("report.html.j2", "report.css", "report.js", "summary.md.j2")]
SEEDS = (11, 12, 13)
ARMS = ("A_plain", "B_weighted", "C_cosine")
BETAS = {"beta_start": 1e-3, "beta_end": 0.2}
SHARED_DIFFUSION = {"num_timesteps": 100, **BETAS, "prediction_type": "eps"}
DIFFUSION = {"schedule": "linear", **SHARED_DIFFUSION}
UNIFORM = {"weighting": "uniform", "min_snr_gamma": None}
RULE = {"aggregation": "geometric_mean_of_ratios", "interval": "paired_t"}
ANALYSIS = {**RULE, "confidence": 0.95, "multiplicity": "bonferroni"}
# Relative change of B_weighted against A_plain, and the spread of its log ratio between seeds.
CHANGES = {
    "better": (-0.2, 0.005),
    "worse": (0.25, 0.005),
    "neutral": (0.004, 0.005),
    "inconclusive": (-0.05, 0.15),
}
SPREAD = (-1.0, 0.0, 1.0)
POINTS = {
    f"{sampler}_nfe{nfe:04d}": {"sampler": sampler, "eta": eta, "nfe": nfe, "num_samples": 40}
    for sampler, eta, nfe in (("ddpm", None, 10), ("ddpm", None, 50), ("ddim", 0.0, 10))
}


def report_settings(
    seeds: tuple[int, ...] = SEEDS, rehearsal: bool = True, title: str = "A made-up study"
) -> dict[str, Any]:
    """The `report` settings of a study with three arms."""
    model = {"name": "unet_toy", "base_channels": 8}
    training = {"num_steps": 200, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.99}
    weighted, cosine = {"weighting": "min_snr", "min_snr_gamma": 5.0}, {**DIFFUSION, "schedule": "cosine"}
    arms = (
        ("plain", DIFFUSION, UNIFORM),
        ("weighted γ=5", DIFFUSION, weighted),
        ("cosine, plain", cosine, UNIFORM),
    )
    return {
        "study": "S1_made_up",
        "study_title": title,
        "question": "Does weighting help?",
        "preset": "tiny",
        "preset_title": "Tiny",
        "preregistered_preset": "large" if rehearsal else "tiny",
        "rehearsal": rehearsal,
        "pilot": False,
        "metric": "fd_toy",
        "main_point": "ddpm_nfe0050",
        "metric_rows": {
            "fd_*": {"file": "metrics/frechet_distance.json", "better": "lower"},
            "kd_*": {"file": "metrics/kernel_distance.json", "better": "lower"},
            "recall": {"file": "metrics/precision_recall.json", "better": "higher"},
        },
        "dataset_title": "toy pictures",
        "anchors": [],
        "arms": [
            {
                "name": name,
                "label": label,
                "baseline": loss is UNIFORM,
                "method": {"name": "diffusion"},
                "model": model,
                "diffusion": diffusion,
                "loss": loss,
                "training": training,
                "look": look,
                "trained": True,
                "seeds": list(seeds),
                "points": list(POINTS),
                "main_point": "ddpm_nfe0050",
                "by_step": "ddpm_nfe0050",
                "experiment": name[0],
            }
            for look, (name, (label, diffusion, loss)) in enumerate(zip(ARMS, arms), start=1)
        ],
        "seeds": list(seeds),
        "final_step": 200,
        "points": [{"name": name, **point} for name, point in POINTS.items()],
        "training": training,
        "model": model,
        "diffusion": SHARED_DIFFUSION,
        "loss": {},
        "data": {"source": "toy", "title": "toy pictures", "image_size": 8, "channels": 1},
        "method": {"name": "diffusion"},
        "metrics": ["frechet_distance", "kernel_distance", "precision_recall", "curvature"],
        "sampling": {"num_samples": 40, "batch_size": 20},
        "sections": ["curvature", "power"],
        "curvature": {"num_probes": 16, "batch_size": 8, "seed": 0},
        "extractor": {"name": "fd_toy", "kind": "classifier", "feature_dim": 4},
    }


def setting_files(report: dict[str, Any]) -> dict[str, str]:
    """The file of each setting, as study/description.py gives it."""
    names = ["arms", "seeds", *shared_settings(report)]
    names += [f"{arm}/{key}" for arm, own in varied_settings(report).items() for key in own]
    return dict.fromkeys(names, "config/study/S1_made_up/presets/tiny.yaml")


def result_rows(
    report: dict[str, Any], outcome: str = "better", arms: tuple[str, ...] = ARMS
) -> list[dict[str, Any]]:
    """Metric rows in which B_weighted differs from A_plain so that the rule gives `outcome`."""
    change, spread = CHANGES[outcome]
    rows = []
    for arm, (index, seed) in ((arm, place) for arm in arms for place in enumerate(report["seeds"])):
        weighted = (1 + change) * math.exp(spread * SPREAD[index % 3])
        factor = {"A_plain": 1.0, "C_cosine": 1.1}.get(arm, weighted)
        base = {name: report[name] for name in ("study", "preset")}
        base |= {"arm": arm, "seed": seed, "stderr": None, "interval": None}
        trained = {"weights": "ema", "checkpoint_sha256": f"{arm}{seed}"}
        judge = {"num_samples": 40, "extractor": "fd_toy", "extractor_sha256": "e", "reference_sha256": "r"}
        for point in report["points"]:
            value = factor * (4.0 + 60.0 / point["nfe"]) * (1 + 0.02 * index)
            value *= 1.2 if point["sampler"] == "ddim" else 1.0
            own = {key: point[key] for key in ("sampler", "eta", "nfe") if point[key] is not None}
            images = base | {"on": judge, "from": {"step": 200, **trained, "point": point["name"], **own}}
            kernel, half = value / 250, value / 800
            errors = {"stderr": value / 1000, "interval": [kernel - half, kernel + half]}
            rows.append(images | {"metric": "fd_toy", "value": value})
            rows.append(images | {"metric": "kd_toy", "value": kernel, **errors})
            rows.append(images | {"metric": "recall", "value": 0.75 + 0.01 * index})
        own = {"point": "ddpm_nfe0050", "sampler": "ddpm", "nfe": 50}
        of_step = {"on": judge, "from": {"step": 100, **trained, **own}}
        rows.append(base | of_step | {"metric": "fd_toy", "value": 10 * factor})
        for step in (100, 200):
            for metric, scale in (("hessian_trace", 900.0), ("hessian_top_eigenvalue", 40.0)):
                value = factor * scale * (200 / step) ** 0.5 * (1 + 0.03 * index)
                probed = {"metric": metric, "value": value, "stderr": 0.05 * value}
                probed["from"] = {"step": step, **trained}
                probes = {"num_probes": 16 if metric == "hessian_trace" else 1, "probe_sha256": "p"}
                rows += [
                    base | probed | {"on": {"objective": objective, **probes}}
                    for objective in ("common", "own")
                ]
    return rows


def hypotheses(rehearsal: bool = True) -> list[dict[str, Any]]:
    """Confirmatory hypotheses on distance and curvature, an exploratory one, and one that is not run."""
    name, num_samples = ("fid", 10000) if rehearsal else ("fd_toy", 40)
    distance = {"name": name, "sampler": "ddpm", "nfe": 50, "num_samples": num_samples, "ema": True}
    trace = {"name": "hessian_trace", "objective": "common", "num_probes": 16, "ema": True}
    return [
        {
            "id": identity,
            "statement": statement,
            "role": "confirmatory" if identity.startswith("B.H") else "exploratory",
            "arm": arm,
            "metric": {**metric, "step": "final"},
            "threshold": threshold,
            "experiment": "B",
            "comparator": "A_plain",
            "direction": "lower",
        }
        for identity, statement, arm, metric, threshold in (
            ("B.H1", "Weighting lowers the distance by 7 %.", "B_weighted", distance, 0.07),
            ("B.H2", "Weighting lowers the trace by 10 %.", "B_weighted", trace, 0.10),
            ("B.X1", "Cosine lowers the distance.", "C_cosine", distance, 0.07),
            ("B.X2", "Another arm lowers the distance.", "D_absent", distance, 0.07),
        )
    ]


def every_kind(rehearsal: bool = True) -> list[dict[str, Any]]:
    """Hypotheses of every estimand and test; those before the last two are confirmatory."""
    distance, _, *_ = hypotheses(rehearsal)
    recall = distance | {"metric": distance["metric"] | {"name": "recall"}, "direction": "higher"}
    without = {key: value for key, value in recall.items() if key not in ("threshold", "direction")}
    level = {key: value for key, value in without.items() if key != "comparator"}
    kinds = [
        distance,
        recall | {"estimand": "difference", "threshold": 0.1},
        without | {"estimand": "difference", "test": "noninferiority", "margin": 0.05, "direction": "higher"},
        without | {"estimand": "difference", "test": "bound", "bound": {"low": 0.02, "high": 0.1}},
        without | {"test": "noninferiority", "margin": 0.05, "direction": "higher"},
        without | {"test": "bound", "bound": {"low": -0.01, "high": 0.01}},
        level | {"estimand": "level", "test": "bound", "bound": {"low": 0.7, "high": 0.9}},
        {"experiment": "B", "statement": "Both.", "all_of": ["B.H2", "B.H3"]},
        {"experiment": "B", "statement": "Either.", "any_of": ["B.H1", "B.H4"]},
    ]
    roles = ["confirmatory"] * 7 + ["exploratory"] * 2
    return [
        kind | {"id": f"B.H{number}", "role": role}
        for number, (kind, role) in enumerate(zip(kinds, roles, strict=True), start=1)
    ]


def verdict(
    report: dict[str, Any], rows: list[dict[str, Any]], asked: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """verdict.json as the pipeline's own rule decides it."""
    context = {
        **{key: report[key] for key in ("study", "preset", "preregistered_preset", "rehearsal", "pilot")},
        "final_step": 200,
        "metric": "fd_toy",
        "points": {point["name"]: point for point in report["points"]},
        "num_probes": 16,
        "arms": {arm["name"]: arm["seeds"] for arm in report["arms"]},
    }
    lines = "".join(canonical_json(row) + "\n" for row in rows)
    decided = decide(asked or hypotheses(report["rehearsal"]), rows, ANALYSIS, context)
    return decided | {"results_sha256": sha256_text(lines)}


def gate(report: dict[str, Any]) -> dict[str, Any]:
    """gate.json with one comparison and one amendment."""
    path = "docs/experiments/B_pre_reg.md"
    now = {"what": f"preregistration {path}", "locked": "0123456789ab" + "c" * 52, "now": "b" * 64}
    return {
        **{key: report[key] for key in ("study", "preset", "rehearsal", "pilot", "preregistered_preset")},
        "lock": {"path": "docs/experiments/S1_made_up.lock.json", "sha256": "a" * 64},
        "preregistrations": [{"path": path, "sha256": "b" * 64, "experiment": "B", "title": "Weighting"}],
        "comparisons": [
            {
                "experiment": "B",
                "arm": "B_weighted",
                "comparator": "A_plain",
                "factor": ["loss.min_snr_gamma", "loss.weighting"],
                "differences": [
                    {"key": "loss.min_snr_gamma", "arm_value": 5.0, "comparator_value": None},
                    {"key": "loss.weighting", "arm_value": "min_snr", "comparator_value": "uniform"},
                ],
            }
        ],
        "amendments": [
            {
                "date": "2001-02-03T04:05:06Z",
                "reason": "fewer steps fit",
                "results_seen": False,
                "results_existed": False,
                "changes": [
                    *({"what": f"{arm}: training.num_steps", "locked": 400, "now": 200} for arm in ARMS),
                    now,
                ],
            }
        ],
    }


SCALE_MARKS = [
    {"id": "halves", "label": "one half of the data against the other", "value": 2.4, "num_samples": 20},
    {"id": "uniform_noise", "label": "uniform noise", "value": 226.0, "num_samples": 40},
]
MANIFEST = {
    "source": "toy",
    "title": "toy pictures",
    "origin": "made up",
    "licence": "public domain",
    "preparation": "none",
    "shape": [8, 8, 1],
    "classes": ["a", "b"],
    "train": {"count": 40, "class_counts": [20, 20], "sha256": "c" * 64},
    "test": {"count": 10, "class_counts": [5, 5], "sha256": "d" * 64},
    "sources": [],
    "sources_sha256": "f" * 64,
}
EXTRACTOR = {"name": "fd_toy", "feature_dim": 4, "test_accuracy": 0.975, "extractor_sha256": "e" * 64}


def write_study(
    root: Path,
    outcome: str = "better",
    seeds: tuple[int, ...] = SEEDS,
    arms: tuple[str, ...] = ARMS,
    rehearsal: bool = True,
    title: str = "A made-up study",
    channels: int = 1,
) -> tuple[dict[str, Any], dict[str, list[Path]]]:
    """Write every file that a report reads; return the `report` settings and the paths by input name."""
    report = report_settings(seeds, rehearsal, title)
    documents = {
        "gate": gate(report),
        "scale_marks": SCALE_MARKS,
        "manifest": MANIFEST,
        "extractor_info": EXTRACTOR,
    }
    inputs = {name: [root / f"{name}.json"] for name in ("verdict", "power", *documents)}
    inputs["results"] = [root / "results.jsonl"]
    for name, document in documents.items():
        write_json(inputs[name][0], document)
    inputs["train"] = [root / "train.npz"]
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, channels), dtype=np.uint8)
    write_npz(inputs["train"][0], images=pictures, labels=np.arange(40) % 2)
    for number, arm in enumerate(arms):
        for seed in seeds:
            run_folder = root / "runs" / arm / f"seed{seed}"
            for name, path in _write_run(run_folder, number, arm, seed, channels).items():
                inputs.setdefault(name, []).append(path)
    decide_again(report, inputs, result_rows(report, outcome, arms))
    return report, inputs


def decide_again(report: dict[str, Any], inputs: dict[str, list[Path]], rows: list[dict[str, Any]]) -> None:
    """Write results, the verdict of the locked rule on them, and what it says of power."""
    decided = verdict(report, rows)
    write_json_lines(inputs["results"][0], rows)
    write_json(inputs["verdict"][0], decided)
    if "power" in inputs:
        redrawn = [read_json(path) for path in inputs.get("finite_samples", [])]
        write_json(inputs["power"][0], power_of(decided, redrawn, {"B": 4}))


def _write_run(run_folder: Path, number: int, arm: str, seed: int, channels: int) -> dict[str, Path]:
    paths = {
        "logs": run_folder / "log.csv",
        "probes": run_folder / "probes/step0000200.json",
        "samples": run_folder / "samples/ddpm_nfe0050.npz",
        "features": run_folder / "features/ddpm_nfe0050.npz",
        "timings": run_folder / "timing.json",
        "finite_samples": run_folder / "finite_sample/ddpm_nfe0050.json",
    }
    random = np.random.default_rng([number, seed])
    log = [
        (step, *(scale * step**-0.5 * random.uniform(0.9, 1.1) for scale in (1.0, 1.2, 3.0)))
        for step in range(10, 210, 10)
    ]
    write_csv(paths["logs"], ("step", "loss", "mse", "grad_norm"), log)
    points = [{"t": t, "mse": (1 + number / 9) * math.exp(-t / 30) + 0.01} for t in range(0, 100, 10)]
    write_json(paths["probes"], {"rows": [], "timestep_mse": points})
    images = np.random.default_rng(seed).integers(0, 256, (20, 8, 8, channels), dtype=np.uint8)
    write_npz(paths["samples"], images=images, labels=np.arange(20) % 2)
    write_npz(paths["features"], predicted=np.arange(20) % 5 // 3)
    timing = {"wall_s": 12.5, "steps_per_s": 16.0, "peak_memory_mb": 321.0, "num_parameters": 1234}
    timing |= {"tables_ms": 0.25}
    write_json(paths["timings"], timing)
    parts = [{"num_samples": count, "value": 8.0 + number + 40 / count} for count in (20, 40)]
    finite = {
        "metric": "fd_toy",
        "arm": arm,
        "seed": seed,
        "num_samples": 40,
        "value": 8.0 + number,
        "stderr": 0.5,
    }
    finite |= {"from": {"point": "ddpm_nfe0050"}, "resamples": random.uniform(8, 9, 20).tolist()}
    write_json(paths["finite_samples"], finite | {"by_num_samples": parts})
    return paths


def arguments(settings: dict[str, Any], inputs: dict[str, list[Path]], outputs: dict[str, Path]) -> list[str]:
    """The command line of an entry point."""
    parts = ["--settings", json.dumps(settings)]
    for name, paths in inputs.items():
        if paths:
            parts += ["--input", name, *map(str, paths)]
    for name, path in outputs.items():
        parts += ["--output", name, str(path)]
    return parts


def render_study(
    root: Path,
    report: dict[str, Any],
    inputs: dict[str, list[Path]],
    figures: Iterable[str],
    captions: Path = REPORTS / "captions",
    manifests: Iterable[dict[str, Any]] = (),
) -> None:
    """Run the report's steps: figures, a notebook, summary.md, costs.json and report.html in `root`."""

    def call(main: Any, settings: dict[str, Any], given: dict[str, list[Path]], **outputs: Path) -> None:
        run(main, arguments({**settings, "report": report}, given, outputs))

    for name in figures:
        svg, png, data = (root / f"{name}.{end}" for end in ("svg", "png", "csv"))
        call(draw_figure.main, {"figure": name}, inputs, svg=svg, png=png, data=data)
    read = ("results", "verdict", "scale_marks", "logs", "probes", "power")
    notebook = {name: inputs[name] for name in read}
    notebook["template"] = [REPORTS / "notebooks/01_results.ipynb"]
    notebook["templates"] = [TEMPLATES / "page.html.j2", TEMPLATES / "notebook.html.j2"]
    paths = {"notebook": root / "01_results.ipynb", "html": root / "01_results.html"}
    call(render_notebook.main, {"notebook": "01_results"}, notebook, **paths)
    summary = {**inputs, "template": [TEMPLATES / "summary.md.j2"]}
    call(write_summary.main, {}, summary, summary=root / "summary.md")
    write_json(root / "costs.json", collect_costs(inputs["timings"], manifests))
    page = inputs | {
        "summary": [root / "summary.md"],
        "costs": [root / "costs.json"],
        "figures": [root / f"{name}.svg" for name in figures],
        "captions": [captions / f"{name}.rst" for name in figures],
        "notebooks": [root / "01_results.html"],
        "templates": PAGE,
    }
    call(build_report.main, {"setting_files": setting_files(report)}, page, html=root / "report.html")
