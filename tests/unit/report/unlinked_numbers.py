"""Which numbers of a page open no lineage: a search that knows nothing of how the page marks them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

# Not part of the page's text, or a figure, which opens its lineage as a whole.
NO_TEXT = {"script", "style", "title", "svg", "dialog"}
# What a click answers: a number's lineage, a hash in full, a file, a list that unfolds.
OPENS = {"button", "a", "summary"}
# Names of files, settings and commands.
NAMES = {"code"}
VOID = {"meta", "link", "img", "br", "hr", "input"}
CITATION = re.compile(r"et al\. \d{4}")


class _Texts(HTMLParser):
    """Every text of the page outside what `unlinked` leaves out."""

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
            self._open.append((tag, heading or (tag in NO_TEXT | OPENS | NAMES and not leads_nowhere)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(left_out for _, left_out in self._open):
            self.texts.append(data)


def texts_of(page: str) -> list[str]:
    """The texts of an HTML page in which a number would have to open its lineage."""
    return _Texts(page).texts


def unlinked(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with a digit that are no part of a name: `names` are labels and titles that a study's files give.

    A word that begins with a letter is a name too (E2.H1, CIFAR-10, fd_digits8); so is the year of a citation.
    """
    found = []
    for text in texts:
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, " ")
        words = (word.strip("()[],.;:“”‘’'") for word in CITATION.sub(" ", text).split())
        found += [
            f"{word} in: {' '.join(text.split())}"
            for word in words
            if re.search(r"\d", word) and not re.match(r"[A-Za-z]", word)
        ]
    return found


def names_of(report: dict) -> list[str]:
    """What a report's settings call things."""
    return [
        report["question"],
        report["study_title"],
        report["preset_title"],
        report["dataset_title"],
        *(arm["label"] for arm in report["arms"]),
    ]
