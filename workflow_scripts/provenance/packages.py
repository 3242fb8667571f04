"""Which packages, in which versions, a step runs with."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import canonical_json, sha256_text
from workflow_scripts.provenance.surroundings import version_of


def package_versions(root: Path, entry: str) -> dict[str, Any]:
    """`versions`, name -> installed version (null where it is not), of what `envs/requirements.in` names; `digest` of them.

    Where the project has no such file, nothing is known and both are empty.
    """
    versions = {name: version_of(name) for name in _requirements(root)}
    return {"digest": sha256_text(canonical_json(versions)) if versions else None, "versions": versions}


@cache
def _requirements(root: Path) -> tuple[str, ...]:
    path = root / "envs" / "requirements.in"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return tuple(re.findall(r"^([A-Za-z][\w.-]*)", text, flags=re.MULTILINE))
