"""Every draw is a function of (seed, purpose, counters) and of nothing else."""

import numpy as np
import pytest

from workflow_scripts.core.randomness import stream, torch_seed


def test_same_name_same_numbers_whatever_was_drawn_before():
    first = stream(1077, "noise", 5).standard_normal(100)
    stream(1077, "noise", 4).standard_normal(1000)
    assert np.array_equal(first, stream(1077, "noise", 5).standard_normal(100))


@pytest.mark.parametrize(
    "other",
    [(1078, "noise", 5), (1077, "order", 5), (1077, "noise", 6), (1077, "noise", 0, 5), (1077, "noise")],
)
def test_other_names_give_other_numbers(other):
    ours, theirs = stream(1077, "noise", 5).standard_normal(4000), stream(*other).standard_normal(4000)
    # Independent standard normals correlate with standard deviation 1/sqrt(4000) = 0.016; five of those is
    # 0.08.
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.08


def test_streams_do_not_overlap():
    # Philox yields 4 words per count of the lowest counter word; long draws must not run into the next
    # stream.
    long = stream(0, "noise", 0).integers(0, 2**63, 100_000)
    following = stream(0, "noise", 1).integers(0, 2**63, 1000)
    assert not np.isin(following, long).any()


def test_torch_seed_is_stable_and_fits_a_signed_word():
    seeds = {torch_seed(1077, "dropout", step) for step in range(1000)}
    assert len(seeds) == 1000 and max(seeds) < 2**63
    assert torch_seed(1077, "init") == torch_seed(1077, "init") != torch_seed(1078, "init")


def test_too_many_counters_are_refused():
    with pytest.raises(ValueError, match="three counters"):
        stream(0, "noise", 1, 2, 3, 4)
