"""Metric rows that several tests share."""

from __future__ import annotations

from typing import Any

from workflow_scripts.study.results import FIELDS

BASE, MIN_SNR = "E1_baseline_linear", "E2_minsnr_linear"
SEEDS = (1077, 1078, 1079)


def _row(**fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(FIELDS),
        "study": "MS1_min_snr",
        "preset": "digits",
        "arm": BASE,
        "seed": 1077,
        "step": 2000,
        "checkpoint_sha256": "c" * 64,
        "ema": True,
        **fields,
    }


def fd_row(**changes: Any) -> dict[str, Any]:
    """A row about generated images."""
    images = {
        "metric": "fd_digits",
        "value": 12.3,
        "sampler": "ddpm",
        "nfe": 50,
        "num_samples": 1500,
        "extractor": "fd_digits",
        "extractor_sha256": "e" * 64,
        "reference_sha256": "f" * 64,
    }
    return _row(**{**images, **changes})


def trace_row(**changes: Any) -> dict[str, Any]:
    """A row about a probed loss."""
    probe = {
        "metric": "hessian_trace",
        "value": 12.3,
        "stderr": 0.5,
        "objective": "common",
        "num_probes": 16,
        "probe_sha256": "d" * 64,
    }
    return _row(**{**probe, **changes})
