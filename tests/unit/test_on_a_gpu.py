"""What only a GPU can show: replayed graphs give the bytes of plain calls, and results agree with a CPU's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny_run import bytes_of, saved_and_loaded, tiny_settings, trained
from workflow_scripts.core import capture
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.nets.build import build_model
from workflow_scripts.nets.precision import can_compile, frozen
from workflow_scripts.sampling.noise import DeviceNoise, SampleNoise
from workflow_scripts.sampling.sample import SamplingLoop
from workflow_scripts.training.device import require_determinism, require_float32

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
MODEL = {
    "name": "unet_cifar32",
    "base_channels": 32,
    "attention_resolutions": [16],
    "dropout": 0.1,
    "norm_groups": 8,
}


@pytest.fixture(autouse=True)
def as_a_step_runs(monkeypatch):
    precisions = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    require_float32()
    require_determinism(GPU)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = precisions


def _settings(precision: str = "fp32", **model: object) -> dict:
    training = {"batch_size": 4, "grad_clip_norm": 1.0, "precision": precision}
    data = {"image_size": 32, "channels": 3}
    return tiny_settings(data=data, model=MODEL | model, training=training)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_called_and_resumed_steps_have_the_same_bytes(precision, monkeypatch):
    settings = _settings(precision)
    replayed, rows = trained(settings, 20, images=IMAGES, device="cuda")
    first, _ = trained(settings, 11, images=IMAGES, device="cuda")
    resumed, _ = trained(settings, 20, saved_and_loaded(first, settings, "cuda"), images=IMAGES)
    monkeypatch.setattr(capture, "graphs_for", lambda device: None)
    called, called_rows = trained(settings, 20, images=IMAGES, device="cuda")
    assert bytes_of(replayed) == bytes_of(called) == bytes_of(resumed) and rows == called_rows


def test_training_goes_as_on_a_cpu():
    settings = _settings(dropout=0.0)  # whose masks are each device's own
    (on_gpu, gpu_rows), (on_cpu, cpu_rows) = (
        trained(settings, 10, images=IMAGES, device=device) for device in ("cuda", "cpu")
    )
    # Adam divides gradients by their size, so rounding decides where those near zero go: a part of the 1e-2
    # that steps can go
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
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sampling_gives_the_same_bytes_again_and_a_cpus_images(precision, fuse):
    if fuse and not can_compile(GPU):
        pytest.skip("no C compiler or no Triton, which torch's compiler needs")
    settings = _settings()

    def images(device: torch.device, precision: str, fuse: bool) -> torch.Tensor:
        torch.manual_seed(0)
        network = build_model(settings["model"], 3, 32).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        call = frozen(network, device, precision, fuse)
        diffusion = GaussianDiffusion.from_settings(settings["diffusion"]).to(device)
        on_device = DeviceNoise(3, 6, (3, 32, 32), device).start(range(6))
        loop = SamplingLoop(call, diffusion, {"name": "ddpm"}, 12, on_device.x_T, True)
        return loop.draw(on_device.x_T, on_device.step).cpu()

    with torch.inference_mode():
        first, again = images(GPU, precision, fuse), images(GPU, precision, fuse)
        torch._dynamo.reset()
        anew = images(GPU, precision, fuse)
        assert first.numpy().tobytes() == again.numpy().tobytes() == anew.numpy().tobytes()
        expected = images(CPU, "fp32", False)
    error = (first - expected).square().mean().sqrt()
    assert error < (1e-4 if precision == "fp32" else 0.1)  # one of 255 grey levels is 8e-3
