"""Making a step's outputs again, in a scratch folder, to see whether they come out byte for byte as recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.core.files import canonical_json, sha256_file
from workflow_scripts.provenance.lineage import Lineage, StepRecord
from workflow_scripts.provenance.project_paths import local_path
from workflow_scripts.provenance.source_closure import PACKAGE
from workflow_scripts.provenance.verification import Problem


def rerun(lineage: Lineage, step: StepRecord, data_root: Path | None) -> list[Problem]:
    """Run the step again with the code that is here, its recorded settings and its inputs; what differs, if anything.

    The scratch folder has the project's layout, because a page links relative to where it lies. Measured outputs, such
    as durations, must exist and may differ. As slow as the step itself.
    """
    with tempfile.TemporaryDirectory(prefix="rerun-") as folder:
        scratch = Path(folder)
        _lay_out(lineage, step, scratch)
        done = subprocess.run(
            _command(step, data_root), cwd=scratch, env=_environment(), capture_output=True, text=True
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return [Problem(step.path, "rerun", f"{step.label} failed when it was run again: {said}")]
        return list(_differences(step, scratch))


def _lay_out(lineage: Lineage, step: StepRecord, scratch: Path) -> None:
    """The code as copies, every input and all manifests behind it as links, all at their places in the project."""
    shutil.copytree(lineage.root / PACKAGE, scratch / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    others = [f"envs/{path.name}" for path in (lineage.root / "envs").glob("*")] + ["config"]
    earlier = [other for other in lineage.steps if other != step.path]
    for name in dict.fromkeys([*others, *earlier, *(file.path for file in step.inputs)]):
        place, link = local_path(name, lineage.root), scratch / name
        if place is not None and place.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.abspath(place))


def _command(step: StepRecord, data_root: Path | None) -> list[str]:
    lineage = step.lineage
    words = [
        sys.executable,
        "-m",
        f"{PACKAGE}.{lineage['entry']}",
        "--settings",
        canonical_json(lineage["settings"]),
    ]
    for flag, files in (("--input", step.inputs), ("--output", step.outputs)):
        for name in dict.fromkeys(file.name for file in files):
            places = (
                local_path(file.path, Path(), data_root and Path(os.path.abspath(data_root)))
                for file in files
                if file.name == name
            )
            words += [flag, name, *(str(place) for place in places if place is not None)]
    words += [word for name, value in lineage["wildcards"].items() for word in ("--wildcard", name, value)]
    # on the same kind of device, since another one rounds differently
    machine = step.manifest["circumstances"].get("machine_settings", {})
    words += [word for name, value in machine.items() for word in ("--machine", name, str(value))]
    words += ["--data-root", os.path.abspath(data_root)] if data_root else []
    return [*words, "--rule", lineage["rule"], "--threads", str(step.manifest["circumstances"]["threads"])]


def _environment() -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    return environment


def _differences(step: StepRecord, scratch: Path) -> Iterator[Problem]:
    # a page that shows durations it was handed is made again with the same ones; only what measures them differs
    measures = not any(file.volatile for file in step.inputs)
    for file in step.outputs:
        again = scratch / file.path
        if not again.is_file():
            yield Problem(file.path, "rerun", f"{step.label} did not make it when it was run again")
        elif not (file.volatile and measures) and (now := sha256_file(again)) != file.sha256:
            yield Problem(
                file.path,
                "rerun",
                f"{step.label} makes {now[:12]} when it is run again, recorded is {file.sha256[:12]}",
            )
