"""A made-up study with known numbers: settings, results, verdict and files, for each outcome the rule can give."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.files import (
    canonical_json,
    sha256_text,
    write_csv,
    write_json,
    write_json_lines,
    write_npz,
)
from workflow_scripts.study.verdict import decide

SEEDS = (11, 12, 13)
ARMS = ("A_plain", "B_weighted", "C_cosine")
DIFFUSION = {
    "schedule": "linear",
    "num_timesteps": 100,
    "beta_start": 1e-3,
    "beta_end": 0.2,
    "prediction_type": "eps",
}
UNIFORM = {"weighting": "uniform", "min_snr_gamma": None}
ANALYSIS = {
    "aggregation": "geometric_mean_of_ratios",
    "interval": "paired_t",
    "confidence": 0.95,
    "multiplicity": "bonferroni",
}
# Relative change of B_weighted against A_plain, and the spread of its log ratio between seeds.
CHANGES = {
    "better": (-0.20, 0.005),
    "worse": (0.25, 0.005),
    "neutral": (0.004, 0.005),
    "inconclusive": (-0.05, 0.15),
}
SPREAD = (-1.0, 0.0, 1.0)


def report_settings(
    seeds: tuple[int, ...] = SEEDS, rehearsal: bool = True, title: str = "A made-up study"
) -> dict[str, Any]:
    """The `report` settings of a study with three arms."""
    arms = [
        ("A_plain", "plain", True, DIFFUSION, UNIFORM),
        ("B_weighted", "weighted γ=5", False, DIFFUSION, {"weighting": "min_snr", "min_snr_gamma": 5.0}),
        ("C_cosine", "cosine, plain", True, {**DIFFUSION, "schedule": "cosine"}, UNIFORM),
    ]
    return {
        "study": "S1_made_up",
        "study_title": title,
        "question": "Does weighting help?",
        "preset": "tiny",
        "preset_title": "Tiny",
        "preregistered_preset": "large" if rehearsal else "tiny",
        "rehearsal": rehearsal,
        "metric": "fd_toy",
        "main_sampler": "ddpm",
        "main_nfe": 50,
        "dataset_title": "toy pictures",
        "anchors": [],
        "arms": [
            {
                "name": name,
                "label": label,
                "look": look,
                "experiment": name[0],
                "baseline": baseline,
                "diffusion": diffusion,
                "loss": loss,
            }
            for look, (name, label, baseline, diffusion, loss) in enumerate(arms, start=1)
        ],
        "seeds": list(seeds),
        "final_step": 200,
        "samplers": [
            {"name": "ddpm", "eta": None, "nfe": [10, 50]},
            {"name": "ddim", "eta": 0.0, "nfe": [10]},
        ],
        "training": {"num_steps": 200, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.99},
        "model": {"name": "unet_toy", "base_channels": 8},
        "data": {"source": "toy", "title": "toy pictures", "image_size": 8, "channels": 1},
        "sampling": {"num_samples": 40, "batch_size": 20},
        "curvature": {"num_probes": 16, "batch_size": 8, "seed": 0},
        "extractor": {"name": "fd_toy", "kind": "classifier", "feature_dim": 4},
    }


def setting_files(report: dict[str, Any]) -> dict[str, str]:
    """Which file each setting of the study stands in, as study/setting_files.py says it."""
    names = ["arms", "seeds"]
    names += [
        f"{part}.{key}"
        for part in ("data", "extractor", "model", "training", "sampling", "curvature")
        for key in report[part]
    ]
    for arm in report["arms"]:
        names += [f"{arm['name']}/{part}.{key}" for part in ("diffusion", "loss") for key in arm[part]]
    return dict.fromkeys(names, "config/preset/tiny.yaml")


def result_rows(
    report: dict[str, Any], outcome: str = "better", arms: tuple[str, ...] = ARMS
) -> list[dict[str, Any]]:
    """Metric rows in which B_weighted differs from A_plain so that the rule gives `outcome`."""
    change, spread = CHANGES[outcome]
    rows = []
    for arm in arms:
        for index, seed in enumerate(report["seeds"]):
            factor = {"A_plain": 1.0, "C_cosine": 1.1}.get(
                arm, (1 + change) * math.exp(spread * SPREAD[index % 3])
            )
            base = {
                "study": report["study"],
                "preset": report["preset"],
                "arm": arm,
                "seed": seed,
                "ema": True,
                "checkpoint_sha256": f"{arm}{seed}",
                "step": 200,
                "stderr": None,
                "interval_low": None,
                "interval_high": None,
                "sampler": None,
                "eta": None,
                "nfe": None,
                "num_samples": None,
                "extractor": None,
                "extractor_sha256": None,
                "reference_sha256": None,
                "objective": None,
                "num_probes": None,
                "probe_sha256": None,
            }
            for sampler in report["samplers"]:
                for nfe in sampler["nfe"]:
                    value = (
                        factor
                        * (4.0 + 60.0 / nfe)
                        * (1 + 0.02 * index)
                        * (1.2 if sampler["name"] == "ddim" else 1.0)
                    )
                    images = base | {
                        "sampler": sampler["name"],
                        "eta": sampler["eta"],
                        "nfe": nfe,
                        "num_samples": 40,
                        "extractor": "fd_toy",
                        "extractor_sha256": "e",
                        "reference_sha256": "r",
                    }
                    rows.append(images | {"metric": "fd_toy", "value": value})
                    interval = {
                        "interval_low": value / 250 - value / 800,
                        "interval_high": value / 250 + value / 800,
                    }
                    rows.append(
                        images
                        | {"metric": "kd_toy", "value": value / 250, "stderr": value / 1000, **interval}
                    )
                    rows.append(images | {"metric": "recall", "value": 0.75 + 0.01 * index})
            for step in (100, 200):
                for metric, scale in (("hessian_trace", 900.0), ("hessian_top_eigenvalue", 40.0)):
                    for objective in ("common", "own"):
                        value = factor * scale * (200 / step) ** 0.5 * (1 + 0.03 * index)
                        rows.append(
                            base
                            | {
                                "metric": metric,
                                "step": step,
                                "value": value,
                                "stderr": 0.05 * value,
                                "objective": objective,
                                "num_probes": 16 if metric == "hessian_trace" else None,
                                "probe_sha256": "p",
                            }
                        )
    return rows


def hypotheses(rehearsal: bool = True) -> list[dict[str, Any]]:
    """A confirmatory hypothesis on the distance, one on curvature, an exploratory one, and one that is not run."""
    name, num_samples = ("fid", 10000) if rehearsal else ("fd_toy", 40)
    distance = {
        "name": name,
        "sampler": "ddpm",
        "nfe": 50,
        "num_samples": num_samples,
        "ema": True,
        "step": "final",
    }
    trace = {"name": "hessian_trace", "objective": "common", "num_probes": 16, "ema": True, "step": "final"}
    common = {"experiment": "B", "comparator": "A_plain", "direction": "lower"}
    return [
        {
            "id": "B.H1",
            "statement": "Weighting lowers the distance by 7 %.",
            "role": "confirmatory",
            "arm": "B_weighted",
            "metric": distance,
            "threshold": 0.07,
            **common,
        },
        {
            "id": "B.H2",
            "statement": "Weighting lowers the trace by 10 %.",
            "role": "confirmatory",
            "arm": "B_weighted",
            "metric": trace,
            "threshold": 0.10,
            **common,
        },
        {
            "id": "B.X1",
            "statement": "Cosine lowers the distance.",
            "role": "exploratory",
            "arm": "C_cosine",
            "metric": distance,
            "threshold": 0.07,
            **common,
        },
        {
            "id": "B.X2",
            "statement": "Another arm lowers the distance.",
            "role": "exploratory",
            "arm": "D_absent",
            "metric": distance,
            "threshold": 0.07,
            **common,
        },
    ]


def verdict(report: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """verdict.json as the pipeline's own rule decides it."""
    context = {
        "study": report["study"],
        "preset": report["preset"],
        "preregistered_preset": report["preregistered_preset"],
        "rehearsal": report["rehearsal"],
        "final_step": 200,
        "metric": "fd_toy",
        "num_samples": 40,
        "num_probes": 16,
        "arms": list(ARMS),
        "seeds": report["seeds"],
    }
    lines = "".join(canonical_json(row) + "\n" for row in rows)
    return decide(hypotheses(report["rehearsal"]), rows, ANALYSIS, context) | {
        "results_sha256": sha256_text(lines)
    }


