"""What the configuration may name: built-in objects, one's own, and what is said of those that do not fit."""

from __future__ import annotations

import pytest

from workflow_scripts.core import registry
from workflow_scripts.core.errors import ConfigError

WEIGHTING = "loss.weighting"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module of one's own; its name is returned."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ROOT", tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_what_is_built_in_is_found_and_fits():
    assert registry.known(WEIGHTING) == ["min_snr", "min_snr_normalized", "truncated_snr", "uniform"]
    for name in registry.known(WEIGHTING):
        assert registry.load(WEIGHTING, name).__name__ == name
        assert registry.parameters_of(WEIGHTING, name)[:2] == ("snr", "prediction_type")
    assert registry.parameters_of(WEIGHTING, "min_snr") == ("snr", "prediction_type", "gamma")


def test_ones_own_is_read_without_being_imported(own):
    own("own_fine", "raise SystemExit('imported')\ndef plain(snr, prediction_type, *, gamma=1.0): ...\n")
    assert registry.module_of(WEIGHTING, "own_fine:plain") == "own_fine"
    assert registry.parameters_of(WEIGHTING, "own_fine:plain") == ("snr", "prediction_type", "gamma")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def plain(", "was never closed"),
        ("plain = 3\n", "plain"),
        ("def other(snr, prediction_type): ...\n", "plain"),
        ("def plain(gamma): ...\n", "it takes (gamma)"),
        ("class plain:\n    def __init__(self, gamma): ...\n", "it takes (gamma)"),
        ("import nowhere_at_all\ndef plain(gamma): ...\n", "nowhere_at_all|it takes"),
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
