"""What goes wrong, and what is said and left behind when it does."""

import json
import resource
from pathlib import Path

import pytest

from tests.workflow.projects import run_module, snakemake

RESULTS = "results/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/E1_baseline_linear/seed1077"
# Entry points that have another name than their rule.
ENTRIES = {"collect_run": "collect_results"}
LOCK = "docs/experiments/MS1_min_snr.lock.json"


def _edit(project, path, old, new):
    text = (project / path).read_text()
    assert old in text, f"{path} no longer holds {old!r}"
    (project / path).write_text(text.replace(old, new, 1))


def _said(result):
    return result.stdout + result.stderr


def _runs(project):
    return list((project / RESULTS).glob("runs/*/*/checkpoints/*"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("preset=smok", "unknown preset 'smok'"),
        ("study=MS1_min_snrr", "did you mean 'MS1_min_snr'?"),
        ("presett=smoke", "presett is not a known key; did you mean 'preset'?"),
    ],
)
def test_a_misspelt_command_is_one_line(project, config, message):
    result = snakemake(project, config=config)
    errors = [line for line in _said(result).splitlines() if "error" in line.lower()]
    assert result.returncode != 0 and "Traceback" not in _said(result)
    assert len(errors) == 1 and message in errors[0]


def test_a_misspelt_setting_is_one_line(project):
    _edit(project, "config/preset/smoke.yaml", "num_steps: 40", "num_step: 40")
    result = snakemake(project)
    assert result.returncode != 0 and "Traceback" not in _said(result)
    assert (
        "error: config/preset/smoke.yaml: training.num_step is not a known key; did you mean 'num_steps'?"
        in _said(result)
    )


def test_nothing_is_trained_without_a_lock(project):
    (project / LOCK).unlink()
    result = snakemake(project)
    assert result.returncode != 0 and "make lock STUDY=MS1_min_snr" in _said(result)
    assert _runs(project) == [] and not (project / RESULTS / "gate.json").exists()


def test_nothing_is_trained_when_a_locked_setting_drifted_until_it_is_amended(project):
    _edit(
        project, "config/study/MS1_min_snr/E2_minsnr_linear.yaml", "min_snr_gamma: 5.0", "min_snr_gamma: 4.0"
    )
    result = snakemake(project)
    assert result.returncode != 0 and _runs(project) == []
    assert "E2_minsnr_linear: loss.min_snr_gamma has drifted from the lock: locked 5.0, now 4.0" in _said(
        result
    )
    amended = run_module(
        project, "workflow_scripts.tools.lock", "amend", "--reason", "γ=4 in a pilot", "--results-seen", "no"
    )
    assert amended.returncode == 0, amended.stderr
    opened = snakemake(project, f"{RESULTS}/gate.json")
    assert opened.returncode == 0, _said(opened)
    *_, amendment = json.loads((project / RESULTS / "gate.json").read_text())["amendments"]
    assert amendment["reason"] == "γ=4 in a pilot"


def test_unmatched_compute_stops_the_run(project):
    arm = project / "config/study/MS1_min_snr/E2_minsnr_linear.yaml"
    arm.write_text(arm.read_text() + "training: {batch_size: 16}\n")
    amended = run_module(
        project, "workflow_scripts.tools.lock", "amend", "--reason", "larger batch", "--results-seen", "no"
    )
    assert amended.returncode == 0, amended.stderr
    result = snakemake(project)
    assert result.returncode != 0 and _runs(project) == []
    assert "are not matched: training.batch_size is 16 against 32" in _said(result)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_log(project):
    _edit(
        project,
        "config/preset/smoke.yaml",
        "learning_rate: 2.0e-3\n  ema_decay",
        "learning_rate: 1.0e+30\n  ema_decay",
    )
    result = snakemake(project, f"{RUN}/log.csv")
    assert result.returncode != 0 and _runs(project) == []
    assert "diverged at step 2: loss inf" in _said(result) and "log.failed.csv" in _said(result)
    assert (project / RUN / "log.failed.csv").read_text().startswith("step,loss,mse,grad_norm")


