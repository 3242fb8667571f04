"""Which packages count for a step, in which versions, and what counts as the same version."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from tests.unit.provenance import made_up_project
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.provenance import packages
from workflow_scripts.provenance.packages import lock_differences, package_versions
from workflow_scripts.provenance.source_closure import third_party_imports

ROOT = Path(__file__).parents[3]
LOCK = """
maths==2.0.1 \\
    --hash=sha256:00
    # via
    #   -r requirements.in
    #   solver
solver[fast]==1.4 \\
    --hash=sha256:00
    # via -r requirements.in
tqdm==4.0 \\
    # via solver
nvidia-driver==13.0 ; platform_system == "Linux" \\
    # via solver
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose entry point imports `solver`, and a folder that stands for what is installed."""
    (tmp_path / "workflow_scripts" / "steps").mkdir(parents=True)
    (tmp_path / "workflow_scripts" / "steps" / "step.py").write_text(
        "import json\nfrom solver.fast import solve\n"
    )
    (tmp_path / "envs").mkdir()
    (tmp_path / packages.LOCK).write_text(LOCK)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    for name, version in (
        ("maths", "2.0.1"),
        ("solver", "1.4+cpu"),
        ("tqdm", "4.0"),
        ("nvidia_driver", "13.0"),
    ):
        install(tmp_path, name, version)
    return tmp_path


def install(project, name, version):
    for old in (project / "site").glob(f"{name}-*.dist-info"):
        old.rmdir()
    (project / "site" / f"{name}-{version}.dist-info").mkdir(parents=True)
    forget()


def forget():
    made_up_project.forget()
    for cached in (package_versions, packages._lock, packages._dist_infos):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _clean():
    yield
    forget()


def versions(project):
    return package_versions(project, "step")["versions"]


def write_step(project, text):
    (project / "workflow_scripts" / "steps" / "step.py").write_text(text)
    forget()


@pytest.mark.parametrize(
    ("text", "counting"),
    [
        # solver also requires tqdm and nvidia-driver, which change no number
        ("import json\nfrom solver.fast import solve\n", {"maths", "solver"}),
        ("import tqdm\n", {"tqdm"}),
        (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    import solver\nelse:\n    import maths\n",
            {"maths"},
        ),
    ],
)
def test_what_counts(project, text, counting):
    write_step(project, text)
    assert versions(project).keys() - {"python"} == counting
    assert versions(project)["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("name", "version", "counts"),
    [
        ("maths", "2.0.2", True),
        ("solver", "1.4+cu130", False),
        ("solver", "1.5", True),
        ("tqdm", "5.0", False),
        ("nvidia_driver", "14.0", False),
    ],
)
def test_only_another_public_version_of_what_counts_changes_the_digest(project, name, version, counts):
    before = package_versions(project, "step")["digest"]
    install(project, name, version)
    assert (package_versions(project, "step")["digest"] != before) is counts


def test_a_missing_package_and_what_differs_from_the_lock_are_named(project):
    assert lock_differences(project, versions(project)) == []
    install(project, "solver", "2.1.0")
    (project / "site" / "maths-2.0.1.dist-info").rmdir()
    forget()
    assert versions(project)["maths"] is None
    assert lock_differences(project, versions(project)) == [
        "maths is missing, envs/requirements.lock says 2.0.1",
        "solver 2.1.0 is installed, envs/requirements.lock says 1.4",
    ]


def test_an_import_that_is_not_locked_is_named(project):
    write_step(project, "import numpyy\n")
    with pytest.raises(PipelineError, match=r"workflow_scripts/steps/step.py imports numpyy, .*make relock"):
        package_versions(project, "step")


def test_without_a_lock_nothing_is_known(project):
    (project / packages.LOCK).unlink()
    forget()
    assert package_versions(project, "step") == {"digest": None, "versions": {}}


def test_every_import_of_this_project_is_mapped_to_the_package_that_installs_it():
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "workflow_scripts").rglob("*.py")]
    modules = {name for path in files for name in third_party_imports(ROOT, path)}
    assert {"numpy", "torch", "PIL", "sklearn"} <= modules
    installed = importlib.metadata.packages_distributions()
    for name in modules:
        mapped = packages._distribution(name, "", packages._lock(ROOT))
        assert mapped in {packages._normalised(found) for found in installed[name]}, name


def test_versions_from_folder_names_are_those_of_the_metadata():
    for name in ("torch", "numpy", "scikit-learn", "pillow"):
        assert packages.installed_version(name) == importlib.metadata.version(name).partition("+")[0]


def test_a_step_without_torch_does_not_depend_on_it():
    assert "torch" in package_versions(ROOT, "train_model")["versions"]
    assert set(package_versions(ROOT, "decide_verdict")["versions"]) == {"numpy", "scipy", "python"}
