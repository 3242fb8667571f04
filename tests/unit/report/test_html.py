"""report.html is one offline file: nothing from elsewhere, everything escaped, verdict first, figures with their text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts import build_report, draw_figure, write_summary
from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import write_json
from workflow_scripts.common.step import Step, run
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.html import build_report as build
from workflow_scripts.report.page import render

REPORTS = Path(__file__).resolve().parents[3] / "reports"
PAGES = [REPORTS / "templates" / name for name in ("page.html.j2", "report.html.j2")]
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\""


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well nested

    def handle_data(self, data):
        self.text += data


def make(root: Path, figures=("hypotheses", "frechet_vs_nfe"), **choices) -> tuple[dict, dict, str]:
    report, inputs = made_up.write_study(root / "study", **choices)
    for name in figures:
        outputs = {key: [root / f"figures/{name}.{end}"] for key, end in (("svg", "svg"), ("png", "png"), ("data", "csv"))}
        draw_figure.main(Step("draw_figure", {"figure": name, "report": report}, inputs, outputs))
    summary = {**inputs, "template": [REPORTS / "templates/summary.md.j2"]}
    write_summary.main(Step("write_summary", {"report": report}, summary, {"summary": [root / "summary.md"]}))
    inputs |= {
        "summary": [root / "summary.md"],
        "figures": [root / f"figures/{name}.svg" for name in figures],
        "captions": [REPORTS / f"captions/{name}.rst" for name in figures],
        "templates": PAGES,
        "notebooks": [root / "notebooks/01_results.html"],
    }
    run(build_report.main, made_up.arguments({"report": report}, inputs, {"html": root / "report.html"}))
    return report, inputs, (root / "report.html").read_text(encoding="utf-8")


def test_no_reference_leaves_the_file_except_relative_links(tmp_path):
    _, _, html = make(tmp_path)
    page = Elements(html)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/svg+xml;base64,", "#", "figures/", "notebooks/"))
    assert "http://" not in html and "https://" not in html and "@import" not in html and "url(" not in html
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert "notebooks/01_results.html" in links and "figures/hypotheses.csv" in links
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert all(link[1:] in targets for link in links if link.startswith("#"))


def test_configuration_is_escaped_everywhere(tmp_path):
    _, _, html = make(tmp_path, title=NASTY)
    page = Elements(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert NASTY in page.text


def test_escaping_of_labels_in_the_summary_and_the_cost_table(tmp_path):
    report, inputs, _ = make(tmp_path)
    report["arms"][0]["label"] = NASTY
    summary = {**inputs, "template": [REPORTS / "templates/summary.md.j2"]}
    write_summary.main(Step("write_summary", {"report": report}, summary, {"summary": [tmp_path / "summary.md"]}))
    page = Elements(build(report, inputs, tmp_path / "report.html"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("<script>alert(1)</script>") > 5


def test_verdict_comes_first_and_figures_have_text(tmp_path):
    report, _, html = make(tmp_path, figures=tuple(FIGURES))
    page = Elements(html)
    assert html.index('class="verdict better"') < html.index("<table") < html.index('id="cost"')
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] and len(images) == len(FIGURES)
    assert {image["alt"] for image in images} == {figure.alt for figure in FIGURES.values()}
    for name in FIGURES:
        assert " ".join((REPORTS / f"captions/{name}.rst").read_text(encoding="utf-8").split()) in page.text
    for wanted in ("12.5", "1,234", "training.learning_rate", "a" * 64):  # cost, parameters, settings, lock hash
        assert wanted in page.text
    assert report["arms"][1]["label"] in page.text


def test_rehearsal_banner(tmp_path):
    assert 'class="rehearsal"' in make(tmp_path / "rehearsal")[2]
    assert 'class="rehearsal"' not in make(tmp_path / "real", rehearsal=False)[2]


def test_a_verdict_from_other_results_is_refused(tmp_path):
    report, inputs, _ = make(tmp_path)
    inputs["results"][0].write_text("", encoding="utf-8")
    with pytest.raises(PipelineError, match="was decided from other results"):
        build(report, inputs, tmp_path / "report.html")


def test_a_figure_without_caption_is_refused(tmp_path):
    report, inputs, _ = make(tmp_path)
    with pytest.raises(PipelineError, match="'hypotheses' is unknown or has no caption"):
        build(report, inputs | {"captions": []}, tmp_path / "report.html")


def test_missing_templates_and_values_are_one_line_errors(tmp_path):
    with pytest.raises(PipelineError, match=r"page\.html\.j2 was not handed over"):
        render(PAGES[1:], "report.html.j2")
    with pytest.raises(PipelineError, match="cannot be rendered"):
        render(PAGES, "report.html.j2")
    with pytest.raises(PipelineError, match="cannot read the template"):
        render([tmp_path / "absent.j2"], "absent.j2")


def test_a_run_without_timing_values_is_shown_as_such(tmp_path):
    report, inputs, _ = make(tmp_path)
    write_json(inputs["timings"][0], {"wall_s": 1.0, "steps_per_s": 2.0, "peak_memory_mb": None, "num_parameters": 5})
    cost = build(report, inputs, tmp_path / "report.html").split('<section id="cost">')[1].split("</section>")[0]
    assert "<td>1.00</td><td>2.00</td><td>–</td><td>5</td>" in cost
