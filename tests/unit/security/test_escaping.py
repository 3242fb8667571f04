"""Whatever configuration, preregistration and data say, what is rendered from it has the same elements as from plain words.

The same study is rendered twice: with attacks in every text that a person or a dataset can set, and with harmless words
of the same length in their places. Tags and attribute names must come in the same order; an attack that got through
would add some.
"""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mistune
import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import run
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.figure_list import FIGURES
from workflow_scripts.steps import build_report, draw_figure, render_notebook, write_summary

REPORTS = Path(__file__).resolve().parents[3] / "reports"
TEMPLATES = REPORTS / "templates"
ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title></style></script><script>x</script>",
    "[x](javascript:alert(1)) ![x](http://x.example/x.png)",
    "</text></svg><script>x</script> &amp; ]]> <!-- -->",
    "| a | b | `<b>` **bold** $\\frac{$ {{ 7 * 7 }} {% raw %}",
    "<javascript:alert(1)> <http://x.example/> http://x.example/",
)
# Not words but names, by which things are looked up: the schema or the code allows only some, or they are sums.
NAMES = {
    "study",
    "preset",
    "preregistered_preset",
    "metric",
    "main_sampler",
    "sampler",
    "name",
    "arm",
    "comparator",
    "experiment",
    "id",
    "role",
    "direction",
    "outcome",
    "schedule",
    "prediction_type",
    "weighting",
    "kind",
    "objective",
    "sha256",
    "extractor_sha256",
    "reference_sha256",
    "checkpoint_sha256",
    "probe_sha256",
    "results_sha256",
    "sources_sha256",
    "extractor",
    "aggregation",
    "interval",
    "multiplicity",
    "key",
    "factor",
    "field",
    "resize",
    "samplers",
    "step",
    "previous_sha256",
    "arms",
    "missing_seeds",
    "metric_used",
}


