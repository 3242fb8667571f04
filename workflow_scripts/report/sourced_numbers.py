"""Numbers in prose that know where they came from: marked in the Markdown, buttons on the page, plain text elsewhere.

A mark is a Markdown link, `[40](#from:setting/training.num_steps)`. What it leads to is a symbolic origin, which
`page_data.Lineage.key` turns into the key of a lineage on the page. Text from configuration cannot hold a mark, since
`tables.markdown` escapes brackets.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

MARK = re.compile(r"\[((?:\\.|[^\[\]\\])*)\]\(#from:[^()\s]*\)")
# What is left alone: marks, code, and “names in quotes”, whose digits are part of a name.
LEFT_ALONE = r"\[[^\[\]]*\]\([^()\s]*\)|`[^`]*`|“[^”]*”"
# A date, with or without its time, or a number with its sign and per cent. Digits inside a word (E2.H1, CIFAR-10, FID@10k) are a name's.
NUMBER = r"(?<![\w@.-])(?:\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?|[+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+−-]?\d+)?(?: %)?)(?!\w)"
TOKEN = re.compile(rf"(?P<left>{LEFT_ALONE})|{NUMBER}")
# With the punctuation around it, from which a line must not part the number.
LINK = re.compile(r'(?P<before>[(“]?)<a href="#from:(?P<origin>[^"]*)">(?P<text>.*?)</a>(?P<after>[).,;:”]*)')


def sourced(text: str, origin: str) -> str:
    """Markdown text marked with its origin, such as `setting/training.num_steps`, `hypothesis/E2.H1` or `lock`."""
    return f"[{text}](#from:{quote(origin, safe='/')})"


def source_numbers(text: str, origin: str) -> str:
    """Markdown in which every number that has no mark yet is marked with the origin."""
    return TOKEN.sub(lambda match: match[0] if match["left"] else sourced(match[0], origin), text)


def plain(text: str) -> str:
    """The text without its marks, for every reader but the page."""
    return MARK.sub(r"\1", text)


def linked(text: str, key: Callable[[str], str]) -> Markup:
    """HTML made from marked Markdown, with a button for every mark whose origin has a key; the others become text.

    `hash/<sha256>` is no lineage: it becomes the button that copies the whole of a shortened hash.
    """

    def together(match: re.Match) -> str:
        before, shown, after = match["before"], button(match), match["after"]
        kept = shown != match["text"] and before + after
        return f'<span class="w">{before}{shown}{after}</span>' if kept else before + shown + after

    def button(match: re.Match) -> str:
        origin = unquote(html.unescape(match["origin"]))
        if origin.startswith("hash/"):
            digest = escape(origin.removeprefix("hash/"))
            label = f"Copy {digest[:12]}… in full"
            named = f'data-hash="{digest}" title="{digest}" aria-label="{label}"'
            return f'<button type="button" class="hash" {named}>{match["text"]}</button>'
        found = key(origin)
        return (
            f'<button type="button" class="n" data-from="{escape(found)}">{match["text"]}</button>'
            if found
            else match["text"]
        )

    return Markup(LINK.sub(together, str(text)))
