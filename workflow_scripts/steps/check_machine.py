"""Refuse early what this machine cannot do: a GPU that is not there, jobs that need more memory than there is.

Called before the first job, outside any rule. Settings: jobs (a list of {rule, count, settings}, the settings as that rule
has them, with the whole of `data`), cores, memory_mb (or null). Machine: device.

The estimate per job, in bytes, P being the number of parameters and the peaks counted by `nets/peak_memory.py`:

    train_model       base + dataset + 20 P + max(K (peak of one forward and backward pass - 4 P), 32 P)
    sample_images     base + 4 P + K (peak of one batch without gradients) + three times all images as u8
    probe_checkpoint  base + dataset + 4 P + K (peak of gradient graph and one Hessian-vector product; v^T H v needs less)

20 P are weights, gradients, EMA and Adam's two moments in float32; 32 P is the most that writing a state or a checkpoint
holds on top. K is 1 on a GPU and `CPU_FACTORS` on a CPU, as measured: convolutions there keep scratch of their own (with
the batch, training grows 1.6 to 2.3 times as fast as what torch itself holds), and freed memory that is kept for later is not
always of the size that is asked for next (`core/freed_memory.py`). `base` is what this process itself has taken after a
first small step (`base_bytes`); on a GPU it is the driver's context, and only training holds the dataset there. Training
images: `data.num_train`, or all that the source has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from workflow_scripts.core.available_memory import available_bytes
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.resident_memory import peak_resident_bytes
from workflow_scripts.core.step import Step, run
from workflow_scripts.curvature.hessian import HessianVectorProduct
from workflow_scripts.nets.peak_memory import peak_bytes
from workflow_scripts.nets.registry import build_model
from workflow_scripts.training.device import device_of

GPU_CONTEXT = 600 * 2**20
CPU_FACTORS = {"train_model": 2.0, "sample_images": 2.0, "probe_checkpoint": 1.5}
# Images of the sources that are always the same; those of a folder are known when its preset says num_train.
SOURCE_SIZES = {"digits": 1797, "mnist": 70000, "cifar10": 60000}
LOWER = {
    "train_model": "training.batch_size or model.base_channels",
    "sample_images": "sampling.batch_size or model.base_channels",
    "probe_checkpoint": "curvature.batch_size or model.base_channels",
}


def main(step: Step) -> None:
    """PipelineError, in one line that says which keys to lower, when device or memory cannot be had."""
    device = device_of(step)
    base = GPU_CONTEXT if device.type == "cuda" else base_bytes()
    needs = [
        (base + ESTIMATES[job["rule"]](job["settings"], device.type == "cpu"), job["rule"], job["count"])
        for job in step.setting("jobs")
    ]
    limits = [torch.cuda.mem_get_info()[0] if device.type == "cuda" else available_bytes()]
    if step.setting("memory_mb") is not None and device.type == "cpu":
        limits.append(step.setting("memory_mb") * 2**20)
    limits = [limit for limit in limits if limit is not None]
    if limits:
        require_room(
            needs, step.setting("cores"), min(limits), "GPU memory" if device.type == "cuda" else "memory"
        )


def base_bytes() -> int:
    """What a process takes for torch and its libraries before the size of any preset counts: this one, after a small step."""
    layer = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3), torch.nn.GroupNorm(2, 8))
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.randn(2, 8, 8, 8)).square().mean().backward()
    optimizer.step()
    return peak_resident_bytes()


def require_room(needs: list[tuple[int, str, int]], cores: int, available: int, what: str) -> None:
    """Whether the hungriest jobs fit, `cores` of them at once; `needs` are (bytes of one, rule, how many). PipelineError if not."""
    needs = sorted(needs, reverse=True)
    if not needs:
        return
    one, rule, _ = needs[0]
    at_once = [(need, name) for need, name, count in needs for _ in range(min(count, cores))][:cores]
    together = sum(need for need, _ in at_once)
    lower = f"lower {LOWER[rule]} in the preset"
    if one > available:
        raise PipelineError(
            f"one {rule} needs about {_gib(one)} of {what}, {_gib(available)} are available; {lower}"
        )
    if together > available:
        fits = max(
            number for number in range(1, cores + 1) if sum(need for need, _ in at_once[:number]) <= available
        )
        raise PipelineError(
            f"{len(at_once)} jobs at once need about {_gib(together)} of {what} ({rule} alone {_gib(one)}), "
            f"{_gib(available)} are available; run fewer at once (--cores {fits}, make: CORES={fits}) or {lower}"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _network(settings: Mapping[str, Any]) -> torch.nn.Module:
    data = settings["data"]
    with torch.device("meta"):
        return build_model(settings["model"], data["channels"], data["image_size"])


def _batch(settings: Mapping[str, Any], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x [B, C, H, W] and t [B], without content."""
    data = settings["data"]
    x = torch.empty(size, data["channels"], data["image_size"], data["image_size"], device="meta")
    return x, torch.empty(size, dtype=torch.int64, device="meta")


def _parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _factor(rule: str, on_cpu: bool) -> float:
    return CPU_FACTORS[rule] if on_cpu else 1.0


def _dataset(settings: Mapping[str, Any]) -> int:
    data = settings["data"]
    count = data.get("num_train") or SOURCE_SIZES.get(data["source"], 0)
    return count * (data["channels"] * data["image_size"] ** 2 + 8)


def _training(settings: Mapping[str, Any], on_cpu: bool) -> int:
    network = _network(settings).train()
    x, t = _batch(settings, settings["training"]["batch_size"])
    parameters = _parameters(network)
    passes = peak_bytes(lambda: (network(x * 1.0, t) - x * 1.0).square().mean().backward())
    return (
        _dataset(settings)
        + 20 * parameters
        + max(_factor("train_model", on_cpu) * (passes - 4 * parameters), 32 * parameters)
    )


def _sampling(settings: Mapping[str, Any], on_cpu: bool) -> int:
    network, sampling = _network(settings), settings["sampling"]
    x, t = _batch(settings, min(sampling["batch_size"], sampling["num_samples"]))
    with torch.inference_mode():
        batch = peak_bytes(lambda: network(x * 1.0, t))
    images = sampling["num_samples"] * settings["data"]["channels"] * settings["data"]["image_size"] ** 2
    return 4 * _parameters(network) + _factor("sample_images", on_cpu) * batch + 3 * images


def _probing(settings: Mapping[str, Any], on_cpu: bool) -> int:
    network, curvature = _network(settings), settings["curvature"]
    x, t = _batch(settings, curvature["batch_size"])
    parameters = list(network.parameters())

    def product() -> torch.Tensor:
        vector = torch.empty(_parameters(network), device="meta")
        return HessianVectorProduct(lambda: (network(x * 1.0, t) - x * 1.0).square().mean(), parameters)(
            vector
        )

    wide_x, wide_t = _batch(settings, curvature["timestep_mse_batch_size"])
    with torch.no_grad():
        forward = peak_bytes(lambda: network(wide_x * 1.0, wide_t))
    needed = max(peak_bytes(product), forward)
    return (
        on_cpu * _dataset(settings) + 4 * _parameters(network) + _factor("probe_checkpoint", on_cpu) * needed
    )


ESTIMATES: dict[str, Callable[[Mapping[str, Any], bool], int]] = {
    "train_model": _training,
    "sample_images": _sampling,
    "probe_checkpoint": _probing,
}

if __name__ == "__main__":
    run(main)
