"""Tests of training change torch's settings of the whole process."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was():
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    yield
    convolutions.fp32_precision, products.fp32_precision = before
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
