"""FLOPs of an update: a closed form, the arms that are refused, and the rows."""

from __future__ import annotations

import json

import pytest
from torch import nn

from tests.tiny_run import tiny_settings
from workflow_scripts.core.files import read_json
from workflow_scripts.core.step import run
from workflow_scripts.steps import count_flops


class TwoConvolutions(nn.Module):
    """Of 3 x 3 pixels, from the image to 5 channels and back."""

    def __init__(self, channels, image_size):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 5, 3, padding=1), nn.Conv2d(5, channels, 3, padding=1)
        )

    def forward(self, x, t):
        return self.layers(x)


SETTINGS = tiny_settings() | {"model": {"name": f"{__name__}:TwoConvolutions"}}
# Two per multiplication, of 6 images of 64 pixels. Backwards: the gradient of each convolution's weights, and
# of the second's input, since the image needs none.
CONVOLUTION = 2 * 6 * 64 * 5 * 9
PER_STEP = 5 * CONVOLUTION


def count(folder, settings, matched=None):
    """The exit code, and the counts if there are any."""
    settings = settings | {"file": "arm.yaml"}
    words = ["--settings", json.dumps(settings), "--output", "flops", str(folder / "flops.json")]
    words += ["--input", "matched", str(matched)] if matched else []
    try:
        run(count_flops.main, words)
    except SystemExit as ended:
        return ended.code, {}
    return 0, read_json(folder / "flops.json")


def test_an_update_takes_the_passes_of_its_convolutions(tmp_path):
    counts = {"num_steps": 12, "flops_per_step": PER_STEP, "training_flops": 12 * PER_STEP}
    assert count(tmp_path, SETTINGS) == (0, counts)


@pytest.mark.parametrize(("num_steps", "code"), [(300, 0), (305, 0), (310, 1)])
def test_arms_called_matched_lie_within_two_percent(num_steps, code, tmp_path, capsys):
    training = {"num_steps": 300, "checkpoint_steps": [300]}
    count(tmp_path, tiny_settings(training=training) | {"model": SETTINGS["model"]})
    (tmp_path / "matched").mkdir()
    training |= {"num_steps": num_steps, "checkpoint_steps": [num_steps], "flops_matched_to": "E1_other"}
    settings = tiny_settings(training=training) | {"model": SETTINGS["model"]}
    assert count(tmp_path / "matched", settings, tmp_path / "flops.json")[0] == code
    if code:
        said = capsys.readouterr().err
        assert "arm.yaml: training.num_steps 310 takes 1.033 times the FLOPs of E1_other" in said
        assert "set it to about 300" in said