def gate(report: dict[str, Any]) -> dict[str, Any]:
    """gate.json with one comparison and one amendment."""
    return {
        "study": report["study"],
        "preset": report["preset"],
        "rehearsal": report["rehearsal"],
        "preregistered_preset": report["preregistered_preset"],
        "lock": {"path": "docs/experiments/S1_made_up.lock.json", "sha256": "a" * 64},
        "preregistrations": [
            {
                "path": "docs/experiments/B_pre_reg.md",
                "sha256": "b" * 64,
                "experiment": "B",
                "title": "Weighting",
            }
        ],
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
                    {
                        "what": "preregistration docs/experiments/B_pre_reg.md",
                        "locked": "0123456789ab" + "c" * 52,
                        "now": "b" * 64,
                    },
                ],
            }
        ],
    }


SCALE_MARKS = [
    {
        "id": "train_half_vs_half",
        "label": "one half of the data against the other",
        "value": 2.4,
        "num_samples": 20,
    },
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
    """Write every file a report reads below `root`; returns the `report` settings and the paths by input name."""
    report = report_settings(seeds, rehearsal, title)
    rows = result_rows(report, outcome, arms)
    write_json_lines(root / "results.jsonl", rows)
    documents = {
        "verdict": verdict(report, rows),
        "gate": gate(report),
        "scale_marks": SCALE_MARKS,
        "manifest": MANIFEST,
        "extractor_info": EXTRACTOR,
    }
    inputs: dict[str, list[Path]] = {"results": [root / "results.jsonl"]}
    inputs |= {name: [] for name in ("logs", "probes", "samples", "timings", "finite_samples")}
    for name, document in documents.items():
        write_json(root / f"{name}.json", document)
        inputs[name] = [root / f"{name}.json"]
    for number, arm in enumerate(arms):
        for seed in seeds:
            run = root / "runs" / arm / f"seed{seed}"
            random = np.random.default_rng([number, seed])
            steps = range(10, 210, 10)
            log = [
                (s, *(scale * s**-0.5 * random.uniform(0.9, 1.1) for scale in (1.0, 1.2, 3.0))) for s in steps
            ]
            write_csv(run / "log.csv", ("step", "loss", "mse", "grad_norm"), log)
            points = [{"t": t, "mse": (1 + number / 9) * math.exp(-t / 30) + 0.01} for t in range(0, 100, 10)]
            write_json(run / "probes/step0000200.json", {"rows": [], "timestep_mse": points})
            images = np.random.default_rng(seed).integers(0, 256, (20, 8, 8, channels), dtype=np.uint8)
            write_npz(run / "samples/ddpm_nfe0050.npz", images=images)
            timing = {"wall_s": 12.5, "steps_per_s": 16.0, "peak_memory_mb": 321.0, "num_parameters": 1234}
            write_json(run / "timing.json", timing)
            finite = {
                "arm": arm,
                "seed": seed,
                "num_samples": 40,
                "value": 8.0 + number,
                "stderr": 0.5,
                "by_num_samples": [
                    {"num_samples": count, "value": 8.0 + number + 40 / count} for count in (20, 40)
                ],
            }
            write_json(run / "finite_sample/ddpm_nfe0050.json", finite)
            inputs["finite_samples"].append(run / "finite_sample/ddpm_nfe0050.json")
            inputs["logs"].append(run / "log.csv")
            inputs["probes"].append(run / "probes/step0000200.json")
            inputs["samples"].append(run / "samples/ddpm_nfe0050.npz")
            inputs["timings"].append(run / "timing.json")
    return report, inputs


def arguments(settings: dict[str, Any], inputs: dict[str, list[Path]], outputs: dict[str, Path]) -> list[str]:
    """The command line of an entry point."""
    parts = ["--settings", json.dumps(settings)]
    for name, paths in inputs.items():
        if paths:
            parts += ["--input", name, *map(str, paths)]
    for name, path in outputs.items():
        parts += ["--output", name, str(path)]
    return parts
