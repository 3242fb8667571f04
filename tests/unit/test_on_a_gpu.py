"""What only a GPU can show: that recorded steps are the steps, byte for byte, and that a GPU computes what a CPU does."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.compiled import can_compile
from workflow_scripts.nets.frozen import frozen
from workflow_scripts.nets.registry import build_model
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop
from workflow_scripts.training import step as step_module
from workflow_scripts.training.device import require_determinism, require_float32
from workflow_scripts.training.log import TrainingLog
from workflow_scripts.training.loop import train
from workflow_scripts.training.state import TrainingState, initial_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
SETTINGS = {
    "arm": "E1_test",
    "seed": 5,
    "data": {"image_size": 32, "channels": 3},
    "model": {
        "name": "unet_cifar32",
        "base_channels": 32,
        "channel_mults": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [16],
        "dropout": 0.1,
        "norm_groups": 8,
    },
    "diffusion": {
        "schedule": "linear",
        "num_timesteps": 200,
        "beta_start": 1e-4,
        "beta_end": 0.05,
        "prediction_type": "eps",
    },
    "loss": {"weighting": "min_snr", "min_snr_gamma": 5.0},
    "training": {"batch_size": 4, "learning_rate": 1e-3, "grad_clip_norm": 1.0, "ema_decay": 0.9},
}


@pytest.fixture(autouse=True)
def as_a_step_runs(monkeypatch):
    precisions = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    require_float32()
    require_determinism(GPU)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = precisions


def _settings(precision: str = "fp32", memory_format: str = "contiguous", **model: object) -> dict:
    training = {**SETTINGS["training"], "precision": precision, "memory_format": memory_format}
    return {**SETTINGS, "training": training, "model": {**SETTINGS["model"], **model}}


def _trained(settings: dict, until: int, state: TrainingState | None = None, device: torch.device = GPU):
    state, log = state or initial_state(settings, device), TrainingLog(5)
    train(state, IMAGES, settings, log, until)
    return state, log.rows


def _bytes(state: TrainingState) -> list[bytes]:
    values = [value for value in tree_leaves(state.state_dict()) if isinstance(value, torch.Tensor)]
    return [value.contiguous().cpu().numpy().tobytes() for value in values]


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_called_and_resumed_steps_have_the_same_bytes(precision, memory_format, monkeypatch):
    settings = _settings(precision, memory_format)
    replayed, rows = _trained(settings, 20)
    first, _ = _trained(settings, 11)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    resumed = initial_state({**settings, "seed": 6}, GPU)
    resumed.load_state_dict(torch.load(buffer, weights_only=True, map_location=GPU))
    _trained(settings, 20, resumed)
    with monkeypatch.context() as patched:
        patched.setattr(step_module, "captured", lambda function, device, graphs: function)
        called, called_rows = _trained(settings, 20)
    assert _bytes(replayed) == _bytes(called) == _bytes(resumed) and rows == called_rows


def test_training_goes_as_on_a_cpu():
    settings = _settings(dropout=0.0)  # whose masks are each device's own
    (on_gpu, gpu_rows), (on_cpu, cpu_rows) = (_trained(settings, 10, device=device) for device in (GPU, CPU))
    # Adam divides gradients by their size, so rounding decides where those near zero go: a part of the 1e-2 that steps can go
    for ours, theirs in zip(on_gpu.model.parameters(), on_cpu.model.parameters()):
        torch.testing.assert_close(ours.detach().cpu(), theirs.detach(), atol=1e-4, rtol=0)
    np.testing.assert_allclose(gpu_rows, cpu_rows, rtol=1e-4)


def test_noise_has_the_bytes_that_the_cpu_draws():
    for shape in ((3, 32, 32), (3, 5, 7)):
        on_device = DeviceNoise(7, 6, shape, GPU)
        for batch in (range(6), range(100, 106)):
            noise = SampleNoise(7, batch, shape)
            assert on_device.start(batch).x_T.cpu().numpy().tobytes() == noise.x_T.numpy().tobytes()
            for k in range(5):
                assert on_device.step(k).cpu().numpy().tobytes() == noise.step(k).numpy().tobytes()


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("precision, memory_format", [("fp32", "contiguous"), ("bf16", "channels_last")])
def test_sampling_gives_the_same_bytes_again_and_a_cpus_images(precision, memory_format, fuse):
    if fuse and not can_compile(GPU):
        pytest.skip("no C compiler or no Triton, which torch's compiler needs")

    def images(device: torch.device, precision: str, fuse: bool) -> torch.Tensor:
        torch.manual_seed(0)
        network = build_model(SETTINGS["model"], 3, 32).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        call = frozen(network, device, precision, memory_format, fuse)
        diffusion = GaussianDiffusion.from_settings(SETTINGS["diffusion"]).to(device)
        noise = (
            SampleNoise(3, range(6), (3, 32, 32))
            if device == CPU
            else DeviceNoise(3, 6, (3, 32, 32), device).start(range(6))
        )
        loop = SamplingLoop(call, diffusion, {"name": "ddpm"}, 12, noise.x_T.to(device), True)
        return loop.draw(noise.x_T.to(device), noise.step).cpu()

    with torch.inference_mode():
        first, again = images(GPU, precision, fuse), images(GPU, precision, fuse)
        torch._dynamo.reset()
        assert (
            first.numpy().tobytes()
            == again.numpy().tobytes()
            == images(GPU, precision, fuse).numpy().tobytes()
        )
        expected = images(CPU, "fp32", False)
    error = (first - expected).square().mean().sqrt()
    assert error < (1e-4 if precision == "fp32" else 0.1)  # one of 255 grey levels is 8e-3
