"""Numbers in prose that carry their origin: marked in Markdown, buttons on the page, plain text elsewhere.

A mark is a Markdown link, `[40](#from:setting/training.num_steps)`, to a symbolic origin that
`page_data.Lineage.key` translates into a key on the page. Text from configuration cannot contain a mark,
since `tables.markdown` escapes brackets.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

MARK = re.compile(r"\[((?:\\.|[^\[\]\\])*)\]\(#from:[^()\s]*\)")
TOKEN = re.compile(
    # Left as they are: marks, code, and “names in quotes”, whose digits belong to a name.
    r"(?P<left>\[[^\[\]]*\]\([^()\s]*\)|`[^`]*`|“[^”]*”)"
    # A digit inside a word (E2.H1, CIFAR-10, FID@10k) belongs to a name too.
    r"|(?<![\w@.-])(?:"
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?"
    r"|[+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+−-]?\d+)?(?: %)?"
    r")(?!\w)"
)
# Includes the punctuation around a number, from which no line break may separate it.
LINK = re.compile(r'(?P<before>[(“]?)<a href="#from:(?P<origin>[^"]*)">(?P<text>.*?)</a>(?P<after>[).,;:”]*)')


def sourced(text: str, origin: str) -> str:
    """Mark Markdown text with its origin, such as `setting/training.num_steps` or `lock`."""
    return f"[{text}](#from:{quote(origin, safe='/')})"


def source_numbers(text: str, origin: str) -> str:
    """Mark every number in the Markdown that has no mark yet."""
    return TOKEN.sub(lambda match: match[0] if match["left"] else sourced(match[0], origin), text)


def plain(text: str) -> str:
    """Remove all marks."""
    return MARK.sub(r"\1", text)


def linked(text: str, key: Callable[[str], str]) -> Markup:
    """Turn the marks in HTML made from Markdown into buttons, or into text if the origin has no key.

    The origin `hash/<sha256>` is not a lineage but a button that copies the full hash.
    """

    def button(match: re.Match) -> str:
        origin, before, after = unquote(html.unescape(match["origin"])), match["before"], match["after"]
        if origin.startswith("hash/"):
            digest = escape(origin.removeprefix("hash/"))
            label = f"Copy {digest[:12]}… in full"
            named = f'class="hash" data-hash="{digest}" title="{digest}" aria-label="{label}"'
        elif found := key(origin):
            named = f'class="n" data-from="{escape(found)}"'
        else:
            return before + match["text"] + after
        shown = f'<button type="button" {named}>{match["text"]}</button>'
        return f'<span class="w">{before}{shown}{after}</span>' if before or after else shown

    return Markup(LINK.sub(button, str(text)))
