"""What is said of a lock: which process holds it, or that none does."""

from __future__ import annotations

import os
import subprocess
import sys

from workflow_scripts.core.other_runs import lock_advice, running_snakemakes


def test_no_process_means_that_one_was_killed(tmp_path):
    assert running_snakemakes(tmp_path) == []
    assert lock_advice(tmp_path).endswith("unlock and run again: snakemake --unlock")


def test_a_process_is_found_in_its_own_folder_only(tmp_path):
    """Told apart by command and folder; this one only has the name."""
    (tmp_path / "here").mkdir()
    (tmp_path / "snakemake").write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    command = [sys.executable, str(tmp_path / "snakemake")]
    with subprocess.Popen(
        command, cwd=tmp_path / "here", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert running_snakemakes(tmp_path / "here") == [process.pid]
        assert f"(process {process.pid}) works on the same results; wait" in lock_advice(tmp_path / "here")
        assert running_snakemakes(tmp_path) == [] and os.getpid() not in running_snakemakes(tmp_path / "here")
        process.stdin.close()
