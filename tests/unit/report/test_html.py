"""report.html is one offline file, escapes everything, links every number, and says what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.html_pages import Page, unlinked
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json_lines, write_json
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.figures import FIGURES as EVERY_FIGURE
from workflow_scripts.report.html import build_report
from workflow_scripts.report.page import render

# What a study shows whatever its sections.
FIGURES = {name: figure for name, figure in EVERY_FIGURE.items() if not figure.of_section}
TEMPLATES = made_up.TEMPLATES
NASTY = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted"'
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Manifests name files relative to the project, so the study is written into the working folder."""
    monkeypatch.chdir(tmp_path)


def study(figures=tuple(FIGURES), chain=None, **choices) -> tuple[dict, dict]:
    """Settings and inputs of a study; its figures are stand-ins, since the page only embeds their bytes."""
    report, inputs = made_up.write_study(Path("results/S1_made_up/tiny"), **choices)
    drawn = [Path(f"figures/{name}.svg") for name in figures]
    for path in drawn:
        path.parent.mkdir(exist_ok=True)
        path.write_text(SVG, encoding="utf-8")
    costs = Path("results/S1_made_up/tiny/costs.json")
    write_json(
        costs, collect_costs(inputs["timings"], manifests(report, figures) if chain is None else chain)
    )
    return report, inputs | {
        "summary": [Path("summary.md")],
        "figures": drawn,
        "captions": [made_up.REPORTS / f"captions/{name}.rst" for name in figures],
        "templates": made_up.PAGE,
        "costs": [costs],
        "notebooks": [Path("notebooks/01_results.html")],
    }


def page(report: dict, inputs: dict, chain: list | None = None, files: dict | None = None) -> str:
    chain = manifests(report, tuple(FIGURES)) if chain is None else chain
    files = made_up.setting_files(report) if files is None else files
    return build_report(report, inputs, Path("report.html"), chain, "ab" * 32, files)


def embedded(html: str) -> dict:
    """The JSON that the page's script reads."""
    return json.loads(html.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def body(html: str, name: str) -> str:
    return html.split(f'<table id="table-{name}"')[1].split("<tbody>")[1].split("</tbody>")[0]


def table(html: str, name: str) -> list[list[str]]:
    """The rows of a table as text."""
    rows = body(html, name).split("</tr>")[:-1]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in cells]


