"""What is typed after --config is read as Snakemake reads it, before anything is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_scripts import plan_study
from workflow_scripts.common.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("word", "said"), [("parts=3", "planned"), ("parts=x", "parts is 'x', must be a whole number")])
def test_numbers_are_numbers(monkeypatch, capsys, word, said):
    def planned(root, config):
        raise PipelineError("planned")

    monkeypatch.setattr(plan_study, "planned_jobs", planned)
    assert plan_study.main(["--config", "preset=smoke", word], ROOT) == 1
    assert said in capsys.readouterr().err
