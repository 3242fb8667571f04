"""Metric rows that several tests share."""

from __future__ import annotations

from typing import Any

from workflow_scripts.study.results import flat

BASE, MIN_SNR = "E1_baseline_linear", "E2_minsnr_linear"
SEEDS = (1077, 1078, 1079)
ON = {
    "num_samples",
    "num_probes",
    "objective",
    "extractor",
    "extractor_sha256",
    "reference_sha256",
    "probe_sha256",
}
FROM = {"step", "weights", "checkpoint_sha256", "point", "sampler", "eta", "nfe"}


def nested(fields: dict[str, Any]) -> dict[str, Any]:
    """A metric row from its fields side by side, as `flat` gives them; those that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {
        **{name: value for name, value in fields.items() if name not in ON | FROM},
        "on": {name: given[name] for name in given if name in ON},
        "from": {name: given[name] for name in given if name in FROM},
    }


def changed(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The row with other values, wherever they stand in it."""
    fields = {**flat(row), "interval": row["interval"], **changes}
    return nested({name: fields[name] for name in fields if not name.startswith("interval_")})


def _row(**fields: Any) -> dict[str, Any]:
    if "nfe" in fields:
        fields.setdefault("point", f"{fields['sampler']}_nfe{fields['nfe']:04d}")
    return nested(
        {
            "study": "MS1_min_snr",
            "preset": "digits",
            "arm": BASE,
            "seed": 1077,
            "step": 2000,
            "checkpoint_sha256": "c" * 64,
            "weights": "ema",
            "stderr": None,
            "interval": None,
            **fields,
        }
    )


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
