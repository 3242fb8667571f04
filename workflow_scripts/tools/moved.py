"""Say where a command of earlier versions went; `workflow_scripts/__init__.py` calls this."""

from __future__ import annotations

import sys

_TOOLS = {
    "audit": "audit",
    "compare_reports": "compare",
    "export_crate": "crate",
    "lock_study": "lock",
    "plan_study": "plan",
    "publish_summary": "publish",
    "run_in_rounds": "update",
    "update_pictures": "pictures",
}


def exit_if_moved(old: str) -> None:
    """Exit with code 2 and one line if `python -m workflow_scripts.<old>` was a command once."""
    words = "removed; use nvidia-cuda-mps-control (docs/gpu.md)" if old == "share_gpu" else None
    if old in _TOOLS:
        words = f"moved; use python -m workflow_scripts.tools.{_TOOLS[old]}"
    if words:
        print(f"error: workflow_scripts.{old} was {words}", file=sys.stderr)
        sys.exit(2)
