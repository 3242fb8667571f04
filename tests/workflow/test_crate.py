"""The RO-Crate of a finished run: accepted by roc-validator without a network, and honest about its files."""

import io
import json
import shutil
import socket
import zipfile
from pathlib import Path

import pytest
import requests
import rocrate
import urllib3

from tests.workflow.projects import SMOKE, edit, run_module
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json, sha256_file
from workflow_scripts.provenance.crate import METADATA, check_crate

REPORT = "reports/MS1_min_snr/smoke"
CRATE = f"{REPORT}/MS1_min_snr_smoke.crate.zip"
PAGE = f"{REPORT}/report.html"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


@pytest.fixture(scope="module")
def crate(smoke_run, tmp_path_factory) -> Path:
    """The crate of the finished smoke run, packed in a copy of it."""
    project = shutil.copytree(
        smoke_run[0], tmp_path_factory.mktemp("crate") / "project", copy_function=shutil.copy2
    )
    done = run_module(project, "workflow_scripts.tools.crate", "--config", "preset=smoke")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"crate: {CRATE}, ")
    return project / CRATE


@pytest.fixture(scope="module")
def entities(crate) -> dict[str, dict]:
    with zipfile.ZipFile(crate) as archive:
        return {entity["@id"]: entity for entity in json.loads(archive.read(METADATA))["@graph"]}


def serve_context(requester) -> None:
    """Put the JSON-LD context into the validator's cache, from the copy in the rocrate package."""
    text = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
    response = requests.Response()
    response.status_code, response.url, response._content = 200, CONTEXT, text
    response.headers["Content-Type"] = "application/ld+json"
    response.request = requests.Request("GET", CONTEXT).prepare()
    response.raw = urllib3.HTTPResponse(
        body=io.BytesIO(text),
        headers=response.headers,
        status=200,
        preload_content=False,
        request_url=CONTEXT,
    )
    requester.session.cache.save_response(response)


