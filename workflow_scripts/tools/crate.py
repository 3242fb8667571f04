"""Pack a finished study as an RO-Crate: python -m workflow_scripts.tools.crate [--config …] [--check CRATE]

Writes reports/<study>/<preset>/<study>_<preset>.crate.zip with report, results, manifests, code and
configuration, each with its sha256, after verifying the report's lineage against the present configuration.
`--check` verifies a crate, zip or folder: its sums, and that its manifests name the files, code and settings
in it. Exit code 0: written, or all of it holds; 1: it does not hold; 2: bad usage.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json
from workflow_scripts.provenance.crate import check_crate, write_crate
from workflow_scripts.provenance.lineage import trace
from workflow_scripts.provenance.manifest import SUFFIX
from workflow_scripts.provenance.planned_jobs import planned_files
from workflow_scripts.provenance.verification import differences, verify
from workflow_scripts.study.config import load_study, parse_overrides, read_config
from workflow_scripts.study.description import PER_ARM
from workflow_scripts.tools import command_line, errors_in_one_line, run

MAX_CRATE_BYTES = 2**31


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = command_line("crate", __doc__)
    parser.add_argument("--check", type=Path, metavar="CRATE", help="verify this crate and write nothing")
    arguments = parser.parse_args(argv)
    return _check(arguments.check) if arguments.check else _export(root, arguments.config)


def _check(path: Path) -> int:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, TemporaryDirectory() as unpacked:
            if (num_bytes := sum(info.file_size for info in archive.infolist())) > MAX_CRATE_BYTES:
                raise PipelineError(f"{path} unpacks to {num_bytes:,} bytes, which no crate of ours does")
            try:
                archive.extractall(unpacked)
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError) as error:
                raise PipelineError(f"the crate {path} is damaged: {error}") from error
            problems = check_crate(Path(unpacked)) or _contradictions(Path(unpacked))
    else:
        problems = check_crate(path) or _contradictions(path)
    for problem in problems:
        print(f"MISMATCH {problem}")
    print(f"crate: {'FAIL' if problems else 'pass'}")
    return 1 if problems else 0


def _contradictions(crate: Path) -> list[str]:
    """Where files, code and configuration in a crate (a folder) are not those that its manifests name."""
    manifests = (path.relative_to(crate).as_posix() for path in crate.rglob(f"*{SUFFIX}"))
    lineage = trace(crate, sorted(path.removesuffix(SUFFIX) for path in manifests))
    # Packages are those of another machine, and data, weights and samples are not packed.
    found = [
        f"{problem.path}: {problem.message}"
        for problem in verify(lineage).problems
        if problem.check != "packages" and (problem.check != "file" or (crate / problem.path).exists())
    ]
    steps = [step.lineage for step in lineage.steps.values()]
    for gate in (step["settings"] for step in steps if step["entry"] == "check_preregistration"):
        study = load_study(crate, gate["study"], gate["preset"])
        networks = {one.name: {part: one.settings[part] for part in PER_ARM} for one in study.networks}
        now = {arm.name: arm.settings for arm in study.arms} | networks
        now["runs"] = sorted(f"{arm} {seed}" for arm, seed in study.runs)
        recorded, runs = dict(gate["settings"]), set()
        for wildcards, settings in ((step["wildcards"], step["settings"]) for step in steps):
            if "network" in wildcards:
                recorded[wildcards["network"]] = {part: settings.get(part) for part in PER_ARM}
            if "seed" in wildcards:
                runs.add(f"{wildcards['arm']} {wildcards['seed']}")
        recorded["runs"] = sorted(runs)
        found += [
            f"config: the steps ran with other settings: {words}" for words in differences(recorded, now)
        ]
    return found


def _export(root: Path, config: list[str]) -> int:
    name, preset, data_root = read_config(root, parse_overrides(config))
    study = load_study(root, name, preset)
    results, report = f"results/{name}/{preset}", f"reports/{name}/{preset}"
    if not (root / report / "report.html").is_file():
        raise PipelineError(f"{report}/report.html is not there; run `make report PRESET={preset}` first")
    targets = [f"{report}/{file}" for file in ("report.html", "summary.md")]
    targets += [f"{results}/{file}" for file in ("results.jsonl", "verdict.json", "gate.json")]
    lineage = trace(root, targets)
    problems = verify(lineage, planned_files(root, config), root / data_root).problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise PipelineError(
            f"the lineage does not hold, so it is not packed: {problems[0].path}: {problems[0].message}{more}"
            "; see `make audit`, and put it back or run `make report` again"
        )
    path = root / report / f"{name}_{preset}.crate.zip"
    data_licence = read_json(root / results / "data/manifest.json")["licence"]
    licence = f"MIT for code and results. Training data: {data_licence}"
    count = write_crate(path, lineage, f"{name}, preset {preset}", study.question, licence)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    print(f"crate: {shown}, {count} files, {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    run(main)
