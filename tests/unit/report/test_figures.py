"""Figures draw from full, partial and no data, twice to the same bytes; their CSV contains the results."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from pathlib import Path

import matplotlib.text
import numpy as np
import pandas as pd
import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_npz
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext, arm_and_seed, geometric_interval
from workflow_scripts.report.figures import FIGURES, draw
from workflow_scripts.study.results import flat

OF_SETTINGS = ("snr_and_weights", "noise_schedules")
CAPTIONS = Path(__file__).resolve().parents[3] / "reports" / "captions"


def context_of(root: Path, **choices) -> ReportContext:
    return ReportContext.load(*made_up.write_study(root, **choices))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> ReportContext:
    """A study in which nothing is missing."""
    return context_of(tmp_path_factory.mktemp("study"))


def texts_of(figure) -> str:
    return "\n".join(item.get_text() for item in figure.findobj(matplotlib.text.Text))


def saved(figure, frame, folder: Path, name: str = "a") -> list[bytes]:
    paths = [folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")]
    style.save_figure(figure, frame, *paths)
    return [path.read_bytes() for path in paths]


def test_the_list_the_modules_and_the_captions_name_the_same_figures():
    modules = (CAPTIONS.parents[1] / "workflow_scripts/report/figures").glob("[!_]*.py")
    captions = {path.stem: path.read_text(encoding="utf-8") for path in CAPTIONS.glob("*.rst")}
    assert set(FIGURES) == {path.stem for path in modules} == set(captions)
    for caption in captions.values():
        assert len(caption.split()) > 15
        assert not set("*`_|<>{}[]\\") & set(caption)  # marks of reStructuredText, Markdown or Jinja


@pytest.mark.parametrize("name", FIGURES)
def test_draws_from_full_data_and_twice_the_same_bytes(name, full, tmp_path):
    written = []
    for number in "12":
        figure, frame = draw(name, full)
        assert len(frame) > 0
        assert "REHEARSAL" in texts_of(figure)
        written.append(saved(figure, frame, tmp_path, number))
    assert written[0] == written[1]
    svg = written[0][0].decode()
    assert "<text" in svg and "</text>" in svg  # real text, not outlines
    assert "<dc:date>" not in svg


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    "choices", [{"arms": ("A_plain",)}, {"seeds": (11,), "rehearsal": False, "channels": 3}]
)
def test_draws_from_part_of_the_data(name, choices, tmp_path):
    figure, frame = draw(name, context_of(tmp_path / "study", **choices))
    saved(figure, frame, tmp_path)
    assert len(frame) > 0
    assert ("REHEARSAL" in texts_of(figure)) == choices.get("rehearsal", True)
    if "arms" in choices and name not in (*OF_SETTINGS, "hypotheses", "class_grid"):
        assert "weighted γ=5" in texts_of(figure)  # named as missing


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {*OF_SETTINGS}))
def test_draws_from_nothing_and_says_so(name, tmp_path):
    figure, frame = draw(name, ReportContext(made_up.report_settings()))
    saved(figure, frame, tmp_path)
    assert frame.empty
    assert any(word in texts_of(figure) for word in ("No ", "Not measured"))


def test_hypotheses_of_every_kind_share_an_axis_in_margins(full, tmp_path):
    rows = made_up.result_rows(full.report, "better")
    verdict = made_up.verdict(full.report, rows, made_up.every_kind())
    figure, frame = draw("hypotheses", replace(full, verdict=verdict))
    saved(figure, frame, tmp_path)
    assert list(frame["claim"])[:4] == ["7 % lower", "0.1 higher", "at most 0.05 lower", "0.02 to 0.1"]
    diamonds = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "D"]
    # 20 % lower, in margins of 7 %; 0 in 0.02 to 0.1; 0 % in −1 % to 1 % of a logarithm; 0.76 in 0.7 to 0.9
    ratio = math.log(0.8) / -math.log(0.93)
    assert diamonds == pytest.approx([ratio, 0, 0, -1.5, 0, 0.005, -0.4], abs=1e-6)
    text = texts_of(figure)
    assert "B.H7: weighted γ=5\nrecall, ddpm, NFE 50, 40 samples: 0.7 to 0.9" in text
    assert "B.H9 (exploratory): any of B.H1, B.H4" in text and "margins from no difference" in text


def test_the_error_by_epoch_is_drawn_with_the_wiener_line(full):
    """Runs of 200 steps of 8 of 40 images log every second epoch."""
    _, frame = draw("loss_by_epoch", full)
    plain = frame[frame["curve"] == "A_plain"]
    log = pd.concat(pd.read_csv(full.logs["A_plain", seed]) for seed in made_up.SEEDS)
    assert list(plain["epoch"]) == [*range(2, 42, 2)]
    expected = log[log["step"] == 10]["mse"].mean()
    assert plain["mean"].iloc[0] == pytest.approx(expected)
    lines = frame[frame["num_seeds"] == 0].set_index("curve")["mean"]
    assert lines["predicting zero"] == 1 and len(lines) == 3
    with np.load(full.train) as data:
        variances = np.linalg.eigvalsh(np.cov(data["images"].reshape(40, 64).T / 127.5, bias=True))
    left = np.cumprod(1 - np.linspace(1e-3, 0.2, 100))[:, None]
    expected = np.mean(left * variances / (left * variances + 1 - left))
    assert lines["best linear denoiser, linear, β 0.001 to 0.2"] == pytest.approx(expected)


def test_the_class_histogram_is_a_ratio_to_real_images(full, tmp_path):
    """Of 20 samples 12 are seen as class 0, of the real images half are."""
    _, frame = draw("class_histogram", full)
    assert frame.groupby("class")["value"].unique().map(list).to_dict() == {0: [1.2], 1: [0.8]}
    # without real images of class 0, or of the last one that samples are seen as
    for label, ratio in ((0, 0.6), (1, 0.4)):
        train = tmp_path / f"only_{label}.npz"
        write_npz(train, labels=np.full(10, label))
        _, frame = draw("class_histogram", replace(full, train=train))
        assert frame.groupby("class")["value"].unique().map(list).to_dict() == {label: [ratio]}


def test_frechet_data_are_the_geometric_mean_and_its_t_interval(full):
    _, frame = draw("frechet_vs_nfe", full)
    point = frame[(frame["arm"] == "A_plain") & (frame["sampler"] == "ddpm") & (frame["nfe"] == 50)]
    logs = [math.log(value) for value in point.loc[point["kind"] == "seed", "value"]]
    mean = sum(logs) / 3
    sd = math.sqrt(sum((value - mean) ** 2 for value in logs) / 2)
    # Student t, 2 degrees of freedom, 97.5 %, from a printed table
    half = 4.302652729911275 * sd / math.sqrt(3)
    row = point[point["kind"] == "geometric mean"].iloc[0]
    expected = [math.exp(mean), math.exp(mean - half), math.exp(mean + half)]
    assert [row["value"], row["low"], row["high"]] == pytest.approx(expected, rel=1e-9)
    # one value has no interval
    assert geometric_interval([2.0])[0] == pytest.approx(2.0)
    assert all(math.isnan(value) for value in geometric_interval([2.0])[1:])


def test_published_values_are_drawn_for_their_sampler_and_eta_only(full):
    own = {"sampler": "ddpm", "eta": None, "nfe": [10, 10_000], "values": [3.5, 1.5]}
    anchor = {"label": "published: a paper", "citation": "A 1999, table 1", "note": "another network"}
    anchor["curves"] = [own, {**own, "eta": 0.3}]
    figure, frame = draw("frechet_vs_nfe", ReportContext(full.report | {"anchors": [anchor]}, full.results))
    drawn = frame[frame["kind"] == "published: a paper"]
    # the second value lies beyond the NFE of all runs
    assert drawn[["nfe", "value"]].to_numpy().tolist() == [[10, 3.5]]
    assert "A 1999, table 1" in texts_of(figure)
    assert "A 1999" not in texts_of(draw("frechet_vs_nfe", full)[0])


def test_a_value_without_a_logarithm_is_named_and_not_drawn(full):
    wanted = {"metric": "fd_toy", "arm": "A_plain", "seed": 12, "sampler": "ddpm", "nfe": 50}.items()
    broken = [row | {"value": 0.0} if wanted <= row.items() else row for row in full.results]
    figure, frame = draw("frechet_vs_nfe", ReportContext(full.report, broken))
    assert "Not drawn because not positive: plain seed 12, ddpm NFE 50: 0." in texts_of(figure)
    point = frame[(frame["arm"] == "A_plain") & (frame["nfe"] == 50) & (frame["sampler"] == "ddpm")]
    assert set(point["seed"].dropna()) == {11, 13} and np.isfinite(point["value"]).all()


def test_an_arm_keeps_its_colour_whatever_others_are_there(full, tmp_path):
    look = style.arm_style(full, "C_cosine")
    part = context_of(tmp_path, arms=("C_cosine",))
    figure, _ = draw("curvature_vs_frechet", part)
    assert {line.get_color() for line in figure.axes[0].lines} == {look["color"]}
    others = [arm for arm in full.report["arms"] if arm["name"] != "B_weighted"]
    assert style.arm_style(ReportContext(full.report | {"arms": others}), "C_cosine") == look
    many = many_arms(2 * len(style.PALETTE))
    assert len({tuple(style.arm_style(many, arm).values()) for arm in many.arms}) == len(many.arms)


def many_arms(count: int) -> ReportContext:
    """As many arms with long names, all close to each other, and a published curve."""
    report = made_up.report_settings()
    report["arms"] = [
        {
            **report["arms"][1],
            "name": f"E{look}_arm",
            "label": f"linear betas, Min-SNR γ={look}, mean weight 1",
            "look": look,
            "loss": {"weighting": "min_snr", "min_snr_gamma": float(look)},
        }
        for look in range(1, count + 1)
    ]
    ddpm, ddim = made_up.POINTS["ddpm_nfe0010"], report["points"][-1]
    more = [{**ddpm, "name": f"ddpm_nfe{nfe:04d}", "nfe": nfe} for nfe in (10, 20, 25, 50)]
    report["points"] = [*more, ddim]
    curve = {"sampler": "ddpm", "eta": None, "nfe": [10, 50], "values": [9.0, 5.0]}
    report["anchors"] = [{"label": "Published", "citation": "A 1999", "note": "n", "curves": [curve]}]
    rows = made_up.result_rows(report, "inconclusive", tuple(arm["name"] for arm in report["arms"]))
    rows = [row | {"value": row["value"] * (1 + 0.01 * int(row["arm"][1:-4]))} for row in map(flat, rows)]
    return ReportContext(report, rows, scale_marks=made_up.SCALE_MARKS)


FROM_RESULTS = ("curvature_vs_frechet", "curvature_vs_step", "frechet_vs_nfe", "snr_and_weights")


@pytest.mark.parametrize(
    ("name", "num_arms"),
    [
        *((name, 3) for name in sorted(FIGURES)),
        *((name, 7) for name in FROM_RESULTS),
        ("frechet_vs_nfe", 40),
    ],
)
def test_no_two_texts_overlap(name, num_arms, full, monkeypatch):
    figure, _ = draw(name, full if num_arms == 3 else many_arms(num_arms))
    drawn, original = {}, matplotlib.text.Text.draw

    def note_and_draw(text, *rest, **more):
        drawn[id(text)] = text
        return original(text, *rest, **more)

    monkeypatch.setattr(matplotlib.text.Text, "draw", note_and_draw)
    figure.savefig(io.BytesIO(), dpi="figure")
    shown = [item for item in drawn.values() if item.get_text().strip() and item.get_visible()]
    boxes = [(item.get_text(), item.get_window_extent()) for item in shown]
    assert len(boxes) > num_arms
    for index, (text, box) in enumerate(boxes):
        for other, second in boxes[index + 1 :]:
            # Boxes include the room above and below letters, so a pixel in common is not a collision.
            wide = min(box.x1, second.x1) - max(box.x0, second.x0)
            high = min(box.y1, second.y1) - max(box.y0, second.y0)
            assert wide < 1 or high < 1, (text, other)


def test_a_dollar_sign_in_a_label_is_text(full, tmp_path):
    arms = [full.report["arms"][0] | {"label": "costs $x_{ $"}]
    figure, frame = draw("frechet_vs_nfe", ReportContext(full.report | {"arms": arms}, full.results))
    assert "costs $x_{ $" in saved(figure, frame, tmp_path)[0].decode()


def test_timestep_ratio_is_paired_with_the_baseline_of_the_same_schedule(full):
    _, frame = draw("timestep_mse", full)
    ratios = frame[frame["quantity"] == "ratio to baseline"]
    assert set(ratios["arm"]) == {"B_weighted"}  # A_plain is the baseline, C_cosine has another schedule
    expected = [((1 + 1 / 9) * math.exp(-t / 30) + 0.01) / (math.exp(-t / 30) + 0.01) for t in ratios["t"]]
    assert ratios["mean"].tolist() == pytest.approx(expected, rel=1e-12)


def test_training_curves_of_a_constant_are_that_constant(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    for path in inputs["logs"]:
        pd.read_csv(path).assign(loss=0.25, mse=0.25, grad_norm=0.25).to_csv(path, index=False)
    _, frame = draw("training_curves", ReportContext.load(report, inputs))
    assert np.allclose(frame[["mean", "low", "high"]], 0.25, rtol=1e-12)
    assert (frame["num_seeds"] == 3).all()


def test_sample_grid_shows_the_first_samples_in_order(full):
    _, frame = draw("sample_grid", full)
    images = np.random.default_rng(11).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    shown = frame.loc[frame["arm"] == "B_weighted", "sha256"].tolist()
    assert shown == [hashlib.sha256(image.tobytes()).hexdigest() for image in images[: len(shown)]]


def test_unlike_rows_are_not_averaged(full):
    rows = full.results + [row | {"num_samples": 7} for row in full.results]
    with pytest.raises(PipelineError, match="more than once"):
        draw("frechet_vs_nfe", ReportContext(full.report, rows))


def test_paths_outside_a_run_and_unknown_figures_are_refused():
    assert arm_and_seed("results/s/p/runs/E1_a/seed1077/log.csv") == ("E1_a", 1077)
    with pytest.raises(PipelineError, match="runs/<arm>/seed<seed>/"):
        arm_and_seed("elsewhere/log.csv")
    with pytest.raises(PipelineError, match="unknown figure 'pie'"):
        draw("pie", ReportContext(made_up.report_settings()))
