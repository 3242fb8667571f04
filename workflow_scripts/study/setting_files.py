"""Which file each setting of a study comes from, so that the report can say so."""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.study.config import Study, load_preset

# Where arms may differ: these settings are named with their arm.
PER_ARM = ("diffusion.", "loss.")


def setting_files(root: Path, study: Study) -> dict[str, str]:
    """Paths below `root` by setting: `arms`, `seeds`, `training.num_steps`, …, and `<arm>/loss.weighting` for each arm.

    Settings that the report shows once are those of the first arm.
    """
    preset = f"config/preset/{study.preset}.yaml"
    named = "arms" in load_preset(
        root, study.preset
    )  # otherwise the preset runs every arm of the study's folder
    files = {"arms": preset if named else f"config/study/{study.name}/", "seeds": preset}
    files |= {name: file for name, file in study.arms[0].files.items() if not name.startswith(PER_ARM)}
    for arm in study.arms:
        files |= {f"{arm.name}/{name}": file for name, file in arm.files.items() if name.startswith(PER_ARM)}
    return files
