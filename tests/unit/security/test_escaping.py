"""No text from configuration, preregistration or data adds an element to what is rendered.

The same study is rendered twice: with attacks in every text that a person or a dataset can set, and with
harmless words of the same shape. Tags and attribute names must come in the same order; a successful attack
would add some.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mistune
import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.html_pages import Page
from tests.unit.report.made_up_manifests import manifests
from workflow_scripts.core.files import write_json

pytestmark = pytest.mark.slow

# The figures that show the most text from configuration; all are drawn by the same code.
FIGURES = ("hypotheses", "frechet_vs_nfe", "snr_and_weights")
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
# Names rather than texts: the schema or the code allows only some values. So are hashes.
NAMES = re.compile(
    r".*sha256|study|preset|preregistered_preset|metric|main_point|point|sampler|name|arms?|comparator|experiment|id|role"
    r"|points|by_step|metrics|sections|fd_.*|kd_.*|fid|kid|precision|recall|method"
    r"|direction|outcome|schedule|prediction_type|weighting|kind|objective|extractor|interval|key|factor|step"
)


def elements(html: str) -> tuple[list[tuple[str, ...]], list[str], str]:
    """The start tags with their attributes' names, in order; the targets of links; the text."""
    page = Page(html)
    followed = ("href", "src", "xlink:href", "action", "data")
    links = [attributes[name] or "" for _, attributes in page.tags for name in followed if name in attributes]
    return [(tag, *attributes) for tag, attributes in page.tags], links, page.text


class Words:
    """Replaces texts by attacks, or by words of the same shape; counts them."""

    def __init__(self, attack: bool):
        self.attack, self.count = attack, 0

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item, key) for item in value]
        if not isinstance(value, str) or NAMES.fullmatch(key):
            return value
        text = ATTACKS[self.count % len(ATTACKS)]
        self.count += 1
        return text if self.attack else re.sub(r"\S", "x", text)


def render(root: Path, attack: bool, monkeypatch) -> dict[str, str]:
    """Every file that people open, by name."""
    words = Words(attack)
    curve = {"sampler": "ddpm", "eta": None, "nfe": [10, 50], "values": [9.0, 8.0]}
    anchor = {"label": "a", "citation": "b", "note": "c"}
    for name in ("report_settings", "hypotheses", "gate"):
        original = getattr(made_up, name)
        monkeypatch.setattr(made_up, name, lambda *a, original=original, **k: words(original(*a, **k)))
    for name in ("SCALE_MARKS", "MANIFEST", "EXTRACTOR"):
        monkeypatch.setattr(made_up, name, words(copy.deepcopy(getattr(made_up, name))))
    report, inputs = made_up.write_study(root / "results/S1_made_up/tiny")
    report["anchors"] = [{**words(anchor), "metric": "fd_toy", "source": "toy", "curves": [curve]}]
    verdict = made_up.verdict(report, made_up.result_rows(report))
    write_json(inputs["verdict"][0], {**verdict, "reason": words("reason")})
    for name in FIGURES:
        (root / "captions").mkdir(exist_ok=True)
        (root / f"captions/{name}.rst").write_text(words(name), encoding="utf-8")
    monkeypatch.chdir(root)
    chain = manifests(report, FIGURES)
    made_up.render_study(root, report, inputs, FIGURES, root / "captions", chain)
    assert words.count > 40
    monkeypatch.undo()
    names = [*(f"{name}.svg" for name in FIGURES), "summary.md", "01_results.html", "report.html"]
    return {name: (root / name).read_text(encoding="utf-8") for name in names}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """(attacked, plain), each file by name."""
    with pytest.MonkeyPatch.context() as patch:
        attacked = render(tmp_path_factory.mktemp("attacked"), True, patch)
        return attacked, render(tmp_path_factory.mktemp("plain"), False, patch)


@pytest.mark.parametrize("name", ["report.html", "01_results.html"])
def test_pages_have_the_elements_of_plain_words(rendered, name):
    (tags, links, text), (plain_tags, plain_links, _) = (elements(files[name]) for files in rendered)
    # A digit in a sentence opens its lineage, and some attacks hold one.
    numbers = [("button", "type", "class", "data-from"), ("span", "class")]
    assert [tag for tag in tags if tag not in numbers] == [tag for tag in plain_tags if tag not in numbers]
    outside = [
        [link for link in each if not link.startswith(("data:", "#"))] for each in (links, plain_links)
    ]
    assert outside[0] == outside[1]
    assert not any(attribute.startswith("on") for _, *attributes in tags for attribute in attributes)
    assert '"><img src=x onerror=alert(1)>' in text  # shown as the text that it is


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_the_elements_of_plain_words(rendered, name):
    trees = (ElementTree.fromstring(files[f"{name}.svg"]) for files in rendered)
    shapes = [[(element.tag, sorted(element.keys())) for element in tree.iter()] for tree in trees]
    assert shapes[0] == shapes[1]
    for tag, keys in shapes[0]:
        assert not tag.lower().endswith("}script") and not any(key.startswith("on") for key in keys)


def test_the_summary_shows_no_html_even_where_a_viewer_allows_it(rendered):
    """Viewers of Markdown differ; the most generous one lets HTML through."""
    viewer = mistune.create_markdown(escape=False, plugins=["table", "url"])
    attacked, plain = (elements(viewer(files["summary.md"])) for files in rendered)
    assert attacked[:2] == plain[:2]
