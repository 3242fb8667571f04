"""A finished study as an RO-Crate (https://w3id.org/ro/crate), profile Provenance Run Crate 0.5: what was made, by what, from what.

The crate holds the report, the results, every step's manifest, the code and the configuration, each with its sha256. Data,
weights and samples would make it gigabytes: they are described with size and sha256, and not packed. A reader needs no
software of ours: the graph is JSON-LD, and the manifests in it are the lineage that `audit` reads.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path, sha256_file
from workflow_scripts.provenance.lineage import Lineage, StepRecord
from workflow_scripts.provenance.project_paths import DATA_ROOT, ELSEWHERE
from workflow_scripts.provenance.source_closure import PACKAGE

METADATA = "ro-crate-metadata.json"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
# As RO-Crate's own context 1.1 and the Workflow Run terms define them. Said here so that the crate means the same without
# a network: later contexts moved the Bioschemas terms.
_TERMS = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
}
_NOT_PACKED = (".npz", ".pt", ".pth")
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".j2": "text/plain",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".png": "image/png",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".smk": "text/plain",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}


def write_crate(path: Path, lineage: Lineage, title: str, description: str, licence: str) -> int:
    """Write the crate of `lineage` as a zip; returns the number of files in it. The same lineage gives the same metadata."""
    crate = build_crate(lineage, title, description, licence)
    with atomic_path(path) as temporary:
        crate.write_zip(temporary)
    return sum(1 for entity in crate.data_entities if entity.id != "./")


def build_crate(lineage: Lineage, title: str, description: str, licence: str) -> Any:
    """The rocrate.ROCrate object; nothing is written."""
    from rocrate.rocrate import ROCrate

    root, steps = (
        lineage.root,
        sorted(lineage.steps.values(), key=lambda step: (step.manifest["circumstances"]["ended"], step.path)),
    )
    if not steps:
        raise PipelineError("there is no step to describe; run `make report` first")
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms = _TERMS
    crate.name, crate.description, crate.license = title, description, licence
    crate.datePublished = steps[-1].manifest["circumstances"]["ended"]
    crate.root_dataset["conformsTo"] = [
        _entity(crate, url, "CreativeWork", name=name, version=url.rpartition("/")[2])
        for url, name in _PROFILES.items()
    ]
    files = _Files(crate, lineage)
    workflow = crate.add_workflow(
        root / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        lang_version=steps[-1].manifest["circumstances"]["snakemake"],
        properties={
            **_properties(root / "Snakefile", "Snakefile"),
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        },
    )
    tools = {
        entry: files.add(f"{PACKAGE}/steps/{entry}.py", ["File", "SoftwareSourceCode"])
        for entry in sorted({s.lineage["entry"] for s in steps})
    }
    for step in steps:
        tools[step.lineage["entry"]]["version"] = str(step.lineage["source"]["digest"])
    workflow["hasPart"] = list(tools.values())
    how_to = {
        rule: _entity(
            crate, f"#step-{rule}", "HowToStep", name=rule, position=str(number), workExample=tools[entry]
        )
        for number, (rule, entry) in enumerate(
            dict.fromkeys((s.lineage["rule"], s.lineage["entry"]) for s in steps), start=1
        )
    }
    workflow["step"] = list(how_to.values())
    actions = [_action(crate, files, step, tools) for step in steps]
    controls = [
        _entity(
            crate,
            f"#control-{step.lineage_sha256[:16]}",
            "ControlAction",
            name=f"run {step.label}",
            instrument=how_to[step.lineage["rule"]],
            object=action,
        )
        for step, action in zip(steps, actions, strict=True)
    ]
    sources = [
        files.add(path)
        for path in sorted(lineage.consumers)
        if lineage.maker(path) is None and (root / path).is_file()
    ]
    run = _entity(
        crate,
        "#run",
        "CreateAction",
        name=f"run of {title}",
        instrument=workflow,
        object=sources,
        result=[files.add(path) for path in lineage.targets],
        startTime=min(s.manifest["circumstances"]["started"] for s in steps),
        endTime=crate.datePublished.isoformat()
        if hasattr(crate.datePublished, "isoformat")
        else crate.datePublished,
    )
    engine = _entity(
        crate,
        "https://snakemake.github.io",
        "SoftwareApplication",
        name="Snakemake",
        url="https://snakemake.github.io",
        softwareVersion=str(steps[-1].manifest["circumstances"]["snakemake"]),
    )
    _entity(
        crate,
        "#engine-run",
        "OrganizeAction",
        name="Snakemake runs the steps",
        instrument=engine,
        object=controls,
        result=run,
    )
    crate.root_dataset["mentions"] = [run, *actions]
    for path in _code_and_configuration(root, steps):
        files.add(path)
    return crate


def _action(crate: Any, files: _Files, step: StepRecord, tools: dict[str, Any]) -> Any:
    circumstances = step.manifest["circumstances"]
    action = _entity(
        crate,
        f"#{step.lineage_sha256}",
        "CreateAction",
        name=step.label,
        identifier=step.lineage_sha256,
        description=f"rule {step.lineage['rule']} ran {PACKAGE}/steps/{step.lineage['entry']}.py; {step.path} has settings, packages and machine",
        instrument=tools[step.lineage["entry"]],
        object=[files.add(f.path, record=f) for f in step.inputs],
        result=[files.add(f.path, record=f) for f in step.outputs],
        startTime=circumstances["started"],
        endTime=circumstances["ended"],
    )
    files.add(step.path)["about"] = action
    return action


class _Files:
    """The crate's entity for each file: packed where it is small, described where it is not."""

    def __init__(self, crate: Any, lineage: Lineage):
        self._crate, self._lineage = crate, lineage
        self._entities: dict[str, Any] = {}

    def add(self, path: str, types: list[str] | None = None, record: Any = None) -> Any:
        if path not in self._entities:
            place = self._lineage.root / path
            foreign = path.partition("/")[0] in (DATA_ROOT, ELSEWHERE)
            if foreign or path.endswith(_NOT_PACKED) or not place.is_file():
                facts = (
                    {"contentSize": str(record.size), "sha256": record.sha256}
                    if record and record.sha256
                    else {}
                )
                self._entities[path] = _entity(self._crate, f"#{path}", "CreativeWork", name=path, **facts)
            else:
                properties = _properties(place, path) | ({"@type": types} if types else {})
                self._entities[path] = self._crate.add_file(place, path, properties=properties)
        return self._entities[path]


