"""Numbers in sentences carry their origin, which is a button on the page and invisible elsewhere."""

from __future__ import annotations

import re

import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.report import interpretation
from workflow_scripts.report.page import inline_html
from workflow_scripts.report.sourced_numbers import linked, plain, source_numbers, sourced
from workflow_scripts.report.tables import markdown


def page(text: str) -> str:
    return str(linked(inline_html(text), lambda origin: f"x:{origin}"))


def buttons(text: str) -> list[tuple[str, str]]:
    return re.findall(r'<button type="button" class="n" data-from="x:([^"]+)">([^<]+)</button>', page(text))


NUMBERS = "40|2,000|0.002|1e-05|1e−05|3.10e-06|20.0 %|−12.3 %|+71.1 %|7 %|+1.23e+03 %"
DATES = "2001-02-03|2001-02-03T04:05:06Z"
NAMES = "E2.H1|CIFAR-10|FID@10k|fd_digits8|“Min-SNR γ=5”|`model.size 3`|Inception-2015"


@pytest.mark.parametrize("number", [*NUMBERS.split("|"), *DATES.split("|")])
def test_a_number_is_one_button_with_its_sign_and_unit(number):
    assert buttons(source_numbers(f"about {number}, or so", "lock")) == [("lock", number)]
    assert buttons(source_numbers(f"({number})", "lock")) == [("lock", number)]


@pytest.mark.parametrize("name", NAMES.split("|"))
def test_digits_of_a_name_are_no_number(name):
    assert source_numbers(f"see {name} here", "lock") == f"see {name} here"


def test_a_mark_stays_the_rest_is_marked_and_none_leaves_a_trace_where_there_is_no_page():
    text = source_numbers(f"{sourced('40', 'setting/training.num_steps')} steps, 3 seeds", "lock")
    assert buttons(text) == [("setting/training.num_steps", "40"), ("lock", "3")]
    assert source_numbers(text, "verdict") == text
    text = "a 95 % interval of 1,234.5 (E2.H1), [a link](https://example.org), **3** of 2001-02-03"
    assert plain(source_numbers(text, "hypothesis/E2.H1 E2.H2")) == text


def test_origins_arrive_as_they_were_and_without_a_key_are_plain_text():
    assert linked(inline_html(source_numbers("40 steps", "costs")), lambda origin: "") == "40 steps"
    odd = 'setting/a b(c)"<&>é'
    seen = []
    linked(inline_html(sourced("5", odd)), lambda origin: seen.append(origin) or "")
    assert seen == [odd]
    assert '"<' not in str(linked(inline_html(sourced("5", odd)), lambda origin: origin))
    # configuration cannot make a button
    assert not re.search("<button|<a", page(markdown("[5](from:lock) [5](#from:lock)")))


def test_no_line_parts_a_number_from_its_punctuation():
    assert re.sub(r"<button[^>]*>", "<b>", page(source_numbers("(97.5 % of 3), 4", "lock"))) == (
        '<span class="w">(<b>97.5 %</button></span> of <span class="w"><b>3</button>),</span> <b>4</button>'
    )


def test_a_hash_copies_in_full():
    digest = "0123456789ab" + "c" * 52
    html = page(sourced(digest[:12], f"hash/{digest}"))
    assert f'data-hash="{digest}"' in html and ">0123456789ab</button>" in html and "data-from" not in html


def test_every_number_of_the_answer_leads_to_its_hypothesis():
    report = made_up.report_settings()
    verdict = made_up.verdict(report, made_up.result_rows(report, "better"))
    first, second = verdict["hypotheses"][:2]
    found = buttons(interpretation.answer(report, verdict))
    low, high = (f"{100 * end:.1f} %".replace("-", "−") for end in first["interval"])
    assert found[:4] == [(f"hypothesis/{first['id']}", text) for text in ("20.0 %", "97.5 %", low, high)]
    assert {origin for origin, _ in found} == {f"hypothesis/{item['id']}" for item in (first, second)}
