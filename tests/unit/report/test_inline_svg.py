"""A figure inside a page: ids of its own, colours for both themes, and nothing that a drawing does not need."""

from __future__ import annotations

import re

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report.inline_svg import color_variables, inline_svg
from workflow_scripts.report.theme_colors import contrast, dark_counterpart, from_oklch, to_oklch

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" viewBox="0 0 9 9">'


def drawn(tmp_path, body: str) -> tuple[str, set[str]]:
    path = tmp_path / "figure.svg"
    path.write_text(f'<?xml version="1.0"?>{HEAD}{body}</svg>', encoding="utf-8")
    return inline_svg(path, "plot", 'a "label" <b>', "caption")


def test_ids_references_and_colors_are_rewritten(tmp_path):
    svg, colors = drawn(
        tmp_path,
        (
            '<metadata>secret</metadata><defs><style>*{fill:red}</style><path id="m" d="M0 0"/></defs>'
            '<g clip-path="url(#c)"><use xlink:href="#m" style="fill: #0072B2; stroke: #fff"/></g>'
            '<image xlink:href="data:image/png;base64,AA BB" width="1"/><text style="fill: #262626">α &lt; β</text>'
        ),
    )
    assert 'id="plot-m"' in svg and 'href="#plot-m"' in svg and "url(#plot-c)" in svg and "AABB" in svg
    assert "secret" not in svg and "<style" not in svg and 'width="10pt"' not in svg and "α &lt; β" in svg
    assert "fill: var(--c-0072b2); stroke: var(--c-ffffff)" in svg and not re.search(r"#[0-9a-f]{6}", svg)
    assert colors == {"#000000", "#0072b2", "#ffffff", "#262626"}
    assert 'role="img"' in svg and 'aria-label="a &quot;label&quot; &lt;b&gt;"' in svg


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>',
        '<g onload="alert(1)"/>',
        '<image xlink:href="https://example.org/x.png"/>',
        '<image xlink:href="data:image/svg+xml;base64,AA"/>',
        '<rect style="fill: url(https://example.org/x)"/>',
        '<rect fill="url(file:///etc/passwd)"/>',
        '<a xlink:href="#m"/>',
        '<animate attributeName="x"/>',
    ],
)
def test_what_is_no_drawing_is_refused(tmp_path, body):
    with pytest.raises(PipelineError, match="delete it and run again"):
        drawn(tmp_path, body)


def test_a_damaged_figure_is_one_line(tmp_path):
    (tmp_path / "bad.svg").write_text("<svg", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"bad\.svg cannot be read as SVG"):
        inline_svg(tmp_path / "bad.svg", "bad", "x", "y")


def test_both_themes_define_every_color():
    light, dark = (color_variables({"#0072b2", "#ffffff"}, dark=theme) for theme in (False, True))
    assert light == "--c-0072b2:#0072b2;--c-ffffff:#ffffff;"
    assert dark == f"--c-0072b2:{dark_counterpart('#0072b2')};--c-ffffff:{dark_counterpart('#ffffff')};"


@pytest.mark.parametrize(
    "ink", ["#000000", "#262626", "#444444", "#555555", "#666666", "#0072b2", "#d55e00", "#009e73", "#cc79a7"]
)
def test_ink_is_readable_on_the_dark_ground(ink):
    assert contrast(dark_counterpart(ink), dark_counterpart("#ffffff")) >= 4.5


def test_grid_lines_stay_faint_and_hue_is_kept():
    ground = dark_counterpart("#ffffff")
    assert 1.1 < contrast(dark_counterpart("#e4e4e4"), ground) < 2
    for color in ("#0072b2", "#d55e00"):
        assert to_oklch(dark_counterpart(color))[2] == pytest.approx(to_oklch(color)[2], abs=0.05)


@pytest.mark.parametrize("color", ["#000000", "#ffffff", "#0072b2", "#e69f00", "#7f7f7f"])
def test_color_conversion_goes_there_and_back(color):
    assert from_oklch(*to_oklch(color)) == color


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )  # a published example that just fails AA
