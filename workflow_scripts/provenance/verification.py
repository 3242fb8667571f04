"""Whether a lineage holds: every file hashed again, every link followed, code and settings compared with today's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, read_json, sha256_file
from workflow_scripts.provenance import manifest as manifests
from workflow_scripts.provenance.figure_identity import embedded_identity
from workflow_scripts.provenance.lineage import FileRecord, Lineage, StepRecord
from workflow_scripts.provenance.packages import package_versions
from workflow_scripts.provenance.planned_commands import PlannedCommand
from workflow_scripts.provenance.project_paths import DATA_ROOT, local_path
from workflow_scripts.provenance.source_closure import PACKAGE, file_digests, loaded_modules, source_digest


@dataclass(frozen=True)
class Problem:
    """What does not match: a file (or manifest), which check found it, and a sentence that names both sides."""

    path: str
    check: str  # file | manifest | link | code | packages | settings | plan | identity | rerun
    message: str


@dataclass
class Verification:
    """The outcome. `sums` holds every file hashed, null where it is gone; `notes` what could not be checked, and why."""

    problems: list[Problem]
    notes: list[str]
    sums: dict[str, str | None]

    @property
    def passed(self) -> bool:
        return not self.problems

    def of(self, path: str) -> list[Problem]:
        """The problems of one file or manifest."""
        return [problem for problem in self.problems if problem.path == path]

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "problems": [asdict(problem) for problem in self.problems],
            "notes": self.notes,
        }


def verify(
    lineage: Lineage, planned: Mapping[str, PlannedCommand] | None = None, data_root: Path | None = None
) -> Verification:
    """Check everything in `lineage`; with `planned` also against what the current configuration would run.

    Each file is hashed once. Nothing is raised for what does not match, so that all of it is reported.
    """
    found = Verification([], [], {})
    found.problems += [Problem(path, "manifest", said) for path, said in sorted(lineage.damaged.items())]
    for path, claims in lineage.claimed_twice.items():
        found.problems.append(
            Problem(
                path, "manifest", f"two manifests say they made it: {', '.join(claims)}; delete the older"
            )
        )
    for step in lineage.steps.values():
        found.problems += _manifest_problems(lineage.root, step)
    for path in _every_path(lineage):
        found.problems += _file_problems(lineage, path, found, data_root)
    for step in lineage.steps.values():
        found.problems += _link_problems(lineage, step)
        found.problems += _code_problems(lineage.root, step)
        found.problems += _identity_problems(lineage.root, step)
        found.problems += _dataset_problems(lineage.root, step, data_root, found)
        if planned is not None:
            found.problems += _plan_problems(step, planned)
    found.notes += _rebuild_notes(lineage)
    if planned is not None:
        found.problems += [
            Problem(
                path, "link", f"{planned[path].rule} makes it, but its manifest is gone; run its step again"
            )
            for path in _every_path(lineage)
            if path in planned
            and lineage.maker(path) is None
            and not any(name.removesuffix(manifests.SUFFIX) == path for name in lineage.damaged)
        ]
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _every_path(lineage: Lineage) -> list[str]:
    made = (file.path for step in lineage.steps.values() for file in step.outputs)
    return list(dict.fromkeys([*lineage.targets, *made, *lineage.consumers]))


def _manifest_problems(root: Path, step: StepRecord) -> Iterator[Problem]:
    if not manifests.is_intact(root / step.path, step.manifest):
        yield Problem(
            step.path,
            "manifest",
            "was changed after its step wrote it: its content does not have the sums it names",
        )


def _file_problems(
    lineage: Lineage, path: str, found: Verification, data_root: Path | None
) -> Iterator[Problem]:
    """The file as it is now, against what its maker wrote or, where no step made it, what its readers read."""
    made = [file for step in [lineage.maker(path)] if step for file in step.outputs if file.path == path]
    read = lineage.consumers.get(path, [])
    records = [file for file in [*made, *(file for _, file in read)] if file.sha256 is not None]
    place = local_path(path, lineage.root, data_root)
    if not records or (place is None and read):
        if read and path != DATA_ROOT:
            found.notes.append(
                f"{path}: not hashed, {'it was no file when it was read' if not records else 'it is not in the project'}"
            )
        return
    if place is None or not place.is_file():
        found.sums[path] = None
        who = f"{lineage.maker(path).label} made it" if made else f"{read[0][0].label} read it"
        yield Problem(path, "file", f"is missing; {who}")
        return
    now = found.sums[path] = sha256_file(place)
    if made and now != made[0].sha256:
        yield Problem(
            path,
            "file",
            f"holds {_short(now)}, but {lineage.maker(path).label} wrote {_short(made[0].sha256)}",
        )
    for step, file in read:
        if made and file.sha256 != made[0].sha256:
            yield Problem(
                path,
                "link",
                f"{step.label} read {_short(file.sha256)}, but {lineage.maker(path).label} wrote {_short(made[0].sha256)}",
            )
        elif not made and file.sha256 != now:
            yield Problem(path, "file", f"holds {_short(now)}, but {step.label} read {_short(file.sha256)}")


def _link_problems(lineage: Lineage, step: StepRecord) -> Iterator[Problem]:
    for file in step.inputs:
        maker = lineage.maker(file.path)
        if maker is None and file.lineage_sha256 is not None:
            said = lineage.damaged.get(f"{file.path}{manifests.SUFFIX}")
            yield Problem(
                file.path,
                "link",
                f"the manifest that {step.label} names for it is {'damaged' if said else 'gone'}",
            )
        elif (
            maker is not None and file.lineage_sha256 != maker.lineage_sha256 and not _reproduced(maker, file)
        ):
            names = f"names {_short(file.lineage_sha256)}" if file.lineage_sha256 else "names none"
            yield Problem(
                step.path,
                "link",
                f"{step.label} {names} as the lineage of {file.path}, whose manifest has {_short(maker.lineage_sha256)}",
            )


def _reproduced(maker: StepRecord, file: FileRecord) -> bool:
    """Whether the maker says that an earlier build of it, the one that the file names, gave the same bytes."""
    builds = maker.manifest["circumstances"].get("reproduces", [])
    return any(
        build["lineage_sha256"] == file.lineage_sha256 and file.path in build["outputs"] for build in builds
    )


def _rebuild_notes(lineage: Lineage) -> Iterator[str]:
    for step in lineage.steps.values():
        for file in step.inputs:
            maker = lineage.maker(file.path)
            if maker and file.lineage_sha256 != maker.lineage_sha256 and _reproduced(maker, file):
                yield f"{maker.label} was run again and gave {file.path} the bytes it had, so what was made from it stands"


def _code_problems(root: Path, step: StepRecord) -> Iterator[Problem]:
    entry, source = step.lineage["entry"], step.lineage["source"]
    if not (root / PACKAGE / "steps" / f"{entry}.py").is_file():
        yield Problem(step.path, "code", f"{step.label} ran {PACKAGE}/steps/{entry}.py, which is gone")
        return
    try:
        loads = loaded_modules(step.lineage["settings"])
        now, files = source_digest(root, entry, loads), file_digests(root, entry, loads)
        packages = package_versions(root, entry, loads)["versions"]
    except PipelineError as error:
        yield Problem(step.path, "code", f"the code of {step.label} cannot be read: {error}")
        return
    if now != source["digest"] or files != source["files"]:
        before = source["files"]
        changed = sorted(path for path in {*before, *files} if before.get(path) != files.get(path))
        yield Problem(
            step.path,
            "code",
            f"{step.label} ran other code than is here now; changed since: {', '.join(changed)}",
        )
    if packages != (recorded := step.lineage["packages"].get("versions")):
        words = "; ".join(differences(recorded, packages))
        yield Problem(
            step.path, "packages", f"{step.label} ran with other packages than are installed now: {words}"
        )


def _plan_problems(step: StepRecord, planned: Mapping[str, PlannedCommand]) -> Iterator[Problem]:
    command = next((planned[file.path] for file in step.outputs if file.path in planned), None)
    if command is None:
        yield Problem(step.path, "plan", f"nothing in the current configuration makes what {step.label} made")
        return
    lineage = step.lineage
    if (lineage["rule"], lineage["entry"], lineage["wildcards"]) != (
        command.rule,
        command.entry,
        command.wildcards,
    ):
        yield Problem(
            step.path,
            "plan",
            f"says {step.label} made it; the workflow would make it with {command.rule} {command.wildcards}",
        )
    if canonical_json(lineage["settings"]) != canonical_json(command.settings):
        words = "; ".join(differences(lineage["settings"], command.settings))
        yield Problem(step.path, "settings", f"{step.label} ran with older settings: {words}")
    for kind, was, now in (
        ("inputs", step.inputs, command.inputs),
        ("outputs", step.outputs, command.outputs),
    ):
        before, after = {(file.name, file.path) for file in was}, set(now)
        if before != after:
            gone, new = sorted(path for _, path in before - after), sorted(path for _, path in after - before)
            parts = [
                *(["no longer " + ", ".join(gone)] if gone else []),
                *(["now also " + ", ".join(new)] if new else []),
            ]
            yield Problem(
                step.path, "plan", f"{step.label} has other {kind} in the workflow: {'; '.join(parts)}"
            )


def differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    """What changed between two settings, by dotted key: `loss.min_snr_gamma 5.0 -> 1.0`."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [
            line
            for key in keys
            for line in differences(before.get(key), after.get(key), f"{prefix}.{key}" if prefix else key)
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        named = [
            item.get("name", number) if isinstance(item, dict) else number
            for number, item in enumerate(after)
        ]
        return [
            line
            for old, new, name in zip(before, after, named)
            for line in differences(old, new, f"{prefix}[{name}]")
        ]
    return (
        []
        if canonical_json(before) == canonical_json(after)
        else [f"{prefix} {_brief(before)} -> {_brief(after)}"]
    )


