"""Print the verdict table and where the report lies: python -m workflow_scripts.show_verdict VERDICT REPORT"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workflow_scripts.common.errors import PipelineError
from workflow_scripts.common.files import read_json
from workflow_scripts.report.terminal import verdict_table


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 1 with one line when a file is missing."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.show_verdict", description=__doc__)
    parser.add_argument("verdict", type=Path)
    parser.add_argument("report", type=Path)
    arguments = parser.parse_args(argv)
    sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 gets a question mark, not a traceback
    try:
        table = verdict_table(read_json(arguments.verdict))
        if not arguments.report.is_file():
            raise PipelineError(f"{arguments.report} is missing; run: make report")
    except PipelineError as error:
        print(f"error: show_verdict: {error}", file=sys.stderr)
        return 1
    print(f"\n{table}\n\nReport: {arguments.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
