"""Numbers in sentences about hypotheses become buttons that open the lineage of the hypothesis they belong to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from workflow_scripts.study.reasons import number, percent

# A relative change such as −33.3 %, or both means of a comparison such as 16.6 → 17.8.
PERCENT = r"[+−]?\d[\d.]* %"
MEANS = r"\d[\d.e+−-]* → \d[\d.e+−-]*"
# Tags pass untouched: what stands in an attribute is no text.
TOKEN = re.compile(rf"(?P<tag><[^>]*>)|(?P<means>{MEANS})|(?P<percent>{PERCENT})")


def link_numbers(html: str, verdict: Mapping[str, Any]) -> Markup:
    """`html` with every change, interval end and pair of means of a hypothesis as a button; other numbers stay text."""
    known = _known(verdict)

    def linked(match: re.Match) -> str:
        text = match[0]
        ids = [] if match["tag"] else known.get(text.lstrip("+−"), [])
        return _button(text, ids) if ids else text

    return Markup(TOKEN.sub(linked, str(html)))


def _button(text: str, ids: list[str]) -> str:
    return f'<button type="button" class="n" data-from="h:{escape(" ".join(ids))}">{text}</button>'


def _known(verdict: Mapping[str, Any]) -> dict[str, list[str]]:
    """Text of a number without its sign to the hypotheses it belongs to."""
    known: dict[str, list[str]] = {}
    for item in verdict["hypotheses"]:
        if item["interval"] is None:
            continue
        texts = {percent(value).lstrip("+−") for value in (item["relative_change"], *item["interval"])}
        means = [number(_geometric_mean(item["seeds"], side)) for side in ("comparator_value", "arm_value")]
        for text in sorted({*texts, " → ".join(means)}):
            known.setdefault(text, []).append(item["id"])
    return known


def _geometric_mean(seeds: list[Mapping[str, Any]], side: str) -> float:
    return math.exp(math.fsum(math.log(seed[side]) for seed in seeds) / len(seeds))
