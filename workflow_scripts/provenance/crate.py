"""A finished study as an RO-Crate (https://w3id.org/ro/crate), profile Provenance Run Crate 0.5.

The crate holds the report, the results, every step's manifest, the code and the configuration, each with its
sha256. Data, weights and samples would make it gigabytes: they are described with size and sha256, and not
packed. A reader needs no software of ours: the graph is JSON-LD, and the manifests in it are the lineage that
`audit` reads.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import atomic_path, sha256_file
from workflow_scripts.provenance.lineage import FileRecord, Lineage, StepRecord
from workflow_scripts.provenance.manifest import DATA_ROOT, ELSEWHERE
from workflow_scripts.provenance.source_closure import PACKAGE

METADATA = "ro-crate-metadata.json"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
# As RO-Crate's own context 1.1 and the Workflow Run terms define them, so that the crate means the same
# without a network: later contexts moved the Bioschemas terms.
_TERMS = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
}
_NOT_PACKED = (".npz", ".pt", ".pth")
_CODE_AND_CONFIGURATION = ("rules/*.smk", "config/**/*.yaml", "profiles/*/*.yaml", "envs/*.lock")
_ENGINE = "https://snakemake.github.io"
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError)


def write_crate(path: Path, lineage: Lineage, title: str, description: str, licence: str) -> int:
    """Write the crate of `lineage` as a zip; return how many files it names."""
    from rocrate.rocrate import ROCrate

    steps = sorted(lineage.steps.values(), key=lambda step: (step.circumstances["ended"], step.path))
    if not steps:
        raise PipelineError("there is no step to describe; run `make report` first")
    ended, snakemake = steps[-1].circumstances["ended"], str(steps[-1].circumstances["snakemake"])
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms = _TERMS
    crate.name, crate.description, crate.license = title, description, licence
    crate.datePublished = ended
    entities = _Entities(crate, lineage.root)
    crate.root_dataset["conformsTo"] = [
        entities.add(url, "CreativeWork", name=name, version=url.rpartition("/")[2])
        for url, name in _PROFILES.items()
    ]
    types = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    properties = {**_properties(lineage.root / "Snakefile", "Snakefile"), "@type": types}
    workflow = crate.add_workflow(
        lineage.root / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        lang_version=snakemake,
        properties=properties,
    )
    tools: dict[str, Any] = {}
    how_to: dict[str, Any] = {}
    actions, controls = [], []
    for step in steps:
        entry, rule = step.lineage["entry"], step.lineage["rule"]
        if entry not in tools:
            tools[entry] = entities.file(f"{PACKAGE}/steps/{entry}.py", types=["File", "SoftwareSourceCode"])
        tools[entry]["version"] = str(step.lineage["source"]["digest"])
        if rule not in how_to:
            how_to[rule] = entities.add(
                f"#step-{rule}",
                "HowToStep",
                name=rule,
                position=str(len(how_to) + 1),
                workExample=tools[entry],
            )
        actions.append(_action(entities, step, tools[entry]))
        controls.append(
            entities.add(
                f"#control-{step.lineage_sha256[:16]}",
                "ControlAction",
                name=f"run {step.label}",
                instrument=how_to[rule],
                object=actions[-1],
            )
        )
    workflow["hasPart"], workflow["step"] = list(tools.values()), list(how_to.values())
    sources = [path for path in sorted(lineage.consumers) if lineage.maker(path) is None]
    run = entities.add(
        "#run",
        "CreateAction",
        name=f"run of {title}",
        instrument=workflow,
        object=[entities.file(path) for path in sources if (lineage.root / path).is_file()],
        result=[entities.file(path) for path in lineage.targets],
        startTime=min(step.circumstances["started"] for step in steps),
        endTime=ended,
    )
    engine = entities.add(
        _ENGINE, "SoftwareApplication", name="Snakemake", url=_ENGINE, softwareVersion=snakemake
    )
    entities.add(
        "#engine-run",
        "OrganizeAction",
        name="Snakemake runs the steps",
        instrument=engine,
        object=controls,
        result=run,
    )
    crate.root_dataset["mentions"] = [run, *actions]
    code = {path for step in steps for path in step.lineage["source"]["files"]}
    for pattern in _CODE_AND_CONFIGURATION:
        code |= {path.relative_to(lineage.root).as_posix() for path in lineage.root.glob(pattern)}
    for name in sorted(code):
        if (lineage.root / name).is_file():
            entities.file(name)
    with atomic_path(path) as temporary:
        crate.write_zip(temporary)
    return sum(1 for entity in crate.data_entities if entity.id != "./")


def _action(entities: _Entities, step: StepRecord, tool: Any) -> Any:
    """A step that ran, as a CreateAction."""
    rule, entry = step.lineage["rule"], step.lineage["entry"]
    action = entities.add(
        f"#{step.lineage_sha256}",
        "CreateAction",
        name=step.label,
        identifier=step.lineage_sha256,
        description=f"rule {rule} ran {PACKAGE}/steps/{entry}.py; {step.path} says with what",
        instrument=tool,
        object=[entities.file(file.path, file) for file in step.inputs],
        result=[entities.file(file.path, file) for file in step.outputs],
        startTime=step.circumstances["started"],
        endTime=step.circumstances["ended"],
    )
    entities.file(step.path)["about"] = action
    return action


class _Entities:
    """The crate's entities. Small files of this project are packed, others only described."""

    def __init__(self, crate: Any, root: Path):
        self._crate, self._root = crate, root
        self._files: dict[str, Any] = {}

    def add(self, id_: str, kind: str, **properties: Any) -> Any:
        from rocrate.model.contextentity import ContextEntity

        entity = self._crate.add(ContextEntity(self._crate, id_, properties={"@type": kind}))
        for name, value in properties.items():
            # RO-Crate wants compacted JSON-LD: a single value is not a list
            entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
        return entity

    def file(self, path: str, record: FileRecord | None = None, types: list[str] | None = None) -> Any:
        if path not in self._files:
            place = self._root / path
            foreign = path.partition("/")[0] in (DATA_ROOT, ELSEWHERE)
            if foreign or path.endswith(_NOT_PACKED) or not place.is_file():
                known = record is not None and record.sha256 is not None
                facts = {"contentSize": str(record.size), "sha256": record.sha256} if known else {}
                self._files[path] = self.add(f"#{quote(path)}", "CreativeWork", name=path, **facts)
            else:
                properties = _properties(place, path) | ({"@type": types} if types else {})
                self._files[path] = self._crate.add_file(place, path, properties=properties)
        return self._files[path]


