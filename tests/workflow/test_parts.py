"""Sampling and feature extraction shared by several jobs: the same bytes, and nothing finished is made again."""

import hashlib

from tests.workflow.projects import snakemake

RUN = "results/MS1_min_snr/smoke/runs/E1_baseline_linear/seed1077"
MADE = (f"{RUN}/samples/ddim_nfe0010.npz", f"{RUN}/features/ddim_nfe0010.npz")


def _run(project, parts, *arguments):
    result = snakemake(project, MADE[1], *arguments, config=f"preset=smoke parts={parts}")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def _sums(project):
    return [hashlib.sha256((project / path).read_bytes()).hexdigest() for path in MADE]


def test_however_they_are_shared_files_have_the_same_bytes(finished):
    preset = finished / "config/preset/smoke.yaml"
    old = "num_samples: 100\n  batch_size: 100"
    assert old in preset.read_text()
    # six batches and three chunks of features, the last of both cut short
    preset.write_text(preset.read_text().replace(old, "num_samples: 1100\n  batch_size: 200"))
    sums = {}
    for parts in (1, 2, 3):
        _run(finished, parts)
        for step in ("sample_images", "extract_features"):
            assert len(list((finished / RUN).parents[2].glob(f"logs/{step}/*_part*of{parts}.log"))) == (parts if parts > 1 else 0)
        assert not list((finished / RUN).glob("*/.*")), "chunks are left"
        sums[parts] = _sums(finished)
        for other in (1, 2, 4):
            assert "Nothing to be done" in _run(finished, other, "--dry-run")
        for path in MADE:
            (finished / path).unlink()
    assert sums[1] == sums[2] == sums[3]
