"""Judge the checkpoints of a run by the Fréchet distance of images that their EMA weights draw at one point.

Settings: those of sample_images, whose point also has a name; study, preset, arm; steps, of the checkpoints;
extractor. Inputs: checkpoints, weights (of the extractor), and those of the metric frechet_distance but
features. Output: metrics (json rows).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from workflow_scripts.core.chunks import Arrays, ChunkedWork
from workflow_scripts.core.errors import NotFiniteError
from workflow_scripts.core.files import sha256_file, write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.metrics.extractors import load_extractor
from workflow_scripts.metrics.given import given_by_study
from workflow_scripts.metrics.measures.frechet_distance import frechet_distance
from workflow_scripts.nets.precision import frozen
from workflow_scripts.sampling.generator import Generator, compiles
from workflow_scripts.study.results import check_row
from workflow_scripts.training.checkpoints import load_ema_model
from workflow_scripts.training.device import device_of, kind_of, require_determinism


def main(step: Step) -> None:
    """Write a row for each checkpoint, to the last bit that of sample_images, extract_features and measure.

    A checkpoint from which no finite images come, of a run that diverged, has none.
    """
    device, paths, num_samples = device_of(step), step.inputs["checkpoints"], step.setting("num_samples")
    if device.type == "cuda":
        require_determinism(device)
    compiled = compiles(step.settings, device)
    given, on = given_by_study(step, ("reference", "extractor"))
    key = {
        "settings": step.settings,
        "checkpoints": (digests := [sha256_file(path) for path in paths]),
        "judge": on,
        "code": step.code_sha256,
        "device": kind_of(device),
        "compiled": compiled,
    }
    weights, expected = step.input("weights"), on["extractor_sha256"]
    extract = load_extractor(step.setting("extractor"), weights, expected, lambda: device)
    size = step.setting("sampling.batch_size")
    batches = [range(start, min(start + size, num_samples)) for start in range(0, num_samples, size)]
    networks: list[nn.Module] = []
    precision = step.setting("sampling.precision")
    generator = Generator(step.settings, lambda: frozen(networks[0], device, precision, compiled), device)

    def judge(chunk: range, on_done: Callable[[int], None]) -> Arrays:
        path, value = paths[chunk.start], np.nan
        settings = {**step.settings, "step": step.setting("steps")[chunk.start]}
        try:
            loaded = load_ema_model(path, settings, ("seed", "step", "method", "model", "diffusion"))
            if not networks:
                networks.append(loaded)
            # Into the first one, so that a GPU compiles and records it once.
            with torch.inference_mode():
                networks[0].load_state_dict(loaded.state_dict())
            images = np.concatenate([generator.draw(batch)["images"] for batch in batches])
            features = extract.in_batches(images)["features"]
            (value,) = frechet_distance(features, **given).values()
        except NotFiniteError as error:
            step.say(f"{path}: {error}, so there is nothing to judge")
        on_done(1)
        return {"value": np.array([value])}

    work = ChunkedWork(step, "metrics", len(paths), 1, key)
    judged = work.complete(judge, f"{given['extractor']}, {generator.title}", "checkpoints")
    common = {name: step.setting(name) for name in ("study", "preset", "arm", "seed")}
    common |= {"metric": given["extractor"], "stderr": None, "interval": None}
    point = {name: value for name, value in step.setting("point").items() if value is not None}
    point |= {"point": point.pop("name"), "weights": "ema"}
    rows = [
        {
            **common,
            "value": float(found["value"][0]),
            "on": {**on, "num_samples": num_samples},
            "from": {**point, "step": at, "checkpoint_sha256": digest},
        }
        for at, digest, found in zip(step.setting("steps"), digests, judged)
        if np.isfinite(found["value"][0])
    ]
    for row in rows:
        check_row(row, step.output("metrics"))
    write_json(step.output("metrics"), rows)


if __name__ == "__main__":
    run(main)
