"""Configuration: what merges, and the one line that each mistake gets."""

import re
import shutil
from pathlib import Path

import pytest

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study.config import flatten, load_study, merge, parse_overrides, read_config
from workflow_scripts.study.schema import parse_yaml

ROOT = Path(__file__).parents[3]
DIGITS, BASE = "config/preset/digits.yaml", "config/study/MS1_min_snr/base.yaml"
E2 = "config/study/MS1_min_snr/E2_minsnr_linear.yaml"


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def _edit(root, path, old, new):
    text = (root / path).read_text()
    assert old in text, f"{path} no longer holds {old!r}"
    (root / path).write_text(text.replace(old, new, 1))


def test_every_preset_of_the_project_is_valid():
    presets = [path.stem for path in (ROOT / "config" / "preset").glob("*.yaml")]
    assert {"smoke", "digits", "cifar10", "cifar10_jpeg", "cifar10_micro", "mnist", "mnist_micro"} <= set(
        presets
    )
    for preset in presets:
        load_study(ROOT, "MS1_min_snr", preset)


def test_jpeg_images_are_never_called_plain_cifar10():
    for preset in ("cifar10_jpeg", "cifar10_micro"):
        study = load_study(ROOT, "MS1_min_snr", preset)
        assert study.shared("data")["title"] == "CIFAR-10 (JPEG)" and study.preset_title.startswith(
            "CIFAR-10 (JPEG)"
        )
        assert study.shared("extractor")["name"] == "fd_cifar10"


def test_cifar10_jpeg_differs_from_the_preregistered_preset_in_data_and_extractor_only():
    jpeg, plain = (load_study(ROOT, "MS1_min_snr", preset) for preset in ("cifar10_jpeg", "cifar10"))
    assert jpeg.seeds == plain.seeds and [arm.name for arm in jpeg.arms] == [arm.name for arm in plain.arms]
    for one, other in zip(jpeg.arms, plain.arms):
        apart = {key for key in one.settings if one.settings[key] != other.settings[key]}
        assert apart == {"data", "extractor"}


def test_the_charters_arms_and_numbers():
    study = load_study(ROOT, "MS1_min_snr", "cifar10")
    losses = {
        arm.name: (arm.settings["diffusion"]["schedule"], *arm.settings["loss"].values())
        for arm in study.arms
    }
    assert losses == {
        "E1_baseline_linear": ("linear", "uniform", None),
        "E2_minsnr_linear": ("linear", "min_snr", 5.0),
        "E3_baseline_cosine": ("cosine", "uniform", None),
        "E3_minsnr_cosine": ("cosine", "min_snr", 5.0),
        "E3_minsnr_gamma1": ("linear", "min_snr", 1.0),
        "E3_minsnr_gamma20": ("linear", "min_snr", 20.0),
        "E3_minsnr_normalized": ("linear", "min_snr_normalized", 5.0),
    }
    training = study.arms[0].settings["training"]
    assert (training["num_steps"], training["batch_size"], training["learning_rate"]) == (50_000, 4, 1e-4)
    assert (training["grad_clip_norm"], training["ema_decay"]) == (1.0, 0.999)
    assert len(study.seeds) == 3 and study.seeds[0] == 1077
    assert [nfe for name, nfe in study.sampler_nfe if name == "ddpm"] == [10, 20, 25, 50, 100, 250]
    assert study.shared("sampling")["num_samples"] == 10_000


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (
            DIGITS,
            "num_steps: 2000",
            "num_step: 2000",
            "training.num_step is not a known key; did you mean 'num_steps'?",
        ),
        (DIGITS, "ema_decay: 0.995", "ema_decay: often", "training.ema_decay is 'often', must be a number"),
        (DIGITS, "ema_decay: 0.995", "ema_decay: 1.5", "training.ema_decay is 1.5, must be less than 1"),
        (DIGITS, "source: digits", "source: digit", "data.source is 'digit'; did you mean 'digits'?"),
        (DIGITS, "title: Digits\n", "tittle: Digits\n", "tittle is not a known key; did you mean 'title'?"),
        (
            DIGITS,
            "[500, 1000, 2000]",
            "[500, 1000]",
            "training.checkpoint_steps must end with training.num_steps (2000)",
        ),
        (
            DIGITS,
            "{name: ddpm, nfe: [10, 20, 50, 100]}",
            "{name: ddpm, nfe: [2000]}",
            "nfe 2000 is more than",
        ),
        (DIGITS, "eta: 0.0, ", "", "sampling.samplers ddim needs eta"),
        (
            DIGITS,
            "base_channels: 16",
            "norm_groups: 7\n  base_channels: 16",
            "model.norm_groups (7) must divide",
        ),
        (DIGITS, "image_size: 8", "image_size: 28", "model.name unet_digits8 is for 8×8 images"),
        (DIGITS, "name: fd_digits", "name: fid", "only Inception-2015 features are called fid"),
        (
            DIGITS,
            "E2_minsnr_linear",
            "E2_minsnr_liner",
            "no arm 'E2_minsnr_liner'; did you mean 'E2_minsnr_linear'?",
        ),
        (DIGITS, "  ema_decay: 0.995\n", "", "training.ema_decay is missing"),
        (
            DIGITS,
            "attention_resolutions: []",
            "attention_resolutions: [5]",
            "model.attention_resolutions 5 does not occur",
        ),
        (DIGITS, "seeds:", "seeds: [1]\nseeds:", "the key 'seeds' is given twice"),
        (DIGITS, "title: Digits\n", "title: [Digits\n", "not valid YAML"),
        (
            DIGITS,
            "num_classes",
            "path: a.zip\n  num_classes",
            "data.path is only for data.source image_folder, not digits",
        ),
        (
            DIGITS,
            "num_classes",
            "test_split: official\n  num_classes",
            "data.test_split is only for data.source image_folder",
        ),
        (DIGITS, "source: digits", "source: image_folder", "data.path is missing"),
        (
            DIGITS,
            "source: digits",
            "source: image_folder\n  path: ../a.zip",
            "data.path ../a.zip must lie below the data root",
        ),
        (
            DIGITS,
            "source: digits",
            "source: image_folder\n  path: /a.zip",
            "data.path /a.zip must lie below the data root",
        ),
        (
            DIGITS,
            "source: digits",
            "source: image_folder\n  resize: cubic",
            "data.resize is 'cubic'; did you mean 'bicubic'?",
        ),
        (BASE, "beta_end: 0.02", "beta_end: 0.00001", "must be below diffusion.beta_end"),
        (
            BASE,
            "prediction_type: eps",
            "prediction_type: epsilon",
            "diffusion.prediction_type is 'epsilon'; did you mean 'eps'?",
        ),
        (E2, "min_snr_gamma: 5.0", "min_snr_gamma: null", "needs loss.min_snr_gamma"),
        (E2, "min_snr_gamma: 5.0", "min_snr_gamma: -5", "loss.min_snr_gamma is -5, must be more than 0"),
        (E2, "loss:", "sampling: {num_samples: 5}\nloss:", "sampling is not a known key"),
        (E2, "weighting: min_snr", "weighting: uniform", "does not use it; set it to null"),
    ],
)
def test_a_mistake_is_one_line_naming_file_key_and_nearest(project, path, old, new, message):
    _edit(project, path, old, new)
    with pytest.raises(ConfigError) as error:
        load_study(project, "MS1_min_snr", "digits")
    text = str(error.value)
    assert message in text and path in text and "\n" not in text


