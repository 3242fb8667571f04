"""Pack a finished study as an RO-Crate: python -m workflow_scripts.tools.crate [--config …] [--check CRATE]

Writes reports/<study>/<preset>/<study>_<preset>.crate.zip with report, results, manifests, code and
configuration, each with its sha256, after verifying the report's lineage. `--check` verifies a crate, zip or
folder. Exit code 0: written, or all of it holds; 1: it does not hold; 2: bad usage.
"""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json
from workflow_scripts.provenance.crate import check_crate, write_crate
from workflow_scripts.provenance.lineage import trace
from workflow_scripts.provenance.verification import verify
from workflow_scripts.study.config import load_study, parse_overrides, read_config
from workflow_scripts.tools import command_line, errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = command_line("crate", __doc__)
    parser.add_argument("--check", type=Path, metavar="CRATE", help="verify this crate and write nothing")
    arguments = parser.parse_args(argv)
    return _check(arguments.check) if arguments.check else _export(root, arguments.config)


def _check(path: Path) -> int:
    problems = check_crate(path)
    for problem in problems:
        print(f"MISMATCH {problem}")
    print(f"crate: {'FAIL' if problems else 'pass'}")
    return 1 if problems else 0


def _export(root: Path, config: list[str]) -> int:
    name, preset, data_root = read_config(root, parse_overrides(config))
    study = load_study(root, name, preset)
    results, report = f"results/{name}/{preset}", f"reports/{name}/{preset}"
    if not (root / report / "report.html").is_file():
        raise PipelineError(f"{report}/report.html is not there; run `make report PRESET={preset}` first")
    targets = [f"{report}/{file}" for file in ("report.html", "summary.md")]
    targets += [f"{results}/{file}" for file in ("results.jsonl", "verdict.json", "gate.json")]
    lineage = trace(root, targets)
    problems = verify(lineage, data_root=root / data_root).problems
    if problems:
        more = f" (and {len(problems) - 1} more; see `make audit`)" if len(problems) > 1 else ""
        raise PipelineError(
            f"the lineage does not hold, so it is not packed: {problems[0].path}: {problems[0].message}{more}"
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
