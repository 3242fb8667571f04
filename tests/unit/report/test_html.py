"""report.html is one offline file: nothing from elsewhere, everything escaped, verdict first, figures with their text."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import manifests
from tests.unit.report.unlinked_numbers import names_of, texts_of, unlinked
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.report.html import build_report as build
from workflow_scripts.report.page import render
from workflow_scripts.steps import build_report, draw_figure, write_summary

REPORTS = Path(__file__).resolve().parents[3] / "reports"
PAGES = [REPORTS / "templates" / name for name in ("report.html.j2", "report.css", "report.js")]
NASTY = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted"'


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
        if tag not in ("meta", "img", "br", "hr", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well nested

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def make(root: Path, figures=("hypotheses", "frechet_vs_nfe"), **choices) -> tuple[dict, dict, str]:
    report, inputs = made_up.write_study(root / "results/S1_made_up/tiny", **choices)
    for name in figures:
        outputs = {
            key: [root / f"figures/{name}.{end}"]
            for key, end in (("svg", "svg"), ("png", "png"), ("data", "csv"))
        }
        draw_figure.main(Step("draw_figure", {"figure": name, "report": report}, inputs, outputs))
    summary = {**inputs, "template": [REPORTS / "templates/summary.md.j2"]}
    write_summary.main(Step("write_summary", {"report": report}, summary, {"summary": [root / "summary.md"]}))
    inputs |= {
        "summary": [root / "summary.md"],
        "figures": [root / f"figures/{name}.svg" for name in figures],
        "captions": [REPORTS / f"captions/{name}.rst" for name in figures],
        "templates": PAGES,
        "costs": [root / "results/S1_made_up/tiny/costs.json"],
        "notebooks": [root / "notebooks/01_results.html"],
    }
    write_json(inputs["costs"][0], collect_costs(inputs["timings"], manifests(report, figures)))
    settings = {"report": report, "setting_files": made_up.setting_files(report)}
    run(build_report.main, made_up.arguments(settings, inputs, {"html": root / "report.html"}))
    return report, inputs, (root / "report.html").read_text(encoding="utf-8")


def embedded(html: str) -> dict:
    """The JSON that the page's script reads."""
    return json.loads(html.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def test_nothing_refers_outside_the_file_but_relative_links(tmp_path):
    _, _, html = make(tmp_path)
    page = Elements(html)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(
                ("#", "figures/", "notebooks/", "summary.md", "data:image/png;base64,")
            )
    addresses = set(re.findall(r"https?://[^\s\"']*", html))
    assert addresses <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }  # names of formats, never fetched
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert "notebooks/01_results.html" in links and "figures/hypotheses.csv" in links
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(link[1:] in ids for link in links if link.startswith("#"))


def test_the_policy_allows_this_script_and_no_other(tmp_path):
    import base64
    import hashlib

    _, _, html = make(tmp_path)
    script = html.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert f"script-src 'sha256-{digest}';" in policy and policy.startswith("default-src 'none';")
    assert html.count("<script") == 2  # the data and the script


def test_configuration_is_escaped_everywhere(tmp_path):
    report, inputs, _ = make(tmp_path, title=NASTY)
    report["arms"][0]["label"] = NASTY + "</script><b>"
    html = build(report, inputs, tmp_path / "report.html", manifests(report))
    page = Elements(html)
    assert [tag for tag, _ in page.tags].count("script") == 2 and "img" not in {tag for tag, _ in page.tags}
    assert html.count("</script>") == 2
    assert NASTY in page.text and page.text.count("<script>alert(1)</script>") > 5
    assert embedded(html)["labels"]["A_plain"] == NASTY + "</script><b>"


