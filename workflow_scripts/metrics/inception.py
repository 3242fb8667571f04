"""The Inception-2015 network of the FID paper, as torch-fidelity ships it, and its weights."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    BasicConv2d,
    FeatureExtractorInceptionV3,
)

from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.files import sha256_file, write_bytes
from workflow_scripts.metrics.weights import load_weights

FEATURE_DIM = 2048
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
REMEDY = (
    f"download {URL_INCEPTION_V3} elsewhere and set extractor.weights to that file, "
    "or use a preset whose extractor is trained on its own data (extractor.kind: classifier)"
)


def load_inception(path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load the network in eval mode; it maps u8 [N, 3, H, W] to f32 [N, 2048] and f32 [N, 1008].

    These are the pool features of Heusel et al. 2017, with images resized to 299 pixels as TensorFlow 1 did,
    and the logits without bias of the Inception Score. PipelineError, saying how to supply the file, when
    `path` does not hold a state dict in torch-fidelity's naming.
    """
    # torch-fidelity would unpickle the file without weights_only, so it gets bytes written here.
    buffer = io.BytesIO()
    try:
        torch.save(load_weights(path), buffer)
        buffer.seek(0)
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat",
            [str(FEATURE_DIM), "logits_unbiased"],
            feature_extractor_weights_path=buffer,
        )
    except (PipelineError, RuntimeError) as error:
        raise PipelineError(
            f"{path} does not hold torch-fidelity's Inception weights ({shorten(error)}); {REMEDY}"
        ) from error
    # Two changes that only reorder sums. On two CPU cores channels_last makes it 1.5 times as fast, and
    # folding the fixed normalisations into the convolutions before them another 1.25 (tests/benchmarks).
    for block in network.modules():
        if isinstance(block, BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    # On a GPU cuDNN would copy float32 images out of channels_last and back, a sixth slower on an H200.
    on_cpu = torch.device(device).type == "cpu"
    return network.to(device, memory_format=torch.channels_last if on_cpu else torch.contiguous_format)


def published_weights(path: Path) -> Path:
    """Return `path` with the published weights file there, downloaded unless the file exists.

    PipelineError when another file is there, or when the download fails: it says how else to supply the file.
    """
    if path.is_file():
        if sha256_file(path) != SHA256:
            raise PipelineError(f"{path} is not the published file of weights; delete it, then {REMEDY}")
        return path
    try:
        write_bytes(path, download(URL_INCEPTION_V3, sha256=SHA256))
    except PipelineError as error:
        raise PipelineError(f"cannot download the Inception weights ({error}); {REMEDY}") from error
    return path
