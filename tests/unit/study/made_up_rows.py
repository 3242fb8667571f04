"""Metric rows and hypotheses that the tests of results, rule and verdict share."""

from __future__ import annotations

from typing import Any

BASE, MIN_SNR = "E1_baseline_linear", "E2_minsnr_linear"
SEEDS = (1077, 1078, 1079)
_NULL = (
    "stderr",
    "interval_low",
    "interval_high",
    "sampler",
    "eta",
    "nfe",
    "num_samples",
    "extractor",
    "extractor_sha256",
    "reference_sha256",
    "objective",
    "num_probes",
    "probe_sha256",
)


def _row(**fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(_NULL),
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


def fid_hypothesis(**changes: Any) -> dict[str, Any]:
    """E2.H1, whose metric a rehearsal replaces."""
    metric = {"sampler": "ddpm", "nfe": 50, "num_samples": 10000}
    return {
        "id": "E2.H1",
        "experiment": "E2",
        "statement": "Lower.",
        "role": "confirmatory",
        "arm": MIN_SNR,
        "comparator": BASE,
        "direction": "lower",
        "threshold": 0.07,
        "metric": {"name": "fid", "ema": True, "step": "final", **metric},
        **changes,
    }


def trace_hypothesis(**changes: Any) -> dict[str, Any]:
    """E2.H2, about curvature."""
    metric = {"name": "hessian_trace", "objective": "common", "num_probes": 16, "ema": True, "step": "final"}
    return fid_hypothesis(**{"id": "E2.H2", "threshold": 0.10, "metric": metric, **changes})
