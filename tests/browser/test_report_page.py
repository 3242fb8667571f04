"""The smoke run's report in a real browser: offline, lineage on a click, tables, figures, keyboard, print, accessibility."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.unit.report.unlinked_numbers import names_of, unlinked

RESULTS = "results/MS1_min_snr/smoke"


def test_it_opens_from_disk_asks_for_nothing_and_complains_about_nothing(open_page, report_file):
    for size in (PHONE, DESKTOP):
        for theme in ("light", "dark"):
            opened = open_page(report_file, size, theme)
            opened.page.wait_for_timeout(300)
            assert opened.requests == [report_file.as_uri()]
            assert opened.complaints == []
    assert report_file.stat().st_size < 5_000_000


def test_question_and_answer_are_seen_first(desktop):
    page = desktop.page
    assert page.locator("h1").count() == 1
    answer = page.locator(".answer")
    assert answer.bounding_box()["y"] < DESKTOP["height"] - 100
    assert "interval" in answer.inner_text()
    levels = page.evaluate(
        "[...document.querySelectorAll('main :is(h1,h2,h3,h4,h5,h6)')].map(node => Number(node.localName[1]))"
    )
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))  # no level is left out


def test_a_number_opens_its_lineage_down_to_data_and_code(desktop, smoke_run):
    page = desktop.page
    cell = page.locator("#table-main_result td .n").first
    shown = cell.inner_text()
    cell.click()
    panel = page.locator("#panel")
    text = panel.inner_text()
    rows = [json.loads(line) for line in (smoke_run[0] / RESULTS / "results.jsonl").read_text().splitlines()]
    (row,) = [
        r
        for r in rows
        if (r["arm"], r["seed"], r["metric"], r["sampler"], r["nfe"])
        == ("E1_baseline_linear", 1077, "fd_digits", "ddpm", 50)
    ]
    assert str(row["value"]) in text and f"{row['value']:.4g}" == shown.replace(",", "")
    for name in ("checkpoint_sha256", "reference_sha256", "extractor_sha256"):
        assert panel.locator(f'[data-hash="{row[name]}"]').count() == 1
    assert (
        f"python -m workflow_scripts.tools.audit {RESULTS}/runs/E1_baseline_linear/seed1077/metrics/ddpm_nfe0050.json"
        in text
    )
    for step in ("compute metrics", "extract features", "sample images", "train model", "prepare data"):
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
    manifest = json.loads(
        (smoke_run[0] / RESULTS / "runs/E1_baseline_linear/seed1077/log.csv.manifest.json").read_text()
    )
    assert training.locator(f'[data-hash="{manifest["lineage_sha256"]}"]').count() == 1
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('panel').open")
    assert page.evaluate("document.activeElement.dataset.from").startswith(
        "r:"
    )  # focus returns to the number


def test_a_kernel_distance_opens_with_its_interval(desktop, smoke_run):
    page = desktop.page
    page.locator("#table-further_metrics td .n").first.click()
    rows = [json.loads(line) for line in (smoke_run[0] / RESULTS / "results.jsonl").read_text().splitlines()]
    (row,) = [
        r
        for r in rows
        if (r["arm"], r["seed"], r["metric"], r["sampler"], r["nfe"])
        == ("E1_baseline_linear", 1077, "kd_digits", "ddpm", 50)
    ]
    text = page.locator("#panel").inner_text()
    assert (
        "95 % interval" in text
        and f"{row['interval_low']} to {row['interval_high']}".replace("-", "\u2212") in text
    )
    assert row["interval_low"] < row["value"] < row["interval_high"]


def test_every_origin_on_the_page_can_be_opened(desktop):
    page = desktop.page
    keys = page.evaluate(
        "[...new Set([...document.querySelectorAll('[data-from]')].map(node => node.dataset.from))]"
    )
    assert len(keys) > 100 and {key[0] for key in keys} == set("rhsfcek")
    shown = page.evaluate(
        """keys => keys.map(key => {
        openPanel(key);
        const panel = document.getElementById("panel");
        return [key, panel.querySelector("h2").textContent, panel.querySelector(".command code").textContent];
    })""",
        keys,
    )
    assert all(
        title and command.startswith("python -m workflow_scripts.tools.audit ") for _, title, command in shown
    )
    assert desktop.complaints == []


def test_no_number_that_is_seen_is_without_lineage(desktop, smoke_run):
    """All text that is on the screen once everything is unfolded, less what a click answers, names, and column heads."""
    page = desktop.page
    texts = page.evaluate("""(() => {
        document.querySelectorAll("details").forEach(node => { node.open = true; });
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
        while (walker.nextNode()) {
            const parent = walker.currentNode.parentElement;
            const answers = parent.closest("button, a[href]:not([href^='#']), summary, svg, code, th[scope=col]");
            if (!answers && parent.checkVisibility()) texts.push(walker.currentNode.textContent);
        }
        return texts;
    })()""")
    manifest = json.loads((smoke_run[0] / "reports/MS1_min_snr/smoke/report.html.manifest.json").read_text())
    report = manifest["lineage"]["settings"]["report"]
    assert len(texts) > 200 and unlinked(texts, names_of(report)) == []
    figures = page.evaluate(
        "[...document.querySelectorAll('figure')].every(node => node.querySelector('[data-from^=\"f:\"]'))"
    )
    assert figures  # numbers inside a figure: the figure opens its lineage


def test_a_setting_shows_its_file_and_the_steps_that_ran_with_it(desktop):
    page, panel = desktop.page, desktop.page.locator("#panel")
    page.locator('.facts [data-from="c:training.num_steps"]').click()
    text = panel.inner_text()
    assert (
        "config/preset/smoke.yaml" in text
        and "docs/experiments/MS1_min_snr.lock.json" in text
        and "rehearsal" in text
    )
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
    values = "[...document.querySelectorAll('#table-cost_by_stage tbody tr')].map(row => row.cells[2].dataset.value).map(Number)"
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
        lines = list(csv.reader(io.StringIO(file.read())))
    assert lines[0] == ["Arm", "seed 1077", "seed 1078", "mean ± sd"] and len(lines) == 3
    verdict = json.loads((smoke_run[0] / RESULTS / "verdict.json").read_text())
    seeds = verdict["hypotheses"][0]["seeds"]
    assert [float(value) for value in lines[1][1:3]] == [seed["comparator_value"] for seed in seeds]


def test_a_figure_enlarges_and_goes_back(desktop):
    page = desktop.page
    figure = page.locator("#figure-frechet_vs_nfe")
    before = figure.locator("svg").bounding_box()["width"]
    figure.locator("text=Enlarge").click()
    assert page.locator("#zoom svg").bounding_box()["width"] > before * 1.1
    assert page.locator("#zoom-title").inner_text() and figure.locator("svg").count() == 0
    page.keyboard.press("Escape")
    assert figure.locator("svg").count() == 1 and page.locator("#zoom svg").count() == 0


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
        seen.add(
            page.evaluate(
                "document.activeElement.className || document.activeElement.textContent.trim().slice(0, 20)"
            )
        )
    assert {"n", "Enlarge", "Lineage", "scroll"} <= seen
    button = page.locator("#table-main_result td .n").first
    button.focus()
    outline = button.evaluate(
        "node => { node.blur(); node.focus({focusVisible: true}); return getComputedStyle(node).outlineStyle }"
    )
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('panel').open")
    assert page.evaluate("document.getElementById('panel').contains(document.activeElement)")
    page.keyboard.press("Escape")
    reachable = page.evaluate(
        "[...document.querySelectorAll('main button, main a, main summary')].every(node => node.tabIndex >= 0)"
    )
    assert reachable


@pytest.mark.parametrize("width", [1200, DESKTOP["width"]])
def test_no_table_scrolls_on_a_desktop(open_page, report_file, width):
    page = open_page(report_file, {**DESKTOP, "width": width}).page
    widths = page.evaluate(
        "[...document.querySelectorAll('.scroll')].map(box => [box.firstElementChild.id, box.scrollWidth, box.clientWidth])"
    )
    assert len(widths) > 10 and [box for box in widths if box[1] > box[2]] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_sticks_out_sideways(open_page, report_file, size, theme):
    page = open_page(report_file, size, theme).page
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    page.locator("#table-main_result .n").first.click()
    assert page.locator("#panel").bounding_box()["width"] <= size["width"]
    assert (
        page.evaluate(
            "(() => { const body = document.querySelector('#panel .body'); return body.scrollWidth - body.clientWidth })()"
        )
        <= 1
    )
    assert page.screenshot(full_page=True).startswith(b"\x89PNG")


def test_the_theme_follows_the_system_until_the_reader_chooses(open_page, report_file):
    page = open_page(report_file, theme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#figure-frechet_vs_nfe text')).fill"
    lightness = "(() => { const c = {text}; return c.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) })()"
    dark_ground, dark_ink = (page.evaluate(lightness.replace("{text}", text)) for text in (ground, ink))
    assert dark_ground < 150 < 400 < dark_ink  # light text of the figures on a dark ground
    page.locator("#theme").click()
    light_ground, light_ink = (page.evaluate(lightness.replace("{text}", text)) for text in (ground, ink))
    assert light_ground > 700 and light_ink < 300
    page.locator("#theme").click()
    assert page.evaluate(lightness.replace("{text}", ground)) == dark_ground


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shown", ["page", "panel", "setting", "graph", "zoom"])
def test_axe_finds_nothing(open_page, report_file, size, theme, shown):
    axe = pytest.importorskip(
        "axe_core_python.base", reason="axe-core-python is not installed; see envs/requirements-test.in"
    )
    page = open_page(report_file, size, theme).page
    if shown == "setting":
        page.locator(".facts .n").first.click()
    elif shown == "panel":
        page.locator("#table-main_result .n").first.click()
        page.locator("#panel details.step > summary").first.click()
    elif shown == "graph":
        page.locator("nav [data-graph]").click()
        page.fill("#search", "1078")
    elif shown == "zoom":
        page.locator("[data-zoom]").first.click()
    page.evaluate(axe.AXE_SCRIPT)
    violations, passes = page.evaluate("""axe.run().then(result => [
        result.violations.map(rule => [rule.id, rule.nodes.map(node => node.html.slice(0, 160)).slice(0, 4)]),
        result.passes.map(rule => rule.id),
    ])""")
    assert violations == []
    assert {"color-contrast", "html-has-lang"} <= set(passes)


def test_print_shows_every_figure_whole_and_no_control(open_page, report_file, tmp_path):
    page = open_page(report_file, theme="dark").page
    # A4 less the margins, in CSS pixels at 96 per inch; what does not fit on one page is cut.
    page.set_viewport_size({"width": 680, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => [f.offsetWidth, f.offsetHeight, f.querySelector('svg').getBoundingClientRect().right])"
    )
    assert sizes and all(width <= 680 and height < 1000 and right <= 680 for width, height, right in sizes)
    assert page.evaluate(
        "[...document.querySelectorAll('figure')].every(f => getComputedStyle(f).breakInside === 'avoid')"
    )
    assert (
        page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()")
        == "#fbfaf8"
    )  # paper is light
    hidden = page.evaluate(
        "[...document.querySelectorAll('nav, .tools, dialog')].every(node => getComputedStyle(node).display === 'none')"
    )
    assert hidden and page.evaluate("[...document.querySelectorAll('main details')].every(node => node.open)")
    page.emulate_media(media="null")  # the PDF decides for itself that it is print
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (Debian: poppler-utils) is missing; the PDF's text was not looked at")
    pages = subprocess.run(
        ["pdftotext", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout.split("\f")
    text = " ".join(" ".join(pages).split())
    assert (
        4 < len(pages) < 40 and "network calls per image (NFE)" in text and "training.learning_rate" in text
    )
    assert "Download CSV" not in text and "Enlarge" not in text


def test_the_page_reads_without_a_script(chromium, report_file):
    context = chromium.new_context(java_script_enabled=False, viewport=DESKTOP)
    page = context.new_page()
    page.goto(report_file.as_uri())
    assert page.locator(".answer").inner_text() and page.locator("figure svg").count() == 8
    assert page.locator("#table-main_result tbody tr").count() == 2
    context.close()
