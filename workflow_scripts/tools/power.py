"""Say what would decide each hypothesis: python -m workflow_scripts.tools.power [--config KEY=VALUE…]

Reads a finished run of the study and preset, or of its pilot (pilot=yes): the spread between seeds, its parts
due to samples and to training, and the seeds, samples and time with which the rule reaches the power that is
aimed at. Of a pilot it ends with the lines for a preregistration. Exit code 0, or 1 if nothing was run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from workflow_scripts.study.verdict import with_confidence
from workflow_scripts.tools import command_line, errors_in_one_line, run


@errors_in_one_line()
def main(argv: list[str] | None = None, root: Path = Path()) -> None:
    arguments = command_line("power", __doc__).parse_args(argv)
    study, preset, _ = read_config(root, parse_overrides(arguments.config))
    results = root / "results" / study / preset
    if not (results / "verdict.json").is_file():
        words = f"PRESET={preset.removesuffix(PILOT)}" + (" PILOT=yes" if preset.endswith(PILOT) else "")
        raise PipelineError(f"{study}, preset {preset}, has not run; run: make report STUDY={study} {words}")
    # With what is preregistered now: seeds, counts, limits and confidence may follow from what was run.
    preregistrations = read_preregistrations(root, study)
    asked = [item for one in preregistrations for item in one.hypotheses]
    now = {item["id"]: item for item in with_confidence(asked, preregistrations[0].front["analysis"])}
    verdict = read_json(results / "verdict.json")
    hypotheses = {
        item["id"]: {**item, **now[item["id"]]}
        for item in verdict["hypotheses"]
        if not item["how"] and item["id"] in now and _question(item) == _question(now[item["id"]])
    }
    files = sorted(results.glob("runs/*/seed*/finite_sample/*.json"))
    redrawn = [read_json(path) for path in files if not path.name.endswith(SUFFIX)]
    seeds = {one.experiment: len(one.front["seeds"]) for one in preregistrations}
    found = power_of({**verdict, "hypotheses": [*hypotheses.values()]}, redrawn, seeds)
    seconds = seconds_per_seed(map(read_manifest, study_manifests(root, study, preset)))
    for table in (parts_table(found), options(found, hypotheses, seconds)):
        rows = [[plain(cell) for cell in row] for row in table["rows"]]
        print(text_table([table["columns"], *rows]), end="\n\n")
    if not verdict["pilot"]:
        print("for the preregistrations: nothing, because this was no pilot (PILOT=yes)")
        return
    print("for the preregistrations:")
    for experiment in dict.fromkeys(entry["experiment"] for entry in found["hypotheses"]):
        planned = {
            entry["id"].partition(".")[2]: entry["preregistered"]["power"]
            for entry in found["hypotheses"]
            if entry["experiment"] == experiment and entry["preregistered"]
        }
        shown = ", ".join(f"{key}: {power:.2g}" for key, power in planned.items() if power is not None)
        print(
            f"{experiment}:\n  pilot: {preset}\n  power: {{{shown}}}" if shown else f"{experiment}: nothing"
        )


def _question(item: dict[str, Any]) -> list[Any]:
    """What a run answers, whatever the limit and the counts of samples, which may follow from it."""
    metric = {**item["metric"], "num_samples": None, "num_probes": None}
    return [metric, item["arm"], item["comparator"], item["estimand"]]


if __name__ == "__main__":
    run(main)