def test_nothing_refers_outside_the_file_but_relative_links():
    html = page(*study())
    found = Page(html)
    assert found.well_nested
    forbidden = {"link", "iframe", "object", "embed", "base", "form", "svg"}
    assert not forbidden & {tag for tag, _ in found.tags}
    own = ("#", "figures/", "notebooks/", "summary.md", "data:image/svg+xml;base64,")
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href", "action", "poster"):
            assert attributes.get(name, "#").startswith(own)
    # the name of a format, never fetched
    assert set(re.findall(r"https?://[^\s\"']*", html)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in html and "url(" not in html
    links = [attributes["href"] for attributes in found.named("a")]
    assert "notebooks/01_results.html" in links and "figures/hypotheses.csv" in links
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(link[1:] in ids for link in links if link.startswith("#"))
    # the policy allows this script and no other
    script = html.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert f"script-src 'sha256-{digest}';" in policy and policy.startswith("default-src 'none';")
    assert html.count("<script") == 2  # the data and the script; a script in a figure is not one in the page


def test_configuration_is_escaped_everywhere():
    report, inputs = study(title=NASTY)
    report["arms"][0]["label"] = NASTY + "</script><b>"
    html = page(report, inputs)
    found = Page(html)
    assert len(found.named("script")) == 2 == html.count("</script>")
    assert len(found.named("img")) == len(FIGURES)
    assert NASTY in found.text and found.text.count("<script>alert(1)</script>") > 5
    assert embedded(html)["labels"]["A_plain"] == NASTY + "</script><b>"


def test_question_and_answer_come_first_and_figures_have_text():
    report, inputs = study()
    html = page(report, inputs)
    found = Page(html)
    headings = [tag for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1" and headings.count("h1") == 1
    assert 'class="banner"' in html and 'class="banner"' not in page(*study(rehearsal=False))
    sections = "verdict deviations frontier curvature power weights training samples cost methods provenance"
    order = ["<h1>", 'class="verdict better"', *(f'id="{name}"' for name in sections.split())]
    places = [html.index(part) for part in order]
    assert places == sorted(places)
    images = found.named("img")
    assert {image["alt"] for image in images} == {figure.alt for figure in FIGURES.values()}
    assert {base64.b64decode(image["src"].partition(",")[2]).decode() for image in images} == {SVG}
    for path in inputs["captions"]:
        assert " ".join(path.read_text(encoding="utf-8").split()) in found.text
    # cost, parameters, settings, lock hash
    for wanted in ("12.5", "1,234", "training.learning_rate", "a" * 12, report["arms"][1]["label"]):
        assert wanted in found.text


def test_every_number_of_the_answer_and_the_tables_names_its_origin():
    html = page(*study())
    data = embedded(html)
    names = (
        "main_result by_nfe curvature further_metrics finite_sample scale error_rates cost_by_run power_parts"
    )
    for name in names.split():
        cells = re.findall(r"<td[^>]*data-value[^>]*>(.*?)</td>", body(html, name), flags=re.DOTALL)
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
    assert all(set(key[2:].split(" ")) <= known[key[0]] for key in keys)
    assert {key[0] for key in keys} == set(known)
    # a result row leads to the step that computed it
    row = dict(zip(data["columns"], data["rows"][0]))
    assert data["values"][row["metric"]] == "fd_toy"
    assert data["graph"]["steps"][row["maker"]]["entry"] == "measure"


@pytest.mark.parametrize(
    "choices",
    [
        {"outcome": "neutral"},
        {"outcome": "inconclusive", "rehearsal": False},
        {"outcome": "worse", "arms": made_up.ARMS[:2]},
        {"seeds": (11,)},
    ],
    ids=str,
)
def test_no_number_of_the_page_is_without_lineage(choices):
    report, inputs = study(**choices)
    assert unlinked(Page(page(report, inputs)).texts, report) == []
    # the search finds what is not linked
    assert len(unlinked(Page(page(report, inputs, chain=[], files={})).texts, report)) > 50


def test_a_setting_names_its_file_and_a_cost_its_steps():
    report, inputs = study()
    files = made_up.setting_files(report) | {
        "training.batch_size": "config/study/S1_made_up/presets/other.yaml"
    }
    html = page(report, inputs, files=files)
    data = embedded(html)
    methods = html.split('<section id="methods">')[1]
    assert '<button type="button" class="n" data-from="c:training.batch_size">8</button>' in methods
    assert data["settings"]["training.batch_size"] == [8, "config/study/S1_made_up/presets/other.yaml"]
    assert data["settings"]["B_weighted/loss.min_snr_gamma"] == [
        5.0,
        "config/study/S1_made_up/presets/tiny.yaml",
    ]
    assert re.search(r'data-from="c:B_weighted/loss.min_snr_gamma">5<', html)
    assert 'data-from="k:train_model">9</button>' in body(html, "cost_by_stage")  # three arms, three seeds
    for step in map(int, re.findall(r'data-from="s:(\d+)"', body(html, "cost_by_run"))):
        assert data["graph"]["steps"][step]["entry"] == "train_model"


def test_the_same_bytes_wherever_and_whenever_it_is_built(tmp_path, monkeypatch):
    pages = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("HOME", str(tmp_path / name))
        monkeypatch.setenv("USER", name)
        report, inputs = study()
        pages.append(page(report, inputs))
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0] and os.uname().nodename not in pages[0]
    # what differs from run to run stays out, but for the costs, which are an input
    chain = manifests(report, tuple(FIGURES))
    later = [{**item, "circumstances": {"started": "2020-01-01", "wall_s": 1}} for item in chain]
    assert page(report, inputs, later) == pages[0]
    assert '<meta name="input_lineage_sha256" content="' + "ab" * 32 in pages[0][:4096]


def test_wrong_inputs_are_one_line_errors(tmp_path):
    report, inputs = study()
    (tmp_path / "report.js").write_text("const text = '</script>';", encoding="utf-8")
    (tmp_path / "results.jsonl").touch()
    for wrong, message in (
        ({"results": [tmp_path / "results.jsonl"]}, "was decided from other results"),
        ({"captions": []}, "'hypotheses' is unknown or has no caption"),
        ({"templates": made_up.PAGE[:1]}, r"the template report\.js is missing"),
        ({"templates": made_up.PAGE[:3]}, r"the template summary\.md\.j2 is missing"),
        (
            {"templates": [*made_up.PAGE[:2], tmp_path / "report.js"]},
            "would end its element in the page early",
        ),
    ):
        with pytest.raises(PipelineError, match=message):
            page(report, inputs | wrong)
    for templates, name, message in (
        ([TEMPLATES / "notebook.html.j2"], "notebook.html.j2", r"the template page\.html\.j2 is missing"),
        (made_up.PAGE[:1], "report.html.j2", "cannot be rendered"),
        ([tmp_path / "absent.j2"], "absent.j2", "cannot read the template"),
    ):
        with pytest.raises(PipelineError, match=message):
            render(templates, name)


def test_a_missing_metric_or_arm_is_a_dash_that_leads_nowhere_and_a_deviation():
    report, inputs = study(arms=("A_plain", "B_weighted"))
    chain = [item for item in manifests(report) if item["lineage"]["wildcards"].get("arm") != "C_cosine"]
    rows = read_json_lines(inputs["results"][0])
    missing = {"metric": "hessian_trace", "arm": "B_weighted"}
    made_up.decide_again(report, inputs, [row for row in rows if not missing.items() <= row.items()])
    html = page(report, inputs, chain)
    weighted = next(row for row in table(html, "curvature") if row[0] == "weighted γ=5")
    assert weighted[1:4] == ["–", "–", "–"] and weighted[4] != "–"
    trace = next(row for row in table(html, "hypotheses") if row[0] == "B.H2")
    assert trace[5:] == ["–", "–", "inconclusive"]
    failed = next(row for row in table(html, "main_result") if row[0] == "cosine, plain")
    assert failed[1:] == ["–"] * 4
    for hypothesis in ("B.H2", "B.X1"):
        assert [hypothesis, "seeds", "3", "0; missing 11, 12, 13"] in table(html, "deviations")
    assert {run[0] for run in table(html, "cost_by_run")} == {"plain", "weighted γ=5"}
    assert not re.search(r'data-from="[^"]*">–<', html)


def test_one_seed_gives_no_interval_and_no_deviation():
    html = page(*study(seeds=(11,)))
    assert 'class="verdict inconclusive"' in html and "1 seed per arm" in Page(html).text
    assert all(len(row) == 3 and "±" not in row[2] for row in table(html, "main_result"))
    assert all(row[6] == "–" for row in table(html, "hypotheses"))


def test_missing_figures_manifests_and_timings_are_said():
    report, inputs = study(figures=(), chain=[])
    write_json(inputs["timings"][0], {"wall_s": 1.0, "steps_per_s": 2.0, "num_parameters": 5})
    write_json(inputs["costs"][0], collect_costs(inputs["timings"], []))
    html = page(report, inputs, chain=[])
    assert "Figure not drawn: hypotheses." in html and "No step manifests were found" in html
    assert "only training is timed" in html
    assert table(html, "cost_by_run")[0] == ["plain", "11", "1.00", "2.00", "–", "5", "–"]
    row = next(key for key in re.findall(r'data-from="(r:[^"]+)"', html))  # the result row is still known
    assert embedded(html)["rows"][int(row[2:].split()[0])][-1] is None


def test_ten_times_the_arms_stay_one_page():
    report, inputs = study()
    names = [f"D{number:02d}" for number in range(27)]
    report["arms"] += [{**report["arms"][0], "name": name, "label": f"arm {name}"} for name in names]
    rows = read_json_lines(inputs["results"][0])
    plain = [row for row in rows if row["arm"] == "A_plain"]
    made_up.decide_again(report, inputs, rows + [{**row, "arm": name} for name in names for row in plain])
    html = page(report, inputs)
    assert len(table(html, "main_result")) == 30 == len(table(html, "by_nfe"))
    assert len(html.encode()) < 5e6
