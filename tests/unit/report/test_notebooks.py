"""Notebooks render twice to the same bytes, offline and without paths; a failing cell is named."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from tests.unit.report import made_up_report as made_up
from workflow_scripts.core.step import run
from workflow_scripts.steps import render_notebook

TEMPLATES = sorted((made_up.REPORTS / "notebooks").glob("*.ipynb"))
PAGES = [made_up.TEMPLATES / name for name in ("page.html.j2", "notebook.html.j2")]
NEEDED = ("results", "verdict", "scale_marks", "logs", "probes")


def render(root: Path, template: Path, monkeypatch, **choices) -> tuple[Path, Path]:
    """Render into root/out.ipynb and root/out.html, with the log in root/step.log."""
    report, inputs = made_up.write_study(root / "study", **choices)
    monkeypatch.chdir(root)
    chosen = {name: inputs[name] for name in NEEDED} | {"template": [template], "templates": PAGES}
    outputs = {"notebook": root / "out.ipynb", "html": root / "out.html"}
    arguments = made_up.arguments({"notebook": template.stem, "report": report}, chosen, outputs)
    run(render_notebook.main, [*arguments, "--log", str(root / "step.log")])
    return outputs["notebook"], outputs["html"]


def write_template(path: Path, *cells: str) -> Path:
    parameters = nbformat.v4.new_code_cell("report = {}\ninputs = {}", metadata={"tags": ["parameters"]})
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters, *code], metadata={"kernelspec": kernel}), path)
    return path


def test_templates_are_clean_and_hold_no_analysis():
    assert [path.stem for path in TEMPLATES] == ["01_results", "02_training"]
    for path in TEMPLATES:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            assert cell.outputs == [] and cell.execution_count is None
            assert not re.search(r"\b(for|def|import (numpy|pandas|matplotlib))\b", cell.source)


@pytest.mark.slow
def test_rendered_twice_from_different_places_the_same_bytes(tmp_path, monkeypatch):
    """Two folders stand for two checkouts: nothing of the machine may get into the files."""
    first = render(tmp_path / "one", TEMPLATES[0], monkeypatch)
    second = render(tmp_path / "another", TEMPLATES[0], monkeypatch)
    for left, right in zip(first, second):
        assert left.read_bytes() == right.read_bytes()

    text = first[0].read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert "papermill" not in notebook["metadata"]
    assert all(set(cell["metadata"]) == {"tags"} for cell in notebook["cells"])
    assert str(tmp_path) not in text and sys.prefix not in text and str(made_up.REPORTS.parent) not in text
    assert not re.search(r"\d{4}-\d\d-\d\dT", text)  # no time stamp
    assert "> **REHEARSAL" in "".join(notebook["cells"][0]["source"])
    nbformat.validate(nbformat.from_dict(notebook))

    html = first[1].read_text(encoding="utf-8")
    assert not any(words in html for words in ("<script", "<link", "http://", "https://"))
    assert 'class="rehearsal"' in html and html.count("REHEARSAL: S1_made_up") == 1
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) == 4
    for image in images:
        assert re.search(r'alt="[A-Z][^"]{40,}"', image)  # a sentence, not the default "No description"
    assert "−20.0 %" in html


@pytest.mark.slow
def test_second_template_renders_without_rehearsal_mark(tmp_path, monkeypatch):
    notebook, html = render(tmp_path, TEMPLATES[1], monkeypatch, rehearsal=False)
    assert "REHEARSAL" not in notebook.read_text(encoding="utf-8") + html.read_text(encoding="utf-8")


def test_a_bad_cell_or_template_is_one_line_and_changes_no_output(tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "damaged.ipynb"
    damaged.write_text("{", encoding="utf-8")
    failing = write_template(tmp_path / "bad.ipynb", "1 / 0")
    leaking = write_template(tmp_path / "leaking.ipynb", "import sys\nprint(sys.prefix)")
    for template, message in (
        (failing, "bad.ipynb, code cell 3 (1 / 0): ZeroDivisionError: division by zero"),
        (leaking, "of this machine"),
        (damaged, "damaged.ipynb cannot be executed"),
    ):
        (tmp_path / "out.ipynb").write_text("rendered before")
        with pytest.raises(SystemExit) as stopped:
            render(tmp_path, template, monkeypatch)
        assert stopped.value.code == 1 and message in capsys.readouterr().err
        log = (tmp_path / "step.log").read_text(encoding="utf-8")
        assert message in log and "Traceback" not in log
        assert (tmp_path / "out.ipynb").read_text() == "rendered before"
        assert not (tmp_path / "out.html").exists()


def test_the_kernel_is_this_interpreter_and_its_warnings_go_to_the_log(tmp_path, monkeypatch, capsys):
    interpreter = f"import sys\nassert sys.executable == {sys.executable!r}, sys.executable"
    warning = "import warnings\nwarnings.warn('the font cache is being built')\nprint('kept')"
    template = write_template(tmp_path / "noisy.ipynb", interpreter, warning)
    text = "".join(path.read_text(encoding="utf-8") for path in render(tmp_path, template, monkeypatch))
    assert text.count("kept") >= 2 and "UserWarning" not in text
    assert "a cell warned: " in capsys.readouterr().err
