"""The Inception weights: checked before anything is trained, and used up to the metric rows."""

import json
import os
import shutil

import pytest
import yaml

from tests.random_inception import write_random_inception
from tests.workflow.projects import SMOKE, snakemake

RESULTS = "results/MS1_min_snr/smoke"
MEASURES = ("frechet_distance", "kernel_distance", "precision_recall", "inception_score")
METRICS = [f"{RESULTS}/runs/E1_baseline_linear/seed1077/metrics/{name}.json" for name in MEASURES]
DOWNLOADED = "data/weights-inception-2015-12-05-6726825d.pth"


def use_inception(project, weights):
    """Give the smoke preset Inception as extractor, and few images, since it is slow."""
    preset = yaml.safe_load((project / SMOKE).read_text())
    preset["extractor"] = {"name": "fid", "kind": "inception", "feature_dim": 2048}
    preset["extractor"]["weights"] = weights and str(weights)
    preset["data"] = {"num_train": 30, "num_test": 10}
    preset["sampling"]["num_samples"] = 20
    (project / SMOKE).write_text(yaml.safe_dump(preset))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_random_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


def stopped(project, *arguments):
    """The one error line of a run that ends before its first job."""
    result = snakemake(project, *arguments)
    said = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in said
    assert not (project / RESULTS).exists() or not list((project / RESULTS).rglob("*.*")), said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


def test_without_network_and_weights_nothing_is_trained(project, monkeypatch):
    use_inception(project, None)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    line = stopped(project)
    assert "cannot download the Inception weights" in line
    assert "set extractor.weights to that file" in line and "extractor.kind: classifier" in line


def test_an_unusable_weights_file_stops_before_training(project, tmp_path):
    path = tmp_path / "weights.pth"
    use_inception(project, path)
    assert str(path) in stopped(project)
    path.write_text("<html>not found</html>")
    assert str(path) in stopped(project)
    # Jobs that need no extractor need no weights.
    result = snakemake(project, f"{RESULTS}/data/train.npz")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_file_in_the_place_of_the_download_must_be_the_published_one(project, weights):
    use_inception(project, None)
    (project / DOWNLOADED).parent.mkdir(exist_ok=True)
    shutil.copy(weights, project / DOWNLOADED)
    assert f"{DOWNLOADED} is not the published file" in stopped(project)


def test_given_weights_lead_to_fid_kid_and_inception_score(project, weights):
    weights = shutil.copy(weights, project / "weights.pth")
    use_inception(project, "weights.pth")
    result = snakemake(project, *METRICS)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [row["metric"] for path in METRICS for row in json.loads((project / path).read_text())]
    expected = ["fid", "kid", "precision", "recall", "inception_score"]
    assert list(dict.fromkeys(rows)) == expected and len({rows.count(name) for name in expected}) == 1
    # Other weights under the same name: the extractor again, and no training.
    os.utime(weights)
    assert "Nothing to be done" in _planned(project)
    with open(weights, "ab") as file:
        file.write(b"0")
    planned = {line.split()[0] for line in _planned(project).splitlines() if len(line.split()) == 2}
    assert {"train_extractor", "measure_inception_score"} <= planned and "train_model" not in planned


def _planned(project):
    result = snakemake(project, *METRICS, "--dry-run")
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr
