"""Say what would decide each hypothesis: python -m workflow_scripts.tools.power [--config KEY=VALUE…]

Reads a finished run of the study and preset, or of its pilot (pilot=yes): the spread between seeds, its parts
due to samples and to training, and the seeds, samples and time with which the rule reaches the power that is
aimed at. Ends with the lines for a preregistration. Exit code 0, or 1 if nothing was run.
"""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json
from workflow_scripts.provenance.manifest import SUFFIX, read_manifest, study_manifests
from workflow_scripts.report.costs import seconds_per_seed
from workflow_scripts.report.labels import text_table
from workflow_scripts.report.sections.power import options, parts_table
from workflow_scripts.report.sourced_numbers import plain
from workflow_scripts.study.config import PILOT, parse_overrides, read_config
from workflow_scripts.study.power import power_of
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.tools import command_line, errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    arguments = command_line("power", __doc__).parse_args(argv)
    study, preset, _ = read_config(root, parse_overrides(arguments.config))
    results = root / "results" / study / preset
    if not (results / "verdict.json").is_file():
        words = f"PRESET={preset.removesuffix(PILOT)}" + (" PILOT=yes" if preset.endswith(PILOT) else "")
        raise PipelineError(f"{study}, preset {preset}, has not run; run: make report STUDY={study} {words}")
    # Of the hypotheses, seeds and counts that are preregistered now; they may follow from what was run.
    preregistrations = read_preregistrations(root, study)
    now = {item["id"]: item for one in preregistrations for item in one.hypotheses}
    verdict = read_json(results / "verdict.json")
    hypotheses = {
        item["id"]: {**item, **now[item["id"]]} for item in verdict["hypotheses"] if item["id"] in now
    }
    redrawn = map(
        read_json,
        sorted(
            path
            for path in results.glob("runs/*/seed*/finite_sample/*.json")
            if not path.name.endswith(SUFFIX)
        ),
    )
    seeds = {one.experiment: len(one.front["seeds"]) for one in preregistrations}
    found = power_of({**verdict, "hypotheses": [*hypotheses.values()]}, [*redrawn], seeds)
    seconds = seconds_per_seed(map(read_manifest, study_manifests(root, study, preset)))
    for table in (parts_table(found), options(found, hypotheses, seconds)):
        rows = [[plain(cell) for cell in row] for row in table["rows"]]
        print(text_table([table["columns"], *rows]), end="\n\n")
    print("for the preregistrations:")
    planned = {entry["id"]: entry["preregistered"] for entry in found["hypotheses"] if entry["preregistered"]}
    for experiment in dict.fromkeys(entry["experiment"] for entry in found["hypotheses"]):
        own = {
            key.partition(".")[2]: option["power"]
            for key, option in planned.items()
            if key.startswith(f"{experiment}.")
        }
        shown = ", ".join(f"{key}: {power:.2g}" for key, power in own.items() if power is not None)
        print(
            f"{experiment}:\n  pilot: {preset}\n  power: {{{shown}}}" if shown else f"{experiment}: nothing"
        )


if __name__ == "__main__":
    run(main)
