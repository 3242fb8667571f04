"""Figures say inside the file which run they belong to; a damaged or foreign file says nothing."""

from __future__ import annotations

import pandas as pd
import pytest

from workflow_scripts.provenance.figure_identity import embedded_identity, identity_text
from workflow_scripts.report.style import new_figure, save_figure

SUM = "ab" * 32


@pytest.fixture
def drawn(tmp_path):
    """(svg, png) of one figure, drawn twice with the same identity and a third time without."""
    text = identity_text(SUM, {"study": "S & <T>", "preset": "p"}, "draw_x", "x")
    paths = []
    for name, identity in (("one", text), ("two", text), ("none", None)):
        paths.append([tmp_path / f"{name}.{kind}" for kind in ("svg", "png", "csv")])
        save_figure(new_figure(), pd.DataFrame({"a": [1]}), *paths[-1], identity)
    return paths


@pytest.mark.parametrize("kind", [0, 1])
def test_a_figure_says_its_run_and_stays_byte_identical_and_a_damaged_one_says_nothing(drawn, kind):
    one, two, without = (paths[kind] for paths in drawn)
    assert embedded_identity(one) == {
        "study": "S & <T>",
        "preset": "p",
        "rule": "draw_x",
        "figure": "x",
        "input_lineage_sha256": SUM,
    }
    assert one.read_bytes() == two.read_bytes() != without.read_bytes()
    assert embedded_identity(without) == {}
    one.write_bytes(two.read_bytes()[:40])
    assert embedded_identity(one) == {}


def test_a_verdict_and_a_report_say_theirs(tmp_path):
    (tmp_path / "verdict.json").write_text(f'{{"input_lineage_sha256": "{SUM}"}}')
    (tmp_path / "report.html").write_text(f'<meta name="input_lineage_sha256" content="{SUM}">')
    (tmp_path / "other.json").write_text(f'{{"input_lineage_sha256": "{SUM}"}}')
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "verdict.json").write_text("[]")
    for name, expected in (
        ("verdict.json", SUM),
        ("report.html", SUM),
        ("other.json", None),
        ("list/verdict.json", None),
        ("absent.png", None),
    ):
        assert embedded_identity(tmp_path / name).get("input_lineage_sha256") == expected
