"""The batch, timesteps, noise and probe vectors on which every arm, seed and step of a study is probed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.randomness import stream


@dataclass(frozen=True)
class ProbeSet:
    """Indices i64 [B] of training images, `t` i64 [B], `noise` f32 [B, C, H, W], and how to draw probes."""

    seed: int
    indices: np.ndarray
    t: np.ndarray
    noise: np.ndarray
    num_probes: int
    num_parameters: int

    def vectors(self) -> Iterator[np.ndarray]:
        """The Rademacher probes, i8 [num_parameters] of +-1, drawn one at a time to save memory."""
        for probe in range(self.num_probes):
            draw = stream(self.seed, "probe_vector", probe)
            yield 2 * draw.integers(0, 2, size=self.num_parameters, dtype=np.int8) - 1

    def sha256(self, images: np.ndarray) -> str:
        """Hash the batch (u8 `images` [N, H, W, C] at `indices`), t, noise and probes; 64 hex digits."""
        digest = hashlib.sha256()
        for array in (images[self.indices], self.t, self.noise, *self.vectors()):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def draw_probe_set(
    seed: int, images: np.ndarray, batch_size: int, num_timesteps: int, num_probes: int, num_parameters: int
) -> ProbeSet:
    """Draw the probe set for u8 images [N, H, W, C]; it depends on no arm, run seed or step.

    t has one value in each of `batch_size` equal parts of [0, num_timesteps), so that the batch mean is close
    to the mean over t. PipelineError when there are fewer images than `batch_size`.
    """
    indices = draw_batch(seed, "probe_batch", images, batch_size)
    parts = np.arange(batch_size) + stream(seed, "probe_timesteps").random(batch_size)
    t = (parts * num_timesteps / batch_size).astype(np.int64)
    shape = (batch_size, images.shape[3], *images.shape[1:3])
    noise = stream(seed, "probe_noise").standard_normal(shape, dtype=np.float32)
    return ProbeSet(seed, indices, t, noise, num_probes, num_parameters)


def draw_batch(seed: int, purpose: str, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Draw indices [batch_size] of different images; PipelineError when there are too few."""
    if len(images) < batch_size:
        raise PipelineError(
            f"the dataset has {len(images)} training images, the probe's batch needs {batch_size}; "
            "lower the batch sizes in the curvature section"
        )
    return stream(seed, purpose).permutation(len(images))[:batch_size]
