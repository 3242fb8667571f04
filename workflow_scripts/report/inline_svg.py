"""A figure's SVG as part of a page: no foreign element, ids of its own, and colours that follow the page's theme."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report.theme_colors import dark_counterpart

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# What matplotlib draws with. Anything else (script, foreignObject, animation) is no part of a figure.
ALLOWED = {
    "svg",
    "g",
    "defs",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "use",
    "clipPath",
    "image",
    "linearGradient",
    "radialGradient",
    "stop",
    "pattern",
}
DROPPED = {"metadata", "style", "title", "desc"}
COLOR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
BLACK = "#000000"


def inline_svg(path: Path, name: str, label: str, described_by: str) -> tuple[str, set[str]]:
    """The figure as an `<svg>` element for HTML, and the colours it uses (six hex digits, lower case).

    Every id starts with `name`, so that figures on one page do not answer to each other's. Colours become variables,
    `var(--c-0072b2)`, that `color_variables` defines. `label` is the text for who cannot see the figure and
    `described_by` the id of its caption. PipelineError when the file is no SVG or holds more than a drawing.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError) as error:
        raise PipelineError(f"{path} cannot be read as SVG ({error}); delete it and run again") from error
    colors = {BLACK}
    _clean(root, path, name, colors)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    # What matplotlib's own style sheet says for every element; as a sheet it would rule the whole page.
    root.set("style", f"stroke-linejoin:round;stroke-linecap:butt;fill:{_variable(BLACK)}")
    for key, value in (("role", "img"), ("aria-label", label), ("aria-describedby", described_by)):
        root.set(key, value)
    return ElementTree.tostring(root, encoding="unicode").replace("ns0:", "").replace(":ns0", ""), colors


def _clean(element: ElementTree.Element, path: Path, name: str, colors: set[str]) -> None:
    tag = element.tag.removeprefix(SVG) if isinstance(element.tag, str) else ""
    if tag not in ALLOWED or not element.tag.startswith(SVG):
        raise PipelineError(
            f"{path} holds <{tag or 'a comment'}>, which no figure of ours has; delete it and run again"
        )
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        local = key.removeprefix(XLINK)
        if local == "href":
            if not value.startswith(("#", "data:image/png;base64,")):
                raise PipelineError(
                    f"{path} refers to {value[:60]!r} outside itself; delete it and run again"
                )
            value = f"#{name}-{value[1:]}" if value.startswith("#") else "".join(value.split())
        elif local.startswith(("{", "on")):
            raise PipelineError(
                f"{path} has the attribute {local!r}, which no figure of ours has; delete it and run again"
            )
        elif local == "id":
            value = f"{name}-{value}"
        elif "url(" in value or local == "style":
            value = _style(value, name, colors, path)
        element.set(local, value)
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.rpartition("}")[2] in DROPPED:
            element.remove(child)
        else:
            _clean(child, path, name, colors)


def _style(value: str, name: str, colors: set[str], path: Path) -> str:
    def color(match: re.Match) -> str:
        digits = match[0].lower()
        full = digits if len(digits) == 7 else "#" + "".join(2 * digit for digit in digits[1:])
        colors.add(full)
        return _variable(full)

    value = COLOR.sub(color, REFERENCE.sub(rf"url(\0{name}-\1)", value)).replace("\0", "#")
    if re.search(r"url\((?!#)|@import|expression", value):
        raise PipelineError(
            f"{path} has a style that loads something ({value[:60]!r}); delete it and run again"
        )
    return value


def _variable(color: str) -> str:
    return f"var(--c-{color[1:]})"


def color_variables(colors: set[str], dark: bool) -> str:
    """The style sheet's lines that define every colour of the figures for one theme."""
    return "".join(
        f"--c-{color[1:]}:{dark_counterpart(color) if dark else color};" for color in sorted(colors)
    )
