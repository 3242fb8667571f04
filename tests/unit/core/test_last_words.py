"""How the end of a run tells each way in which a step can fail."""

from __future__ import annotations

import pytest

from workflow_scripts.core.last_words import last_words


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("step: 1/2\nerror: step: no room\n", "error: step: no room"),
        (
            "Traceback (most recent call last):\n  boom\n",
            "error: step: met a bug; {log} holds its account, please report it",
        ),
        ("step: stopped by SIGTERM; saved at step 20\n", "step: stopped by SIGTERM; saved at step 20"),
        (
            "step: interrupted; nothing half-written was left\n",
            "step: interrupted; nothing half-written was left",
        ),
        ("step: 1/2 images\n", "error: step: ended without a word, so something killed it"),
        ("", "error: step: ended without a word"),
        ("\udcff", "error: step: ended without a word"),
    ],
)
def test_one_line_for_each_end(tmp_path, log, said):
    path = tmp_path / "step.log"
    path.write_bytes(log.encode("utf-8", "surrogateescape"))
    (line,) = last_words("step", path)
    assert line.startswith(said.format(log=path))


def test_a_log_that_is_gone(tmp_path):
    assert last_words("step", tmp_path / "absent.log")[0].startswith("error: step: its log")
