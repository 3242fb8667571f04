"""Verify a lineage: hash every file again, follow every link, compare code and settings with today's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import canonical_json, sha256_file
from workflow_scripts.provenance.figure_identity import embedded_identity
from workflow_scripts.provenance.lineage import FileRecord, Lineage, StepRecord
from workflow_scripts.provenance.manifest import DATA_ROOT, SUFFIX, is_intact, local_path
from workflow_scripts.provenance.packages import code_of
from workflow_scripts.provenance.planned_jobs import PlannedJob
from workflow_scripts.provenance.source_closure import PACKAGE


@dataclass(frozen=True)
class Problem:
    """A mismatch: the file or manifest, the check that found it, and a sentence that names both sides."""

    path: str
    check: str  # file | manifest | link | code | packages | settings | plan | identity | rerun
    message: str


@dataclass
class Verification:
    """The outcome. `sums` has every hashed file, null if gone; `notes` says what could not be checked."""

    problems: list[Problem]
    notes: list[str]
    sums: dict[str, str | None]

    @property
    def passed(self) -> bool:
        return not self.problems

    def by_path(self) -> dict[str, list[str]]:
        """Return the messages by file or manifest."""
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            found.setdefault(problem.path, []).append(problem.message)
        return found


def verify(
    lineage: Lineage, planned: Mapping[str, PlannedJob] | None = None, data_root: Path | None = None
) -> Verification:
    """Check all of `lineage`; with `planned` (file -> job that makes it) also against today's configuration.

    Each file is hashed once. Mismatches are collected, never raised.
    """
    found = Verification([], [], {})
    found.problems += [Problem(path, "manifest", said) for path, said in sorted(lineage.damaged.items())]
    for path, claims in lineage.claimed_twice.items():
        said = f"two manifests say they made it: {', '.join(claims)}; delete the older"
        found.problems.append(Problem(path, "manifest", said))
    steps = list(lineage.steps.values())
    for step in steps:
        if not is_intact(lineage.root / step.path, step.manifest):
            said = "was changed after its step wrote it: its content does not have the sums it names"
            found.problems.append(Problem(step.path, "manifest", said))
    made = (file.path for step in steps for file in step.outputs)
    paths = list(dict.fromkeys([*lineage.targets, *made, *lineage.consumers]))
    for path in paths:
        found.problems += _file_problems(lineage, path, found, data_root)
    for step in steps:
        found.problems += _link_problems(lineage, step, found)
        found.problems += _code_problems(lineage.root, step)
        found.problems += _identity_problems(lineage.root, step)
        found.problems += _dataset_problems(lineage.root, step, data_root, found)
        if planned is not None:
            found.problems += _plan_problems(step, planned)
    for path in paths:
        if (
            planned
            and path in planned
            and not lineage.maker(path)
            and f"{path}{SUFFIX}" not in lineage.damaged
        ):
            said = f"{planned[path].rule} makes it, but its manifest is gone; run its step again"
            found.problems.append(Problem(path, "link", said))
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _file_problems(
    lineage: Lineage, path: str, found: Verification, data_root: Path | None
) -> Iterator[Problem]:
    """Compare the file with what its maker wrote or, where no step made it, with what its readers read."""
    maker, read = lineage.maker(path), lineage.consumers.get(path, [])
    made = next((file.sha256 for file in maker.outputs if file.path == path), None) if maker else None
    hashed = made is not None or any(file.sha256 is not None for _, file in read)
    place = local_path(path, lineage.root, data_root)
    if not hashed or (place is None and read):
        if read and path != DATA_ROOT:
            why = "it is not in the project" if hashed else "it was not a file when it was read"
            found.notes.append(f"{path}: not hashed, {why}")
        return
    if place is None or not place.is_file():
        found.sums[path] = None
        who = f"{maker.label} made it" if maker else f"{read[0][0].label} read it"
        yield Problem(path, "file", f"is missing; {who}")
        return
    now = found.sums[path] = sha256_file(place)
    if maker and now != made:
        yield Problem(path, "file", f"holds {_short(now)}, but {maker.label} wrote {_short(made)}")
    for step, file in read:
        if maker and file.sha256 != made:
            said = f"{step.label} read {_short(file.sha256)}, but {maker.label} wrote {_short(made)}"
            yield Problem(path, "link", said)
        elif not maker and file.sha256 != now:
            yield Problem(path, "file", f"holds {_short(now)}, but {step.label} read {_short(file.sha256)}")


def _link_problems(lineage: Lineage, step: StepRecord, found: Verification) -> Iterator[Problem]:
    """Compare each input's recorded lineage with the manifest of the step that made it."""
    for file in step.inputs:
        maker = lineage.maker(file.path)
        if maker is None:
            if file.lineage_sha256 is not None:
                state = "damaged" if f"{file.path}{SUFFIX}" in lineage.damaged else "gone"
                yield Problem(file.path, "link", f"the manifest that {step.label} names for it is {state}")
        elif file.lineage_sha256 == maker.lineage_sha256:
            continue
        elif _reproduced(maker, file):
            found.notes.append(
                f"{maker.label} was run again and gave {file.path} the bytes it had, "
                "so files made from it still hold"
            )
        else:
            names = f"names {_short(file.lineage_sha256)}" if file.lineage_sha256 else "names none"
            yield Problem(
                step.path,
                "link",
                f"{step.label} {names} as the lineage of {file.path}, "
                f"whose manifest has {_short(maker.lineage_sha256)}",
            )


