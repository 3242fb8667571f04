"""Generation of classes, with guidance and by one call."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.recorded_graphs import record_on_a_cpu
from tests.tiny_run import tiny_settings
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.data.images import to_uint8
from workflow_scripts.sampling.conditional import of_classes
from workflow_scripts.sampling.generator import Generator
from workflow_scripts.sampling.noise import SampleNoise

CPU = torch.device("cpu")
SAMPLING = {"clip_x_start": False}
DIFFUSION = {
    "method": {"name": "diffusion", "condition": "class"},
    "point": {"sampler": "ddim", "eta": 0.0, "nfe": 4, "guidance_scale": 3.0},
    "sampling": SAMPLING,
}


def gaussian_eps(means: torch.Tensor, alphas_cumprod: torch.Tensor):
    """The exact noise prediction where class c is N(means[c], 1), and all together N(0, 1)."""

    def network(x, t, labels):
        mean = torch.cat((means, torch.zeros(1)))[labels][:, None, None, None]
        a = alphas_cumprod[t][:, None, None, None]
        return (1 - a).sqrt() * (x - a.sqrt() * mean)

    return network


def test_guidance_moves_a_gaussian_class_to_scale_times_its_mean():
    """With unit variances the guided prediction is exactly that of N(scale * mean, 1)."""
    alphas = torch.linspace(0.99, 0.01, 50)
    means, labels = torch.tensor([0.5, -2.0]), torch.tensor([0, 1, 1])
    network = gaussian_eps(means, alphas)
    x, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([30])
    for scale in (0.0, 1.0, 3.0):
        found = of_classes(network, labels, 2, scale)(x, t)
        expected = gaussian_eps(scale * means, alphas)(x, t, labels)
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("scale", "rows"), [(1.0, [5, 5, 5, 5]), (3.0, [10, 10])])
def test_nfe_counts_calls_and_classes_take_turns(scale, rows):
    seen = []

    def network(x, t, labels):
        seen.append((len(x), labels[:5].tolist()))
        return torch.zeros_like(x)

    point = DIFFUSION["point"] | {"guidance_scale": scale}
    generator = Generator({**tiny_settings(), **DIFFUSION, "point": point}, lambda: network, CPU)
    drawn = generator.draw(range(7, 12))
    assert [calls for calls, _ in seen] == rows
    assert drawn["labels"].tolist() == [7, 8, 9, 0, 1] == seen[0][1]
    assert drawn["images"].shape == (5, 8, 8, 1) and drawn["labels"].dtype == np.int64


def test_direct_generation_is_one_call_on_each_samples_own_latents(monkeypatch):
    settings = {
        **tiny_settings(),
        "method": {"name": "gan", "condition": "class"},
        "model": {"latent_dim": 64},
        "point": {"sampler": "direct", "eta": None, "nfe": 1},
    }

    def network(latents, labels):
        return (latents.reshape(-1, 1, 8, 8) + labels[:, None, None, None]) / 20

    generator = Generator(settings, lambda: network, CPU)
    assert generator.title == "direct, NFE 1"
    drawn = [generator.draw(batch) for batch in (range(4), range(4, 8), range(8, 10))]
    images = np.concatenate([batch["images"] for batch in drawn])
    latents = SampleNoise(settings["seed"], range(10), (64, 1, 1)).x_T
    expected = network(latents, torch.arange(10)).clamp(-1, 1)
    assert np.array_equal(images, to_uint8(expected))
    record_on_a_cpu(monkeypatch)
    recorded = Generator(settings, lambda: network, CPU)
    batches = (range(start, start + 2) for start in range(0, 10, 2))
    assert np.array_equal(np.concatenate([recorded.draw(batch)["images"] for batch in batches]), images)
    broken = Generator(settings, lambda: lambda latents, labels: torch.full((2, 1, 8, 8), torch.nan), CPU)
    with pytest.raises(NotFiniteError, match="direct: the images are not finite"):
        broken.draw(range(2))
    assert {name: len(values) for name, values in broken.nothing.items()} == {"images": 0, "labels": 0}
