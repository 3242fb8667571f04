from __future__ import annotations

import pytest
import torch

from tests.tiny_run import SETTINGS
from workflow_scripts.core.errors import ConfigError
from workflow_scripts.nets.build import build_model
from workflow_scripts.nets.layers import SelfAttention

DIGITS = {**SETTINGS["model"], "dropout": 0.0}
SMALL = {**DIGITS, "attention_resolutions": []}
MNIST = DIGITS | {
    "name": "unet",
    "channel_mults": [1, 2, 2, 3],
    "num_res_blocks": 2,
    "attention_resolutions": [7],
}
CIFAR = {
    "name": "unet_cifar32",
    "base_channels": 32,
    "channel_mults": [1, 2, 2, 4],
    "num_res_blocks": 1,
    "attention_resolutions": [16, 8],
    "dropout": 0.1,
    "norm_groups": 8,
}


def _trained(model: torch.nn.Module) -> torch.nn.Module:
    # zero-initialised layers would hide what stands before them
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    return model.eval()


@pytest.mark.parametrize(
    ("settings", "channels", "side"), [(SMALL, 1, 4), (SMALL, 3, 11), (MNIST, 1, 28), (CIFAR, 3, 32)]
)
def test_output_has_the_images_shape_and_uses_pixels_and_time(settings, channels, side):
    torch.manual_seed(0)
    model = build_model(settings, channels, side)
    x, t = torch.randn(2, channels, side, side), torch.tensor([3, 900])
    assert torch.equal(model(x, t), torch.zeros_like(x)), "an untrained network predicts zero"
    _trained(model)
    output = model(x, t)
    assert output.shape == x.shape and torch.isfinite(output).all()
    assert not torch.allclose(output, model(x, t.flip(0)))
    assert not torch.allclose(output, model(x.flip(3), t))


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = _trained(build_model(MNIST, 1, 28)).train()
    model(torch.randn(2, 1, 28, 28), torch.tensor([3, 900])).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_images_of_a_batch_do_not_influence_each_other():
    torch.manual_seed(0)
    model = _trained(build_model(DIGITS, 1, 8)).double()
    x, t = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.arange(5) * 200
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(5)])
    # float64 throughout: only the order of additions differs
    torch.testing.assert_close(model(x, t), alone, atol=1e-10, rtol=1e-10)
    same = torch.full((5,), 7)
    torch.testing.assert_close(model(x, same[:1]), model(x, same), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("resolutions", "count"), [([], 0), ([8], 2), ([4], 3), ([8, 4], 5)])
def test_attention_stands_at_the_chosen_resolutions(resolutions, count):
    model = build_model({**DIGITS, "attention_resolutions": resolutions}, 1, 8)
    # level 0: one block down, one up; level 1: one down, the middle one, one up
    assert sum(isinstance(module, SelfAttention) for module in model.modules()) == count


def test_the_cifar_model_has_about_two_million_parameters():
    count = sum(parameter.numel() for parameter in build_model(CIFAR, 3, 32).parameters())
    assert 1.9e6 < count < 2.1e6


def test_equal_seeds_give_equal_initial_weights():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_model(DIGITS, 1, 8).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.parametrize(
    ("change", "side", "key"),
    [
        ({"name": "unett"}, 8, "model.name"),
        ({"name": "unet_digits8"}, 8, "model.name unet_digits8 is now called unet;"),
        ({"name": "unet_cifar32"}, 28, "model.name"),
        ({"channel_mults": [1, 2, 3]}, 4, "model.channel_mults gives levels of .4, 2, 1. pixels a side"),
        ({"depth": 3}, 8, "model.depth is not a parameter of unet, which takes base_channels, "),
        ({"attention_resolutions": [16]}, 8, "model.attention_resolutions"),
        ({"norm_groups": 5}, 8, "model.norm_groups"),
        ({"base_channels": 15, "norm_groups": 5}, 8, "model.base_channels"),
    ],
)
def test_settings_that_do_not_fit_name_the_key(change, side, key):
    with pytest.raises((ValueError, ConfigError), match=f"^{key}"):
        build_model({**DIGITS, **change}, 1, side)
