"""make power: the words of a plan, from a finished run and from what is preregistered now."""

import shutil
from pathlib import Path

import pytest

from tests.unit.study.made_up_rows import BASE, MIN_SNR
from workflow_scripts.core.files import write_json
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.study.verdict import decide_values
from workflow_scripts.tools import power

ROOT, STUDY, POINT = Path(__file__).parents[2], "MS1_min_snr", "ddpm_nfe0050"


@pytest.fixture
def root(tmp_path):
    for folder in ("config", "docs/experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_a_run_that_is_missing_is_named_with_the_command(root, capsys):
    with pytest.raises(SystemExit):
        power.main(["--config", "pilot=yes", "preset=smoke"], root=root)
    words = f"{STUDY}, preset smoke_pilot, has not run; run: make report STUDY={STUDY} PRESET=smoke PILOT=yes"
    assert words in capsys.readouterr().err


def test_seeds_and_power_follow_what_is_preregistered_now(root, capsys):
    (item, *_) = read_preregistrations(root, STUDY)[1].hypotheses
    used = {"metric": "fd_digits", "point": POINT, "comparator_point": POINT, "num_samples": 100}
    item |= {"metric_used": used, "confidence": 0.95, "missing_seeds": [], "diverged": [], "threshold": 0.5}
    values = {1: (9.0, 10.0), 2: (10.0, 10.0), 3: (11.0, 10.0)}
    results = root / "results" / STUDY / "smoke_pilot"
    said = {"study": STUDY, "preset": "smoke_pilot", "preregistered_preset": "cifar10"}
    said |= {"rehearsal": True, "pilot": True, "hypotheses": [decide_values(item, values)]}
    write_json(results / "verdict.json", said)
    for seed in values:
        for number, arm in enumerate((MIN_SNR, BASE)):
            drawn = [10.0 + (index * (number + 1) % 5) / 10 for index in range(100)]
            file = {
                "metric": "fd_digits",
                "arm": arm,
                "seed": seed,
                "from": {"point": POINT},
                "resamples": drawn,
            }
            write_json(results / f"runs/{arm}/seed{seed}/finite_sample/{POINT}.json", file)

    def lines():
        power.main(["--config", "pilot=yes", "preset=smoke"], root=root)
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    before = lines()
    (spread,) = [line for line in before if line[:2] == ["E2.H1", "3"]]
    assert spread[2] == "0.10" and spread[-1] != "–"
    seeds = len(read_preregistrations(root, STUDY)[1].front["seeds"])
    row = ["E2.H1", "as", "preregistered", "10,000", str(seeds)]
    (first,) = [line for line in before if line[:5] == row]
    assert ["pilot:", "smoke_pilot"] in before
    # the threshold is the 7 % of the document, not the 50 % of the run
    for name in ("E1", "E2", "E3"):
        path = root / f"docs/experiments/{name}_pre_reg.md"
        text = path.read_text()
        old = text[text.index("\nseeds: [") :].split("]")[0]
        path.write_text(text.replace(old, f"{old}, 1, 2, 3"))
        preset = root / f"config/study/{STUDY}/presets/cifar10.yaml"
        if name == "E1":
            preset.write_text(preset.read_text().replace(old, f"{old}, 1, 2, 3"))
    (second,) = [line for line in lines() if line[:3] == row[:3]]
    assert second[4] == str(seeds + 3) and float(second[5]) > float(first[5])
    # so is the confidence, and values of another question are no answer
    edit_all(root, "confidence: 0.95", "confidence: 0.8")
    (third,) = [line for line in lines() if line[:3] == row[:3]]
    assert float(third[5]) > float(second[5]) and float(third[8]) < float(second[8])
    edit_all(root, "nfe: 50", "nfe: 100")
    assert not [line for line in lines() if line[:1] == row[:1]]


def edit_all(root, old, new):
    for path in (root / "docs/experiments").glob("E?_pre_reg.md"):
        path.write_text(path.read_text().replace(old, new))
