"""The Inception-2015 network of the FID paper, as torch-fidelity ships it, and its weights."""

from __future__ import annotations

import hashlib
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
from workflow_scripts.core.errors import PipelineError
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
    and the logits without bias of the Inception Score. PipelineError when `path` does not hold a state dict
    in torch-fidelity's naming.
    """
    # torch-fidelity would unpickle the file without weights_only, so it gets bytes written here.
    buffer = io.BytesIO()
    torch.save(load_weights(path), buffer)
    buffer.seek(0)
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat",
            [str(FEATURE_DIM), "logits_unbiased"],
            feature_extractor_weights_path=buffer,
        )
    except RuntimeError as error:
        raise PipelineError(f"{path} does not hold torch-fidelity's Inception weights; {REMEDY}") from error
    # Two changes that only reorder sums. On two CPU cores channels_last is half as fast again, and folding
    # the fixed normalisations into the convolutions before them adds a quarter (tests/benchmarks).
    for block in network.modules():
        if isinstance(block, BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    # On a GPU cuDNN would copy float32 images out of channels_last and back, a sixth slower (docs/gpu.md).
    on_cpu = torch.device(device).type == "cpu"
    return network.to(device, memory_format=torch.channels_last if on_cpu else torch.contiguous_format)


def read_inception_weights(path: str | Path) -> bytes:
    """Read the weights file at `path`; PipelineError says how to supply it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(
            f"cannot read the Inception weights {path}: {error.strerror or error}; {REMEDY}"
        ) from error


def download_inception_weights() -> bytes:
    """Download the published file; PipelineError says how else to supply it."""
    try:
        return download(URL_INCEPTION_V3, sha256=SHA256)
    except PipelineError as error:
        raise PipelineError(f"cannot download the Inception weights ({error}); {REMEDY}") from error


def require_published(content: bytes, where: str | Path) -> None:
    """Raise PipelineError, naming `where`, unless the bytes are those of the published weights file."""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise PipelineError(
            f"{where} is not the published file of Inception weights; delete what is there, then {REMEDY}"
        )
