from __future__ import annotations

import hashlib

import numpy as np
import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.curvature.probe_set import draw_batch, draw_probe_set

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)


def draw(seed=0, images=IMAGES, batch_size=8, num_timesteps=1000, num_probes=4, num_parameters=40):
    return draw_probe_set(seed, images, batch_size, num_timesteps, num_probes, num_parameters)


def test_shapes_and_ranges():
    probe_set = draw()
    assert probe_set.indices.shape == probe_set.t.shape == (8,)
    assert len(set(probe_set.indices.tolist())) == 8
    assert probe_set.noise.shape == (8, 3, 6, 5) and probe_set.noise.dtype == np.float32
    vectors = np.stack(list(probe_set.vectors()))
    assert vectors.shape == (4, 40) and vectors.dtype == np.int8
    assert set(vectors.flat) == {-1, 1}


@pytest.mark.parametrize(("batch_size", "num_timesteps"), [(8, 1000), (50, 1000), (10, 10), (16, 10)])
def test_one_timestep_in_each_equal_part(batch_size, num_timesteps):
    t = draw(batch_size=batch_size, num_timesteps=num_timesteps).t
    edges = np.arange(batch_size + 1) * num_timesteps / batch_size
    assert t.min() >= 0 and t.max() < num_timesteps
    assert (np.floor(edges[:-1]) <= t).all() and (t < edges[1:]).all()


def test_hash_covers_every_array_and_repeats():
    probe_set = draw()
    digest = hashlib.sha256()
    for array in (IMAGES[probe_set.indices], probe_set.t, probe_set.noise, *probe_set.vectors()):
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    assert probe_set.sha256(IMAGES) == digest.hexdigest()
    assert draw(seed=1).sha256(IMAGES) != digest.hexdigest() == draw().sha256(IMAGES)


def test_more_probes_extend_the_same_sequence():
    few, many = list(draw(num_probes=2).vectors()), list(draw(num_probes=4).vectors())
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(many[0], many[1])


def test_too_few_images_are_refused():
    with pytest.raises(PipelineError, match="has 50 training images, the probe's batch needs 51"):
        draw_batch(0, "probe_batch", IMAGES, 51)
