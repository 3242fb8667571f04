"""Execute a notebook template and turn it into files that are byte-identical when rendered again."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report import notebook_views  # noqa: F401  the templates import it, so it belongs to this step's code
from workflow_scripts.report.labels import rehearsal_line
from workflow_scripts.report.page import render
from workflow_scripts.report.tables import markdown

PROJECT = Path(__file__).resolve().parents[2]
CELL_TIMEOUT_S = 600


def execute(
    template: Path, report: dict[str, Any], inputs: Mapping[str, Sequence[Path]]
) -> tuple[nbformat.NotebookNode, list[str]]:
    """Run the template with `report` and `inputs` (relative paths by name) in this interpreter; clean what varies.

    Returns the notebook and the lines that its cells wrote to stderr: warnings of libraries differ between machines and
    users (a font cache, a folder that cannot be written), so they belong in the log and not in the notebook.

    PipelineError when the template is damaged, a cell fails (names notebook, cell and exception), or an output holds
    a path of this machine.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    relative = {name: [os.path.relpath(path) for path in paths] for name, paths in inputs.items()}
    with tempfile.TemporaryDirectory(prefix="notebook") as folder, _own_kernel(Path(folder)):
        output = Path(folder) / "output.ipynb"
        try:
            papermill.execute_notebook(
                str(template),
                str(output),
                parameters={"report": report, "inputs": relative},
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                execution_timeout=CELL_TIMEOUT_S,
                # Other users of the machine can read what an unencrypted kernel says.
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        except PapermillExecutionError as error:
            first_line = next(iter(error.source.strip().splitlines()), "")
            raise PipelineError(
                f"{template.name}, code cell {error.exec_count} ({first_line}): {error.ename}: {error.evalue}"
            ) from error
        except (OSError, ValueError, DeadKernelError, nbformat.ValidationError) as error:
            reason = " ".join(str(error).split())
            raise PipelineError(f"{template} cannot be executed ({reason}); check the template") from error
        notebook = nbformat.read(output, as_version=4)
    warnings = _take_stderr(notebook)
    return _cleaned(notebook, report, template.name), warnings


def _take_stderr(notebook: nbformat.NotebookNode) -> list[str]:
    lines: list[str] = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        lines += [
            line for output in outputs if output.get("name") == "stderr" for line in output.text.splitlines()
        ]
        if outputs:
            cell.outputs = [output for output in outputs if output.get("name") != "stderr"]
    return lines


@contextlib.contextmanager
def _own_kernel(folder: Path) -> Iterator[None]:
    """Make `python3` mean this very interpreter with the project importable, whatever kernels the user has installed."""
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": argv,
        "display_name": "Python 3",
        "language": "python",
        "metadata": {"supported_encryption": ["curve"]},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    search = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    own = {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": search,
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _cleaned(notebook: nbformat.NotebookNode, report: Mapping[str, Any], name: str) -> nbformat.NotebookNode:
    """Drop times, versions and random ids; put the rehearsal banner on top; refuse paths of this machine."""
    if report["rehearsal"]:
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"> **{markdown(rehearsal_line(report))}**"))
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {
            "name": "python",
            "file_extension": ".py",
            "mimetype": "text/x-python",
            "pygments_lexer": "ipython3",
        },
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata = {"tags": cell.metadata.get("tags", [])}
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        for place in {sys.prefix, str(PROJECT), os.getcwd()} - {"/"}:
            if place in text:
                raise PipelineError(
                    f"{name}, cell {index}: the output holds the path {place} of this machine; change the cell"
                )
    return notebook


def to_json(notebook: nbformat.NotebookNode) -> str:
    """The notebook as the text of an .ipynb file."""
    return nbformat.writes(notebook, version=4) + "\n"


def to_html(notebook: nbformat.NotebookNode, report: Mapping[str, Any], templates: Sequence[Path]) -> str:
    """The notebook as one offline page in the report's style; the cell with the injected settings is left out."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter
    from traitlets.config import Config

    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config(
            {
                "TagRemovePreprocessor": {
                    "enabled": True,
                    "remove_cell_tags": ["parameters", "injected-parameters"],
                },
            }
        ),
    )
    shown = nbformat.from_dict(notebook)
    if report["rehearsal"]:
        shown.cells = shown.cells[1:]  # the page has a banner of its own
    body, _ = exporter.from_notebook_node(shown)
    return render(
        list(templates),
        "notebook.html.j2",
        title=f"{report['study_title']}: {report['preset_title']}",
        banner=rehearsal_line(report) if report["rehearsal"] else "",
        body=Markup(body),
        code_style=Markup(HtmlFormatter(style="default").get_style_defs(".highlight")),
        dark_code_style=Markup(HtmlFormatter(style="github-dark").get_style_defs(".highlight")),
    )
