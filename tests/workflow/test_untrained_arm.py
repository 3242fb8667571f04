"""A study of pairs, with data of one's own and an arm without training beside one that is trained."""

import pytest

from tests.workflow.projects import SMOKE, edit, refused, run_module, snakemake
from workflow_scripts.provenance.planned_jobs import planned_jobs

pytestmark = pytest.mark.slow
CONFIG = ["study=PAIRS", "preset=tiny"]
FILES = {
    "config/data/blurred.yaml": """data:
  source: tests.house.blurred:blurred
  title: blurred digits
  image_size: 8
  channels: 1
  num_classes: 10
  num_test: 297
  radius: 1
extractor: {name: fd_digits, kind: classifier, feature_dim: 64, num_steps: 600, batch_size: 64,
            learning_rate: 2.0e-3, seed: 0, min_test_accuracy: 0.9}
model: {name: unet, base_channels: 16, channel_mults: [1, 2], attention_resolutions: []}
""",
    "config/study/PAIRS/base.yaml": """title: Restoring digits
question: Is anything better than doing nothing?
preregistrations: [docs/experiments/PAIRS_pre_reg.md]
default_preset: tiny
points: {one: {sampler: direct, nfe: 1}}
metrics:
  - frechet_distance
  - tests.house.psnr:psnr
  - tests.house.excess_total_variation:excess_total_variation
""",
    "config/study/PAIRS/E1_identity.yaml": "method: {name: identity}\n",
    "config/study/PAIRS/E1_trained.yaml": "baseline: true\n",
    "docs/experiments/PAIRS_pre_reg.md": """---
study: PAIRS
experiment: E1
title: Restoring digits
question: Is anything better than doing nothing?
preset: tiny
arms: [E1_identity, E1_trained]
comparator: null
comparisons: []
seeds: [1077, 1078]
pilot: none
hypotheses: []
analysis: {aggregation: geometric_mean_of_ratios, interval: paired_t, confidence: 0.95, multiplicity: none}
exclusion: []
stopping: none
exploratory: []
---

# E1
""",
}


@pytest.fixture
def pairs(project):
    """A locked study that differs from MS1's smoke preset in its arms, data, points and metrics."""
    base = (project / "config/study/MS1_min_snr/base.yaml").read_text()
    preset = (project / SMOKE).read_text().partition("arms:")[0]
    preset = preset.replace("dataset: digits", "dataset: blurred")
    text = {**FILES, "config/study/PAIRS/presets/tiny.yaml": preset}
    text["config/study/PAIRS/base.yaml"] += base[base.index("diffusion:") :]
    for path, content in text.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(content)
    locked = run_module(project, "workflow_scripts.tools.lock", "lock", "--study", "PAIRS")
    assert locked.returncode == 0, locked.stderr
    return project


def test_an_arm_without_training_has_one_run_and_no_training_job(pairs):
    planned = planned_jobs(pairs, CONFIG)
    jobs = [job for job in planned if job.wildcards.get("arm") == "E1_identity"]
    assert sorted((job.rule, job.wildcards["seed"]) for job in jobs) == [
        (rule, "0")
        for rule in (
            "collect_run",
            "extract_features",
            "measure_finite_sample",
            "measure_frechet_distance",
            "measure_psnr",
            "present_samples",
        )
    ]
    trained = {tuple(job.wildcards.values()) for job in planned if job.rule == "train_model"}
    assert trained == {("E1_trained", "1077"), ("E1_trained", "1078")}
    loads = [job.settings["loads"] for job in planned if job.rule == "prepare_data"]
    assert loads == [["tests.house.blurred"]]


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        (
            "config/data/blurred.yaml",
            "radius",
            "radios",
            "data.radios is not a known key; did you mean",
        ),
        ("config/data/blurred.yaml", ":blurred", ":blured", "defines no blured that can be called"),
        (
            "config/study/PAIRS/base.yaml",
            "nfe: 1}",
            "nfe: 1, num_samples: 298}",
            "298 is more than data.num_test 297",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(pairs, path, old, new, words):
    edit(pairs / path, old, new)
    assert words in refused(snakemake(pairs, config=" ".join(CONFIG)))
