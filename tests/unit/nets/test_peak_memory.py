"""Counted peaks against sums done by hand."""

import torch

from workflow_scripts.nets.peak_memory import peak_bytes

ROW = 4 * 1000  # bytes of one row of 1000 float32


def _empty(rows: int) -> torch.Tensor:
    return torch.empty(rows, 1000, device="meta")


def test_what_is_dropped_no_longer_counts_and_views_never_do():
    x = _empty(7)

    def compute():
        a = x + 1
        b = a.view(-1)[:10]
        c = a * 2
        del a  # b still holds its storage
        d = c + 1
        del b, c
        return d + 1

    # a, c and d together; x was made outside
    assert peak_bytes(compute) == 3 * 7 * ROW


def test_in_place_changes_take_nothing():
    def compute():
        x = _empty(5)
        return x.add_(1).mul_(2)

    assert peak_bytes(compute) == 5 * ROW


def test_activations_kept_for_the_backward_pass_count():
    layers = torch.nn.Sequential(
        *(torch.nn.Sequential(torch.nn.Linear(1000, 1000, bias=False), torch.nn.Sigmoid()) for _ in range(6))
    )
    layers = layers.to("meta")
    x, weights = _empty(5000), 6 * 1000 * ROW

    def forward():
        return layers(x).sum()

    with torch.no_grad():
        without = peak_bytes(forward)
    trained = peak_bytes(lambda: forward().backward())
    # what goes into a pair of layers, what is between them, and what comes out
    assert without == 3 * 5000 * ROW
    # each sigmoid keeps its result, and backward adds gradients of weights and of a few activations
    assert 6 * 5000 * ROW + weights < trained < 10 * 5000 * ROW + weights


def test_nothing_is_computed_or_allocated():
    huge = torch.empty(2**40, device="meta")
    assert peak_bytes(lambda: huge + 1) == 4 * 2**40
