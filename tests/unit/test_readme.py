"""The README names every file of the library with the first line of its docstring, and nothing that is not there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_library_file_has_its_line():
    library = ROOT / "workflow_scripts"
    expected = [
        f"- `{path.relative_to(library).as_posix()}`: {ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]}"
        for path in sorted(library.rglob("*.py"))
        if path.name != "__init__.py"
    ]
    listed = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("- `")]
    assert listed == expected


def test_every_file_named_in_the_table_exists():
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`<]+)`", row) if "/" in name or "." in name]
    named = [name for name in named if not name.startswith(".") and "<" not in name]
    assert len(named) > 15
    for name in named:
        assert list(ROOT.glob(name)), name
