"""Every figure draws from full, partial and no data; its files do not change when drawn again; its data are the results."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report import style
from workflow_scripts.report.context import ReportContext, arm_and_seed
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.figures import draw
from workflow_scripts.report.statistics import geometric_interval

CAPTIONS = Path(__file__).resolve().parents[3] / "reports" / "captions"


def context_of(root: Path, **choices) -> ReportContext:
    return ReportContext.load(*made_up.write_study(root, **choices))


def texts_of(figure) -> str:
    import matplotlib.text

    return "\n".join(item.get_text() for item in figure.findobj(matplotlib.text.Text))


def test_the_list_the_modules_and_the_captions_name_the_same_figures():
    modules = {
        path.stem for path in (CAPTIONS.parents[1] / "workflow_scripts/report/figures").glob("[!_]*.py")
    }
    assert set(FIGURES) == modules == {path.stem for path in CAPTIONS.glob("*.rst")}


@pytest.mark.parametrize("name", FIGURES)
def test_captions_are_plain_text_in_both_markups(name):
    caption = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    assert len(caption.split()) > 15
    assert not set("*`_|<>{}[]\\") & set(caption)  # marks of reStructuredText, Markdown or Jinja


@pytest.mark.parametrize("name", FIGURES)
def test_draws_from_full_data_and_twice_the_same_bytes(name, tmp_path):
    context = context_of(tmp_path / "study")
    written = []
    for number in (1, 2):
        paths = [tmp_path / f"{number}.{kind}" for kind in ("svg", "png", "csv")]
        figure, frame = draw(name, context)
        assert len(frame) > 0
        assert "REHEARSAL" in texts_of(figure)
        style.save_figure(figure, frame, *paths)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    svg = written[0][0].decode()
    assert "<text" in svg and "</text>" in svg  # real text, not outlines
    assert "<dc:date>" not in svg


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    "choices", [{"seeds": (11,)}, {"arms": ("A_plain",)}, {"rehearsal": False, "channels": 3}]
)
def test_draws_from_part_of_the_data(name, choices, tmp_path):
    figure, frame = draw(name, context_of(tmp_path / "study", **choices))
    style.save_figure(figure, frame, *(tmp_path / f"a.{kind}" for kind in ("svg", "png", "csv")))
    assert len(frame) > 0
    assert ("REHEARSAL" in texts_of(figure)) == choices.get("rehearsal", True)
    if "arms" in choices and name not in ("snr_and_weights", "hypotheses"):
        assert "weighted γ=5" in texts_of(figure)  # named as missing


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"snr_and_weights"}))
def test_draws_from_nothing_and_says_so(name, tmp_path):
    figure, frame = draw(name, ReportContext(made_up.report_settings()))
    style.save_figure(figure, frame, *(tmp_path / f"a.{kind}" for kind in ("svg", "png", "csv")))
    assert frame.empty
    assert any(word in texts_of(figure) for word in ("No ", "Not measured"))


def test_frechet_data_are_the_geometric_mean_and_its_t_interval(tmp_path):
    _, frame = draw("frechet_vs_nfe", context_of(tmp_path))
    point = frame[(frame["arm"] == "A_plain") & (frame["sampler"] == "ddpm") & (frame["nfe"] == 50)]
    logs = [math.log(value) for value in point.loc[point["kind"] == "seed", "value"]]
    mean = sum(logs) / 3
    sd = math.sqrt(sum((value - mean) ** 2 for value in logs) / 2)
    half = (
        4.302652729911275 * sd / math.sqrt(3)
    )  # Student t, 2 degrees of freedom, 97.5 %, from a printed table
    row = point[point["kind"] == "geometric mean"].iloc[0]
    expected = [math.exp(mean), math.exp(mean - half), math.exp(mean + half)]
    assert [row["value"], row["low"], row["high"]] == pytest.approx(
        expected, rel=1e-9
    )  # both are double precision


def test_published_values_are_drawn_for_their_sampler_and_eta_only(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    first = report["samplers"][0]
    own = {
        "sampler": first["name"],
        "eta": first.get("eta"),
        "nfe": [first["nfe"][0], 10_000],
        "values": [3.5, 1.5],
    }
    other = {**own, "eta": 0.3}
    anchor = {
        "label": "published: a paper",
        "citation": "A 1999, table 1",
        "note": "another network",
        "metric": "fd_toy",
        "source": "toy",
        "curves": [own, other],
    }
    figure, frame = draw("frechet_vs_nfe", ReportContext.load(report | {"anchors": [anchor]}, inputs))
    drawn = frame[frame["kind"] == "published: a paper"]
    assert drawn[["nfe", "value"]].to_numpy().tolist() == [
        [first["nfe"][0], 3.5]
    ]  # no run was evaluated beyond
    assert (
        "A 1999, table 1" in texts_of(figure) and texts_of(figure).count("published: a paper") == 2
    )  # legend and note
    assert "A 1999" not in texts_of(draw("frechet_vs_nfe", context_of(tmp_path / "none"))[0])


def test_a_value_without_a_logarithm_is_named_and_not_drawn():
    report = made_up.report_settings()
    rows = made_up.result_rows(report)
    broken = [
        row | {"value": 0.0}
        if (row["metric"], row["arm"], row["seed"], row["nfe"]) == ("fd_toy", "A_plain", 12, 50)
        else row
        for row in rows
    ]
    figure, frame = draw("frechet_vs_nfe", ReportContext(report, broken))
    assert "Not positive, hence not drawn: plain seed 12, ddpm NFE 50: 0." in texts_of(figure)
    point = frame[(frame["arm"] == "A_plain") & (frame["nfe"] == 50) & (frame["sampler"] == "ddpm")]
    assert set(point["seed"].dropna()) == {11, 13} and np.isfinite(point["value"]).all()


def test_one_value_has_no_interval():
    assert geometric_interval([2.0])[0] == pytest.approx(2.0)
    assert all(math.isnan(value) for value in geometric_interval([2.0])[1:])


def test_an_arm_keeps_its_colour_when_others_have_no_data(tmp_path):
    full = context_of(tmp_path / "full")
    part = context_of(tmp_path / "part", arms=("C_cosine",))
    assert style.arm_style(full, "C_cosine") == style.arm_style(part, "C_cosine")
    figure, _ = draw("curvature_vs_frechet", part)
    drawn = {line.get_color() for line in figure.axes[0].lines}
    assert drawn == {style.arm_style(full, "C_cosine")["color"]}


def test_an_arm_keeps_its_colour_when_others_leave_the_preset(tmp_path):
    report = made_up.report_settings()
    full = ReportContext(report)
    part = ReportContext(report | {"arms": [arm for arm in report["arms"] if arm["name"] != "B_weighted"]})
    assert style.arm_style(full, "C_cosine") == style.arm_style(part, "C_cosine")


def test_more_arms_than_colours_still_look_different():
    report = made_up.report_settings()
    report["arms"] = [
        report["arms"][0] | {"name": f"arm{look}", "look": look} for look in range(1, 2 * len(style.PALETTE))
    ]
    context = ReportContext(report)
    looks = {tuple(style.arm_style(context, arm).values()) for arm in context.arms}
    assert len(looks) == len(report["arms"])


def many_arms(count: int) -> ReportContext:
    """As many arms with long names, all close to each other, and a published curve."""
    report = made_up.report_settings()
    report["arms"] = [
        report["arms"][1]
        | {
            "name": f"E{look}_arm",
            "label": f"linear betas, Min-SNR γ={look}, mean weight 1",
            "look": look,
            "loss": {"weighting": "min_snr", "min_snr_gamma": float(look)},
        }
        for look in range(1, count + 1)
    ]
    report["samplers"][0]["nfe"] = [10, 20, 25, 50]
    report["anchors"] = [
        {
            "label": "Published",
            "citation": "A 1999",
            "note": "n",
            "curves": [{"sampler": "ddpm", "eta": None, "nfe": [10, 50], "values": [9.0, 5.0]}],
        }
    ]
    rows = made_up.result_rows(report, "inconclusive", tuple(arm["name"] for arm in report["arms"]))
    rows = [row | {"value": row["value"] * (1 + 0.01 * int(row["arm"][1:-4]))} for row in rows]
    return ReportContext(report, rows, scale_marks=made_up.SCALE_MARKS)


FROM_RESULTS = ("curvature_vs_frechet", "curvature_vs_step", "frechet_vs_nfe", "snr_and_weights")


@pytest.mark.parametrize(
    ("name", "num_arms"),
    [
        *((name, 3) for name in sorted(FIGURES)),
        *((name, 7) for name in FROM_RESULTS),
        *((name, 40) for name in FROM_RESULTS),
    ],
)
def test_no_two_texts_overlap(name, num_arms, tmp_path, monkeypatch):
    from matplotlib.text import Text

    context = context_of(tmp_path) if num_arms == 3 else many_arms(num_arms)
    figure, _ = draw(name, context)
    drawn, original = {}, Text.draw
    monkeypatch.setattr(
        Text,
        "draw",
        lambda self, *rest, **more: (drawn.update({id(self): self}), original(self, *rest, **more)),
    )
    figure.savefig(io.BytesIO(), dpi="figure")
    boxes = [
        (item.get_text(), item.get_window_extent())
        for item in drawn.values()
        if item.get_text().strip() and item.get_visible()
    ]
    assert len(boxes) > min(num_arms, 15)  # of many arms the frontier names some
    for index, (text, box) in enumerate(boxes):
        for other, second in boxes[index + 1 :]:
            # Boxes hold the room above and below letters: a pixel in common is no collision.
            wide = min(box.x1, second.x1) - max(box.x0, second.x0)
            high = min(box.y1, second.y1) - max(box.y0, second.y0)
            assert wide < 1 or high < 1, (text, other)


def test_with_ten_times_the_arms_the_frontier_names_the_preregistered_ones_and_the_lowest():
    context = many_arms(40)
    confirmatory = {"role": "confirmatory", "comparator": "E30_arm", "arm": "E20_arm"}
    context = ReportContext(
        context.report, context.results, {"hypotheses": [confirmatory]}, context.scale_marks
    )
    figure, frame = draw("frechet_vs_nfe", context)
    # The values grow with the arm's number, so the first three are the lowest.
    texts = [
        text.get_text().replace("\n", " ") for text in figure.findobj(lambda item: hasattr(item, "get_text"))
    ]
    names = [text for text in texts if re.match(r"linear betas, Min-SNR γ=\d+", text)]
    assert sorted(names) == sorted(
        f"linear betas, Min-SNR γ={number}, mean weight 1" for number in (1, 2, 3, 20, 30)
    )
    assert any("Named are 5 of 40 arms" in text and "no test" in text for text in texts)
    assert (
        frame.loc[frame["kind"] == "geometric mean", "arm"].nunique() == 40
    )  # the plotted data leaves none out
    grey = [
        line
        for line in figure.axes[0].lines
        if line.get_color() == style.EDGE and line.get_linewidth() == 0.6
    ]
    assert len(grey) == 35


def test_backgrounds_are_left_to_the_page_and_what_is_no_data_is_grey(tmp_path):
    figure, frame = draw("frechet_vs_nfe", context_of(tmp_path / "study"))
    paths = [tmp_path / f"a.{kind}" for kind in ("svg", "png", "csv")]
    style.save_figure(figure, frame, *paths)
    svg = paths[0].read_text(encoding="utf-8")
    assert "fill: #ffffff" not in svg and "stroke: #ffffff" not in svg
    texts = set(re.findall(r"<text style=\"[^\"]*fill: (#[0-9a-f]{6})", svg))
    assert texts == {style.TEXT, style.MUTED}
    known = {
        style.TEXT,
        style.MUTED,
        style.EDGE,
        style.GRID,
        *(color.lower() for color in style.PALETTE),
        "#000000",
    }
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= known
    with Image.open(paths[1]) as image:
        assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_dollar_sign_in_a_label_is_text(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    report["arms"][0]["label"] = "costs $x_{ $"
    figure, frame = draw("frechet_vs_nfe", ReportContext.load(report, inputs))
    style.save_figure(figure, frame, *(tmp_path / f"a.{kind}" for kind in ("svg", "png", "csv")))
    assert "costs $x_{ $" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_timestep_ratio_is_paired_with_the_baseline_of_the_same_schedule(tmp_path):
    _, frame = draw("timestep_mse", context_of(tmp_path))
    ratios = frame[frame["quantity"] == "ratio to baseline"]
    assert set(ratios["arm"]) == {"B_weighted"}  # A_plain is the baseline, C_cosine has another schedule
    expected = [((1 + 1 / 9) * math.exp(-t / 30) + 0.01) / (math.exp(-t / 30) + 0.01) for t in ratios["t"]]
    assert ratios["mean"].tolist() == pytest.approx(expected, rel=1e-12)


def test_training_curves_of_a_constant_are_that_constant(tmp_path):
    report, inputs = made_up.write_study(tmp_path)
    for path in inputs["logs"]:
        table = pd.read_csv(path)
        table[["loss", "mse", "grad_norm"]] = 0.25
        table.to_csv(path, index=False)
    _, frame = draw("training_curves", ReportContext.load(report, inputs))
    assert np.allclose(frame[["mean", "low", "high"]], 0.25, rtol=1e-12)
    assert (frame["num_seeds"] == 3).all()


def test_sample_grid_shows_the_first_samples_in_order(tmp_path):
    import hashlib

    context = context_of(tmp_path)
    _, frame = draw("sample_grid", context)
    images = np.random.default_rng(11).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    mine = frame[frame["arm"] == "B_weighted"]
    assert mine["sha256"].tolist() == [
        hashlib.sha256(image.tobytes()).hexdigest() for image in images[: len(mine)]
    ]


def test_unlike_rows_are_not_averaged():
    report = made_up.report_settings()
    rows = made_up.result_rows(report)
    with pytest.raises(PipelineError, match="more than once"):
        draw("frechet_vs_nfe", ReportContext(report, rows + [row | {"num_samples": 7} for row in rows]))


def test_paths_outside_a_run_and_unknown_figures_are_refused():
    assert arm_and_seed("results/s/p/runs/E1_a/seed1077/log.csv") == ("E1_a", 1077)
    with pytest.raises(PipelineError, match="runs/<arm>/seed<seed>/"):
        arm_and_seed("elsewhere/log.csv")
    with pytest.raises(PipelineError, match="unknown figure 'pie'"):
        draw("pie", ReportContext(made_up.report_settings()))
