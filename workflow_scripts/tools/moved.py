"""Say where a command of earlier versions went; `workflow_scripts/__init__.py` calls this."""

from __future__ import annotations

import sys

_RENAMED = {
    "audit": "audit",
    "compare_reports": "compare",
    "export_crate": "crate",
    "lock_study": "lock",
    "plan_study": "plan",
    "publish_summary": "publish",
    "run_in_rounds": "update",
}
_REMOVED = {
    "share_gpu": "use nvidia-cuda-mps-control (docs/gpu.md)",
    "update_pictures": "copy a figure from reports/<STUDY>/<PRESET>/figures/ to docs/images/",
}


def exit_if_moved(old: str) -> None:
    """Exit with code 2 and one line if `python -m workflow_scripts.<old>` was a command once."""
    if old in _RENAMED:
        words = f"moved; use python -m workflow_scripts.tools.{_RENAMED[old]}"
    elif old in _REMOVED:
        words = f"removed; {_REMOVED[old]}"
    else:
        return
    print(f"error: workflow_scripts.{old} was {words}", file=sys.stderr)
    sys.exit(2)
