"""Make sure that the files a dataset is made from are there and whole, before Snakemake deletes what was made from them.

Settings: data. Input: root, the folder below which data lies; missing files are downloaded there where the settings allow
it. The run calls this before its first job (rules/data.smk).
"""

from __future__ import annotations

from workflow_scripts.core.step import Step, run
from workflow_scripts.data.sources import load_source


def main(step: Step) -> None:
    """Load the dataset once, as prepare_data will, and keep nothing: that verifies every file, and takes seconds."""
    load_source(step.setting("data"), step.input("root"))


if __name__ == "__main__":
    run(main)
