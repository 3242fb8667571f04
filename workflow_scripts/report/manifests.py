"""The manifests of the steps that a report is made from, and how they are linked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.provenance.lineage import trace

Manifest = Mapping[str, Any]


def upstream_manifests(paths: Sequence[Path]) -> list[Manifest]:
    """Manifests of the steps that made the files, and of those that made their inputs, and so on to the data.

    Paths are relative to the project's root, in which this runs. A manifest that cannot be read is left out, which
    leaves a gap that the page shows and the audit explains.
    """
    lineage = trace(Path.cwd(), [path.as_posix() for path in paths])
    return [step.manifest for step in lineage.steps.values()]


class Chain:
    """Manifests by their lineage hash, and for each of their inputs the hash of the step that made it."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.by_hash = {manifest["lineage_sha256"]: manifest for manifest in manifests}
        self.by_path = {
            output["path"]: digest
            for digest, manifest in sorted(self.by_hash.items())
            for output in manifest["lineage"]["outputs"]
        }
        self.makers = {
            digest: [self._maker(item) for item in manifest["lineage"]["inputs"]]
            for digest, manifest in self.by_hash.items()
        }

    def _maker(self, item: Mapping[str, Any]) -> str | None:
        """The step that an input names; where its manifest is gone or replaced, the one that made the path."""
        return (
            item["lineage_sha256"]
            if item["lineage_sha256"] in self.by_hash
            else self.by_path.get(item["path"])
        )

    def upstream(self, paths: Iterable[str]) -> set[str]:
        """Hashes of the steps behind the files."""
        reached = {self.by_path[path] for path in paths if path in self.by_path}
        waiting = list(reached)
        while waiting:
            found = {maker for maker in self.makers[waiting.pop()] if maker is not None} - reached
            reached |= found
            waiting += found
        return reached
