"""Notebooks: rendered twice they are the same bytes, offline, without paths; a failing cell is named and leaves nothing."""

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

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = sorted((ROOT / "reports" / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "reports" / "templates" / name for name in ("page.html.j2", "notebook.html.j2")]
NEEDED = ("results", "verdict", "scale_marks", "logs", "probes")


def render(
    root: Path, template: Path, output: str, monkeypatch, log: Path | None = None, **choices
) -> tuple[Path, Path]:
    report, inputs = made_up.write_study(root / "study", **choices)
    monkeypatch.chdir(root)
    chosen = {name: inputs[name] for name in NEEDED} | {"template": [template], "templates": PAGES}
    outputs = {"notebook": root / f"{output}.ipynb", "html": root / f"{output}.html"}
    arguments = made_up.arguments({"notebook": template.stem, "report": report}, chosen, outputs)
    run(render_notebook.main, [*arguments, *(["--log", str(log)] if log else [])])
    return outputs["notebook"], outputs["html"]


def write_template(path: Path, *cells: str) -> Path:
    parameters = nbformat.v4.new_code_cell("report = {}\ninputs = {}", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[parameters, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
    )
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, path)
    return path


def test_templates_are_clean_and_hold_no_analysis():
    assert [path.stem for path in TEMPLATES] == ["01_results", "02_training"]
    for path in TEMPLATES:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.outputs == [] and cell.execution_count is None
                assert not re.search(r"\b(for|def|import (numpy|pandas|matplotlib))\b", cell.source)


def test_rendered_twice_from_different_places_the_same_bytes(tmp_path, monkeypatch):
    """Two folders stand for two checkouts: nothing of the machine may get into the files."""
    first = render(tmp_path / "one", TEMPLATES[0], "a", monkeypatch)
    second = render(tmp_path / "another", TEMPLATES[0], "a", monkeypatch)
    for left, right in zip(first, second):
        assert left.read_bytes() == right.read_bytes()

    text = first[0].read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert "papermill" not in notebook["metadata"]
    assert all(set(cell["metadata"]) == {"tags"} for cell in notebook["cells"])
    assert str(tmp_path) not in text and sys.prefix not in text and str(ROOT) not in text
    assert not re.search(r"\d{4}-\d\d-\d\dT", text)  # no time stamp
    nbformat.validate(nbformat.from_dict(notebook))

    html = first[1].read_text(encoding="utf-8")
    assert "<script" not in html and "<link" not in html and "http://" not in html and "https://" not in html
    assert 'class="rehearsal"' in html and html.count("REHEARSAL: S1_made_up") == 1
    images = re.findall(r"<img[^>]*>", html)
    assert len(images) == 4
    for image in images:
        assert re.search(r'alt="[A-Z][^"]{40,}"', image)  # a sentence, not the default "No description"
    assert "−20.0 %" in html


def test_second_template_renders_without_rehearsal_mark(tmp_path, monkeypatch):
    notebook, html = render(tmp_path, TEMPLATES[1], "b", monkeypatch, rehearsal=False)
    assert "REHEARSAL" not in notebook.read_text(encoding="utf-8") + html.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 / 0", "bad.ipynb, code cell 3 (1 / 0): ZeroDivisionError: division by zero"),
        ("import sys\nprint(sys.prefix)", "of this machine"),
    ],
)
def test_a_bad_cell_is_named_and_leaves_nothing(cell, message, tmp_path, monkeypatch, capsys):
    template = write_template(tmp_path / "bad.ipynb", cell)
    with pytest.raises(SystemExit) as stopped:
        render(tmp_path, template, "out", monkeypatch, log=tmp_path / "step.log")
    assert stopped.value.code == 1
    assert message in capsys.readouterr().err
    log = (tmp_path / "step.log").read_text(encoding="utf-8")
    assert message in log and "Traceback" not in log
    assert not list(tmp_path.glob("*out*"))


def test_warnings_go_to_the_log_and_not_into_the_notebook(tmp_path, monkeypatch, capsys):
    code = "import warnings\nwarnings.warn('the font cache is being built')\nprint('kept')"
    notebook, html = render(tmp_path, write_template(tmp_path / "noisy.ipynb", code), "out", monkeypatch)
    text = notebook.read_text(encoding="utf-8") + html.read_text(encoding="utf-8")
    assert text.count("kept") >= 2 and "UserWarning" not in text
    assert "a cell warned: " in capsys.readouterr().err


def test_an_earlier_rendering_survives_a_failing_cell_untouched(tmp_path, monkeypatch):
    """What was rendered before is whole; the new one is written only after its last cell."""
    good = render(tmp_path, write_template(tmp_path / "n.ipynb", "print('first')"), "out", monkeypatch)
    before = [path.read_bytes() for path in good]
    with pytest.raises(SystemExit):
        render(
            tmp_path,
            write_template(tmp_path / "n.ipynb", "print('second')", "raise KeyError('gone')"),
            "out",
            monkeypatch,
        )
    assert [path.read_bytes() for path in good] == before


def test_the_kernel_is_this_interpreter(tmp_path, monkeypatch):
    code = f"import sys\nassert sys.executable == {sys.executable!r}, sys.executable"
    assert render(tmp_path, write_template(tmp_path / "which.ipynb", code), "out", monkeypatch)[0].is_file()


def test_a_damaged_template_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "damaged.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit):
        render(tmp_path, tmp_path / "damaged.ipynb", "out", monkeypatch)
    error = capsys.readouterr().err
    assert "damaged.ipynb cannot be executed" in error and "Traceback" not in error
