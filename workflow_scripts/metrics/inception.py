"""The Inception-2015 network of the FID paper, as torch-fidelity ships it, and where its weights come from."""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.request
from pathlib import Path
from typing import TextIO

import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.progress import Progress
from workflow_scripts.metrics.weights import load_weights

FEATURE_DIM = 2048
# A published weights file's name ends in the first digits of its sha256.
SHA256_PREFIX = URL_INCEPTION_V3.rsplit("-", 1)[1].removesuffix(".pth")
REMEDY = f"download {URL_INCEPTION_V3} elsewhere and set extractor.weights to that file"


def load_inception(path: str | Path) -> nn.Module:
    """The network in eval mode and channels_last; it maps u8 [N, 3, H, W] to a tuple of one f32 [N, 2048].

    These are the pool features of Heusel et al. 2017, with images resized to 299 pixels as TensorFlow 1 did. `path`
    holds a state dict in torch-fidelity's naming; PipelineError when it holds anything else.
    """
    # torch-fidelity would unpickle the file without weights_only, so it is handed bytes that were written here.
    buffer = io.BytesIO()
    torch.save(load_weights(path), buffer)
    buffer.seek(0)
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", [str(FEATURE_DIM)], feature_extractor_weights_path=buffer
        )
    except RuntimeError as error:
        raise PipelineError(f"{path} does not hold torch-fidelity's Inception weights; {REMEDY}") from error
    return network.to(memory_format=torch.channels_last)


def read_inception_weights(path: str | Path | None, log: TextIO | None = None) -> bytes:
    """The bytes of the weights file at `path`, or of torch-fidelity's download when `path` is None.

    PipelineError, telling how to supply the file, when it is missing or cannot be downloaded whole.
    """
    if path is None:
        return _download(log)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read extractor.weights {path}: {error.strerror or error}; {REMEDY}") from error


def _download(log: TextIO | None) -> bytes:
    content = bytearray()
    try:
        with urllib.request.urlopen(URL_INCEPTION_V3, timeout=30) as response:
            megabytes = int(response.headers.get("Content-Length", 0)) >> 20
            progress = Progress("downloading Inception weights", megabytes, "MB", log)
            while chunk := response.read(1 << 20):
                content += chunk
                progress.update(len(content) >> 20)
    except (OSError, http.client.HTTPException) as error:
        raise PipelineError(f"cannot download the Inception weights ({error}); {REMEDY}") from error
    if not hashlib.sha256(content).hexdigest().startswith(SHA256_PREFIX):
        raise PipelineError(f"the downloaded Inception weights are not the published file; {REMEDY}")
    return bytes(content)