class Elements(HTMLParser):
    """The start tags with their attributes' names, in order; the values of some attributes; the text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        self.links += [
            value or ""
            for name, value in attributes
            if name in ("href", "src", "xlink:href", "action", "data")
        ]

    def handle_data(self, data):
        self.text += data


class Words:
    """Replaces texts by attacks, or by words of the same shape; counts how many."""

    def __init__(self, attack: bool):
        self.attack, self.count = attack, 0

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item, key) for item in value]
        if not isinstance(value, str) or key in NAMES:
            return value
        text = ATTACKS[self.count % len(ATTACKS)]
        self.count += 1
        return text if self.attack else re.sub(r"\S", "x", text)


def render(root: Path, attack: bool, monkeypatch) -> dict[str, str]:
    """Every file that people open, by name."""
    words = Words(attack)
    originals = {name: getattr(made_up, name) for name in ("report_settings", "hypotheses", "gate")}
    monkeypatch.setattr(
        made_up,
        "report_settings",
        lambda *a, **k: {**words(originals["report_settings"](*a, **k)), "anchors": anchors(words)},
    )
    monkeypatch.setattr(made_up, "hypotheses", lambda *a, **k: words(originals["hypotheses"](*a, **k)))
    monkeypatch.setattr(made_up, "gate", lambda *a, **k: words(originals["gate"](*a, **k)))
    for name in ("SCALE_MARKS", "MANIFEST", "EXTRACTOR"):
        monkeypatch.setattr(made_up, name, words(copy.deepcopy(getattr(made_up, name))))
    report, inputs = made_up.write_study(root / "results/S1_made_up/tiny")
    verdict = inputs["verdict"][0]
    write_json(verdict, {**made_up.verdict(report, made_up.result_rows(report)), "reason": words("reason")})
    monkeypatch.chdir(root)

    def call(main, settings, given, **outputs):
        run(
            main,
            made_up.arguments(
                {**settings, "report": report}, given, {name: root / path for name, path in outputs.items()}
            ),
        )

    figures = []
    for name in FIGURES:
        call(
            draw_figure.main,
            {"figure": name},
            inputs,
            svg=f"figures/{name}.svg",
            png=f"figures/{name}.png",
            data=f"figures/{name}.csv",
        )
        figures.append(root / f"figures/{name}.svg")
    call(write_summary.main, {}, {**inputs, "template": [TEMPLATES / "summary.md.j2"]}, summary="summary.md")
    needed = {name: inputs[name] for name in ("results", "verdict", "scale_marks", "logs", "probes")}
    pages = {
        "notebook": [TEMPLATES / "page.html.j2", TEMPLATES / "notebook.html.j2"],
        "report": sorted(TEMPLATES.glob("*")),
    }
    call(
        render_notebook.main,
        {"notebook": "01_results"},
        {**needed, "template": [REPORTS / "notebooks/01_results.ipynb"], "templates": pages["notebook"]},
        notebook="notebooks/01_results.ipynb",
        html="notebooks/01_results.html",
    )
    captions = []
    for name in FIGURES:
        captions.append(root / f"captions/{name}.rst")
        captions[-1].parent.mkdir(exist_ok=True)
        captions[-1].write_text(words(name), encoding="utf-8")
    given = {
        **inputs,
        "summary": [root / "summary.md"],
        "figures": figures,
        "captions": captions,
        "templates": pages["report"],
        "notebooks": [root / "notebooks/01_results.html"],
        "costs": [root / "costs.json"],
    }
    write_json(root / "costs.json", collect_costs(inputs["timings"], manifests(report, tuple(FIGURES))))
    call(build_report.main, {"setting_files": made_up.setting_files(report)}, given, html="report.html")
    assert words.count > 40
    monkeypatch.undo()
    paths = [*figures, root / "summary.md", root / "notebooks/01_results.html", root / "report.html"]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def anchors(words: Words) -> list[dict[str, Any]]:
    curve = {"sampler": "ddpm", "eta": None, "nfe": [10, 50], "values": [9.0, 8.0]}
    return [
        {
            **words({"label": "a", "citation": "b", "note": "c"}),
            "metric": "fd_toy",
            "source": "toy",
            "curves": [curve],
        }
    ]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """(attacked, plain), each file by name."""
    with pytest.MonkeyPatch.context() as patch:
        attacked = render(tmp_path_factory.mktemp("attacked"), True, patch)
        return attacked, render(tmp_path_factory.mktemp("plain"), False, patch)


@pytest.mark.parametrize("name", ["report.html", "01_results.html"])
def test_pages_have_the_elements_of_plain_words(rendered, name):
    attacked, plain = (Elements(files[name]) for files in rendered)
    # A digit in a sentence opens its lineage, and some attacks hold one.
    numbers = [("button", ("type", "class", "data-from")), ("span", ("class",))]
    assert [tag for tag in attacked.tags if tag not in numbers] == [
        tag for tag in plain.tags if tag not in numbers
    ]
    assert [link for link in attacked.links if not link.startswith(("data:", "#"))] == [
        link for link in plain.links if not link.startswith(("data:", "#"))
    ]
    assert not any(attribute.startswith("on") for _, attributes in attacked.tags for attribute in attributes)
    assert '"><img src=x onerror=alert(1)>' in attacked.text  # it is shown, as the text that it is


@pytest.mark.parametrize("name", [f"{figure}.svg" for figure in FIGURES])
def test_figures_have_the_elements_of_plain_words(rendered, name):
    attacked, plain = (ElementTree.fromstring(files[name]) for files in rendered)
    shapes = [
        [(element.tag, sorted(element.keys())) for element in root.iter()] for root in (attacked, plain)
    ]
    assert shapes[0] == shapes[1]
    assert not any(
        tag.lower().endswith("}script") or any(key.startswith("on") for key in keys)
        for tag, keys in shapes[0]
    )


def test_the_summary_shows_no_html_even_where_a_viewer_allows_it(rendered):
    """Viewers of Markdown differ; the most generous lets HTML through."""
    attacked, plain = (
        Elements(mistune.create_markdown(escape=False, plugins=["table", "url"])(files["summary.md"]))
        for files in rendered
    )
    assert attacked.tags == plain.tags
    assert attacked.links == plain.links
