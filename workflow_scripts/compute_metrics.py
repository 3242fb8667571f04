"""Compute the Fréchet distance of one set of samples to the reference. No torch: this step is short and runs often.

Settings: study, preset, arm, seed, step, sampler, eta, nfe, num_samples, ema, metric. Inputs: features (npz), reference
(npz), reference_info, extractor_info (json), checkpoint (hashed only). Output: metrics (json list of metric rows).
"""

from __future__ import annotations

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import read_json, read_npz, sha256_file, write_json
from workflow_scripts.common.step import Step, run
from workflow_scripts.metrics.frechet import frechet_distance
from workflow_scripts.metrics.statistics import load_statistics, statistics_of
from workflow_scripts.study.results import IDENTITY_FIELDS, check_row

FROM_SETTINGS = ("study", "preset", "arm", "seed", "step", "sampler", "eta", "nfe", "num_samples", "ema", "metric")


def main(step: Step) -> None:
    """Write one row; the first `num_samples` feature vectors count, and fewer are an error."""
    reference_info, extractor_info = _checked_infos(step)
    num_samples = step.setting("num_samples")
    (features,) = read_npz(step.input("features"), "features")
    if len(features) < num_samples:
        raise PipelineError(
            f"{step.input('features')} holds {len(features)} feature vectors, {num_samples} are asked for; "
            "delete it and its samples and run again"
        )
    reference = load_statistics(step.input("reference"))
    value = frechet_distance(statistics_of(features[:num_samples]), reference)
    row = {
        **dict.fromkeys(IDENTITY_FIELDS),
        **{name: step.setting(name) for name in FROM_SETTINGS},
        "value": value,
        "stderr": None,
        "checkpoint_sha256": sha256_file(step.input("checkpoint")),
        "extractor": extractor_info["name"],
        "extractor_sha256": extractor_info["extractor_sha256"],
        "reference_sha256": reference_info["reference_sha256"],
    }
    check_row(row, step.output("metrics"))
    write_json(step.output("metrics"), [row])
    step.say(f"{row['metric']} {value:.4g} ({row['sampler']}, NFE {row['nfe']}, {num_samples} samples)")


def _checked_infos(step: Step) -> tuple[dict, dict]:
    """Both descriptions, after checking that they belong to the files and settings of this step."""
    reference_info, extractor_info = read_json(step.input("reference_info")), read_json(step.input("extractor_info"))
    for name, expected, found in (
        ("metric", step.setting("metric"), reference_info["metric"]),
        ("extractor_sha256", extractor_info["extractor_sha256"], reference_info["extractor_sha256"]),
        ("reference_sha256", sha256_file(step.input("reference")), reference_info["reference_sha256"]),
    ):
        if expected != found:
            raise PipelineError(
                f"{step.input('reference_info')}: {name} is {found}, expected {expected}; "
                "the reference statistics are of another run, delete their folder and run again"
            )
    return reference_info, extractor_info


if __name__ == "__main__":
    run(main)
