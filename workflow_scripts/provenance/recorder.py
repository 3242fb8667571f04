"""Record a step: hash its inputs before the work and its outputs after it, and write the manifest.

`core/step.py` loads this module by its name and not by an import statement, so that it belongs to no step's
source closure: improving how a step is recorded must not train anything again.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file, sha256_text
from workflow_scripts.core.memory import peak_resident_bytes
from workflow_scripts.core.step import Step
from workflow_scripts.provenance import manifest
from workflow_scripts.provenance.lineage import StepIndex
from workflow_scripts.provenance.manifest import portable_path
from workflow_scripts.provenance.packages import code_of, installed_version
from workflow_scripts.provenance.source_closure import PACKAGE

ROOT = Path(os.path.abspath(__file__)).parents[2]
_NVIDIA = Path("/proc/driver/nvidia")
# For a step in a test, which is not an entry point of the project.
_NO_CODE = {"source": {"digest": None, "files": {}}, "packages": {"digest": None, "versions": {}}}


class Recorder:
    """The record of one call of a step. Make it before the work; call `finish` after the work succeeded.

    A step without a rule was called by hand: its lineage is known, and nothing is written.
    """

    def __init__(
        self, step: Step, wildcards: dict[str, str], data_root: Path | None, volatile: Sequence[str]
    ):
        self.started, self._clock = _now(), time.monotonic()
        self._data_root, self._volatile_names = data_root, volatile
        self._outputs = [(name, path) for name, paths in step.outputs.items() for path in paths]
        by_rule = step.rule is not None and self._outputs
        self._path = manifest.manifest_path(self._outputs[0][1]) if by_rule else None
        if self._path is not None:
            self._remove_old_manifests()
        self._steps = StepIndex(ROOT)
        self._stats = {path: _stat(path) for paths in step.inputs.values() for path in paths}
        self._volatile_inputs: list[dict[str, Any]] = []
        is_entry = (ROOT / PACKAGE / "steps" / f"{step.name}.py").is_file()
        self._lineage = {
            "rule": step.rule,
            "wildcards": wildcards,
            "entry": step.name,
            "settings": step.settings,
            **(code_of(ROOT, step.name, step.settings) if is_entry else _NO_CODE),
            "inputs": [self._input(name, path) for name, paths in step.inputs.items() for path in paths],
        }
        self.input_lineage_sha256 = manifest.digest(self._lineage)
        code = [self._lineage[part]["digest"] for part in ("source", "packages")]
        self.code_sha256 = manifest.digest(code)
        self._circumstances = {
            **commit(ROOT),
            "python": platform.python_version(),
            "snakemake": installed_version("snakemake"),
            "machine": machine(),
            "threads": step.threads,
            "machine_settings": step.machine,  # the step writes its choice for `auto` into it
        }

    def finish(self) -> None:
        """Check that no input changed meanwhile, hash the outputs and write the manifest.

        PipelineError names the input that changed, or the output that the step did not write.
        """
        for path, before in self._stats.items():
            self._require_unchanged(path, before)
        if self._path is None:
            return
        outputs, volatile_outputs = [], []
        for name, path in self._outputs:
            described = self._describe(name, path)
            if described["sha256"] is None:
                raise PipelineError(f"{self._lineage['entry']} ended without writing {path}; report the bug")
            if name in self._volatile_names:
                volatile_outputs.append(described)
                described = {**described, "size": None, "sha256": None}
            outputs.append(described)
        measured = {
            "started": self.started,
            "ended": _now(),
            "wall_s": round(time.monotonic() - self._clock, 3),
            "peak_memory_mb": _peak_memory_mb(),
            "volatile_inputs": self._volatile_inputs,
            "volatile_outputs": volatile_outputs,
            "reproduces": self._reproduced(outputs),
        }
        lineage = {**self._lineage, "outputs": outputs}
        manifest.write_manifest(self._path, lineage, {**self._circumstances, **measured})
        self._previous.unlink(missing_ok=True)

    def _remove_old_manifests(self) -> None:
        """Remove every manifest that names one of the outputs, wherever it lies.

        The one at this step's own place is kept aside until the step succeeds, however often it fails before.
        """
        try:
            if self._path.is_file():
                os.replace(self._path, self._previous)
            earlier = StepIndex(ROOT)
            for _, path in self._outputs:
                manifest.manifest_path(path).unlink(missing_ok=True)
                for maker in earlier.makers(portable_path(path, ROOT, self._data_root)):
                    (ROOT / maker.path).unlink(missing_ok=True)
        except OSError as error:
            raise PipelineError(
                f"cannot write in {self._path.parent}: {error.strerror or error}; fix the permissions"
            ) from error

    @property
    def _previous(self) -> Path:
        return self._path.with_name(f".{self._path.name}.previous")

    def _reproduced(self, outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The earlier lineages that gave the same bytes, and for which outputs; files made from them hold."""
        try:
            before = manifest.read_manifest(self._previous)
        except PipelineError:
            return []
        sums = {(file["path"], file["sha256"]) for file in outputs if file["sha256"]}
        was = {(file["path"], file["sha256"]) for file in before["lineage"]["outputs"]}
        same = sorted(path for path, _ in sums & was)
        own = manifest.digest({**self._lineage, "outputs": list(outputs)})
        earlier = [{"lineage_sha256": before["lineage_sha256"], "outputs": same}]
        for build in before["circumstances"].get("reproduces", []):
            earlier.append({**build, "outputs": [path for path in build["outputs"] if path in same]})
        return [build for build in earlier if build["outputs"] and build["lineage_sha256"] != own]

    def _input(self, name: str, path: Path) -> dict[str, Any]:
        described = {**self._describe(name, path), "lineage_sha256": None}
        makers = self._steps.makers(described["path"])
        if not makers:  # if a manifest is damaged, the audit says so
            return described
        described["lineage_sha256"] = makers[0].lineage_sha256
        if any(file.volatile for file in makers[0].outputs if file.path == described["path"]):
            self._volatile_inputs.append(dict(described))
            described |= {"size": None, "sha256": None}
        return described

    def _describe(self, name: str, path: Path) -> dict[str, Any]:
        """Size and sum are null for a folder, and for a missing file (the step itself reports that)."""
        known = path.is_file() and os.access(path, os.R_OK)
        return {
            "name": name,
            "path": portable_path(path, ROOT, self._data_root),
            "size": path.stat().st_size if known else None,
            "sha256": sha256_file(path) if known else None,
        }

    def _require_unchanged(self, path: Path, before: tuple[int, ...] | None) -> None:
        if path.is_dir() or _stat(path) == before:
            return
        # Only the bytes decide: a new time is not a change.
        name = portable_path(path, ROOT, self._data_root)
        known = [*self._lineage["inputs"], *self._volatile_inputs]
        if path.is_file() and sha256_file(path) in {file["sha256"] for file in known if file["path"] == name}:
            return
        raise PipelineError(
            f"the input {path} changed while the step ran, so the result fits neither version; run again"
        )