def _identity_problems(root: Path, step: StepRecord) -> Iterator[Problem]:
    """Files that carry the sum of their lineage must carry that of their manifest."""
    expected = manifests.input_lineage_sha256(step.lineage)
    for file in step.outputs:
        carried = embedded_identity(root / file.path).get("input_lineage_sha256")
        if carried is not None and carried != expected:
            yield Problem(
                file.path,
                "identity",
                f"carries the lineage {_short(carried)}, its manifest says {_short(expected)}",
            )


def _dataset_problems(
    root: Path, step: StepRecord, data_root: Path | None, found: Verification
) -> Iterator[Problem]:
    """The files a dataset was read from, where they still lie below the data root, against the sums in its data manifest."""
    sources = dataset_facts(root, step).get("sources", [])
    settings = step.lineage["settings"].get("data", {})
    absent = 0
    for source in sources:
        place = _source_file(source["path"], settings, data_root)
        if place is None:
            absent += 1
        elif (now := sha256_file(place)) != source["sha256"]:
            message = f"holds {_short(now)}, but {step.label} read {_short(source['sha256'])}"
            yield Problem(f"{DATA_ROOT}/{source['path']}", "file", message)
    if absent:
        title = settings.get("title", "the dataset")
        found.notes.append(
            f"{absent} of {len(sources)} source files of {title} do not lie below the data root; their sums are recorded, not checked"
        )


def dataset_facts(root: Path, step: StepRecord) -> dict[str, Any]:
    """The data manifest that a step wrote (data/prepare.py), empty where it wrote none or it cannot be read."""
    path = next((root / file.path for file in step.outputs if file.name == "manifest"), None)
    try:
        facts = read_json(path) if path else {}
    except PipelineError:
        return {}
    return (
        facts
        if isinstance(facts, dict) and {"train", "test", "sources", "sources_sha256"} <= facts.keys()
        else {}
    )


def _source_file(name: str, settings: Mapping[str, Any], data_root: Path | None) -> Path | None:
    if data_root is None:
        return None
    own = data_root / settings.get("path", "")
    places = (
        own if own.name == name else own / name,
        data_root / name,
        data_root / str(settings.get("source")) / name,
    )
    return next((place for place in places if place.is_file()), None)


def _brief(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _short(digest: str | None) -> str:
    return "nothing" if digest is None else digest[:12]
