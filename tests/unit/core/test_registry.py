"""What the configuration may name: built-in objects, one's own, and what is said of those that do not fit."""

from __future__ import annotations

import inspect

import pytest

from workflow_scripts.core import registry
from workflow_scripts.core.errors import ConfigError

WEIGHTING, NETWORK = "loss.weighting", "model.name"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module of one's own; its name is returned."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ROOT", tmp_path)

    def write(name: str, text: str) -> str:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    return write


def test_what_is_built_in_is_found_and_fits():
    assert registry.known(WEIGHTING) == ["min_snr", "min_snr_normalized", "truncated_snr", "uniform"]
    for name in registry.known(WEIGHTING):
        assert registry.load(WEIGHTING, name).__name__ == name
        assert list(registry.parameters_of(WEIGHTING, name))[:2] == ["snr", "prediction_type"]
    assert list(registry.parameters_of(WEIGHTING, "min_snr")) == ["snr", "prediction_type", "gamma"]
    assert registry.known(NETWORK) == [
        "dcgan_discriminator",
        "dcgan_generator",
        "plain_unet",
        "unet",
        "unet_cifar32",
    ]
    for name in registry.known(NETWORK):
        assert list(registry.parameters_of(NETWORK, name)) == list(
            inspect.signature(registry.load(NETWORK, name)).parameters
        )


def test_ones_own_is_read_without_being_imported(own):
    own("own_fine", "raise SystemExit('imported')\ndef plain(snr, prediction_type, *, gamma=1.0): ...\n")
    assert registry.module_of(WEIGHTING, "own_fine:plain") == "own_fine"
    expected = {"snr": True, "prediction_type": True, "gamma": False}
    assert registry.parameters_of(WEIGHTING, "own_fine:plain") == expected


@pytest.mark.parametrize("installed", [False, True])
def test_one_that_a_package_imports_from_its_module_is_found_there(own, monkeypatch, tmp_path, installed):
    if installed:
        monkeypatch.setattr(registry, "ROOT", tmp_path / "elsewhere")
    package = own(f"own_nets_{installed}.__init__", "raise SystemExit\nfrom .mlp import MLP as Net\n")[:-9]
    init = "def __init__(self, channels, image_size, width, depth=2): ..."
    own(f"{package}.mlp", f"class MLP:\n    {init}\n")
    assert registry.parameters_of(NETWORK, f"{package}:Net") == {
        "channels": True,
        "image_size": True,
        "width": True,
        "depth": False,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def plain(", "was never closed"),
        ("plain = 3\n", "plain"),
        ("def other(snr, prediction_type): ...\n", "plain"),
        ("def plain(gamma): ...\n", "it takes (gamma)"),
        ("class plain:\n    def __init__(self, gamma): ...\n", "it takes (gamma)"),
        ("import nowhere_at_all\ndef plain(gamma): ...\n", "nowhere_at_all|it takes"),
        ("from nowhere_at_all import plain\n", "nowhere_at_all"),
    ],
)
def test_one_that_does_not_fit_is_one_line_with_its_name_and_what_was_expected(own, text, problem):
    name = f"{own(f'own_{abs(hash(text))}', text)}:plain"
    for use in (registry.parameters_of, registry.load):
        with pytest.raises(ConfigError) as error:
            use(WEIGHTING, name)
        said = str(error.value)
        assert any(part in said for part in problem.split("|")), said
        assert said.startswith(f"{WEIGHTING} ") and "called with (snr, prediction_type, …)" in said
        assert "\n" not in said


def test_a_misspelt_name_gets_the_nearest_and_a_missing_module_is_said():
    for name, words in (("min_srn", "did you mean 'min_snr'?"), ("nowhere.at:all", "no module nowhere.at")):
        with pytest.raises(ConfigError, match=words.replace("?", "[?]")):
            registry.parameters_of(WEIGHTING, name)