def machine() -> dict[str, Any]:
    """Return system, CPU model, cores, memory in GiB, and GPUs with their driver; no host or user name."""
    gpus = [_field(path, r"^Model:\s*(.+)$") for path in sorted(_NVIDIA.glob("gpus/*/information"))]
    return {
        "host_class": f"{platform.system()}-{platform.machine()}",
        "cpu": _field(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$") or platform.processor() or None,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": [name for name in gpus if name],
        "driver": _field(_NVIDIA / "version", r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)"),
    }


def _field(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None


def commit(root: Path) -> dict[str, Any]:
    """Return the commit, whether the files here were as committed, and if not the sha256 of the difference.

    All null unless a git repository tracks this project's Snakefile: another one around the project does not
    count. Files that a .gitignore names do not count; new files count by their name, since the lineage holds
    their content if a step read them. Four calls of git, about 10 ms together.
    """
    unknown = {"commit": None, "tree_clean": None, "diff_sha256": None}
    head = _git(root, "rev-parse", "--verify", "HEAD")
    changed = _git(root, "diff", "HEAD", "--name-only", "--relative", "--no-renames", "-z")
    added = _git(root, "ls-files", "--others", "--exclude-per-directory=.gitignore", "-z")
    if not _git(root, "ls-files", "--", "Snakefile") or None in (head, changed, added):
        return unknown
    parts = [f"{name}\0{_content(root / name)}" for name in sorted(changed.split("\0")) if name]
    parts += [f"{name}\0new" for name in sorted(added.split("\0")) if name]
    difference = sha256_text("\0".join(parts)) if parts else None
    return {"commit": head.strip(), "tree_clean": not parts, "diff_sha256": difference}


def _content(path: Path) -> str | None:
    return os.readlink(path) if path.is_symlink() else sha256_file(path) if path.is_file() else None


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, whatever the user's settings or a git hook's environment; None where it fails."""
    # no optional locks: this must never disturb a git command of the user
    settings = ["diff.autoRefreshIndex=true", "core.fileMode=false", "core.autocrlf=false"]
    words = [word for setting in settings for word in ("-c", setting)]
    command = ["git", "--no-optional-locks", *words, "-C", str(root), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="backslashreplace") if done.returncode == 0 else None


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _peak_memory_mb() -> float:
    """The peak memory in MiB of this process or of a child that it waited for (a notebook's kernel)."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts in KiB
    return round(max(peak_resident_bytes(), of_children) / 2**20, 1)