def test_unknown_study_preset_and_arm_name_the_nearest():
    for call, nearest in (
        (lambda: load_study(ROOT, "MS1_min_snrr", "digits"), "MS1_min_snr"),
        (lambda: load_study(ROOT, "MS1_min_snr", "digit"), "digits"),
        (lambda: load_study(ROOT, "MS1_min_snr", "digits").arm("E1_baseline"), "E1_baseline_linear"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"did you mean {nearest!r}?")):
            call()


def test_command_line_overrides_are_checked():
    assert read_config(ROOT, {"preset": "smoke"}) == ("MS1_min_snr", "smoke", Path("data"))
    assert read_config(ROOT, {"data_root": "~/sets"})[2] == Path.home() / "sets"
    with pytest.raises(ConfigError, match="pressed is not a known key; did you mean 'preset'"):
        read_config(ROOT, {"pressed": "smoke"})


@pytest.mark.parametrize("section", ["training", "sampling"])
def test_a_removed_key_says_where_it_went(project, section):
    _edit(project, DIGITS, f"{section}:\n", f"{section}:\n  memory_format: channels_last\n")
    with pytest.raises(ConfigError) as error:
        load_study(project, "MS1_min_snr", "digits")
    assert str(error.value) == (
        f"{DIGITS}: {section}.memory_format was removed with the Winograd convolutions; "
        "images always lie in torch's default order; delete the line"
    )
    with pytest.raises(ConfigError, match="--config: parts was removed; one job draws each set of samples"):
        read_config(ROOT, {"parts": 4})


def test_merge_and_flatten():
    assert merge({"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [3]}, "b": 2}) == {"a": {"x": 1, "y": [3]}, "b": 2}
    assert flatten({"a": {"x": 1, "y": {"z": [2]}}}) == {"a.x": 1, "a.y.z": [2]}


def test_floats_without_a_dot_are_numbers():
    assert parse_yaml("a: 1e-4\nb: 5E3\nc: 1.5e-3\nd: e5\n", "x") == {
        "a": 1e-4,
        "b": 5e3,
        "c": 1.5e-3,
        "d": "e5",
    }


def test_yaml_cannot_build_objects():
    with pytest.raises(ConfigError):
        parse_yaml("a: !!python/object/apply:os.system ['true']", "x.yaml")


def test_words_of_a_command_line_are_read_as_snakemake_reads_them():
    words = ["preset=smoke", "device=cpu", "save_every_s=0.5", "data_root=/a=b"]
    assert parse_overrides(words) == {
        "preset": "smoke",
        "device": "cpu",
        "save_every_s": 0.5,
        "data_root": "/a=b",
    }
    assert read_config(ROOT, parse_overrides(words))[1] == "smoke"
    with pytest.raises(ConfigError, match="--config takes KEY=VALUE, not 'device'"):
        parse_overrides(["device"])
