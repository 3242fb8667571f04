"""Run a step again in a scratch folder, to see whether its outputs come out byte for byte as recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.core.files import ascii_json, sha256_file
from workflow_scripts.provenance.lineage import Lineage, StepRecord
from workflow_scripts.provenance.manifest import local_path
from workflow_scripts.provenance.source_closure import PACKAGE
from workflow_scripts.provenance.verification import Problem


def rerun(lineage: Lineage, step: StepRecord, data_root: Path | None) -> list[Problem]:
    """Run the step with the code that is here, its recorded settings and its inputs; return what differs.

    The scratch folder has the project's layout, because a page links relative to where it lies. Measured
    outputs, such as durations, must exist and may differ. As slow as the step itself.
    """
    with tempfile.TemporaryDirectory(prefix="rerun-") as folder:
        scratch = Path(folder)
        _lay_out(lineage, step, scratch)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        command = _command(step, data_root)
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or "no error message").splitlines()[-1]
            return [Problem(step.path, "rerun", f"{step.label} failed when it was run again: {said}")]
        return list(_differences(step, scratch))


def _lay_out(lineage: Lineage, step: StepRecord, scratch: Path) -> None:
    """Copy the code, and link every input and all manifests behind it, all at their places in the project."""
    shutil.copytree(lineage.root / PACKAGE, scratch / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    others = ["config", *(f"envs/{path.name}" for path in (lineage.root / "envs").glob("*"))]
    earlier = [other for other in lineage.steps if other != step.path]
    for name in dict.fromkeys([*others, *earlier, *(file.path for file in step.inputs)]):
        place, link = local_path(name, lineage.root), scratch / name
        if place is not None and place.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.abspath(place))


def _command(step: StepRecord, data_root: Path | None) -> list[str]:
    """The step's command line (core/step.py), from its manifest."""
    lineage, circumstances = step.lineage, step.circumstances
    data_root = data_root and Path(os.path.abspath(data_root))
    words = [sys.executable, "-m", f"{PACKAGE}.steps.{lineage['entry']}"]
    words += ["--settings", ascii_json(lineage["settings"])]
    for flag, files in (("--input", step.inputs), ("--output", step.outputs)):
        for name in dict.fromkeys(file.name for file in files):
            places = (local_path(file.path, Path(), data_root) for file in files if file.name == name)
            words += [flag, name, *(str(place) for place in places if place is not None)]
    for name, value in lineage["wildcards"].items():
        words += ["--wildcard", name, value]
    # on the same kind of device, since another one rounds differently
    for name, value in circumstances.get("machine_settings", {}).items():
        words += ["--machine", name, str(value)]
    if data_root:
        words += ["--data-root", str(data_root)]
    return [*words, "--rule", lineage["rule"], "--threads", str(circumstances["threads"])]


def _differences(step: StepRecord, scratch: Path) -> Iterator[Problem]:
    # only a step that measures differs from run to run; a page that shows recorded durations gets the same
    # ones again
    measures = not any(file.volatile for file in step.inputs)
    for file in step.outputs:
        again = scratch / file.path
        if not again.is_file():
            yield Problem(file.path, "rerun", f"{step.label} did not make it when it was run again")
        elif not (file.volatile and measures) and (now := sha256_file(again)) != file.sha256:
            said = f"{step.label} makes {now[:12]} when it is run again, recorded is {str(file.sha256)[:12]}"
            yield Problem(file.path, "rerun", said)