@pytest.fixture
def issues(tmp_path, monkeypatch):
    """Validate a crate against the Provenance Run Crate profile, required level; return its objections."""
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    def refuse(*_):
        raise AssertionError("the validator tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    def validate(path: Path) -> list[str]:
        settings = models.ValidationSettings(
            rocrate_uri=models.URI(str(path)),
            profile_identifier="provenance-run-crate",
            requirement_severity="REQUIRED",
            offline=True,
            cache_path=tmp_path / "cache",
        )
        serve_context(HttpRequester())
        result = services.validate(settings)
        found = [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]
        assert result.passed() == (not found)
        return found

    yield validate
    HttpRequester.reset()


def rewritten(crate: Path, target: Path, change) -> Path:
    """A copy of the crate with `change` applied to its metadata."""
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == METADATA:
                metadata = json.loads(content)
                change(metadata)
                content = json.dumps(metadata).encode()
            new.writestr(name, content)
    return target


def test_the_validator_accepts_it_without_a_network(crate, issues):
    assert issues(crate) == []


def test_the_validator_refuses_it_without_what_the_profile_requires(crate, issues, tmp_path):
    """The acceptance above means something: without its tools, engine and licence the crate is refused."""

    def spoil(metadata):
        for entity in metadata["@graph"]:
            if entity["@id"] in ("Snakefile", "#engine-run"):
                entity.pop("hasPart", None)
                entity.pop("instrument", None)
            if entity["@id"] == "./":
                del entity["license"]

    found = "\n".join(issues(rewritten(crate, tmp_path / "spoilt.zip", spoil)))
    for words in ("orchestrated tools via hasPart", "workflow engine", "must specify a license"):
        assert words in found


def test_it_holds_report_results_and_lineage_with_their_hashes(crate, entities):
    assert check_crate(crate) == []
    project = crate.parents[3]
    parts = {part["@id"] for part in entities["./"]["hasPart"]}
    kept = [
        PAGE,
        "results/MS1_min_snr/smoke/results.jsonl",
        "results/MS1_min_snr/smoke/verdict.json",
        "docs/experiments/E2_pre_reg.md",
        f"{PAGE}.manifest.json",
        SMOKE,
        "rules/train.smk",
        "workflow_scripts/training/loop.py",
        "envs/requirements.lock",
    ]
    for path in kept:
        assert path in parts and entities[path]["sha256"] == sha256_file(project / path), path


def test_every_step_is_an_action_that_names_its_files_and_lineage(crate, entities):
    project = crate.parents[3]
    manifests = [read_json(path) for path in project.rglob("*.manifest.json")]
    actions = {
        entity["identifier"]: entity
        for entity in entities.values()
        if entity["@type"] == "CreateAction" and "identifier" in entity
    }
    assert {found["lineage_sha256"] for found in manifests} == actions.keys() and len(actions) > 50
    training = next(f for f in manifests if f["lineage"]["rule"] == "train_model")
    action = actions[training["lineage_sha256"]]
    results = [entities[item["@id"]] for item in action["result"]]
    recorded = {file["path"]: file["sha256"] for file in training["lineage"]["outputs"] if file["sha256"]}
    assert recorded.items() <= {item["name"]: item.get("sha256") for item in results}.items()
    assert action["instrument"] == {"@id": "workflow_scripts/steps/train_model.py"}
    assert not any(name.endswith((".pt", ".npz")) for name in zipfile.ZipFile(crate).namelist())


def test_a_changed_or_missing_file_in_a_crate_is_named(crate, tmp_path):
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(folder := tmp_path / "crate")
    assert check_crate(folder) == []
    (folder / PAGE).write_text("Better by far.")
    (folder / f"{REPORT}/summary.md").unlink()
    problems = check_crate(folder)
    assert len(problems) == 2
    assert any(f"{PAGE} holds" in line for line in problems) and any(
        "summary.md is listed but not in" in line for line in problems
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"not a zip", "File is not a zip file"),
        ({}, "ro-crate-metadata.json is missing or broken"),
        ({METADATA: "{"}, "Expecting property name"),
        ({METADATA: "[]"}, "list indices must be integers"),
        ({METADATA: '{"@graph": []}'}, "('./')"),
    ],
)
def test_a_broken_crate_is_one_line(tmp_path, content, said):
    path = tmp_path / "broken.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(PipelineError) as error:
        check_crate(path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_lineage_that_does_not_hold_is_not_packed(finished):
    (finished / "results/MS1_min_snr/smoke/verdict.json").write_text("{}")
    done = run_module(finished, "workflow_scripts.tools.crate", "--config", "preset=smoke")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        "error: the lineage does not hold, so it is not packed: results/MS1_min_snr/smoke/verdict.json"
    )
    assert not (finished / CRATE).exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ema_decay: 0.9", "ema_decay: 0.8", "E1_baseline_linear.training.ema_decay 0.9 -> 0.8"),
        ("seeds: [1077, 1078]", "seeds: [1077]", 'runs ["E1_baseline_linear 1077"'),
    ],
)
def test_other_settings_than_those_that_ran_are_not_packed(finished, crate, tmp_path, old, new, said):
    edit(finished / SMOKE, old, new)
    done = run_module(finished, "workflow_scripts.tools.crate", "--config", "preset=smoke")
    assert done.returncode == 1 and not (finished / CRATE).exists()
    assert "ran with older settings" in done.stderr and len(done.stderr.splitlines()) == 1
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(folder := tmp_path / "unpacked")
    check = ("workflow_scripts.tools.crate", "--check", str(folder))
    assert run_module(finished, *check).stdout == "crate: pass\n"
    sums = [sha256_file(path) for path in (folder / SMOKE, finished / SMOKE)]
    shutil.copy(finished / SMOKE, folder / SMOKE)
    (folder / METADATA).write_text((folder / METADATA).read_text().replace(*sums))
    done = run_module(finished, *check)
    assert done.returncode == 1 and said in done.stdout, done.stdout + done.stderr
    lines = done.stdout.splitlines()[:-1]
    assert all(line.startswith("MISMATCH config: the steps ran with other settings: ") for line in lines)


def test_files_that_are_not_those_of_the_manifests_beside_them_do_not_pass(crate, tmp_path):
    """Sums that fit the metadata are not enough."""
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(folder := tmp_path / "crate")
    metadata = (folder / METADATA).read_text()
    for path in (folder / PAGE, folder / "workflow_scripts/training/loop.py"):
        before = sha256_file(path)
        path.write_text(path.read_text() + "\nMORE = 1\n")
        metadata = metadata.replace(before, sha256_file(path))
    (folder / METADATA).write_text(metadata)
    assert check_crate(folder) == []
    done = run_module(crate.parents[3], "workflow_scripts.tools.crate", "--check", str(folder))
    lines = [line for line in done.stdout.splitlines() if line.startswith("MISMATCH ")]
    assert done.returncode == 1 and any(line.startswith(f"MISMATCH {PAGE}: holds ") for line in lines)
    assert any("changed since: workflow_scripts/training/loop.py" in line for line in lines)


def test_before_a_run_there_is_nothing_to_pack(project):
    done = run_module(project, "workflow_scripts.tools.crate", "--config", "preset=smoke")
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {PAGE} is not there; run `make report PRESET=smoke` first"
