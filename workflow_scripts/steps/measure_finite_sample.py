"""Measure how the number of samples affects a run's Fréchet distance: bootstrap interval, fewer samples.

Settings: study, preset, arm, seed, metric, num_samples, from (results.py). Inputs: features,
reference (npz). Output: finite_sample (json: the settings, `reference_sha256`, and the measurements).
"""

from __future__ import annotations

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz, sha256_file, write_json
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.finite_sample import NUM_DISTANCES, finite_sample
from workflow_scripts.metrics.statistics import load_statistics


def main(step: Step) -> None:
    """Measure the first `num_samples` feature vectors, as metrics do; fewer are an error."""
    num_samples = step.setting("num_samples")
    (features,) = read_npz(step.input("features"), "features")
    identity = {**step.settings, "reference_sha256": sha256_file(step.input("reference"))}
    if not len(features):  # of a run that diverged
        nothing = {"value": None, "stderr": None, "by_num_samples": []}
        write_json(step.output("finite_sample"), identity | nothing)
        step.say("there are no images, so there is nothing to measure")
        return
    needed = max(num_samples, 16)
    if len(features) < needed:
        raise PipelineError(
            f"{step.input('features')} holds {len(features)} feature vectors, {needed} are needed; "
            "raise sampling.num_samples, or delete the file and its samples, and run again"
        )
    progress = Progress("distances", NUM_DISTANCES, "distances", step.log)
    found = finite_sample(features[:num_samples], load_statistics(step.input("reference")), progress.update)
    write_json(step.output("finite_sample"), identity | found)
    step.say(f"{step.setting('metric')} {found['value']:.4g} ± {found['stderr']:.2g} ({num_samples} samples)")


if __name__ == "__main__":
    run(main)
