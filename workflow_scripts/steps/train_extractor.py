"""Make the feature extractor: train a classifier of labels or rotations, or take the Inception weights.

Of kind `channels` a label has a digit for each channel (data/stacked.py), and one classifier of single
channels judges them all, as in Metz et al. 2017 (Unrolled GANs, section 3.3) and Lin et al. 2018 (PacGAN): an
image is right if all its channels are.

Settings: data, extractor. Inputs: train, test (npz), inception (weights file, for that kind). Outputs:
weights (extractor.pt), info (extractor.json: name, kind, feature_dim, test_accuracy (null for Inception),
num_train, num_test, extractor_sha256).
"""

from __future__ import annotations

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, write_bytes, write_json
from workflow_scripts.core.progress import Progress
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.images import load_dataset
from workflow_scripts.metrics.classifier import (
    accuracy,
    channels_apart,
    rotations,
    save_classifier,
    train_classifier,
)
from workflow_scripts.metrics.extractors import load_extractor


def main(step: Step) -> None:
    """Write weights and info, or nothing when the classifier misses `extractor.min_test_accuracy`."""
    settings, weights = step.setting("extractor"), step.output("weights")
    kind, channels = settings["kind"], 1
    train, test = load_dataset(step.input("train")), load_dataset(step.input("test"))
    for data in (train, test):
        data.pop("condition", None)
    test_accuracy = None
    if settings["kind"] == "inception":
        load_extractor(settings, step.input("inception"))
        write_bytes(weights, step.input("inception").read_bytes())
    else:
        progress = Progress("extractor", settings["num_steps"], "steps", step.log)
        num_classes = 4 if kind == "rotations" else step.setting("data.num_classes")
        seen, unseen = train, test
        if kind == "rotations":
            seen, unseen = rotations(train["images"]), rotations(test["images"])
        elif kind == "channels":
            channels = train["images"].shape[3]
            num_classes = round(num_classes ** (1 / channels))
            seen, unseen = (channels_apart(**data, num_classes=num_classes) for data in (train, test))
        classifier = train_classifier(
            **seen,
            num_classes=num_classes,
            settings={**settings, "feature_dim": settings["feature_dim"] // channels},
            on_step=lambda done, loss: progress.update(done, f"loss {loss:.4f}"),
        )
        test_accuracy = accuracy(classifier, **unseen, together=channels)
        step.say(f"test accuracy {test_accuracy:.2%} on {len(unseen['images']) // channels} images")
        if test_accuracy < settings["min_test_accuracy"]:
            raise PipelineError(
                f"the extractor's test accuracy {test_accuracy:.2%} is below "
                f"extractor.min_test_accuracy {settings['min_test_accuracy']:.2%}; "
                "train it longer (extractor.num_steps) or check the data"
            )
        save_classifier(weights, classifier)
    info = {
        **{key: settings[key] for key in ("name", "kind", "feature_dim")},
        "test_accuracy": test_accuracy,
        "num_train": len(train["images"]),
        "num_test": len(test["images"]),
        "extractor_sha256": sha256_file(weights),
    }
    write_json(step.output("info"), info)


if __name__ == "__main__":
    run(main)
