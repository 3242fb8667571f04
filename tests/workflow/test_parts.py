"""Sampling and feature extraction shared by several jobs: the same bytes, and nothing finished is made again."""

import hashlib
import os
import signal
import subprocess
import sys
import time

from tests.workflow.projects import snakemake

RUN = "results/MS1_min_snr/smoke/runs/E1_baseline_linear/seed1077"
MADE = (f"{RUN}/samples/ddim_nfe0010.npz", f"{RUN}/features/ddim_nfe0010.npz")


def _run(project, parts, *arguments):
    result = snakemake(project, MADE[1], *arguments, config=f"preset=smoke parts={parts}")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def _sums(project):
    return [hashlib.sha256((project / path).read_bytes()).hexdigest() for path in MADE]


def _scale(project, num_samples, batch_size):
    preset = project / "config/preset/smoke.yaml"
    old = "num_samples: 100\n  batch_size: 100"
    assert old in preset.read_text()
    preset.write_text(
        preset.read_text().replace(old, f"num_samples: {num_samples}\n  batch_size: {batch_size}")
    )


def test_however_they_are_shared_files_have_the_same_bytes(finished):
    _scale(finished, 1100, 200)  # six batches and three chunks of features, the last of both cut short
    sums = {}
    for parts in (1, 2, 3):
        _run(finished, parts)
        for step in ("sample_images", "extract_features"):
            assert len(list((finished / RUN).parents[2].glob(f"logs/{step}/*_part*of{parts}.log"))) == (
                parts if parts > 1 else 0
            )
        assert not list((finished / RUN).glob("*/.*")), "chunks are left"
        sums[parts] = _sums(finished)
        for other in (1, 2, 4):
            assert "Nothing to be done" in _run(finished, other, "--dry-run")
        for path in MADE:
            (finished / path).unlink()
    assert sums[1] == sums[2] == sums[3]


def test_sampling_goes_on_after_snakemake_and_its_job_were_killed(finished):
    _scale(finished, 600, 50)
    samples = finished / MADE[0]
    command = [sys.executable, "-m", "snakemake", "--cores", "1", MADE[0], "--config", "preset=smoke"]
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"}
    killed = subprocess.Popen(
        command,
        cwd=finished,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while killed.poll() is None and len(list(samples.parent.glob(".ddim*/*/0*.npz"))) < 2:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and not samples.exists()
    again = snakemake(finished, MADE[0], "--nolock")
    assert again.returncode == 0 and "NFE 10: going on after" in again.stdout + again.stderr, again.stderr
    resumed = samples.read_bytes()
    samples.unlink()
    assert snakemake(finished, MADE[0], "--nolock").returncode == 0
    assert samples.read_bytes() == resumed