def test_question_and_answer_come_first_and_figures_have_text(tmp_path):
    report, _, html = make(tmp_path, figures=tuple(FIGURES))
    page = Elements(html)
    headings = [(tag, number) for number, (tag, _) in enumerate(page.tags) if re.fullmatch("h[1-6]", tag)]
    assert headings[0][0] == "h1" and [tag for tag, _ in headings].count("h1") == 1
    order = [
        "<h1>",
        'class="verdict better"',
        'id="verdict"',
        'id="deviations"',
        'id="frontier"',
        'id="curvature"',
        'id="weights"',
        'id="training"',
        'id="samples"',
        'id="cost"',
        'id="methods"',
        'id="provenance"',
    ]
    places = [html.index(part) for part in order]
    assert places == sorted(places)
    drawings = {attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"}
    assert drawings == {figure.alt for figure in FIGURES.values()}
    for name in FIGURES:
        assert " ".join((REPORTS / f"captions/{name}.rst").read_text(encoding="utf-8").split()) in page.text
    for wanted in (
        "12.5",
        "1,234",
        "training.learning_rate",
        "a" * 12,
    ):  # cost, parameters, settings, lock hash
        assert wanted in page.text
    assert report["arms"][1]["label"] in page.text


def test_rehearsal_banner(tmp_path):
    assert 'class="banner"' in make(tmp_path / "rehearsal")[2]
    assert 'class="banner"' not in make(tmp_path / "real", rehearsal=False)[2]


def test_every_number_of_the_answer_and_the_tables_names_its_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # manifests name files relative to the project
    report, inputs, _ = make(Path("."))
    html = build(
        report,
        inputs,
        tmp_path / "report.html",
        manifests(report),
        setting_files=made_up.setting_files(report),
    )
    data = embedded(html)
    for name in (
        "main_result",
        "by_nfe",
        "curvature",
        "further_metrics",
        "finite_sample",
        "scale",
        "error_rates",
        "cost_by_run",
    ):
        table = html.split(f'<table id="table-{name}"')[1].split("</table>")[0].split("<tbody>")[1]
        cells = re.findall(r"<td[^>]*data-value[^>]*>(.*?)</td>", table, flags=re.DOTALL)
        assert cells and all('class="n" data-from="' in cell for cell in cells), name
    answer = html.split('<p class="answer">')[1].split("</p>")[0]
    assert re.findall(r'data-from="h:B\.H1[^"]*">([^<]+)<', answer)[0] == "20.0 %"
    entries = {step["entry"] for step in data["graph"]["steps"]}
    known = {
        "r": set(map(str, range(len(data["rows"])))),
        "s": set(map(str, range(len(data["graph"]["steps"])))),
        "h": set(data["hypotheses"]),
        "f": set(data["figures"]),
        "c": set(data["settings"]),
        "e": entries,
        "k": entries,
    }
    keys = re.findall(r'data-from="([^"]+)"', html)
    assert all(set(key[2:].split(" ")) <= known[key[0]] for key in keys) and {key[0] for key in keys} == set(
        known
    )
    # a result row leads to the step that computed it, and that to its sampler, checkpoint and data
    row = dict(zip(data["columns"], data["rows"][0]))
    assert data["graph"]["steps"][row["maker"]]["entry"] in ("compute_metrics", "probe_checkpoint")


@pytest.mark.parametrize(
    "choices",
    [
        *({"outcome": outcome} for outcome in made_up.CHANGES),
        {"rehearsal": False},
        {"seeds": (11,)},
        {"arms": made_up.ARMS[:2]},
    ],
    ids=str,
)
def test_no_number_of_the_page_is_without_lineage(choices, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report, inputs, _ = make(Path("."), figures=tuple(FIGURES), **choices)
    html = build(
        report, inputs, Path("report.html"), manifests(report), setting_files=made_up.setting_files(report)
    )
    assert unlinked(texts_of(html), names_of(report)) == []
    # The search finds what is not linked.
    assert len(unlinked(texts_of(build(report, inputs, Path("report.html"))), names_of(report))) > 50


def test_a_setting_names_its_file_and_a_cost_its_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report, inputs, _ = make(Path("."))
    files = made_up.setting_files(report) | {"training.batch_size": "config/preset/other.yaml"}
    html = build(report, inputs, Path("report.html"), manifests(report), setting_files=files)
    data = embedded(html)
    methods = html.split('<section id="methods">')[1]
    assert '<button type="button" class="n" data-from="c:training.batch_size">8</button>' in methods
    assert data["settings"]["training.batch_size"] == [8, "config/preset/other.yaml"]
    assert data["settings"]["B_weighted/loss.min_snr_gamma"] == [5.0, "config/preset/tiny.yaml"]
    assert re.search(r'data-from="c:B_weighted/loss.min_snr_gamma">5<', html)
    stages = html.split('<table id="table-cost_by_stage"')[1].split("</table>")[0]
    assert 'data-from="k:train_model">9</button>' in stages  # three arms, three seeds
    runs = html.split('<table id="table-cost_by_run"')[1].split("</table>")[0]
    for step in map(int, re.findall(r'data-from="s:(\d+)"', runs)):
        assert data["graph"]["steps"][step]["entry"] == "train_model"


def test_the_same_bytes_wherever_it_is_built(tmp_path, monkeypatch):
    pages = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("HOME", str(tmp_path / name))
        monkeypatch.setenv("USER", name)
        report, inputs, _ = make(Path("."))
        pages.append(build(report, inputs, Path("report.html"), manifests(report), "ab" * 32))
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0] and os.uname().nodename not in pages[0]
    # what differs from run to run stays out, but for the costs, which are an input
    later = [{**item, "circumstances": {"started": "2020-01-01", "wall_s": 1}} for item in manifests(report)]
    assert build(report, inputs, Path("report.html"), later, "ab" * 32) == pages[0]
    assert '<meta name="input_lineage_sha256" content="' + "ab" * 32 in pages[0][:4096]


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
    report, inputs, _ = make(tmp_path)
    with pytest.raises(PipelineError, match=r"report\.css was not handed over"):
        build(report, inputs | {"templates": PAGES[:1]}, tmp_path / "report.html")
    with pytest.raises(PipelineError, match=r"page\.html\.j2 was not handed over"):
        render([REPORTS / "templates/notebook.html.j2"], "notebook.html.j2")
    with pytest.raises(PipelineError, match="cannot be rendered"):
        render(PAGES[:1], "report.html.j2")
    with pytest.raises(PipelineError, match="cannot read the template"):
        render([tmp_path / "absent.j2"], "absent.j2")


def test_a_script_that_would_end_its_element_is_refused(tmp_path):
    report, inputs, _ = make(tmp_path)
    (tmp_path / "report.js").write_text("const text = '</script>';", encoding="utf-8")
    with pytest.raises(PipelineError, match="would end it early"):
        build(report, inputs | {"templates": [*PAGES[:2], tmp_path / "report.js"]}, tmp_path / "report.html")


def test_a_run_without_timing_values_is_shown_as_such(tmp_path):
    report, inputs, _ = make(tmp_path)
    write_json(
        inputs["timings"][0], {"wall_s": 1.0, "steps_per_s": 2.0, "peak_memory_mb": None, "num_parameters": 5}
    )
    write_json(inputs["costs"][0], collect_costs(inputs["timings"], []))
    html = build(report, inputs, tmp_path / "report.html")
    cost = html.split('<section id="cost">')[1].split("</section>")[0]
    row = re.findall(r"<td[^>]*>([^<]*)</td>", cost.split("<tbody>")[1].split("</tr>")[0])
    assert row == ["11", "1.00", "2.00", "–", "5"]
    assert "only training is timed" in cost and "No manifest of a step was found" in html
