"""A project of one entry point in a temporary folder, and steps recorded in it."""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.core.step import Step
from workflow_scripts.provenance import recorder, source_closure

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


def forget():
    """Drop what source_closure keeps in memory, because source files have changed."""
    for cached in (source_closure.source_of, source_closure.source_closure, source_closure._read):
        cached.cache_clear()


def begin(inputs, outputs, settings, rule="collect", wildcards=None, data_root=None, volatile=(), **options):
    """The record of a step that is about to begin."""
    named = [
        {name: [Path(path) for path in paths] for name, paths in files.items()} for files in (inputs, outputs)
    ]
    step = Step(ENTRY, settings, *named, rule=rule, **options)
    return recorder.Recorder(step, wildcards or {"seed": "1"}, data_root, volatile)


def record(inputs, outputs, write=None, settings=None, **options) -> recorder.Recorder:
    """Record a step whose work is to write `write` (path -> text, by default "made" to every output)."""
    made = begin(inputs, outputs, settings or {}, **options)
    for path, text in (write or {path: "made" for paths in outputs.values() for path in paths}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    made.finish()
    return made
