from __future__ import annotations

import os

import pytest
import torch

from workflow_scripts.core.step import Step
from workflow_scripts.training.device import choose_device, device_of, kind_of, require_determinism


def test_float32_is_float32_on_a_gpu_too():
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # torch's own choice
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    step = Step("sample_images", {}, {}, {}, machine={"device": "cpu"})
    assert device_of(step) == torch.device("cpu") and step.machine["device"] == "cpu"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_on_a_gpu_only_deterministic_kernels_are_left(monkeypatch):
    """Settings only: what they do could be seen on a GPU alone."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")  # what torch refuses
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(False)
    require_determinism(torch.device("cuda"))
    # one of the two values that cuBLAS's documentation calls deterministic is what torch looks for
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark


def test_a_cpu_needs_no_setting_of_cublas(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    require_determinism(torch.device("cpu"))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ and torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("cuda", "mps", "asked_for", "expected"),
    [
        (False, True, "auto", "mps"),
        (True, True, "auto", "cuda"),
        (False, True, "cpu", "cpu"),
        (False, False, "auto", "cpu"),
    ],
)
def test_auto_takes_apples_gpu_where_there_is_no_other(monkeypatch, cuda, mps, asked_for, expected):
    """The choice only: no such machine was at hand."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device(asked_for) == torch.device(expected) and kind_of(torch.device("mps")) == "mps"


def test_kinds_are_the_cpu_and_models_of_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert kind_of(torch.device("cpu")) == "cpu" and kind_of(torch.device("cuda")) == "cuda NVIDIA H200"
