"""What the notebook templates show, and how they become files that are byte-identical when rendered again.

The templates contain no analysis: numbers and figures are computed here, in tables and in figures.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from IPython.display import Image, Markdown, display
from markupsafe import Markup

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.report import interpretation, tables  # noqa: F401  the templates use interpretation
from workflow_scripts.report.context import ReportContext
from workflow_scripts.report.figures import FIGURES, draw
from workflow_scripts.report.labels import rehearsal_line
from workflow_scripts.report.page import render
from workflow_scripts.report.sections import sections_of
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.report.summary_words import setting_words

PROJECT = Path(__file__).resolve().parents[2]
CELL_TIMEOUT_S = 600
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}


def open_results(report: dict[str, Any], inputs: Mapping[str, Sequence[str]]) -> ReportContext:
    """Read the results that `execute` gave to the notebook."""
    return ReportContext.load(report, {name: list(map(Path, paths)) for name, paths in inputs.items()})


def show(content: str | tables.Table) -> Markdown:
    """A table or a sentence, without its marks of origin."""
    return Markdown(plain(content) if isinstance(content, str) else tables.as_markdown(content))


def seed_pairs(context: ReportContext) -> pd.DataFrame:
    """Arm and comparator of every hypothesis, seed by seed, from which the verdict is computed."""
    hypotheses = context.verdict["hypotheses"]
    return pd.DataFrame([{"hypothesis": item["id"], **seed} for item in hypotheses for seed in item["seeds"]])


def show_figure(name: str, context: ReportContext) -> Image:
    """A figure of the report, with its alternative text."""
    figure, _ = draw(name, context)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None}, bbox_inches="tight")
    return Image(buffer.getvalue(), format="png", alt=FIGURES[name].alt)


def show_sections(context: ReportContext) -> None:
    """The study's own sections: words, tables, and the figures that need no files but a notebook's."""
    for section in sections_of(context, setting_words(context.report)).values():
        display(show(f"### {section.heading}\n\n{section.words}"))
        for part in section.parts:
            if isinstance(part, str) and FIGURES[part].of_section:
                continue
            display(show_figure(part, context) if isinstance(part, str) else show(part[2]))


def execute(
    template: Path, report: dict[str, Any], inputs: Mapping[str, Sequence[Path]]
) -> tuple[nbformat.NotebookNode, list[str]]:
    """Run the template with `report` and `inputs` (paths by name) in this interpreter; remove what varies.

    Returns the notebook and the lines that its cells wrote to stderr. Warnings of libraries differ between
    machines (a font cache, a read-only folder), so they go into the log instead of the notebook.

    PipelineError when the template is damaged, a cell fails (names notebook, cell and exception), or an
    output contains a path of this machine.
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
                # Without encryption, other users of the machine can read what a kernel says.
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
    warnings = _clean(notebook, template.name)
    if report["rehearsal"]:
        text = f"> **{tables.markdown(rehearsal_line(report))}**"
        banner = nbformat.v4.new_markdown_cell(text, id="banner", metadata={"tags": ["banner"]})
        notebook.cells.insert(0, banner)
    return notebook, warnings


@contextmanager
def _own_kernel(folder: Path) -> Iterator[None]:
    """Make `python3` mean this interpreter with the project importable, whatever the user has installed."""
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {**KERNEL, "argv": argv, "metadata": {"supported_encryption": ["curve"]}}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    own = {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
    }
    before = dict(os.environ)
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _clean(notebook: nbformat.NotebookNode, name: str) -> list[str]:
    """Remove times, versions, random ids and stderr (returned as lines); refuse paths of this machine."""
    warnings: list[str] = []
    notebook.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        cell.metadata = {"tags": cell.metadata.get("tags", [])}
        outputs = cell.get("outputs", [])
        said = [output.text for output in outputs if output.get("name") == "stderr"]
        warnings += [line for text in said for line in text.splitlines()]
        if outputs:
            cell.outputs = [output for output in outputs if output.get("name") != "stderr"]
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        for place in {sys.prefix, str(PROJECT), os.getcwd()} - {"/"}:
            if place in text:
                raise PipelineError(
                    f"{name}, cell {index}: the output contains the path {place} of this machine; change it"
                )
    return warnings


def to_json(notebook: nbformat.NotebookNode) -> str:
    """The notebook as the text of an .ipynb file."""
    return nbformat.writes(notebook, version=4) + "\n"


def to_html(notebook: nbformat.NotebookNode, report: Mapping[str, Any], templates: Sequence[Path]) -> str:
    """The notebook as one offline page in the report's style, without the cells that hold the settings."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter
    from traitlets.config import Config

    # The page has its own banner.
    removed = {"enabled": True, "remove_cell_tags": ["parameters", "injected-parameters", "banner"]}
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config({"TagRemovePreprocessor": removed}),
    )
    body, _ = exporter.from_notebook_node(notebook)
    return render(
        list(templates),
        "notebook.html.j2",
        title=f"{report['study_title']}: {report['preset_title']}",
        banner=rehearsal_line(report) if report["rehearsal"] else "",
        body=Markup(body),
        code_style=Markup(HtmlFormatter(style="default").get_style_defs(".highlight")),
        dark_code_style=Markup(HtmlFormatter(style="github-dark").get_style_defs(".highlight")),
    )
