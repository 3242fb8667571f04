"""Write what a method without training makes of the test images.

Settings: method; loads; num_samples. Input: test (npz). Output: samples (npz, `images` u8 [N, H, W, C],
number i for test image i).
"""

from __future__ import annotations

from workflow_scripts.core import registry
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz_dict, write_npz
from workflow_scripts.core.step import Step, run
from workflow_scripts.data.dataset import asked


def main(step: Step) -> None:
    """Write the first `num_samples` images, which must have the test images' type and shape."""
    own, data = dict(step.setting("method")), read_npz_dict(step.input("test"))
    name = own.pop("name")
    method = registry.load("method.name", name)(step.settings, **own)
    images, expected = method.present(asked(data, method.asks, name)), data["images"]
    if (images.dtype, images.shape) != (expected.dtype, expected.shape):
        raise PipelineError(
            f"method.name {name} presents {images.dtype} {list(images.shape)}, the test images are "
            f"{expected.dtype} {list(expected.shape)}; they must be alike"
        )
    write_npz(step.output("samples"), images=images[: step.setting("num_samples")])


if __name__ == "__main__":
    run(main)
