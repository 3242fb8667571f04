"""Probe the loss surface at a checkpoint's EMA weights: Hessian trace, top eigenvalue, error per timestep.

Settings: study, preset, arm, seed, step, data {image_size, channels}, model, diffusion, loss, curvature.
Inputs: checkpoint, train (npz). Output: probe (json: rows, timestep_mse).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.core.files import canonical_json, sha256_file, sha256_text, write_json
from workflow_scripts.core.randomness import stream
from workflow_scripts.core.step import Step, run
from workflow_scripts.curvature.hessian import HessianVectorProduct, hutchinson_trace, top_eigenvalue
from workflow_scripts.curvature.probe_set import ProbeSet, draw_batch, draw_probe_set
from workflow_scripts.curvature.quadratic_form import QuadraticForm
from workflow_scripts.data.images import load_dataset, to_float
from workflow_scripts.diffusion.objective import eps_mse, weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.study.results import check_row
from workflow_scripts.training.checkpoints import load_ema_model
from workflow_scripts.training.device import device_of


def main(step: Step) -> None:
    """Probe both objectives on the fixed probe set, and the unweighted error at evenly spaced timesteps.

    What is not finite, as after a divergence, is left out.
    """
    device = device_of(step)
    if device.type == "mps":  # it has no float64, in which curvature is summed
        device = torch.device("cpu")
    images = load_dataset(step.input("train"))["images"]
    must_agree = ("seed", "step", "model", "diffusion", "loss")
    try:
        model = load_ema_model(step.input("checkpoint"), step.settings, must_agree).to(device)
    except NotFiniteError as error:
        step.say(f"{error}, so there is nothing to probe")
        write_json(step.output("probe"), {"rows": [], "timestep_mse": []})
        return
    diffusion = GaussianDiffusion.from_settings(step.setting("diffusion")).to(device)
    curvature = step.setting("curvature")
    probe_set = draw_probe_set(
        curvature["seed"],
        images,
        curvature["batch_size"],
        diffusion.num_timesteps,
        curvature["num_probes"],
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    common = {name: step.setting(name) for name in ("study", "preset", "arm", "seed")}
    common |= {"stderr": None, "interval": None}
    checkpoint = sha256_file(step.input("checkpoint"))
    common["from"] = {"step": step.setting("step"), "weights": "ema", "checkpoint_sha256": checkpoint}
    judge = {
        "num_probes": curvature["num_probes"],
        # With the schedule, which belongs to the objective: another schedule makes it another function.
        "probe_sha256": sha256_text(probe_set.sha256(images) + canonical_json(step.setting("diffusion"))),
    }
    rows = []
    x_start = to_float(images[probe_set.indices]).to(device)
    for objectives, loss in _losses(step.setting("loss"), model, diffusion, x_start, probe_set):
        measured = _curvature(step, " and ".join(objectives), loss, list(model.parameters()), probe_set)
        for name in objectives:
            rows += [{**common, **values, "on": {"objective": name, **judge}} for values in measured]
    timestep_mse = _timestep_mse(model, diffusion, images, curvature, device)
    count = len(rows) + len(timestep_mse)
    rows = [row for row in rows if np.isfinite(row["value"])]
    timestep_mse = [point for point in timestep_mse if np.isfinite(point["mse"])]
    if left_out := count - len(rows) - len(timestep_mse):
        step.say(f"{left_out} values at {step.input('checkpoint')} are not finite and are left out")
    for row in rows:
        check_row(row, step.output("probe"))
    write_json(step.output("probe"), {"rows": rows, "timestep_mse": timestep_mse})


def _losses(
    settings: dict[str, Any],
    model: nn.Module,
    diffusion: GaussianDiffusion,
    x_start: Tensor,
    probe_set: ProbeSet,
) -> list[tuple[list[str], Callable[[], Tensor]]]:
    """Name the losses on the probe set: `common`, the unweighted eps-MSE, and `own`, the arm's own."""
    t, noise = (torch.from_numpy(array).to(x_start.device) for array in (probe_set.t, probe_set.noise))

    def common() -> Tensor:
        return eps_mse(model, diffusion, x_start, t, noise).mean()

    if settings["weighting"] == "uniform" and diffusion.prediction_type == "eps":
        return [(["common", "own"], common)]
    snr = diffusion.snr.cpu().numpy()
    table = loss_weights(snr, diffusion.prediction_type, settings["weighting"], settings["min_snr_gamma"])
    weights = torch.from_numpy(table).to(x_start.device)
    return [
        (["common"], common),
        (["own"], lambda: weighted_mse(model, diffusion, weights, x_start, t, noise)[0]),
    ]


def _curvature(
    step: Step, label: str, loss: Callable[[], Tensor], parameters: list[Tensor], probe_set: ProbeSet
) -> list[dict[str, Any]]:
    """Metric, value and standard error of the trace and of the top eigenvalue."""

    def probes() -> Iterator[Tensor]:
        return (torch.from_numpy(vector).to(parameters[0]) for vector in probe_set.vectors())

    trace = hutchinson_trace(QuadraticForm(loss, parameters), probes())
    product = HessianVectorProduct(loss, parameters)
    top = top_eigenvalue(product, next(probes()), step.setting("curvature.top_eigenvalue_iterations"))
    step.say(
        f"{label} objective: trace {trace.value:.4g} ± {trace.stderr:.2g} ({probe_set.num_probes} probes), "
        f"top eigenvalue {top.value:.4g} "
        f"({top.iterations} iterations{'' if top.converged else ', not converged'})"
    )
    return [
        {"metric": "hessian_trace", "value": trace.value, "stderr": trace.stderr},
        {"metric": "hessian_top_eigenvalue", "value": top.value},
    ]


@torch.no_grad()
def _timestep_mse(
    model: nn.Module,
    diffusion: GaussianDiffusion,
    images: np.ndarray,
    curvature: dict[str, Any],
    device: torch.device,
) -> list[dict[str, Any]]:
    """Mean eps-MSE of one fixed batch at evenly spaced timesteps, each with its own noise."""
    seed, batch_size = curvature["seed"], curvature["timestep_mse_batch_size"]
    x_start = to_float(images[draw_batch(seed, "probe_timestep_batch", images, batch_size)]).to(device)
    points = np.linspace(0, diffusion.num_timesteps - 1, curvature["timestep_mse_points"]).round().astype(int)
    result = []
    for t in points.tolist():
        draw = stream(seed, "probe_timestep_noise", t)
        noise = torch.from_numpy(draw.standard_normal(tuple(x_start.shape), dtype=np.float32)).to(device)
        mse = eps_mse(model, diffusion, x_start, torch.full((batch_size,), t, device=device), noise).mean()
        result.append({"t": t, "mse": mse.item()})
    return result


if __name__ == "__main__":
    run(main)
