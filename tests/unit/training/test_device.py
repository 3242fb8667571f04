from __future__ import annotations

import pytest
import torch

from workflow_scripts.common.step import Step
from workflow_scripts.training.device import device_of


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was():
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision
    yield
    convolutions.fp32_precision, products.fp32_precision = before


def test_float32_is_float32_on_a_gpu_too():
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # torch's own choice
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    step = Step("sample_images", {}, {}, {}, machine={"device": "cpu"})
    assert device_of(step) == torch.device("cpu") and step.machine["device"] == "cpu"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee" and torch.backends.cuda.matmul.fp32_precision == "ieee"