@pytest.mark.parametrize(
    ("damaged", "target"),
    [
        (f"{RUN}/checkpoints/step0000040.pt", f"{RUN}/samples/ddpm_nfe0050.npz"),
        (f"{RUN}/samples/ddpm_nfe0050.npz", f"{RUN}/features/ddpm_nfe0050.npz"),
        (f"{RESULTS}/data/train.npz", f"{RUN}/log.csv"),
        (f"{RESULTS}/extractor/extractor.pt", f"{RUN}/features/ddpm_nfe0050.npz"),
        (f"{RUN}/features/ddpm_nfe0050.npz", f"{RUN}/metrics/ddpm_nfe0050.json"),
        (f"{RESULTS}/data/test.npz", f"{RESULTS}/extractor/extractor.pt"),
        (f"{RUN}/metrics/ddpm_nfe0050.json", f"{RUN}/results.jsonl"),
        (f"{RESULTS}/results.jsonl", f"{RESULTS}/verdict.json"),
    ],
)
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_a_damaged_file_is_named_and_leaves_no_output(finished, damaged, target, kind):
    content = bytearray((finished / damaged).read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif damaged.endswith((".json", ".jsonl")):
        content[0] ^= 0x01  # {, [ become something that is not JSON
    else:
        content[len(content) // 2] ^= 0xFF
    (finished / damaged).write_bytes(content)
    # Without manifests nobody notices before the step that reads the file.
    for path in (finished / RESULTS).rglob("*.manifest.json"):
        path.unlink()
    # --allowed-rules keeps Snakemake from making the damaged input again.
    rules = {
        "samples": "sample_images",
        "features": "extract_features",
        "metrics": "compute_metrics",
        "extractor": "train_extractor",
        "seed1077": "train_model" if target.endswith("log.csv") else "collect_run",
        "smoke": "decide_verdict",
    }
    name = rules[Path(target).parent.name]
    result = snakemake(finished, "--force", target, "--allowed-rules", name)
    assert result.returncode != 0
    assert "Traceback" not in _said(result)
    lines = [line for line in _said(result).splitlines() if line.startswith("error: ")]
    assert lines and lines[0].startswith(f"error: {ENTRIES.get(name, name)}: "), _said(result)
    assert Path(damaged).name in lines[0] and "delete" in lines[0], lines[0]
    left = Path(finished / target)
    assert not left.exists() and not list(left.parent.glob(f".{left.name}.*"))


def test_fewer_images_than_asked_for_is_an_error(finished):
    _edit(finished, "config/preset/smoke.yaml", "num_samples: 100", "num_samples: 150")
    result = snakemake(finished, f"{RUN}/metrics/ddpm_nfe0050.json", "--allowed-rules", "compute_metrics")
    assert result.returncode != 0
    assert any(
        "100" in line and "150" in line for line in _said(result).splitlines() if line.startswith("error: ")
    )


def test_a_full_disk_in_the_middle_of_a_checkpoint_leaves_nothing_half_written(finished):
    """A limit on file size stands for the full disk: the same write fails."""
    for path in (finished / RUN / "checkpoints").glob("*.pt"):
        path.unlink()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    rule = ["--settings", _settings(finished), "--input", "train", f"{RESULTS}/data/train.npz"]
    outputs = [
        "--output",
        "checkpoints",
        *(f"{RUN}/checkpoints/step{n:07d}.pt" for n in (20, 40)),
        "--output",
        "log",
        f"{RUN}/log.csv",
        "--output",
        "timing",
        f"{RUN}/timing.json",
    ]
    result = run_module(finished, "workflow_scripts.steps.train_model", *rule, *outputs, preexec_fn=limit)
    assert result.returncode == 1
    assert (
        "cannot write" in result.stderr
        and "step0000020.pt" in result.stderr
        and "Traceback" not in result.stderr
    )
    assert list((finished / RUN / "checkpoints").iterdir()) == []


def _settings(project):
    """The settings of one training run, as the rule would pass them."""
    from workflow_scripts.core.files import canonical_json
    from workflow_scripts.study.config import load_study

    arm = load_study(project, "MS1_min_snr", "smoke").arm("E1_baseline_linear")
    sections = {name: arm.settings[name] for name in ("model", "diffusion", "loss", "training")}
    return canonical_json(
        {"arm": arm.name, "seed": 1077, "data": {"image_size": 8, "channels": 1}, **sections}
    )
