"""Published values for a figure's scale: config/anchors.yaml, and to which studies they apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow_scripts.core.errors import ConfigError
from workflow_scripts.study import schema
from workflow_scripts.study.config import Study
from workflow_scripts.study.yaml_files import read_yaml

PATH = "config/anchors.yaml"


def published_anchors(root: Path, study: Study) -> list[dict[str, Any]]:
    """The anchors measured with the study's metric on its whole dataset; ConfigError for a mistake in the file.

    A part of a dataset is another reference, and another extractor another metric: no value applies to either.
    """
    schema.check(content := read_yaml(root / PATH), "anchors", PATH)
    for anchor in content["anchors"]:
        for number, curve in enumerate(anchor["curves"], start=1):
            if len(curve["nfe"]) != len(curve["values"]):
                raise ConfigError(
                    f"{PATH}: {anchor['label']}, curve {number}: as many values as nfe are needed"
                )
    data, extractor = study.shared("data"), study.shared("extractor")
    if data["num_train"] is not None:
        return []
    return [
        anchor
        for anchor in content["anchors"]
        if (anchor["metric"], anchor["source"]) == (extractor["name"], data["source"])
    ]