def _entity(crate: Any, id_: str, kind: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    entity = crate.add(ContextEntity(crate, id_, properties={"@type": kind}))
    for name, value in properties.items():
        # JSON-LD as RO-Crate wants it compacted: a single value is no list
        entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
    return entity


def _properties(place: Path, path: str) -> dict[str, str]:
    facts = {"name": path, "contentSize": str(place.stat().st_size), "sha256": sha256_file(place)}
    media_type = _MEDIA_TYPES.get(place.suffix)
    return {**facts, "encodingFormat": media_type} if media_type else facts


def _code_and_configuration(root: Path, steps: Iterable[StepRecord]) -> list[str]:
    found = {path for step in steps for path in step.lineage["source"]["files"]}
    for pattern in ("rules/*.smk", "config/**/*.yaml", "profiles/*/*.yaml", "envs/*.lock"):
        found |= {path.relative_to(root).as_posix() for path in root.glob(pattern)}
    return sorted(path for path in found if (root / path).is_file())


def check_crate(path: Path) -> list[str]:
    """What in a crate (zip or folder) does not have the size or sha256 that its metadata names, one line per file.

    PipelineError, one line, when it is no crate: unreadable, without metadata, or with metadata that is no JSON-LD graph.
    """
    read = _reader(path)
    try:
        metadata = json.loads(read(METADATA))
        entities = metadata["@graph"]
        named = {entity["@id"]: entity for entity in entities}
        parts = [part["@id"] for part in _list(named["./"].get("hasPart", []))]
    except KeyError as error:
        raise PipelineError(f"{path} is not an RO-Crate: it holds no {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise PipelineError(f"{path}: {METADATA} is not a JSON-LD graph ({error})") from error
    problems = []
    for name in parts:
        expected = named.get(name, {}).get("sha256")
        try:
            now = hashlib.sha256(read(name)).hexdigest()
        except KeyError:
            problems.append(f"{name} is listed but not in the crate")
            continue
        if expected is not None and now != expected:
            problems.append(f"{name} holds {now[:12]}, the metadata says {expected[:12]}")
    return problems


def _reader(path: Path) -> Any:
    """A function from a name in the crate to its bytes; KeyError where it is not there."""
    if path.is_dir():

        def from_folder(name: str) -> bytes:
            try:
                return (path / name).read_bytes()
            except OSError as error:
                raise KeyError(name) from error

        return from_folder
    try:
        archive = zipfile.ZipFile(path)
        held = set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise PipelineError(
            f"cannot read the crate {path}: {getattr(error, 'strerror', None) or error}"
        ) from error

    def from_zip(name: str) -> bytes:
        if name not in held:
            raise KeyError(name)
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, zipfile.zlib.error, EOFError) as error:
            raise PipelineError(f"the crate {path} is damaged at {name}: {error}") from error

    return from_zip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
