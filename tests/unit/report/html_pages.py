"""Read a page as tags and texts, and find its numbers that open no lineage, whatever marks the others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

# Not searched: what is not shown, what a click answers (a lineage, a hash, a file, a list), and names.
LEFT_OUT = {"script", "style", "title", "dialog", "button", "a", "summary", "code"}
VOID = {"meta", "link", "img", "br", "hr", "input"}
CITATION = re.compile(r"et al\. \d{4}")


class Page(HTMLParser):
    """Every start tag with its attributes; the text outside scripts and styles; the texts to search."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.texts: list[str] = []
        self.well_nested = True
        self._open: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        # The head of a column says what the numbers below it are: `seed 1077`, `ddpm 50`, `20 samples`.
        heading = tag == "th" and ("scope", "col") in attributes
        leads_nowhere = tag == "a" and (dict(attributes).get("href") or "#").startswith("#")
        if tag not in VOID:
            self._open.append((tag, heading or (tag in LEFT_OUT and not leads_nowhere)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            self.well_nested = False

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] not in ("script", "style"):
            self.text += data
        if not any(left_out for _, left_out in self._open):
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def unlinked(texts: Iterable[str], report: dict) -> list[str]:
    """The words with a digit that are not part of a name in the report's settings.

    A word that begins with a letter (E2.H1, CIFAR-10, fd_digits8) and the year of a citation are names too.
    """
    titles = [report[f"{name}_title"] for name in ("study", "preset", "dataset")]
    names = [report["question"], *titles, *(arm["label"] for arm in report["arms"])]
    found = []
    for text in texts:
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, " ")
        words = (word.strip("()[],.;:“”‘’'") for word in CITATION.sub(" ", text).split())
        found += [
            f"{word} in: {' '.join(text.split())}" for word in words if re.match(r"[^A-Za-z].*\d|\d", word)
        ]
    return found