def _properties(place: Path, path: str) -> dict[str, str]:
    facts = {"name": path, "contentSize": str(place.stat().st_size), "sha256": sha256_file(place)}
    # Python's own table is the same on every machine
    media_type, _ = mimetypes.MimeTypes().guess_type(place.name)
    return {**facts, "encodingFormat": media_type} if media_type else facts


def check_crate(path: Path) -> list[str]:
    """Compare a crate (zip or folder) with the sums in its metadata; return one line per mismatched file.

    Raises PipelineError if it cannot be read or is not a crate.
    """
    try:
        crate = path if path.is_dir() else zipfile.Path(path)
        graph = json.loads((crate / METADATA).read_bytes())["@graph"]
        named = {entity["@id"]: entity for entity in graph}
        parts = named["./"].get("hasPart", [])
        names = [part["@id"] for part in (parts if isinstance(parts, list) else [parts])]
    except (*_UNREADABLE, KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"{path} is no RO-Crate: {METADATA} is missing or broken ({error or 'empty'})"
        ) from error
    problems = []
    for id_ in names:
        expected, name = named.get(id_, {}).get("sha256"), unquote(id_)  # ids are URLs
        part = crate / name
        try:
            now = hashlib.sha256(part.read_bytes()).hexdigest() if part.is_file() else None
        except _UNREADABLE as error:
            raise PipelineError(f"the crate is damaged at {name}: {error}") from error
        if now is None:
            problems.append(f"{name} is listed but not in the crate")
        elif expected and now != expected:
            problems.append(f"{name} holds {now[:12]}, the metadata says {expected[:12]}")
    return problems
