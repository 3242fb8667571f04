"""Points: the ways of generating from a finished run, as a study's settings give them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from workflow_scripts.core.registry import constant_of


def points_of(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Map each point's name to {sampler, eta, nfe, num_samples}; eta is None if the sampler has none.

    With `num_seeds` only so many of an arm's seeds have it.

    `sampling.samplers` is short for one point `<sampler>_nfe<NNNN>` per number of calls; `points` adds
    others, or changes settings of these.
    """
    sampling, points = settings["sampling"], {}
    for sampler in sampling["samplers"]:
        for nfe in sampler["nfe"]:
            own = {"sampler": sampler["name"], "eta": sampler.get("eta"), "nfe": nfe}
            points[f"{sampler['name']}_nfe{nfe:04d}"] = own
    points = merge(points, settings["points"])
    return {
        name: {"eta": None, "num_samples": sampling["num_samples"], **own} for name, own in points.items()
    }


def calls_per_step(point: Mapping[str, Any]) -> int:
    """How often a step of the chain calls the network: with guidance once with and once without the class."""
    return 1 if point.get("guidance_scale", 1) == 1 else 2


def fits(point: Mapping[str, Any], method: Mapping[str, Any]) -> bool:
    """Whether runs of this method (the section `method`) can generate at a point."""
    guided = "guidance_scale" in point and method.get("condition") != "class"
    return point["sampler"] in constant_of("method.name", method["name"], "SAMPLERS") and not guided


def point_named_by(points: Mapping[str, Mapping[str, Any]], metric: Mapping[str, Any]) -> str | None:
    """The point that a hypothesis' metric names by `point`, or by `sampler` and `nfe`; None if unknown."""
    wanted = {key: metric[key] for key in ("sampler", "nfe") if key in metric}
    found = [name for name, own in points.items() if wanted and wanted.items() <= own.items()]
    return next(iter([metric["point"]] if metric.get("point") in points else found), None)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, key by key; lists and plain values are replaced whole."""
    result = copy.deepcopy(dict(under))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result
