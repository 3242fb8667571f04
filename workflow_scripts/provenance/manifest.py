"""A step's manifest: its inputs, outputs, settings and code.

It lies beside the step's first output, as `<output>.manifest.json`.

    {"manifest_version": 1,
     "lineage": {"rule", "wildcards", "entry", "settings",
                 "source": {"digest", "files": {path: digest of its syntax tree}},
                 "packages": {"digest", "versions": {name: version}},
                 "inputs":  [{"name", "path", "size", "sha256", "lineage_sha256"}],
                 "outputs": [{"name", "path", "size", "sha256"}]},
     "lineage_sha256": sha256 of canonical_json(lineage),
     "circumstances": {"commit", "tree_clean", "diff_sha256", "python", "snakemake", "machine", "threads",
                       "machine_settings", "started", "ended", "wall_s", "peak_memory_mb",
                       "volatile_inputs", "volatile_outputs",
                       "reproduces": [{"lineage_sha256", "outputs"}]},
     "circumstances_sha256": sha256 of canonical_json(circumstances)}

`lineage` holds nothing that differs between two equal runs. An input's `lineage_sha256` is null where no step
made it. Volatile files are measurements, such as a duration: the lineage names them without size and sum.
Paths are relative to the project or the data root. docs/architecture.md (Provenance) says what this is for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import (
    canonical_json,
    json_bytes,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
)

MANIFEST_VERSION = 1
SUFFIX = ".manifest.json"
DATA_ROOT = "data_root"
ELSEWHERE = "elsewhere"


def portable_path(path: str | Path, root: Path, data_root: Path | None = None) -> str:
    """Return `path` relative to `root`, as `data_root/…` below the data root, or else as `elsewhere/<name>`.

    Links are not followed, so that a results folder may be a link to another disk.
    """
    absolute = Path(os.path.abspath(path))
    # the data root first: by default it lies inside the project
    for base, prefix in ((data_root, DATA_ROOT), (root, "")):
        if base is not None and absolute.is_relative_to(base := Path(os.path.abspath(base))):
            return PurePosixPath(prefix, absolute.relative_to(base).as_posix()).as_posix()
    return f"{ELSEWHERE}/{absolute.name}"


def local_path(name: str, root: Path, data_root: Path | None = None) -> Path | None:
    """Return where the file that a manifest calls `name` lies here; None where that is not known."""
    first, _, rest = name.partition("/")
    if first == ELSEWHERE:
        return None
    if first == DATA_ROOT:
        return None if data_root is None else data_root / rest
    return root / name


def manifest_path(first_output: str | Path) -> Path:
    """Return where the manifest of the step with this first output lies."""
    path = Path(first_output)
    return path.with_name(path.name + SUFFIX)


def digest(value: Any) -> str:
    """Return the sha256 of the value's canonical JSON: 64 hex digits."""
    return sha256_text(canonical_json(value))


def write_manifest(path: Path, lineage: Mapping[str, Any], circumstances: Mapping[str, Any]) -> None:
    """Write both parts, each with its sum."""
    write_json(path, _sealed(lineage, circumstances))


def is_intact(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the file is, byte for byte, what `write_manifest` writes for its content, sums included."""
    return path.read_bytes() == json_bytes(_sealed(manifest["lineage"], manifest["circumstances"]))


def _sealed(lineage: Mapping[str, Any], circumstances: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "manifest_version": MANIFEST_VERSION,
        "lineage": lineage,
        "lineage_sha256": digest(lineage),
        "circumstances": circumstances,
        "circumstances_sha256": digest(circumstances),
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest; PipelineError, one line, when it is unreadable, of another version or not a manifest.

    Its sums are not checked here; the audit does that.
    """
    manifest = read_json(path)
    version = manifest.get("manifest_version") if isinstance(manifest, dict) else None
    if version is not None and version != MANIFEST_VERSION:
        raise PipelineError(
            f"the manifest {path} has version {version!r}, this code reads {MANIFEST_VERSION}; "
            "check out the code that wrote it, or run its step again"
        )
    if version is None or not _is_manifest(manifest):
        raise PipelineError(f"{path} is not a step's manifest, or parts are missing; run its step again")
    return manifest


def _is_manifest(manifest: dict[str, Any]) -> bool:
    """Whether every value that this project reads from a manifest is there and has its type."""
    try:
        lineage, circumstances = manifest["lineage"], manifest["circumstances"]
        source, packages = lineage["source"], lineage["packages"]
        lists = [lineage["inputs"], lineage["outputs"]]
        lists += [circumstances["volatile_inputs"], circumstances["volatile_outputs"]]
        files = [file for part in lists for file in part]
        paths = [PurePosixPath(file["path"]) for file in files]
        builds = circumstances.get("reproduces", [])
        lists += [builds, *(build["outputs"] for build in builds)]
        dicts = [lineage["settings"], source["files"], packages["versions"]]
        dicts.append(circumstances.get("machine_settings", {}))
        texts = [
            manifest["lineage_sha256"],
            lineage["rule"],
            lineage["entry"],
            *lineage["wildcards"].values(),
        ]
        texts += [circumstances["started"], circumstances["ended"], *(file["name"] for file in files)]
        optional = [circumstances.get("commit"), source["digest"]]
        optional += [file.get(key) for file in files for key in ("sha256", "lineage_sha256")]
        optional += [build["lineage_sha256"] for build in builds]
        return (
            isinstance(circumstances["threads"], int)
            and isinstance(circumstances["wall_s"], int | float)
            and all(isinstance(value, list) for value in lists)
            and all(isinstance(value, dict) for value in dicts)
            and all(isinstance(value, str) for value in texts)
            and all(isinstance(value, str | None) for value in optional)
            and not any(path.is_absolute() or ".." in path.parts for path in paths)
        )
    except (AttributeError, KeyError, TypeError):
        return False


def recorded_files(manifest: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return every file of a kind, `inputs` or `outputs`, with size and sum, volatile files included."""
    volatile = {file["path"]: file for file in manifest["circumstances"][f"volatile_{kind}"]}
    return [{**file, **volatile.get(file["path"], {})} for file in manifest["lineage"][kind]]


def study_manifests(root: Path, study: str, preset: str) -> list[Path]:
    """Return the paths of all manifests of a study and preset."""
    folders = (root / kind / study / preset for kind in ("results", "reports"))
    return [path for folder in folders for path in sorted(folder.rglob(f"*{SUFFIX}"))]


def edited_outputs(root: Path, manifests: Iterable[Path]) -> dict[str, str]:
    """Find edited or damaged files among the outputs that the manifests name: path -> one line.

    A file of the recorded size that is no younger than its manifest is not hashed, so that this takes no time
    before a run; `make audit` hashes everything. Unreadable manifests are skipped, and so are missing files,
    which are made again anyway.
    """
    found = {}
    for path in sorted(set(manifests)):
        try:
            manifest = read_manifest(path)
            written = path.stat().st_mtime_ns
        except (PipelineError, OSError):
            continue
        for file in recorded_files(manifest, "outputs"):
            here, recorded = root / file["path"], file["sha256"]
            if recorded is None or not here.is_file():
                continue
            stat = here.stat()
            untouched = stat.st_size == file["size"] and stat.st_mtime_ns <= written
            if not untouched and (now := sha256_file(here)) != recorded:
                found[file["path"]] = (
                    f"{file['path']} is not what its step wrote (sha256 {now[:12]}, "
                    f"written was {recorded[:12]}); delete it to have it made again, or put it back"
                )
    return found
