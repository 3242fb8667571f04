"""FID from uint8 images to the number: ours against torch_fidelity.calculate_metrics and pytorch-fid, on a CPU or GPU.

    python tests/benchmarks/fid_end_to_end.py [--images 10000] [--reference 2500]

`make bench` takes fewer images than an evaluation has (50, so that seven pairs take minutes). The network's time grows with
the images and the distance's does not, so the ratio at 10,000 images should lie between the one seen there and that of the
features alone; run by itself, this file times one pair of so many (about 45 minutes on two cores) against torch-fidelity and
renews its row in docs/benchmarks.md. The reference's features are computed by both sides, or kept by both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

# `tests` may be another package's name where this one is not installed, so its modules are found by their folder.
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch_fidelity  # noqa: E402
from benchmark_page import renew_page, table  # noqa: E402
from hardware import describe_hardware  # noqa: E402
from inception_features import BATCH  # noqa: E402
from PIL import Image  # noqa: E402
from pytorch_fid import fid_score  # noqa: E402
from pytorch_fid import inception as pytorch_fid_inception  # noqa: E402
from random_inception import write_random_inception  # noqa: E402
from side_by_side import Comparison, Row, seconds  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402

from workflow_scripts.metrics.extractors import load_extractor  # noqa: E402
from workflow_scripts.metrics.frechet import frechet_distance  # noqa: E402
from workflow_scripts.metrics.statistics import GaussianStatistics, statistics_of  # noqa: E402
from workflow_scripts.training.device import require_float32  # noqa: E402

IMAGES = 50
EQUALITY = "relative difference of the two distances, from random weights in the published format"
PYTORCH_FID = (
    "pytorch-fid reads its images from files, in the time that is measured, and resizes and scales them in another way than "
    "the published network did, which is why the distances differ by more than rounding."
)


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Against torch-fidelity with both sets' features to compute, and with the reference's at hand; against pytorch-fid."""
    random = np.random.default_rng(0)
    generated = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    reference = random.integers(0, 200, (IMAGES, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = write_random_inception(folder / "weights.pth")
        ours = OurFid(weights, device)
        kept = ours.statistics(reference)
        fidelity = TorchFidelity(weights, folder / "cache", device)
        fidelity.keep(reference)
        pytorch = PytorchFid(weights, folder, reference, device)
        # Fewer images than dimensions: the roots of singular covariances leave torch-fidelity an error of this size.
        # pytorch-fid resizes and scales images in another way than the published network did, so its features are others.
        for peer, ours_from, theirs_from, tolerance in (
            (
                "torch_fidelity.calculate_metrics, both sets new",
                lambda: ours(generated, ours.statistics(reference)),
                lambda: fidelity(generated, reference),
                1e-4,
            ),
            (
                "torch_fidelity.calculate_metrics, reference kept",
                lambda: ours(generated, kept),
                lambda: fidelity(generated, None),
                1e-4,
            ),
            (
                "pytorch-fid on PNG files, reference kept",
                lambda: ours(generated, kept),
                lambda: pytorch(generated),
                0.1,
            ),
        ):
            yield Comparison(
                what=f"FID end to end, {IMAGES} uint8 images",
                peer=peer,
                ours=ours_from,
                theirs=theirs_from,
                work=1,
                unit="s",
                check=lambda ours_from=ours_from, theirs_from=theirs_from: abs(
                    ours_from() / theirs_from() - 1
                ),
                tolerance=tolerance,
                equality=EQUALITY,
                note=PYTORCH_FID if "PNG" in peer else "",
                bar=1.6,
                warmups=0,
            )


class OurFid:
    """What extract_features and compute_metrics do: features batch by batch, their Gaussian, the distance."""

    def __init__(self, weights: Path, device: torch.device):
        self.features = load_extractor(
            {"kind": "inception", "feature_dim": 2048}, weights, choose_device=lambda: device
        )

    def statistics(self, images: np.ndarray) -> GaussianStatistics:
        batches = (self.features(images[start : start + BATCH]) for start in range(0, len(images), BATCH))
        return statistics_of(np.concatenate(list(batches)))

    def __call__(self, generated: np.ndarray, reference: GaussianStatistics) -> float:
        return frechet_distance(self.statistics(generated), reference)


class Tensors(Dataset):
    """Images u8 [N, H, W, C] as torch-fidelity takes them, u8 [C, H, W] each."""

    def __init__(self, images: np.ndarray):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


class TorchFidelity:
    """calculate_metrics as its users call it; the reference's statistics may lie in its cache."""

    def __init__(self, weights: Path, cache: Path, device: torch.device):
        self.options = {
            "fid": True,
            "cuda": device.type == "cuda",
            "batch_size": BATCH,
            "verbose": False,
            "save_cpu_ram": True,
            "feature_extractor_weights_path": str(weights),
            "cache_root": str(cache),
        }

    def keep(self, reference: np.ndarray) -> None:
        self.reference = Tensors(reference)
        self(reference, None)

    def __call__(self, generated: np.ndarray, reference: np.ndarray | None) -> float:
        if reference is not None:
            second = {"input2": Tensors(reference), "cache": False}
        else:
            second = {"input2": self.reference, "input2_cache_name": "reference"}
        return torch_fidelity.calculate_metrics(input1=Tensors(generated), **second, **self.options)[
            "frechet_inception_distance"
        ]


class PytorchFid:
    """pytorch-fid's own functions; it reads images from files only, so they are written before, and not timed."""

    def __init__(self, weights: Path, folder: Path, reference: np.ndarray, device: torch.device):
        self.folder, self.device = folder, device
        state = torch.load(weights)
        with mock.patch.object(pytorch_fid_inception, "load_state_dict_from_url", lambda *a, **k: state):
            block = pytorch_fid_inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]
            self.network = pytorch_fid_inception.InceptionV3([block]).to(device).eval()
        self.kept = self._statistics(self._written("reference", reference))

    def __call__(self, generated: np.ndarray) -> float:
        files = self._written("generated", generated)
        return float(fid_score.calculate_frechet_distance(*self._statistics(files), *self.kept))

    def _written(self, name: str, images: np.ndarray) -> list[Path]:
        files = [self.folder / name / f"{index:05d}.png" for index in range(len(images))]
        if not files[0].exists():
            files[0].parent.mkdir()
            for image, file in zip(images, files):
                Image.fromarray(image).save(file)
        return files

    def _statistics(self, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        with mock.patch.object(fid_score, "tqdm", lambda batches: batches):  # no progress bars among the rows
            return fid_score.calculate_activation_statistics(
                files, self.network, BATCH, 2048, self.device, num_workers=0
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--reference", type=int, default=2_500, help="images whose statistics both sides keep"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    arguments = parser.parse_args()
    require_float32()  # of both sides, as in `make bench`
    device, random = torch.device(arguments.device), np.random.default_rng(0)
    generated = random.integers(0, 256, (arguments.images, 32, 32, 3), dtype=np.uint8)
    reference = random.integers(0, 200, (arguments.reference, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        weights = write_random_inception(Path(name) / "weights.pth")
        ours, fidelity = OurFid(weights, device), TorchFidelity(weights, Path(name) / "cache", device)
        kept = ours.statistics(reference)
        fidelity.keep(reference)
        found: list[float] = []
        ours_s = seconds(lambda: found.append(ours(generated, kept)))
        theirs_s = seconds(lambda: found.append(fidelity(generated, None)))
    row = Row(
        what=f"FID at an evaluation's size, {len(generated):,} uint8 images",
        peer=f"torch_fidelity.calculate_metrics, reference of {len(reference):,} kept",
        work=1,
        unit="s",
        ours_s=[ours_s],
        theirs_s=[theirs_s],
        distance=abs(found[0] / found[1] - 1),
        tolerance=1e-4,
        equality=EQUALITY,
        bar=1.6,
        note="One pair, by `python tests/benchmarks/fid_end_to_end.py`; it takes too long for `make bench`.",
    )
    print(table([row]))
    if not row.distance <= row.tolerance:
        raise SystemExit("the two distances are further apart than the tolerance, so their times say nothing")
    if not renew_page(
        ROOT / "docs/benchmarks.md",
        device.type,
        describe_hardware(device.type, torch.get_num_threads()),
        [row],
    ):
        print(
            "docs/benchmarks.md is left as it is: its other rows of this hardware were measured with other packages"
        )


if __name__ == "__main__":
    main()
