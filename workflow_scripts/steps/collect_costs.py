"""Collect time, memory, images and GPU-hours per stage from manifests and timings into costs.json."""

from __future__ import annotations

from workflow_scripts.core.files import write_json
from workflow_scripts.core.step import Step, run
from workflow_scripts.report.costs import collect_costs
from workflow_scripts.report.lineage_graph import upstream_manifests


def main(step: Step) -> None:
    """Inputs timings and everything else in the report; output costs, volatile since durations vary.

    Reads the manifests of the inputs and of everything upstream, which lie beside the files.
    """
    inputs = [path for paths in step.inputs.values() for path in paths]
    costs = collect_costs(step.inputs.get("timings", []), upstream_manifests(inputs))
    write_json(step.output("costs"), costs)
    wall_s = sum(stage["wall_s"] for stage in costs["stages"])
    step.say(f"{wall_s:,.0f} s in {sum(stage['jobs'] for stage in costs['stages'])} pipeline steps")


if __name__ == "__main__":
    run(main, volatile=("costs",))
