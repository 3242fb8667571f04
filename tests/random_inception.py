"""Seeded random weights in the format of the published Inception file, so that tests need no network."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

MODULE = "torch_fidelity.feature_extractor_inceptionv3"


def write_random_inception(path: Path, sharpness: float = 1.0) -> Path:
    """Write the same state dict every time; returns `path`.

    Weights are scaled (He et al. 2015) so that features differ between images, as in a trained network;
    `sharpness` multiplies the last layer, so that class predictions differ as well.
    """
    torch.manual_seed(0)
    with (
        # Without a path torch-fidelity downloads and loads; an empty download leaves its initial weights.
        mock.patch(f"{MODULE}.load_state_dict_from_url", lambda *a, **k: None),
        mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None),
    ):
        state = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith(("bn.weight", "bn.running_var")):
            tensor.uniform_(0.8, 1.2)
        elif name.endswith(("bn.bias", "bn.running_mean")):
            tensor.normal_(std=0.05)
    state["fc.weight"] *= sharpness
    torch.save(state, path)
    return path
