"""Recording a step: inputs are hashed before its work, outputs after it, and both are written down in a manifest.

`core/step.py` loads this module by its name and not by an import statement, so that it belongs to no step's source
closure: what records a step is no part of what the step does, and improving it trains nothing again.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_file
from workflow_scripts.core.memory import peak_resident_bytes
from workflow_scripts.provenance import manifest, surroundings
from workflow_scripts.provenance.packages import package_versions
from workflow_scripts.provenance.project_paths import portable_path
from workflow_scripts.provenance.source_closure import PACKAGE, file_digests, loaded_modules, source_digest

ROOT = Path(os.path.abspath(__file__)).parents[2]
Paths = Mapping[str, Sequence[Path]]


class Recorder:
    """The record of one call of a step. Made before the work; `finish` after it succeeded.

    `rule` None: the step was called by hand; its lineage is known, and nothing is written.
    """

    def __init__(
        self,
        entry: str,
        settings: dict[str, Any],
        inputs: Paths,
        outputs: Paths,
        *,
        rule: str | None = None,
        wildcards: Mapping[str, str] | None = None,
        data_root: Path | None = None,
        threads: int = 1,
        volatile: Sequence[str] = (),
        machine_settings: Mapping[str, str] | None = None,
    ):
        self.started, self._clock = _now(), time.monotonic()
        self._data_root, self._volatile_names, self._outputs = data_root, volatile, outputs
        first = next((path for paths in outputs.values() for path in paths), None)
        self._path = manifest.manifest_path(first) if rule is not None and first is not None else None
        if self._path is not None:
            self._set_aside_what_was_made_before()
        self._stats = {path: _stat(path) for paths in inputs.values() for path in paths}
        self._volatile_inputs: list[dict[str, Any]] = []
        self._lineage = {
            "rule": rule,
            "wildcards": dict(wildcards or {}),
            "entry": entry,
            "settings": settings,
            **_code(entry, loaded_modules(settings)),
            "inputs": [self._input(name, path) for name, paths in inputs.items() for path in paths],
        }
        self.input_lineage_sha256 = manifest.digest(self._lineage)
        self.code_sha256 = manifest.digest(
            [self._lineage["source"]["digest"], self._lineage["packages"]["digest"]]
        )
        self._circumstances = {
            **surroundings.commit(ROOT),
            "python": platform.python_version(),
            "snakemake": surroundings.version_of("snakemake"),
            "machine": surroundings.machine(),
            "threads": threads,
            "machine_settings": machine_settings or {},  # what the step chose for `auto` is written into it
            "seeds": _seeds(settings),
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
        for name, paths in self._outputs.items():
            for path in paths:
                described = self._describe(name, path)
                if described["sha256"] is None:
                    raise PipelineError(
                        f"{self._lineage['entry']} ended without writing {path}; this is a bug, report it"
                    )
                if name in self._volatile_names:
                    volatile_outputs.append(described)
                    described = {**described, "size": None, "sha256": None}
                outputs.append(described)
        manifest.write_manifest(
            self._path,
            {**self._lineage, "outputs": outputs},
            {
                **self._circumstances,
                "started": self.started,
                "ended": _now(),
                "wall_s": round(time.monotonic() - self._clock, 3),
                "peak_memory_mb": _peak_memory_mb(),
                "volatile_inputs": self._volatile_inputs,
                "volatile_outputs": volatile_outputs,
                "reproduces": self._reproduced(outputs),
            },
        )
        self._previous.unlink(missing_ok=True)

    def _set_aside_what_was_made_before(self) -> None:
        """Remove every manifest that names one of the outputs, also one beside a file that was the first output then.

        The one at this place is kept aside until the step succeeds, however often it fails before.
        """
        if self._path.is_file():
            with _said_as_error(self._path.parent):
                os.replace(self._path, self._previous)
        for path in (path for paths in self._outputs.values() for path in paths):
            try:
                maker = manifest.find_maker(portable_path(path, ROOT, self._data_root), ROOT)
            except PipelineError:  # damaged, hence of no use to anyone
                maker = manifest.manifest_path(path)
            if maker is not None:
                with _said_as_error(maker.parent):
                    maker.unlink(missing_ok=True)

    @property
    def _previous(self) -> Path:
        return self._path.with_name(f".{self._path.name}.previous")

    def _reproduced(self, outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The earlier lineages that gave the same bytes, and which outputs those are.

        What was made from them still stands, though this step ran with other code or settings since.
        """
        try:
            before = manifest.read_manifest(self._previous)
        except PipelineError:
            return []
        sums = {file["path"]: file["sha256"] for file in outputs if file["sha256"]}
        was = {file["path"]: file["sha256"] for file in before["lineage"]["outputs"]}
        same = sorted(path for path, sha256 in sums.items() if was.get(path) == sha256)
        earlier = [{"lineage_sha256": before["lineage_sha256"], "outputs": same}]
        earlier += [
            {**build, "outputs": [p for p in build["outputs"] if p in same]}
            for build in before["circumstances"].get("reproduces", [])
        ]
        own = manifest.digest({**self._lineage, "outputs": list(outputs)})
        return [build for build in earlier if build["outputs"] and build["lineage_sha256"] != own]

    def _input(self, name: str, path: Path) -> dict[str, Any]:
        described = {**self._describe(name, path), "lineage_sha256": None}
        try:
            maker = manifest.find_maker(described["path"], ROOT)
            made = maker and manifest.read_manifest(maker)
        except PipelineError:
            return described  # the audit says that the link is missing, and why
        if not made:
            return described
        described["lineage_sha256"] = made["lineage_sha256"]
        if any(file["path"] == described["path"] for file in made["circumstances"]["volatile_outputs"]):
            self._volatile_inputs.append(dict(described))
            described |= {"size": None, "sha256": None}
        return described

    def _describe(self, name: str, path: Path) -> dict[str, Any]:
        """Size and sum are null for what is no file: a folder, or what is missing, which the step itself complains about."""
        known = path.is_file() and os.access(path, os.R_OK)
        return {
            "name": name,
            "path": portable_path(path, ROOT, self._data_root),
            "size": path.stat().st_size if known else None,
            "sha256": sha256_file(path) if known else None,
        }

    def _require_unchanged(self, path: Path, before: tuple[int, ...] | None) -> None:
        """A new time alone is looked into: the bytes decide."""
        if path.is_dir() or _stat(path) == before:
            return
        name = portable_path(path, ROOT, self._data_root)
        known = [*self._lineage["inputs"], *self._volatile_inputs]
        if path.is_file() and sha256_file(path) in {file["sha256"] for file in known if file["path"] == name}:
            return
        raise PipelineError(
            f"the input {path} changed while the step ran, so its result belongs to neither; run again"
        )


@contextlib.contextmanager
def _said_as_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PipelineError(
            f"cannot write in {folder}: {error.strerror or error}; fix the permissions and run again"
        ) from error


def _code(entry: str, modules: tuple[str, ...]) -> dict[str, Any]:
    """`source` and `packages` of the lineage."""
    # a step that is no entry point of the project (a test's) has no closure
    if not (ROOT / PACKAGE / "steps" / f"{entry}.py").is_file():
        return {"source": {"digest": None, "files": {}}, "packages": {"digest": None, "versions": {}}}
    source = {"digest": source_digest(ROOT, entry, modules), "files": file_digests(ROOT, entry, modules)}
    return {"source": source, "packages": package_versions(ROOT, entry, modules)}


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _seeds(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of every setting whose name ends in `seed` or `seeds`."""
    found: dict[str, Any] = {}
    if isinstance(settings, dict):
        for key, value in settings.items():
            if key.endswith(("seed", "seeds")):
                found[prefix + key] = value
            else:
                found |= _seeds(value, f"{prefix}{key}.")
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _peak_memory_mb() -> float:
    """The most memory this process, or one it waited for (a notebook's kernel), held at once, in MiB."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts in KiB
    return round(max(peak_resident_bytes(), of_children) / 2**20, 1)
