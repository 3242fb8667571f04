"""The smoke run's report in a browser: offline, lineage, tables, figures, keyboard, print, accessibility."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.unit.report.html_pages import Page, unlinked
from workflow_scripts.study.results import flat, read_rows

RESULTS = "results/MS1_min_snr/smoke"
AUDIT = "python -m workflow_scripts.tools.audit"
# Size and theme do not depend on each other, so two of the four combinations show both of each.
VIEWS = pytest.mark.parametrize(
    ("size", "theme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"]
)


def result_row(project: Path, metric: str) -> dict:
    """The row of the first arm and seed for the main sampler."""
    rows = map(flat, read_rows(project / RESULTS / "results.jsonl"))
    wanted = {"arm": "E1_baseline_linear", "seed": 1077, "metric": metric, "point": "ddpm_nfe0050"}
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


@VIEWS
def test_it_opens_from_disk_and_asks_for_nothing(open_page, report_file, size, theme):
    opened = open_page(report_file, size, theme)
    opened.page.wait_for_load_state("networkidle")
    assert opened.requests == [report_file.as_uri()]
    assert opened.complaints == []
    assert opened.page.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth > 99)"
    )
    assert report_file.stat().st_size < 5_000_000
    # nothing sticks out sideways
    assert opened.page.evaluate("document.documentElement.scrollWidth") == size["width"]
    opened.page.locator("#table-main_result .n").first.click()
    panel = opened.page.locator("#panel")
    assert panel.bounding_box()["width"] <= size["width"]
    assert panel.locator(".body").evaluate("body => body.scrollWidth - body.clientWidth") <= 1


def test_question_and_answer_are_seen_first(desktop):
    page = desktop.page
    assert page.locator("h1").count() == 1
    answer = page.locator(".answer")
    assert answer.bounding_box()["y"] < DESKTOP["height"] - 100
    assert "interval" in answer.inner_text()
    headings = "[...document.querySelectorAll('main :is(h1,h2,h3,h4,h5,h6)')]"
    levels = page.evaluate(f"{headings}.map(node => Number(node.localName[1]))")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))  # no level is left out


def test_a_number_opens_its_lineage_down_to_data_and_code(desktop, smoke_run):
    page = desktop.page
    cell = page.locator("#table-main_result td .n").first
    shown = cell.inner_text()
    cell.click()
    panel = page.locator("#panel")
    text = panel.inner_text()
    row = result_row(smoke_run[0], "fd_digits")
    assert str(row["value"]) in text and f"{row['value']:.4g}" == shown.replace(",", "")
    for name in ("checkpoint_sha256", "reference_sha256", "extractor_sha256"):
        assert panel.locator(f'[data-hash="{row[name]}"]').count() == 1
    run = f"{RESULTS}/runs/E1_baseline_linear/seed1077"
    assert f"{AUDIT} {run}/metrics/frechet_distance.json" in text
    for step in ("measure", "extract features", "sample images", "train model", "prepare data"):
        assert step in text
    training = panel.locator("details.step", has_text="train model").first
    training.locator("> summary").click()
    training.locator("dt", has_text="Rule").wait_for()
    opened = training.inner_text()
    assert "train_model" in opened and "Settings" in opened
    training.locator("summary", has_text="Code:").click()
    assert "workflow_scripts/training/loop.py" in training.inner_text()
    training.locator("summary", has_text="Settings").click()
    assert "learning_rate" in training.inner_text()
    manifest = json.loads((smoke_run[0] / run / "log.csv.manifest.json").read_text())
    assert training.locator(f'[data-hash="{manifest["lineage_sha256"]}"]').count() == 1
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('panel').open")
    # focus returns to the number
    assert page.evaluate("document.activeElement.dataset.from").startswith("r:")
    page.locator("#table-further_metrics td .n").first.click()  # a kernel distance has an interval
    row = result_row(smoke_run[0], "kd_digits")
    interval = f"{row['interval_low']} to {row['interval_high']}".replace("-", "\u2212")
    assert row["interval_low"] < row["value"] < row["interval_high"] and interval in panel.inner_text()


def test_every_origin_on_the_page_can_be_opened(desktop):
    page = desktop.page
    buttons = "[...document.querySelectorAll('[data-from]')]"
    keys = page.evaluate(f"[...new Set({buttons}.map(node => node.dataset.from))]")
    assert len(keys) > 100 and {key[0] for key in keys} == set("rhsfcek")
    shown = page.evaluate(
        """keys => keys.map(key => {
        openPanel(key);
        const panel = document.getElementById("panel");
        return [key, panel.querySelector("h2").textContent, panel.querySelector(".command code").textContent];
    })""",
        keys,
    )
    assert all(title and command.startswith(f"{AUDIT} ") for _, title, command in shown)
    assert desktop.complaints == []


def test_no_number_of_the_page_is_without_lineage(desktop, report_file):
    page = desktop.page
    manifest = json.loads(Path(f"{report_file}.manifest.json").read_text())
    texts = Page(report_file.read_text(encoding="utf-8")).texts
    assert len(texts) > 200 and unlinked(texts, manifest["lineage"]["settings"]["report"]) == []
    # numbers inside a figure: the figure opens its lineage
    assert page.locator("figure").count() == page.locator('figure > .tools [data-from^="f:"]').count() == 8


def test_a_setting_shows_its_file_and_the_steps_that_ran_with_it(desktop):
    page, panel = desktop.page, desktop.page.locator("#panel")
    page.locator('.facts [data-from="c:training.num_steps"]').click()
    text = panel.inner_text()
    for part in (
        "config/study/MS1_min_snr/presets/smoke.yaml",
        "docs/experiments/MS1_min_snr.lock.json",
        "rehearsal",
    ):
        assert part in text
    assert panel.locator("dd").first.inner_text() == "40" and "train model: 4 steps" in text
    page.keyboard.press("Escape")
    page.locator('#table-arms [data-from="c:E2_minsnr_linear/loss.min_snr_gamma"]').click()
    text = panel.inner_text()
    assert "config/study/MS1_min_snr/E2_minsnr_linear.yaml" in text and "train model: 2 steps" in text
    page.keyboard.press("Escape")
    page.locator('#table-cost_by_stage [data-from="k:train_model"]').first.click()
    assert "costs.json" in panel.inner_text() and panel.locator("details.step").count() == 4


def test_a_hash_is_copied_in_full(open_page, report_file):
    opened = open_page(report_file)
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = opened.page.locator("#table-hashes .hash").first
    assert len(button.inner_text()) == 12
    button.click()
    assert opened.page.evaluate("navigator.clipboard.readText()") == button.get_attribute("data-hash")
    assert "Copied" in opened.page.locator("#said").inner_text()


def test_tables_sort_by_number_and_by_text(desktop):
    page = desktop.page
    rows = "[...document.querySelectorAll('#table-cost_by_stage tbody tr')]"
    values = f"{rows}.map(row => Number(row.cells[2].dataset.value))"
    head = page.locator("#table-cost_by_stage thead th").nth(2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    ascending = page.evaluate(values)
    assert ascending == sorted(ascending) and len(set(ascending)) > 5
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending" and page.evaluate(values) == ascending[::-1]
    change = "#table-hypotheses thead th:nth-child(6) button"
    for _ in range(2):  # what was not run stays last, whichever way
        page.locator(change).click()
        texts = page.locator("#table-hypotheses tbody td:nth-child(6)").all_inner_texts()
        assert [text == "–" for text in texts] == sorted(text == "–" for text in texts)
    page.locator("#table-hypotheses thead th:nth-child(1) button").click()
    names = page.locator("#table-hypotheses tbody th").all_inner_texts()
    assert names == sorted(names)


def test_a_table_downloads_as_csv_with_unrounded_numbers(desktop, smoke_run):
    page = desktop.page
    with page.expect_download() as download:
        page.locator(".table", has=page.locator("#table-main_result")).locator("text=Download CSV").click()
    assert download.value.suggested_filename == "main_result.csv"
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["Arm", "seed 1077", "seed 1078", "mean ± sd"] and len(lines) == 3
    verdict = json.loads((smoke_run[0] / RESULTS / "verdict.json").read_text())
    seeds = verdict["hypotheses"][0]["seeds"]
    assert [float(value) for value in lines[1][1:3]] == [seed["comparator_value"] for seed in seeds]


def test_a_figure_enlarges(desktop):
    page = desktop.page
    figure = page.locator("#figure-frechet_vs_nfe")
    before = figure.locator("img").bounding_box()["width"]
    figure.locator("text=Enlarge").click()
    assert page.locator("#zoom img").bounding_box()["width"] > before * 1.1
    assert page.locator("#zoom-title").inner_text() == "Fréchet distance against network calls"
    page.keyboard.press("Escape")
    assert page.locator("#zoom").is_hidden() and figure.locator("img").is_visible()


def test_the_graph_opens_and_is_searched(desktop):
    page, playwright = desktop.page, pytest.importorskip("playwright.sync_api")
    page.locator("nav [data-graph]").click()
    boxes = page.locator(".plane button")
    assert boxes.count() == page.evaluate("graph.boxes.length") > 15
    assert page.locator(".plane path").count() == page.evaluate("graph.edges.length") > 15
    page.keyboard.type("train_model 1078")  # the search has the focus
    found = page.locator("#found").inner_text()
    hits, total = map(int, re.fullmatch(r"(\d+) of (\d+) steps", found).groups())
    assert 2 <= hits < total == page.evaluate("graph.steps.length")
    assert page.locator(".plane button.hit").count() >= 2
    page.fill("#search", page.evaluate("graph.steps[0].outputs[0][2].slice(0, 20)"))  # by the hash of a file
    assert page.locator(".plane button.hit").count() >= 1
    page.fill("#search", "no such thing at all")
    assert page.locator("#found").inner_text().startswith("0 of")
    page.fill("#search", "")
    boxes.filter(has_text="train model").first.click()
    assert page.locator(".side details.step").count() == 2  # two seeds
    assert page.locator(".plane path.on").count() >= 2
    page.locator(".side details.step summary").first.click()
    # a step is filled in when it opens, which a browser reports a moment after the click
    playwright.expect(page.locator(".side")).to_contain_text("workflow_scripts.tools.audit")
    assert desktop.complaints == []


def test_everything_can_be_reached_and_used_with_the_keyboard(desktop):
    page = desktop.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "report"
    seen = set()
    for _ in range(200):  # every number before the first figure is a stop
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(node => node.className || node.textContent)(document.activeElement)"))
    assert {"n", "Enlarge", "Lineage", "scroll"} <= seen
    button = page.locator("#table-main_result td .n").first
    button.focus()
    button.evaluate("node => { node.blur(); node.focus({focusVisible: true}) }")
    assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('panel').open")
    assert page.evaluate("document.getElementById('panel').contains(document.activeElement)")
    page.keyboard.press("Escape")
    controls = "[...document.querySelectorAll('main button, main a, main summary')]"
    assert page.evaluate(f"{controls}.every(node => node.tabIndex >= 0)")


@pytest.mark.parametrize("width", [1200, DESKTOP["width"]])
def test_no_table_scrolls_on_a_desktop(open_page, report_file, width):
    page = open_page(report_file, {**DESKTOP, "width": width}).page
    boxes = "[...document.querySelectorAll('.scroll')]"
    sizes = "[box.firstElementChild.id, box.scrollWidth, box.clientWidth]"
    widths = page.evaluate(f"{boxes}.map(box => {sizes})")
    assert len(widths) > 10 and [box for box in widths if box[1] > box[2]] == []


def test_the_theme_follows_the_system_until_the_reader_chooses(open_page, report_file):
    page = open_page(report_file, theme="dark").page

    def ground(selector: str) -> int:
        color = page.locator(selector).first.evaluate("node => getComputedStyle(node).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    dark = ground("body")
    assert dark < 150 and ground(".plot") == 765  # figures have a white card in both themes
    page.locator("#theme").click()
    assert ground("body") > 700 and ground(".plot") == 765
    page.locator("#theme").click()
    assert ground("body") == dark


# What to click, one after the other, to see each part of the page.
PARTS = {
    "page": [],
    "setting": [".facts .n"],
    "panel": ["#table-main_result .n", "#panel details.step > summary"],
    "graph": ["nav [data-graph]"],
    "zoom": ["[data-zoom]"],
}


@VIEWS
@pytest.mark.parametrize("part", PARTS)
def test_axe_finds_nothing(open_page, report_file, size, theme, part):
    missing = "axe-core-python is not installed; see envs/requirements-test.in"
    axe = pytest.importorskip("axe_core_python.base", reason=missing)
    page = open_page(report_file, size, theme).page
    for selector in PARTS[part]:
        page.locator(selector).first.click()
    if part == "graph":
        page.fill("#search", "1078")
    page.evaluate(axe.AXE_SCRIPT)
    result = page.evaluate("axe.run()")
    assert [[rule["id"], *(node["html"] for node in rule["nodes"])] for rule in result["violations"]] == []
    assert {"color-contrast", "html-has-lang"} <= {rule["id"] for rule in result["passes"]}


def test_print_shows_every_figure_whole_and_no_control(open_page, report_file, tmp_path):
    page = open_page(report_file, theme="dark").page
    # A4 less the margins, in CSS pixels at 96 per inch; what does not fit on one page is cut.
    page.set_viewport_size({"width": 680, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    figures = "[...document.querySelectorAll('figure')]"
    right = "figure.querySelector('img').getBoundingClientRect().right"
    sizes = page.evaluate(f"{figures}.map(figure => [figure.offsetWidth, figure.offsetHeight, {right}])")
    assert len(sizes) == 8
    assert all(width <= 680 and height < 1000 and right <= 680 for width, height, right in sizes)
    assert page.evaluate(f"{figures}.every(figure => getComputedStyle(figure).breakInside === 'avoid')")
    ground = "getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()"
    assert page.evaluate(ground) == "#fbfaf8"  # paper is light
    assert page.locator("nav:visible, .tools:visible, dialog:visible").count() == 0
    assert page.evaluate("[...document.querySelectorAll('main details')].every(node => node.open)")
    page.emulate_media(media="null")  # the PDF decides for itself that it is print
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (Debian: poppler-utils) is missing; the PDF's text was not looked at")
    command = ["pdftotext", tmp_path / "report.pdf", "-"]
    pages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\f")
    text = " ".join(" ".join(pages).split())
    assert 4 < len(pages) < 40
    assert "network calls per image (NFE)" in text and "training.learning_rate" in text
    assert "Download CSV" not in text and "Enlarge" not in text


def test_the_page_reads_without_a_script(chromium, report_file):
    context = chromium.new_context(java_script_enabled=False, viewport=DESKTOP)
    page = context.new_page()
    page.goto(report_file.as_uri())
    assert page.locator(".answer").inner_text() and page.locator("figure img").count() == 8
    assert page.locator("#table-main_result tbody tr").count() == 2
    context.close()
