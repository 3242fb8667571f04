"""What a step consists of: transitive imports found by parsing; only meaning counts."""

from pathlib import Path

import pytest

from tests.unit.provenance.made_up_project import forget
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance.source_closure import source_closure, source_of


@pytest.fixture
def project(tmp_path):
    package = tmp_path / "workflow_scripts"
    (package / "maths").mkdir(parents=True)
    (package / "steps").mkdir()
    for name in ("__init__.py", "maths/__init__.py", "steps/__init__.py"):
        (package / name).write_text("")
    (package / "steps" / "step.py").write_text(
        "import json\nfrom workflow_scripts.maths.sums import add\n\nprint(add(1, 2))\n"
    )
    (package / "maths" / "sums.py").write_text(
        '"""Sums."""\nfrom workflow_scripts.maths import deep\n\n\n'
        'def add(a, b):\n    """Add."""\n    return deep.plus(a, b)\n'
    )
    (package / "maths" / "deep.py").write_text("def plus(a, b):\n    return a + b\n")
    (package / "other.py").write_text("X = 1\n")
    return tmp_path


def _digest(root):
    forget()
    return source_of(root, "step")["digest"]


@pytest.mark.parametrize(
    ("path", "text", "counts"),
    [
        ("maths/deep.py", "def plus(a, b):\n    return a - b\n", True),
        ("maths/deep.py", "# a comment\ndef plus(a, b):\n    return (a +\n            b)\n", False),
        ("maths/deep.py", 'def plus(a, b):\n    """A docstring."""\n    return a + b\n', False),
        ("maths/__init__.py", "Y = 2\n", True),
        ("other.py", "X = 2\n", False),
    ],
)
def test_only_meaning_in_the_closure_changes_the_digest(project, path, text, counts):
    before = _digest(project)
    (project / "workflow_scripts" / path).write_text(text)
    assert (_digest(project) != before) is counts


@pytest.mark.parametrize(
    "text", ["from workflow_scripts import other\n", "from .. import other\n", "from ..other import X\n"]
)
def test_a_module_loaded_by_name_counts_where_it_is_named(project, text):
    (project / "workflow_scripts" / "maths" / "figure.py").write_text(text)
    loaded, alone = source_of(project, "step", ("workflow_scripts.maths.figure",)), source_of(project, "step")
    added = loaded["files"].keys() - alone["files"].keys()
    assert added == {"workflow_scripts/maths/figure.py", "workflow_scripts/other.py"}
    assert loaded["digest"] != alone["digest"]
    with pytest.raises(PipelineError, match="maths.figures"):
        source_closure(project, "step", ("workflow_scripts.maths.figures",))


@pytest.mark.parametrize("entry", ["train_model", "sample_images", "probe_checkpoint"])
def test_a_network_counts_only_where_it_is_named(entry):
    root, unet = Path(__file__).parents[3], "workflow_scripts/nets/unet.py"
    assert unet not in source_closure(root, entry)
    assert unet in source_closure(root, entry, ("workflow_scripts.nets.networks.unet",))


def test_misspelt_entry_and_broken_source_are_named(project):
    with pytest.raises(PipelineError, match="workflow_scripts.steps.stepp"):
        source_closure(project, "stepp")
    (project / "workflow_scripts" / "maths" / "deep.py").write_text("def plus(:\n")
    with pytest.raises(PipelineError, match="deep.py, line 1"):
        _digest(project)
