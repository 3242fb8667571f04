"""A step's manifest: what went in, what came out, and by what code, beside its first output as `<output>.manifest.json`.

    {"manifest_version": 1,
     "lineage": {"rule", "wildcards", "entry", "settings",
                 "source": {"digest", "files": {path: digest of its syntax tree}},
                 "packages": {"digest", "versions": {name: version}},
                 "inputs":  [{"name", "path", "size", "sha256", "lineage_sha256"}],
                 "outputs": [{"name", "path", "size", "sha256"}]},
     "lineage_sha256": sha256 of canonical_json(lineage),
     "circumstances": {"commit", "tree_clean", "diff_sha256", "python", "snakemake", "machine", "threads", "seeds",
                       "started", "ended", "wall_s", "peak_memory_mb", "volatile_inputs", "volatile_outputs",
                       "reproduces": [{"lineage_sha256", "outputs"}]},
     "circumstances_sha256": sha256 of canonical_json(circumstances)}

`lineage` holds nothing that differs between two equal runs. Manifests form a chain: each input names, by its
`lineage_sha256`, the manifest of the step that made it (null where no step did). What is measured, such as a duration,
is a volatile file: the lineage names it without size and sum, which stand in the circumstances. A step that was run again
with other code or settings and gave the same bytes says so in `reproduces`, so that what was made from them still stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, json_bytes, read_json, sha256_text, write_json

MANIFEST_VERSION = 1
SUFFIX = ".manifest.json"
_LINEAGE = {"rule", "wildcards", "entry", "settings", "source", "packages", "inputs", "outputs"}
_TOP = {"manifest_version", "lineage", "lineage_sha256", "circumstances", "circumstances_sha256"}


def manifest_path(first_output: str | Path) -> Path:
    """Where the manifest of the step lies whose first output this is."""
    path = Path(first_output)
    return path.with_name(path.name + SUFFIX)


def digest(value: Any) -> str:
    """sha256 of the value's one canonical spelling as JSON: 64 hex digits."""
    return sha256_text(canonical_json(value))


def input_lineage_sha256(lineage: Mapping[str, Any]) -> str:
    """What a step knows of its lineage before it works, as one sum: everything but the outputs."""
    return digest({key: value for key, value in lineage.items() if key != "outputs"})


def write_manifest(path: Path, lineage: Mapping[str, Any], circumstances: Mapping[str, Any]) -> None:
    """Write both parts, each with its sum."""
    write_json(path, sealed(lineage, circumstances))


def sealed(lineage: Mapping[str, Any], circumstances: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of both parts, each with its sum."""
    return {
        "manifest_version": MANIFEST_VERSION,
        "lineage": lineage,
        "lineage_sha256": digest(lineage),
        "circumstances": circumstances,
        "circumstances_sha256": digest(circumstances),
    }


def is_intact(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the file holds, byte for byte, what `write_manifest` would write for its content, sums included."""
    expected = sealed(manifest["lineage"], manifest["circumstances"])
    return path.read_bytes() == json_bytes(expected)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest at `path`; PipelineError, one line, when it is unreadable, of another version or not a manifest.

    Whether its sums hold is the audit's question, not this function's.
    """
    manifest = read_json(path)
    version = manifest.get("manifest_version") if isinstance(manifest, dict) else None
    if version is not None and version != MANIFEST_VERSION:
        raise PipelineError(
            f"the manifest {path} has version {version!r}, this code reads {MANIFEST_VERSION}; "
            "check out the code that wrote it, or run its step again"
        )
    if version is None or not _is_manifest(manifest):
        raise PipelineError(
            f"{path} is not a step's manifest, or parts of it are missing; run its step again"
        )
    return manifest


def _is_manifest(manifest: dict[str, Any]) -> bool:
    """Whether every value that is read from a manifest is there and of its kind, so that nobody has to ask again."""
    lineage, circumstances = manifest.get("lineage"), manifest.get("circumstances")
    if not (
        manifest.keys() == _TOP
        and isinstance(lineage, dict)
        and isinstance(circumstances, dict)
        and lineage.keys() == _LINEAGE
    ):
        return False
    volatile = [circumstances.get(f"volatile_{kind}") for kind in ("inputs", "outputs")]
    builds = circumstances.get("reproduces", [])
    return (
        all(isinstance(lineage[key], dict) for key in ("wildcards", "settings", "source", "packages"))
        and all(isinstance(lineage[key], str) for key in ("rule", "entry"))
        and all(
            isinstance(value, str) for value in [*lineage["wildcards"].values(), manifest["lineage_sha256"]]
        )
        and all(
            isinstance(part, dict)
            for part in (lineage["source"].get("files"), lineage["packages"].get("versions"))
        )
        and all(isinstance(circumstances.get(key), str) for key in ("started", "ended"))
        and isinstance(circumstances.get("threads"), int)
        and isinstance(circumstances.get("commit"), str | None)
        and isinstance(circumstances.get("machine_settings", {}), dict)
        and all(
            isinstance(part, list) and all(map(_is_file, part))
            for part in (lineage["inputs"], lineage["outputs"], *volatile)
        )
        and isinstance(builds, list)
        and all(
            isinstance(build, dict) and isinstance(build.get("outputs"), list) and "lineage_sha256" in build
            for build in builds
        )
    )


def _is_file(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), str) for key in ("name", "path"))
        and all(isinstance(value.get(key), str | None) for key in ("sha256", "lineage_sha256"))
        and not PurePosixPath(value["path"]).is_absolute()
        and ".." not in PurePosixPath(value["path"]).parts
    )


def output_files(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every output with size and sum, the volatile ones from the circumstances."""
    return _with_sums(manifest, "outputs")


def input_files(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every input with size and sum, the volatile ones from the circumstances."""
    return _with_sums(manifest, "inputs")


def _with_sums(manifest: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    volatile = {file["path"]: file for file in manifest["circumstances"][f"volatile_{kind}"]}
    return [{**file, **volatile.get(file["path"], {})} for file in manifest["lineage"][kind]]


def find_maker(path: str, root: Path) -> Path | None:
    """The manifest, below `root`, of the step that made the file `path` (as manifests name it); None where no step did.

    It lies beside the step's first output, hence under the file's own name, or in its folder or one above it.
    PipelineError when the manifest under the file's own name cannot be read.
    """
    own = manifest_path(root / path)
    if own.is_file() and names_output(read_manifest(own), path):
        return own
    return next(
        (candidate for candidate in _nearby(path, root) if candidate != own and _lists(candidate, path)), None
    )


def names_output(manifest: Mapping[str, Any], path: str) -> bool:
    """Whether the manifest's step made the file `path`."""
    return any(file["path"] == path for file in manifest["lineage"]["outputs"])


def _nearby(path: str, root: Path) -> Iterator[Path]:
    for folder in Path(path).parents:
        yield from sorted((root / folder).glob(f"*{SUFFIX}"))


def _lists(candidate: Path, path: str) -> bool:
    try:
        # most files are told apart without parsing them
        return f'"{path}"' in candidate.read_text(encoding="utf-8") and names_output(
            read_manifest(candidate), path
        )
    except (PipelineError, OSError, UnicodeDecodeError):
        return False  # a damaged manifest of another step; the audit reports it where it belongs
