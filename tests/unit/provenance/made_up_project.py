"""A project of one entry point in a temporary folder, and steps recorded in it."""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.provenance import recorder

ENTRY = "collect_results"


def make_project(root: Path) -> Path:
    """One entry point, one module that it imports, and a source file `rows.json`."""
    package = root / "workflow_scripts"
    (package / "study").mkdir(parents=True)
    (package / "steps").mkdir()
    (package / "steps" / f"{ENTRY}.py").write_text("from workflow_scripts.study import rows\n")
    for name in ("__init__", "steps/__init__", "study/__init__", "study/rows"):
        (package / f"{name}.py").write_text('"""About."""\n')
    (root / "rows.json").write_text("[1]")
    return root


def record(inputs, outputs, write=None, settings=None, **options) -> recorder.Recorder:
    """Record a step whose work is to write `write` (path -> text, by default "made" to every output)."""
    options = {"rule": "collect", "wildcards": {"seed": "1"}, **options}
    named = [
        {name: [Path(path) for path in paths] for name, paths in files.items()} for files in (inputs, outputs)
    ]
    made = recorder.Recorder(ENTRY, settings or {}, *named, **options)
    for path, text in (write or {str(path): "made" for paths in named[1].values() for path in paths}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    made.finish()
    return made
