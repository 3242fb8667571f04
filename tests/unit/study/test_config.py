"""Configuration: what merges, and the one line that each mistake gets."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.report.tables import shared_settings, varied_settings
from workflow_scripts.study.config import (
    SECTIONS,
    arm_looks,
    flatten,
    load_study,
    merge,
    parse_overrides,
    read_config,
)
from workflow_scripts.study.description import (
    ANCHORS,
    PER_ARM,
    published_anchors,
    report_settings,
    setting_files,
    verdict_settings,
)
from workflow_scripts.study.lock import current_state
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.study.schema import parse_yaml

ROOT = Path(__file__).parents[3]
STUDY = "MS1_min_snr"
DEFAULTS, DIGITS_DATA = "config/defaults.yaml", "config/data/digits.yaml"
PRESETS = f"config/study/{STUDY}/presets"
DIGITS = f"{PRESETS}/digits.yaml"
BASE, E2 = f"config/study/{STUDY}/base.yaml", f"config/study/{STUDY}/E2_minsnr_linear.yaml"


@pytest.fixture(scope="module")
def studies():
    """The study at every preset of the project, which must all be valid."""
    presets = [path.stem for path in (ROOT / PRESETS).glob("*.yaml")]
    return {preset: load_study(ROOT, STUDY, preset) for preset in presets}


def test_the_shipped_presets_are_valid(studies):
    shipped = {
        "smoke",
        "digits",
        "cifar10",
        "cifar10_jpeg",
        "cifar10_micro",
        "cifar10_pair",
        "mnist",
        "mnist_micro",
    }
    assert shipped <= studies.keys()


@pytest.mark.parametrize("preset", ["cifar10_jpeg", "cifar10_micro", "cifar10_pair"])
def test_jpeg_images_are_never_called_plain_cifar10(studies, preset):
    study = studies[preset]
    assert study.shared("data")["title"] == "CIFAR-10 (JPEG)"
    assert study.preset_title.startswith("CIFAR-10 (JPEG)")
    assert study.shared("extractor")["name"] == "fd_cifar10"


def test_cifar10_jpeg_differs_from_the_preregistered_preset_in_data_and_extractor_only(studies):
    jpeg, plain = studies["cifar10_jpeg"], studies["cifar10"]
    assert jpeg.seeds == plain.seeds and [arm.name for arm in jpeg.arms] == [arm.name for arm in plain.arms]
    for one, other in zip(jpeg.arms, plain.arms):
        assert {key for key in one.settings if one.settings[key] != other.settings[key]} == {
            "data",
            "extractor",
        }


def test_the_charters_arms_and_numbers(studies):
    study = studies["cifar10"]
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
    nfes = [point["nfe"] for point in study.points.values() if point["sampler"] == "ddpm"]
    assert nfes == [10, 20, 25, 50, 100, 250]
    assert study.shared("sampling")["num_samples"] == 10_000


def test_later_files_win_and_each_setting_names_its_file(studies):
    files = setting_files(studies["digits"])
    for preset, dropout in (("cifar10", 0.1), ("cifar10_micro", 0.0), ("digits", 0.0)):
        assert studies[preset].arms[0].settings["model"]["dropout"] == dropout
    assert setting_files(studies["cifar10"])["model.dropout"] == "config/data/cifar10.yaml"
    assert setting_files(studies["cifar10_micro"])["model.dropout"] == f"{PRESETS}/cifar10_micro.yaml"
    assert files["model.dropout"] == DEFAULTS and files["data.num_test"] == DIGITS_DATA
    assert files["training.num_steps"] == files["arms"] == files["seeds"] == DIGITS
    assert files["E1_baseline_linear/loss.weighting"] == BASE
    assert files["E2_minsnr_linear/loss.weighting"] == E2
    assert setting_files(studies["cifar10"])["arms"] == f"config/study/{STUDY}/"


def test_a_setting_stands_once_or_once_per_arm_whichever_section_it_is_in(project, edit):
    edit(E2, "loss:", "model: {dropout: 0.1}\ntraining: {learning_rate: 3e-4}\nloss:")
    study = load_study(project, STUDY, "digits")
    report = report_settings(project, study, read_preregistrations(project, STUDY))
    own, differ = varied_settings(report), {"model.dropout", "training.learning_rate"}
    differ |= {"diffusion.schedule", "loss.weighting", "loss.min_snr_gamma"}
    assert differ == study.varied and all(settings.keys() == differ for settings in own.values())
    assert own["E2_minsnr_linear"]["training.learning_rate"] == 3e-4
    assert own["E1_baseline_linear"]["training.learning_rate"] == 2e-3
    assert shared_settings(report).keys() == flatten(study.arms[0].settings).keys() - differ
    files = setting_files(study)
    assert files["E2_minsnr_linear/model.dropout"] == E2 and "model.dropout" not in files
    assert files["E1_baseline_linear/model.dropout"] == DEFAULTS and files["diffusion.num_timesteps"] == BASE


def test_a_preset_says_how_to_probe_only_if_its_study_measures_curvature(project, edit):
    text = (project / DIGITS).read_text()
    (project / DIGITS).write_text(re.sub(r"(?m)^curvature:\n(  .*\n)+", "", text))
    with pytest.raises(ConfigError, match="curvature.batch_size is missing"):
        load_study(project, STUDY, "digits")
    edit(DIGITS, "seeds:", "metrics: [frechet_distance]\nsections: []\nseeds:")
    study = load_study(project, STUDY, "digits")
    preregistrations = read_preregistrations(project, STUDY)
    assert report_settings(project, study, preregistrations)["metrics"] == ["frechet_distance"]
    assert verdict_settings(study, preregistrations)["context"]["arms"]


def test_the_report_knows_every_section_that_an_arm_may_override():
    arm = parse_yaml((ROOT / "config/schema.yaml").read_text(), "")["$defs"]["arm"]["properties"]
    assert set(PER_ARM) == arm.keys() & set(SECTIONS)


KERNEL = "'workflow_scripts.metrics.measures.kernel_distance:kernel_distance'"
FOLDER = "source: digits", "source: image_folder"
SHAPE = "channels: {}\n  num_classes: {}\n  num_test: 297\nextractor:\n  name: fd_digits\n  kind: {}"
MISTAKES = {
    DIGITS: [
        ("num_steps: 2", "num_step: 2", "training.num_step is not a known key; did you mean 'num_steps'?"),
        ("ema_decay: 0.995", "ema_decay: often", "training.ema_decay is 'often', must be a number"),
        ("ema_decay: 0.995", "ema_decay: 1.5", "training.ema_decay is 1.5, must be less than 1"),
        ("ema_decay: 0.995", "ema_decay: .inf", "training.ema_decay is inf, must be a number"),
        ("  ema_decay: 0.995\n", "", "training.ema_decay is missing"),
        ("[500, 1000, 2000]", "[500]", "training.checkpoint_steps must end with training.num_steps"),
        ("nfe: [10, 20, 50, 100]", "nfe: [2000]", "nfe 2000 is more than"),
        ("eta: 0.0, ", "", "sampling.samplers ddim: ddim needs eta"),
        ("E2_minsnr_linear", "E2_minsnr", "no arm 'E2_minsnr'; did you mean 'E2_minsnr_linear'?"),
        ("seeds:", "seeds: [1]\nseeds:", "the key 'seeds' is given twice"),
        ("title: Digits\n", "title: [Digits\n", "not valid YAML"),
        (
            "num_samples: 1500",
            "num_samples: 3",
            "sampling.num_samples is 3, and the metric precision_recall needs 4",
        ),
        (
            "seeds:",
            "points: {ddim_nfe0010: {num_samples: 2}}\nseeds:",
            "points.ddim_nfe0010.num_samples is 2, and the metric kernel_distance needs 3",
        ),
        (
            "seeds:",
            "data: {num_train: 50}\nseeds:",
            "data.num_train is 50, and steps after training need 64",
        ),
        (
            "seeds:",
            "metrics: [modes]\nextractor: {name: rot_digits, kind: rotations}\nseeds:",
            "metrics modes needs an extractor that tells classes; extractor.kind is rotations",
        ),
        (
            "dataset: digits",
            "dataset: digit",
            "unknown dataset 'digit' (no config/data/digit.yaml); did you mean",
        ),
    ],
    DIGITS_DATA: [
        ("source: digits", "source: digit", "workflow_scripts.data.digit; did you mean 'digits'?"),
        ("  base_channels", "  norm_groups: 7\n  base_channels", "model.norm_groups (7) must divide"),
        ("image_size: 8", "image_size: 3", "data.image_size is 3, must be at least 4"),
        ("name: unet", "name: unet_mnist28", "model.name unet_mnist28 is now called unet"),
        ("name: unet", "name: unet_cifar32", "model.name unet_cifar32 is for 32×32 images"),
        ("name: unet", "name: unett", "model.name unett cannot be used: there is no module"),
        ("  base_channels", "  depth: 2\n  base_channels", "model.depth is not a parameter of unet"),
        ("  base_channels: 16\n", "", "model.base_channels is missing; the network unet needs it"),
        ("kind: classifier", "kind: inception", "extractor.name fd_digits with kind inception"),
        (
            "name: fd_digits\n  kind: classifier",
            "name: fid\n  kind: inception",
            "extractor.feature_dim is 64, Inception's is 2048",
        ),
        ("name: fd_digits", "name: fid", "with kind classifier: its features are called fd_<data>"),
        ("kind: classifier", "kind: rotations", "with kind rotations: its features are called rot_<data>"),
        ("source: digits", "source: digits_stacked", "data.source digits_stacked draws its images; set"),
        (
            SHAPE.format(1, 10, "classifier"),
            SHAPE.format(3, 10, "channels"),
            "extractor.kind channels: 10 classes are no whole number per channel, to the power of 3",
        ),
        (
            SHAPE.format(1, 10, "classifier"),
            SHAPE.format(3, 8, "channels"),
            "extractor.feature_dim must be divisible by data.channels (3)",
        ),
        ("num_classes: 10", "num_classes: null", "extractor.kind classifier needs labels (data.num_classes)"),
        ("resolutions: []", "resolutions: [5]", "model.attention_resolutions 5 does not occur"),
        ("  num_test", "  path: a.zip\n  num_test", "data.path is only for data.source image_folder"),
        ("  num_test", "  test_split: official\n  num_test", "data.test_split is only for data.source"),
        (FOLDER[0], FOLDER[1], "data.path is missing"),
        (FOLDER[0], f"{FOLDER[1]}\n  path: ../a.zip", "data.path ../a.zip must lie below the data root"),
        (FOLDER[0], f"{FOLDER[1]}\n  path: /a.zip", "data.path /a.zip must lie below the data root"),
        (FOLDER[0], f"{FOLDER[1]}\n  resize: cubic", "data.resize is 'cubic'; did you mean 'bicubic'?"),
    ],
    DEFAULTS: [
        ("  clip_x_start: true\n", "", "sampling.clip_x_start is missing"),
        ("norm_groups: 8", "norm_groups: 0", "model.norm_groups is 0, must be at least 1"),
    ],
    BASE: [
        ("beta_end: 0.02", "beta_end: 0.00001", "must be below diffusion.beta_end"),
        (
            "beta_end: 0.02",
            "beta_end: 0.5",
            "diffusion.beta_end (0.5) leaves a signal of 2e-67 after 1000 timesteps; eps needs 1e-30, "
            "because sampling divides by it; lower it or diffusion.num_timesteps, or predict x0 or v",
        ),
        ("num_timesteps: 1000", "num_timesteps: 20000", "leaves a signal of"),
        ("beta_end: 0.02", "beta_end: 0.9999", "leaves a signal of 0e+00 after"),
        ("beta_start: 1.0e-4", "beta_start: 1.0e-17", "the first timestep has no noise"),
        (
            "beta_end: 0.02\n  prediction_type: eps\nloss:\n  weighting: uniform",
            "beta_end: 0.15\n  prediction_type: eps\nloss:\n  weighting: truncated_snr",
            "loss.weighting truncated_snr weighs eps with up to",
        ),
        (
            "loss:",
            f"metrics: [kernel_distance, {KERNEL}]\nloss:",
            "both measure kid; leave one out",
        ),
        (
            "loss:",
            "metrics: [frechet_roughness]\nloss:",
            "metrics frechet_roughness needs frechet_by_step; add it",
        ),
        (
            "loss:",
            "metrics: [frechet_by_step]\nloss:",
            "by_step is missing; the metric frechet_by_step",
        ),
        (
            "loss:",
            "metrics: [frechet_distance, frechet_by_step]\nby_step: [ddpm_nfe050]\nloss:",
            "by_step ddpm_nfe050 is no point; did you mean 'ddpm_nfe0050'?",
        ),
        ("_type: eps", "_type: epsilon", "diffusion.prediction_type is 'epsilon'; did you mean 'eps'?"),
        ("docs/experiments/E1", "../E1", "preregistrations.0 is '../E1_pre_reg.md', must match"),
    ],
    E2: [
        ("min_snr_gamma: 5.0", "min_snr_gamma: null", "needs loss.min_snr_gamma"),
        ("min_snr_gamma: 5.0", "min_snr_gamma: -5", "loss.min_snr_gamma is -5, must be more than 0"),
        ("loss:", "sampling: {num_samples: 5}\nloss:", "sampling is not a known key"),
        ("weighting: min_snr", "weighting: uniform", "does not use it; set it to null"),
        ("weighting: min_snr", "weighting: min_snrr", "did you mean 'min_snr'?"),
        (
            "weighting: min_snr",
            "weighting: json:loads",
            "json:loads cannot be used: it takes (s, cls",
        ),
        ("weighting: min_snr", "weighting: nowhere.at_all:it", "there is no module nowhere.at_all"),
    ],
}


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [(path, *mistake) for path, mistakes in MISTAKES.items() for mistake in mistakes],
)
def test_a_mistake_is_one_line_naming_file_key_and_nearest(project, path, old, new, message, edit):
    edit(path, old, new)
    with pytest.raises(ConfigError) as error:
        load_study(project, STUDY, "digits")
    text = str(error.value)
    assert message in text and "\n" not in text
    assert path in text or "is missing" in text  # which names the preset and the arm


def test_a_point_may_belong_to_an_arms_first_seeds_only_but_not_the_main_one(project, edit):
    edit(f"{PRESETS}/digits.yaml", "seeds:", "points: {ddim_nfe0010: {num_seeds: 2}}\nseeds:")
    study = load_study(project, STUDY, "digits")
    extra, frontier = (study.points_of("E1_baseline_linear", seed) for seed in (1079, 1078))
    assert frontier.keys() - extra.keys() == {"ddim_nfe0010"}
    assert frontier == study.points_of("E1_baseline_linear")
    edit(f"{PRESETS}/digits.yaml", "ddim_nfe0010:", "ddpm_nfe0050:")
    study, preregistrations = load_study(project, STUDY, "digits"), read_preregistrations(project, STUDY)
    with pytest.raises(ConfigError, match="ddpm_nfe0050 is a main point, which every seed needs"):
        report_settings(project, study, preregistrations)


def test_too_few_samples_for_the_interval_at_the_main_point_are_refused_before_training(project, edit):
    edit(DIGITS, "num_samples: 1500", "num_samples: 15")
    study, preregistrations = load_study(project, STUDY, "digits"), read_preregistrations(project, STUDY)
    with pytest.raises(
        ConfigError, match=f"{DIGITS}: ddpm_nfe0050 has num_samples 15, .* needs 16; raise it"
    ):
        report_settings(project, study, preregistrations)


@pytest.mark.parametrize("prediction_type", ["x0", "v"])
def test_a_schedule_that_eps_cannot_sample_from_is_left_to_other_predictions(project, edit, prediction_type):
    edit(
        BASE, "beta_end: 0.02\n  prediction_type: eps", f"beta_end: 0.5\n  prediction_type: {prediction_type}"
    )
    assert load_study(project, STUDY, "digits").shared("diffusion")["beta_end"] == 0.5


@pytest.mark.parametrize(
    ("study", "preset", "nearest"), [(f"{STUDY}r", "digits", STUDY), (STUDY, "digit", "digits")]
)
def test_an_unknown_study_or_preset_names_the_nearest(study, preset, nearest):
    with pytest.raises(ConfigError, match=f"did you mean {nearest!r}\\?"):
        load_study(ROOT, study, preset)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (DIGITS, "config/preset/mine.yaml", f"^config/preset/mine.yaml: .* move it to {PRESETS}/mine.yaml"),
        (
            BASE,
            "config/study/S2/base.yaml",
            "study S2 has no preset 'digits', DD1_simple_ddpm has; .* copy it to",
        ),
    ],
)
def test_a_preset_of_the_old_place_or_of_another_study_says_where_presets_belong(project, old, new, message):
    (project / new).parent.mkdir()
    shutil.copy(project / old, project / new)
    with pytest.raises(ConfigError, match=message):
        load_study(project, "S2" if "S2" in new else STUDY, "digits")


def test_an_arms_file_must_have_a_name_that_a_folder_and_a_command_can_hold(project):
    shutil.copy(project / E2, project / f"config/study/{STUDY}/E4 new.yaml")
    with pytest.raises(ConfigError, match="E4 new.yaml: an arm's name may hold letters, digits and _"):
        load_study(project, STUDY, "digits")


@pytest.mark.parametrize("section", ["training", "sampling"])
def test_a_removed_setting_says_where_it_went(project, section, edit):
    edit(DIGITS, f"{section}:\n", f"{section}:\n  memory_format: channels_last\n")
    with pytest.raises(ConfigError) as error:
        load_study(project, STUDY, "digits")
    assert str(error.value) == (
        f"{DIGITS}: {section}.memory_format was removed with the Winograd convolutions; "
        "images always lie in torch's default order; delete the line"
    )


def test_command_line_overrides_are_checked():
    assert read_config(ROOT, {}) == (STUDY, "digits", Path("data"))
    assert read_config(ROOT, {"preset": "smoke"}) == (STUDY, "smoke", Path("data"))
    assert read_config(ROOT, {"data_root": "~/sets"})[2] == Path.home() / "sets"
    with pytest.raises(ConfigError, match="pressed is not a known key; did you mean 'preset'"):
        read_config(ROOT, {"pressed": "smoke"})
    with pytest.raises(ConfigError, match="--config: parts was removed; one job draws each set of samples"):
        read_config(ROOT, {"parts": 4})


def test_words_of_a_command_line_are_read_as_snakemake_reads_them():
    read = {"preset": "smoke", "save_every_s": 0.5, "data_root": "/a=b"}
    assert parse_overrides(["preset=smoke", "save_every_s=0.5", "data_root=/a=b"]) == read
    with pytest.raises(ConfigError, match="--config takes KEY=VALUE, not 'device'"):
        parse_overrides(["device"])


def test_merge_and_flatten():
    assert merge({"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [3]}, "b": 2}) == {"a": {"x": 1, "y": [3]}, "b": 2}
    assert flatten({"a": {"x": 1, "y": {"z": [2]}}}) == {"a.x": 1, "a.y.z": [2]}


def test_yaml_reads_1e_4_as_a_number_and_builds_no_objects():
    read = parse_yaml("a: 1e-4\nb: 5E3\nc: 1.5e-3\nd: e5\n", "x")
    assert read == {"a": 1e-4, "b": 5e3, "c": 1.5e-3, "d": "e5"}
    with pytest.raises(ConfigError):
        parse_yaml("a: !!python/object/apply:os.system ['true']", "x.yaml")


def test_given_looks_stay_and_the_other_arms_take_the_free_numbers():
    arms = {"A": {"look": 3}, "B": {}, "D": {"look": 1}}
    assert arm_looks("f", arms) == {"A": 3, "B": 2, "D": 1}
    # A further arm between them leaves the rest as they are.
    assert arm_looks("f", arms | {"AB": {"look": 4}}) == {"A": 3, "AB": 4, "B": 2, "D": 1}
    with pytest.raises(ConfigError, match=r"study/S/A.yaml: look 1 already belongs to B; 2 is free"):
        arm_looks("study/S", {"A": {"look": 1}, "B": {"look": 1}})


def test_an_arm_looks_the_same_in_every_preset(studies):
    looks = {(arm.name, arm.look) for study in studies.values() for arm in study.arms}
    assert len(looks) == len(dict(looks)) == len({look for _, look in looks}) == 7


def test_fid_on_all_of_cifar10_has_the_ddim_papers_values(studies):
    (anchor,) = published_anchors(ROOT, studies["cifar10"])
    values = {(c["sampler"], c["eta"]): dict(zip(c["nfe"], c["values"])) for c in anchor["curves"]}
    # Table 1 at S = 50: eta = 0, eta = 1 (posterior variance), sigma-hat.
    assert values["ddim", 0.0][50] == 4.67
    assert values["ddpm", None][50] == 8.01
    assert values["ddpm_large", None][50] == 32.72


@pytest.mark.parametrize(
    ("section", "changes"),
    [("extractor", {"name": "fd_cifar10"}), ("data", {"source": "mnist"}), ("data", {"num_train": 4000})],
)
def test_no_published_value_stands_beside_another_metric_or_dataset(studies, section, changes):
    first = studies["cifar10"].arms[0]
    settings = {**first.settings, section: {**first.settings[section], **changes}}
    changed = dataclasses.replace(first, settings=settings)
    assert published_anchors(ROOT, dataclasses.replace(studies["cifar10"], arms=(changed,))) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values: [13.36, ", "values: [", "Published (DDIM paper), curve 1: needs as many values as nfe"),
        ("13.36", "-13.36", "anchors.0.curves.0.values.0 is -13.36, must be more than 0"),
        ("citation:", "citatoin:", "did you mean 'citation'"),
    ],
)
def test_a_mistake_in_the_published_values_is_named(studies, project, old, new, message, edit):
    edit(ANCHORS, old, new)
    with pytest.raises(ConfigError, match="config/anchors.yaml: ") as error:
        published_anchors(project, studies["cifar10"])
    assert message in str(error.value)


def test_points_add_to_the_samplers_list_and_change_single_ones(project, edit):
    own = "points:\n  ddpm_nfe0050: {num_samples: 9000}\n  slow: {sampler: ddim, eta: 1.0, nfe: 200}\n"
    edit(DIGITS, "seeds:", f"{own}seeds:")
    points = load_study(project, STUDY, "digits").points
    assert points["ddpm_nfe0050"] == {"sampler": "ddpm", "eta": None, "nfe": 50, "num_samples": 9000}
    assert points["slow"] == {"sampler": "ddim", "eta": 1.0, "nfe": 200, "num_samples": 1500}
    assert points["ddim_nfe0050"]["num_samples"] == 1500
    edit(DIGITS, "nfe: 200", "nfe: 2000")
    with pytest.raises(ConfigError, match="points.slow: nfe 2000 is more than diffusion.num_timesteps 1000"):
        load_study(project, STUDY, "digits")


def test_a_shared_network_counts_for_the_arms_that_name_it(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    base, arm = tmp_path / BASE, tmp_path / E2
    own = "networks:\n  teacher: {seed: 5, training: {num_steps: 20, log_every: 5}}\n"
    base.write_text(base.read_text() + own.replace("20,", "20, checkpoint_steps: [20],"))
    method = "method: {name: 'tests.house.distilled:Distilled', network: teacher}\n"
    arm.write_text(method + arm.read_text())
    study = load_study(tmp_path, STUDY, "cifar10")
    preregistrations = read_preregistrations(ROOT, STUDY)
    locked = current_state(tmp_path, study, preregistrations)["settings"]
    assert locked["arms"]["E2_minsnr_linear"]["networks.teacher.training.num_steps"] == 20
    assert not any(key.startswith("networks") for key in locked["every_arm"])
    (network,) = study.networks
    assert network.seeds == (5,) and network.settings["model"] == study.arms[0].settings["model"]
    arm.write_text(arm.read_text().replace("network: teacher", "network: techer"))
    with pytest.raises(ConfigError, match="method.network techer is unknown; did you mean 'teacher'"):
        load_study(tmp_path, STUDY, "cifar10")


@pytest.mark.parametrize(
    "preset", sorted((ROOT / "config/study").glob("*/presets/*.yaml")), ids=lambda path: path.stem
)
def test_every_study_is_valid_at_each_of_its_presets(preset):
    study = load_study(ROOT, preset.parts[-3], preset.stem)
    report_settings(ROOT, study, read_preregistrations(ROOT, study.name))


def test_a_presets_arm_settings_come_on_top_of_an_arms_file(project, edit):
    """Which may give an arm a length of its own, and another label."""
    own = "{label: three times as long, training: {num_steps: 120, checkpoint_steps: [60, 120]}}"
    edit(f"{PRESETS}/smoke.yaml", "arms:", f"arm_settings: {{E2_minsnr_linear: {own}}}\narms:")
    study = load_study(project, STUDY, "smoke")
    arm = study.arm("E2_minsnr_linear")
    assert (arm.label, arm.settings["training"]["num_steps"]) == ("three times as long", 120)
    assert arm.settings["loss"]["weighting"] == "min_snr"
    assert "smoke.yaml" in arm.files["training.num_steps"] != arm.files["training.batch_size"]
    settings = verdict_settings(study, read_preregistrations(ROOT, STUDY))["context"]
    assert settings["final_step"] == 40 and settings["final_steps"] == {"E2_minsnr_linear": 120}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("checkpoint_steps: [10, 40]", "training.checkpoint_steps differs from that of E1_baseline_linear"),
        ("num_steps: 80, checkpoint_steps: [80]", "checkpoint_steps differs from that of E2_minsnr_linear"),
        ("flops_matched_to: E1_baseline", "did you mean 'E1_baseline_linear'?"),
    ],
)
def test_arms_of_one_length_share_checkpoints_and_are_matched_to_others(training, message, project, edit):
    longer = "E3_minsnr_cosine: {training: {num_steps: 80, checkpoint_steps: [40, 80]}}"
    own = f"{{E2_minsnr_linear: {{training: {{{training}}}}}, {longer}}}"
    edit(f"{PRESETS}/smoke.yaml", "arms: [", f"arm_settings: {own}\narms: [")
    edit(f"{PRESETS}/smoke.yaml", "E2_minsnr_linear]", "E2_minsnr_linear, E3_minsnr_cosine]")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_study(project, STUDY, "smoke")
