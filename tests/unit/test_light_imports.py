"""Parsing the workflow, planning and auditing must stay fast, so they never load torch."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAST = ("study", "provenance", "report", "tools")
TORCH = {"torch", "torchvision", "torch_fidelity"}


def test_planning_modules_never_load_torch():
    library = ROOT / "workflow_scripts"
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in FAST
        for path in (library / package).rglob("*.py")
    }
    for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")):
        names |= set(
            re.findall(r"^from (workflow_scripts[\w.]*) import", path.read_text(), flags=re.MULTILINE)
        )
    assert len(names) > 20
    imports = "\n".join(f"import {name}" for name in ["sys", *sorted(names)])
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\nprint(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert TORCH & set(done.stdout.split()) == set()
