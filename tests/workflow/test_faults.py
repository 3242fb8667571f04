"""Faults of files and settings: each test asserts what is said and what is left behind."""

import json
import resource
import shutil

import pytest

from tests.workflow.projects import SMOKE, edit, refused, run_module, said, snakemake

RESULTS = "results/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/E1_baseline_linear/seed1077"
ARMS = "config/study/MS1_min_snr"
CHECKPOINT = f"{RUN}/checkpoints/step0000040.pt"
SAMPLES = f"{RUN}/samples/ddpm_nfe0050.npz"
FEATURES = f"{RUN}/features/ddpm_nfe0050.npz"
METRICS = f"{RUN}/metrics/frechet_distance.json"


def _checkpoints(project):
    return list((project / RESULTS).glob("runs/*/*/checkpoints/*"))


def _amend(project, reason):
    arguments = ("amend", "--reason", reason, "--results-seen", "no")
    amended = run_module(project, "workflow_scripts.tools.lock", *arguments)
    assert amended.returncode == 0, amended.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("preset=smok", "unknown preset 'smok'"),
        ("preset=$(touch${IFS}X)", "preset is '$(touch${IFS}X)', must match"),
        ("study=MS1_min_snrr", "did you mean 'MS1_min_snr'?"),
        ("presett=smoke", "presett is not a known key; did you mean 'preset'?"),
        ("preset=smoke data_root={a:1}", "must be text"),
        ("preset=smoke device=gpu", "device is 'gpu'; did you mean 'cpu'?"),
        ("preset=smoke device=cuda", "device: cuda is asked for, but torch sees no GPU here"),
    ],
)
def test_a_bad_command_is_refused_in_one_line(project, monkeypatch, config, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert message in refused(snakemake(project, f"{RUN}/log.csv", config=config))
    assert not (project / "results/MS1_min_snr").exists() and not list(project.rglob("X"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "num_steps: 40\n",
            "num_step: 40\n",
            "training.num_step is not a known key; did you mean 'num_steps'?",
        ),
        (
            "extractor:",
            "resources: {trainig: {runtime: 7}}\nextractor:",
            "resources.trainig is not a known key; did you mean",
        ),
    ],
)
def test_a_misspelt_setting_is_refused_in_one_line(project, old, new, message):
    edit(project / SMOKE, old, new)
    assert refused(snakemake(project)).startswith(f"error: {SMOKE}: {message}")


def test_an_arm_named_like_a_command_is_refused(project):
    shutil.copy(project / ARMS / "E1_baseline_linear.yaml", project / ARMS / "E1_$(touch X).yaml")
    result = snakemake(project, "-n")
    assert "an arm's name may hold letters, digits and _; rename the file" in refused(result)
    assert not list(project.rglob("X"))


def test_nothing_is_trained_without_a_lock(project):
    (project / "docs/experiments/MS1_min_snr.lock.json").unlink()
    assert "make lock STUDY=MS1_min_snr" in refused(snakemake(project))
    assert _checkpoints(project) == [] and not (project / RESULTS / "gate.json").exists()


def test_nothing_is_trained_when_a_locked_setting_drifted_until_it_is_amended(project):
    edit(project / ARMS / "E2_minsnr_linear.yaml", "min_snr_gamma: 5.0", "min_snr_gamma: 4.0")
    drift = "E2_minsnr_linear: loss.min_snr_gamma has drifted from the lock: locked 5.0, now 4.0"
    assert drift in refused(snakemake(project)) and _checkpoints(project) == []
    _amend(project, "γ=4 in a pilot")
    opened = snakemake(project, f"{RESULTS}/gate.json")
    assert opened.returncode == 0, said(opened)
    *_, amendment = json.loads((project / RESULTS / "gate.json").read_text())["amendments"]
    assert amendment["reason"] == "γ=4 in a pilot"


def test_unmatched_compute_stops_the_run(project):
    with open(project / ARMS / "E2_minsnr_linear.yaml", "a") as arm:
        arm.write("training: {batch_size: 16}\n")
    _amend(project, "larger batch")
    assert "are not matched: training.batch_size is 16 against 32" in refused(snakemake(project))
    assert _checkpoints(project) == []


@pytest.mark.parametrize(
    ("rule", "damaged", "target"),
    [
        ("sample_images", CHECKPOINT, SAMPLES),
        ("extract_features", SAMPLES, FEATURES),
        ("train_model", f"{RESULTS}/data/train.npz", f"{RUN}/log.csv"),
        ("extract_features", f"{RESULTS}/extractor/extractor.pt", FEATURES),
        ("measure_frechet_distance", FEATURES, METRICS),
        ("train_extractor", f"{RESULTS}/data/test.npz", f"{RESULTS}/extractor/extractor.pt"),
        ("collect_run", METRICS, f"{RUN}/results.jsonl"),
        ("decide_verdict", f"{RESULTS}/results.jsonl", f"{RESULTS}/verdict.json"),
    ],
)
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_a_damaged_file_is_named_and_leaves_no_output(finished, rule, damaged, target, kind):
    damaged, target = finished / damaged, finished / target
    content = bytearray(damaged.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif damaged.suffix in (".json", ".jsonl"):
        content[0] ^= 0x01  # { and [ become something that is not JSON
    else:
        # A damaged sector: one byte may lie in the padding of an archive, where it changes nothing.
        middle = len(content) // 2
        content[middle : middle + 512] = bytes(byte ^ 0xFF for byte in content[middle : middle + 512])
    damaged.write_bytes(content)
    # Without manifests nobody notices before the step that reads the file.
    for path in (finished / RESULTS).rglob("*.manifest.json"):
        path.unlink()
    # --allowed-rules keeps Snakemake from making the damaged input again.
    path = str(target.relative_to(finished))
    line = refused(snakemake(finished, "--force", path, "--allowed-rules", rule))
    entry = {"collect_run": "collect_results", "measure_frechet_distance": "measure"}.get(rule, rule)
    assert line.startswith(f"error: {entry}: ") and damaged.name in line and "delete" in line
    assert not target.exists() and not list(target.parent.glob(f".{target.name}.*"))


def test_fewer_images_than_asked_for_is_an_error(finished):
    edit(finished / SMOKE, "num_samples: 100", "num_samples: 150")
    line = refused(snakemake(finished, METRICS, "--allowed-rules", "measure_frechet_distance"))
    assert "100" in line and "150" in line


def test_a_full_disk_in_the_middle_of_a_checkpoint_leaves_nothing_half_written(finished):
    """A limit on file size stands for the full disk: the same write fails."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    forced = ("--force", f"{RUN}/log.csv", "--allowed-rules", "train_model")
    line = refused(snakemake(finished, *forced, preexec_fn=limit))
    assert "cannot write" in line and "step0000020.pt" in line
    assert list((finished / RUN / "checkpoints").glob("*")) == []
