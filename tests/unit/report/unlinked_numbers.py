"""Find the numbers of a page that open no lineage, without knowing how the page marks them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

# Left out: what is no text, what a click answers (a lineage, a hash, a file, a list that unfolds), and names.
LEFT_OUT = {"script", "style", "title", "dialog", "button", "a", "summary", "code"}
VOID = {"meta", "link", "img", "br", "hr", "input"}
CITATION = re.compile(r"et al\. \d{4}")


class _Texts(HTMLParser):
    """Every text of the page that is not left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        # The head of a column says what the numbers below it are: `seed 1077`, `ddpm 50`, `20 samples`.
        heading = tag == "th" and ("scope", "col") in attributes
        leads_nowhere = tag == "a" and (dict(attributes).get("href") or "#").startswith("#")
        if tag not in VOID:
            self._open.append((tag, heading or (tag in LEFT_OUT and not leads_nowhere)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(left_out for _, left_out in self._open):
            self.texts.append(data)


def texts_of(page: str) -> list[str]:
    """The texts of an HTML page in which a number must open its lineage."""
    return _Texts(page).texts


def unlinked(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with a digit that are not part of a name; `names` are labels and titles from a study's files.

    A word that begins with a letter (E2.H1, CIFAR-10, fd_digits8) and the year of a citation are names too.
    """
    found = []
    for text in texts:
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, " ")
        words = (word.strip("()[],.;:“”‘’'") for word in CITATION.sub(" ", text).split())
        found += [
            f"{word} in: {' '.join(text.split())}" for word in words if re.match(r"[^A-Za-z].*\d|\d", word)
        ]
    return found


def names_of(report: dict) -> list[str]:
    """The names in a report's settings."""
    titles = [report[f"{name}_title"] for name in ("study", "preset", "dataset")]
    return [report["question"], *titles, *(arm["label"] for arm in report["arms"])]