def _reproduced(maker: StepRecord, file: FileRecord) -> bool:
    """Whether the maker says that the build of it that the file names gave the same bytes."""
    builds = maker.circumstances.get("reproduces", [])
    return any(
        build["lineage_sha256"] == file.lineage_sha256 and file.path in build["outputs"] for build in builds
    )


def _code_problems(root: Path, step: StepRecord) -> Iterator[Problem]:
    entry, lineage = step.lineage["entry"], step.lineage
    if not (root / PACKAGE / "steps" / f"{entry}.py").is_file():
        yield Problem(step.path, "code", f"{step.label} ran {PACKAGE}/steps/{entry}.py, which is gone")
        return
    try:
        now = code_of(root, entry, lineage["settings"])
    except PipelineError as error:
        yield Problem(step.path, "code", f"the code of {step.label} cannot be read: {error}")
        return
    if now["source"] != lineage["source"]:
        changed = ", ".join(changed_keys(lineage["source"]["files"], now["source"]["files"]))
        said = f"{step.label} ran other code than is here now; changed since: {changed}"
        yield Problem(step.path, "code", said)
    recorded, installed = lineage["packages"]["versions"], now["packages"]["versions"]
    if recorded != installed:
        words = "; ".join(differences(recorded, installed))
        said = f"{step.label} ran with other packages than are installed now: {words}"
        yield Problem(step.path, "packages", said)


def _plan_problems(step: StepRecord, planned: Mapping[str, PlannedJob]) -> Iterator[Problem]:
    """Compare the step with the job that would make its files today."""
    job = next((planned[file.path] for file in step.outputs if file.path in planned), None)
    if job is None:
        yield Problem(step.path, "plan", f"nothing in the current configuration makes what {step.label} made")
        return
    lineage = step.lineage
    if (lineage["rule"], lineage["entry"], lineage["wildcards"]) != (job.rule, job.entry, job.wildcards):
        said = f"says {step.label} made it; the workflow would make it with {job.rule} {job.wildcards}"
        yield Problem(step.path, "plan", said)
    if canonical_json(lineage["settings"]) != canonical_json(job.settings):
        words = "; ".join(differences(lineage["settings"], job.settings))
        yield Problem(step.path, "settings", f"{step.label} ran with older settings: {words}")
    for kind, was, now in (("inputs", step.inputs, job.inputs), ("outputs", step.outputs, job.outputs)):
        before, after = {(file.name, file.path) for file in was}, set(now)
        parts = [
            f"{words} {', '.join(sorted(path for _, path in files))}"
            for words, files in (("no longer", before - after), ("now also", after - before))
            if files
        ]
        if parts:
            said = f"{step.label} has other {kind} in the workflow: {'; '.join(parts)}"
            yield Problem(step.path, "plan", said)


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the sorted keys whose values differ, or that only one of the two has."""
    return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))


def differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Return the changes between two settings by dotted key: `loss.min_snr_gamma 5.0 -> 1.0`."""
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [
            (f"{prefix}.{key}" if prefix else key, before.get(key), after.get(key))
            for key in sorted({*before, *after})
        ]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [
            (f"{prefix}[{new.get('name', number) if isinstance(new, dict) else number}]", old, new)
            for number, (old, new) in enumerate(zip(before, after))
        ]
    else:
        same = canonical_json(before) == canonical_json(after)
        return [] if same else [f"{prefix} {_brief(before)} -> {_brief(after)}"]
    return [line for name, old, new in pairs for line in differences(old, new, name)]


def _identity_problems(root: Path, step: StepRecord) -> Iterator[Problem]:
    """Compare the lineage that a file carries inside with its manifest."""
    expected = step.input_lineage_sha256
    for file in step.outputs:
        carried = embedded_identity(root / file.path).get("input_lineage_sha256")
        if carried is not None and carried != expected:
            said = f"carries the lineage {_short(carried)}, its manifest says {_short(expected)}"
            yield Problem(file.path, "identity", said)


def _dataset_problems(
    root: Path, step: StepRecord, data_root: Path | None, found: Verification
) -> Iterator[Problem]:
    """Compare the dataset's source files below the data root with the sums in the data manifest."""
    sources = step.dataset_facts(root).get("sources", [])
    settings = step.lineage["settings"].get("data", {})
    absent = 0
    for source in sources:
        place = _source_file(source["path"], settings, data_root)
        if place is None:
            absent += 1
        elif (now := sha256_file(place)) != source["sha256"]:
            said = f"holds {_short(now)}, but {step.label} read {_short(source['sha256'])}"
            yield Problem(f"{DATA_ROOT}/{source['path']}", "file", said)
    if absent:
        title = settings.get("title", "the dataset")
        found.notes.append(
            f"{absent} of {len(sources)} source files of {title} do not lie below the data root; "
            "their sums are recorded, not checked"
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
