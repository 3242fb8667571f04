"""Preregistration, lock, amendments and matched compute: what is refused, and in which words."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from workflow_scripts.core.errors import ConfigError, PipelineError
from workflow_scripts.study import lock, schema
from workflow_scripts.study.config import flatten, load_study, read_config
from workflow_scripts.study.description import gate_settings, main_point
from workflow_scripts.study.gate import check_comparison, open_gate
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.tools import lock as lock_study

ROOT = Path(__file__).parents[3]
STUDY = "MS1_min_snr"
E2_PRE = "docs/experiments/E2_pre_reg.md"
E2_ARM, BASE = f"config/study/{STUDY}/E2_minsnr_linear.yaml", f"config/study/{STUDY}/base.yaml"
PRESETS = f"config/study/{STUDY}/presets"
CIFAR10, DEFAULTS = f"{PRESETS}/cifar10.yaml", "config/defaults.yaml"


def _state(root):
    study = load_study(root, STUDY, "digits")
    return lock.current_state(root, study, read_preregistrations(root, STUDY))


def _gate_settings(root):
    study = load_study(root, STUDY, "cifar10")
    return gate_settings(root, study, read_preregistrations(root, STUDY))


def _verify(root):
    return lock.require_unchanged(root, STUDY, _state(root))


def _command(root, *arguments):
    for path in [E2_PRE.replace("E2", name) for name in ("E1", "E2", "E3")] if arguments == ("lock",) else ():
        text = (root / path).read_text()
        if "\npilot: " not in text:  # which a new lock needs, and an older one does not
            (root / path).write_text(text.replace("\nhypotheses:", "\npilot: none\nhypotheses:", 1))
    lock_study.main([*arguments, "--study", STUDY], root=root)


LEVEL = """
  - id: H3
    statement: The distance is small.
    role: exploratory
    arm: E2_minsnr_linear
    estimand: level
    test: bound
    bound: {low: 0, high: 9.5}
    metric: {name: fid, sampler: ddpm, nfe: 50, num_samples: 10000, ema: true, step: final}
"""


@pytest.fixture
def locked(project):
    _command(project, "lock")
    return project


def test_a_study_is_locked_and_amended_at_its_preregistered_preset_only(project, edit):
    """Of its other presets, one names an arm that it lacks, and the default one is not written yet."""
    edit(BASE, "default_preset: digits", "default_preset: later")
    edit(f"{PRESETS}/digits.yaml", "E1_baseline_linear", "E1_missing")
    edit("config/config.yaml", "preset: null", "preset: digits")
    _command(project, "lock")
    assert json.loads((project / lock.lock_path(STUDY)).read_text())["preset"] == "cifar10"
    edit(E2_ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 4.0")
    _command(project, "amend", "--reason", "why", "--results-seen", "no")
    assert len(lock.read_amendments(project, STUDY)) == 1


def test_the_projects_own_lock_holds():
    assert isinstance(_verify(ROOT), list)


def test_line_endings_change_no_lock(project):
    for path in [ROOT / E2_PRE, *(ROOT / "docs/experiments").glob(f"{STUDY}.*")]:
        shutil.copy(path, project / "docs/experiments")
    before = open_gate(project, _gate_settings(project))
    files = filter(Path.is_file, (project / "docs/experiments").rglob("*"))
    for path in [*files, *(project / "config").rglob("*.yaml")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert open_gate(project, _gate_settings(project)) == before


def test_git_checks_out_the_same_bytes_whatever_its_settings(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, cwd=tmp_path)

    files = [".gitattributes", E2_PRE, lock.lock_path(STUDY), "docs/images/frechet_vs_nfe.png"]
    git("init", "a")
    for name in files:
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "a" / name)
    git("-C", "a", "add", ".")
    git("-C", "a", "commit", "--message", "first")
    git("clone", "-c", "core.autocrlf=true", "a", "b")
    assert all((tmp_path / "b" / name).read_bytes() == (ROOT / name).read_bytes() for name in files)


def test_a_missing_lock_says_how_to_make_one(project):
    with pytest.raises(PipelineError, match=f"so nothing is trained; run: make lock STUDY={STUDY}"):
        _verify(project)


@pytest.mark.parametrize(
    ("path", "old", "new", "named"),
    [
        (E2_ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 4.0", "E2_minsnr_linear: loss.min_snr_gamma"),
        (BASE, "beta_end: 0.02", "beta_end: 0.03", "E1_baseline_linear: diffusion.beta_end"),
        (CIFAR10, "ema_decay: 0.999", "ema_decay: 0.9999", "E1_baseline_linear: training.ema_decay"),
        (CIFAR10, "  batch_size: 4\n", "  batch_size: 8\n", "training.batch_size"),
        (DEFAULTS, "grad_clip_norm: 1.0", "grad_clip_norm: 2.0", "training.grad_clip_norm"),
        (E2_PRE, "threshold: 0.07", "threshold: 0.05", f"preregistration {E2_PRE}"),
    ],
)
def test_drift_is_named_and_an_amendment_opens_the_gate(locked, path, old, new, named, edit):
    edit(path, old, new)
    with pytest.raises(PipelineError, match="has drifted from the lock") as error:
        _verify(locked)
    assert named in str(error.value) and "make amend" in str(error.value)
    _command(locked, "amend", "--reason", "a stated reason", "--results-seen", "no")
    (amendment,) = _verify(locked)
    assert amendment["reason"] == "a stated reason" and amendment["results_seen"] is False
    assert any(named in change["what"] for change in amendment["changes"])
    # Going back to what was locked is a change as well, since the amendment said otherwise.
    edit(path, new, old)
    with pytest.raises(PipelineError, match="has drifted"):
        _verify(locked)


@pytest.fixture
def with_new_setting(locked, monkeypatch, edit):
    """A project whose lock is older than the setting `loss.floor`, introduced with the default 0.0."""
    rule = '      floor: {type: number, default: 0.0}\n      min_snr_gamma: {type: [number, "null"]'
    edit("config/schema.yaml", '      min_snr_gamma: {type: [number, "null"]', rule)
    monkeypatch.setattr(schema, "SCHEMA_PATH", locked / "config/schema.yaml")
    with open(locked / DEFAULTS, "a") as defaults:
        defaults.write("loss:\n  floor: 0.0\n")
    caches = (schema._schema, schema._validator, schema.introduced_defaults)
    for cached in caches:
        cached.cache_clear()
    yield locked
    for cached in caches:
        cached.cache_clear()


def test_a_new_setting_at_its_introduced_default_needs_no_amendment(with_new_setting, capsys):
    before = (with_new_setting / lock.lock_path(STUDY)).read_bytes()
    assert "loss.floor" in _state(with_new_setting)["settings"]["every_arm"]
    assert _verify(with_new_setting) == []
    _command(with_new_setting, "lock")
    assert "already locked, nothing has changed" in capsys.readouterr().out
    assert (with_new_setting / lock.lock_path(STUDY)).read_bytes() == before


@pytest.mark.parametrize(
    ("path", "old", "new", "arm"),
    [
        (DEFAULTS, "floor: 0.0", "floor: 0.1", "E1_baseline_linear"),
        (E2_ARM, "loss:\n", "loss:\n  floor: 0.1\n", "E2_minsnr_linear"),
    ],
)
def test_another_value_of_a_new_setting_is_drift(with_new_setting, path, old, new, arm, edit):
    edit(path, old, new)
    with pytest.raises(PipelineError, match=f"{arm}: loss.floor has drifted .* locked absent, now 0.1"):
        _verify(with_new_setting)
    _command(with_new_setting, "amend", "--reason", "why", "--results-seen", "no")
    assert len(_verify(with_new_setting)) == 1
    edit(path, new, old)
    with pytest.raises(PipelineError, match="has drifted"):
        _verify(with_new_setting)


def test_a_locked_key_that_is_gone_is_drift_until_it_is_amended():
    settings = {"every_arm": {"training.layout": None, "data.num_test": 5}, "arms": {"E1": {}}}
    locked = {"preset": "p", "seeds": [1], "preregistrations": {}, "settings": settings}
    now = {**locked, "settings": {**settings, "every_arm": {"data.num_test": 5}}}
    found = lock.drift(locked, [], now)
    assert found == [{"what": "E1: training.layout", "locked": None}]
    amendments = [{"changes": found}]
    assert lock.drift(locked, amendments, now) == []
    assert lock.drift(locked, amendments, locked) == [{"what": "E1: training.layout", "now": None}]


def test_every_default_has_the_value_it_was_introduced_with():
    defaults = flatten(schema.read_yaml(ROOT / DEFAULTS))
    assert defaults.keys() == schema.introduced_defaults().keys()


def test_rehearsal_scale_and_machine_settings_are_free(locked, edit):
    edit(f"{PRESETS}/digits.yaml", "num_steps: 2000", "num_steps: 3000")
    edit(f"{PRESETS}/digits.yaml", "1000, 2000]", "1000, 3000]")
    edit("config/data/cifar10.yaml", "download: true", "download: false")
    assert _verify(locked) == []


def test_a_lock_is_never_replaced(locked, capsys, edit):
    edit(E2_ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 4.0")
    with pytest.raises(SystemExit, match="1"):
        _command(locked, "lock")
    assert "a lock is never replaced" in capsys.readouterr().err


def test_amendments_need_a_reason_and_a_change(locked, capsys):
    for reason, message in ((" ", "an amendment needs a reason"), ("why", "nothing has drifted")):
        with pytest.raises(SystemExit, match="1"):
            _command(locked, "amend", "--reason", reason, "--results-seen", "no")
        assert message in capsys.readouterr().err


def test_earlier_amendments_and_the_lock_cannot_be_changed_unseen(locked, edit):
    for number, gamma in enumerate(("4.0", "3.0")):
        edit(E2_ARM, f"min_snr_gamma: {5 - number}.0", f"min_snr_gamma: {gamma}")
        _command(locked, "amend", "--reason", f"reason {number}", "--results-seen", "no")
    assert len(_verify(locked)) == 2
    path = locked / lock.amendments_path(STUDY)
    lines = path.read_text().splitlines()
    for tampered in ([lines[0].replace("reason 0", "reason x"), lines[1]], [lines[1]], [lines[1], lines[0]]):
        path.write_text("\n".join(tampered) + "\n")
        with pytest.raises(PipelineError, match="does not follow from the line before it"):
            _verify(locked)
    path.write_text("\n".join(lines) + "\n")
    edit(lock.lock_path(STUDY), '"format": 1', '"format":  1')
    with pytest.raises(PipelineError, match="line 1"):
        _verify(locked)


@pytest.mark.parametrize(
    ("path", "existed"),
    [
        ("cifar10/runs/E1_baseline_linear/seed1077/metrics/recall.json", True),
        ("cifar10/runs/E1_baseline_linear/seed1077/samples/ddpm_nfe0050.npz", True),
        ("cifar10/runs/E1_baseline_linear/seed1077/log.csv", True),
        ("cifar10/results.jsonl", True),
        ("cifar10/data/train.npz", False),
        ("digits/runs/E1_baseline_linear/seed1077/metrics/recall.json", False),
        ("cifar10_pilot/runs/E1_baseline_linear/seed2077/metrics/recall.json", False),
    ],
)
def test_results_of_the_preset_are_recorded_whatever_the_author_says(locked, edit, path, existed):
    edit(E2_ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 4.0")
    result = locked / "results" / STUDY / path
    result.parent.mkdir(parents=True)
    result.write_text("[]")
    _command(locked, "amend", "--reason", "why", "--results-seen", "no")
    assert json.loads((locked / lock.amendments_path(STUDY)).read_text())["results_existed"] is existed


def test_a_new_lock_needs_the_pilot_or_that_there_is_none_and_an_old_one_does_not(project, capsys, edit):
    text = (project / E2_PRE).read_text()
    assert "pilot" not in text.partition("analysis:")[0] or "\npilot: " in text
    for name in ("E1", "E2", "E3"):
        path = project / E2_PRE.replace("E2", name)
        path.write_text(re.sub(r"(?m)^(pilot|power): .*\n", "", path.read_text()))
    with pytest.raises(SystemExit):
        lock_study.main(["lock", "--study", STUDY], root=project)
    assert "E1_pre_reg.md: pilot is missing" in capsys.readouterr().err
    for path in [ROOT / E2_PRE, *(ROOT / "docs/experiments").glob(f"{STUDY}.*")]:
        shutil.copy(path, project / "docs/experiments")
    edit(E2_ARM, "min_snr_gamma: 5.0", "min_snr_gamma: 4.0")
    _command(project, "amend", "--reason", "why", "--results-seen", "no")


def test_planned_power_is_that_of_a_pilot_and_reaches_the_gate(project, edit):
    edit(E2_PRE, "hypotheses:", "pilot: digits_pilot\npower: {H1: 0.83, H2: 0.9}\nhypotheses:")
    _command(project, "lock")
    told = [
        item for item in open_gate(project, _gate_settings(project))["preregistrations"] if "power" in item
    ]
    assert [(item["experiment"], item["pilot"], item["power"]) for item in told] == [
        ("E2", "digits_pilot", {"H1": 0.83, "H2": 0.9})
    ]


def test_a_pilot_needs_no_lock_and_has_no_seed_of_the_study(project, edit):
    edit(f"{PRESETS}/digits.yaml", "seeds: [", "arm_seeds: {E2_minsnr_linear: [2077, 1078]}\nseeds: [")
    scratch = project / f"config/study/{STUDY}/scratch"
    scratch.mkdir()
    (scratch / "X1_tried.yaml").write_text("loss: {weighting: truncated_snr}\n")
    *_, pilots_preset = read_config(project, {"preset": "digits", "pilot": "yes"})[:2]
    assert (
        pilots_preset == "digits_pilot" == read_config(project, {"preset": "digits_pilot", "pilot": True})[1]
    )
    pilot, real = (load_study(project, STUDY, name) for name in (pilots_preset, "digits"))
    # 1,000 more would make 2077 of 1077, which an arm of the study has
    assert dict(pilot.runs)["X1_tried"] == 3079 and pilot.arm("E2_minsnr_linear").seeds == (4077, 3078)
    assert not {seed for _, seed in pilot.runs} & {seed for _, seed in real.runs}
    assert {arm.name for arm in pilot.arms} - {arm.name for arm in real.arms} == {"X1_tried"}
    assert [arm.look for arm in pilot.arms[:-1]] == [arm.look for arm in real.arms]
    assert pilot.preset_file == real.preset_file and pilot.preset_title == f"{real.preset_title} (pilot)"
    preregistrations = read_preregistrations(project, STUDY)
    gate = open_gate(project, gate_settings(project, pilot, preregistrations))
    assert gate["pilot"] and gate["rehearsal"] and gate["lock"]["sha256"] is None and gate["comparisons"]
    with pytest.raises(PipelineError, match="so nothing is trained"):
        open_gate(project, gate_settings(project, real, preregistrations))
    assert "X1_tried" not in str(lock.current_state(project, pilot, preregistrations))
    edit(E2_PRE, "  - id: H1", LEVEL.replace("E2_minsnr_linear", "X1_tried").strip("\n") + "\n  - id: H1")
    with pytest.raises(ConfigError, match="the arm 'X1_tried' is unknown"):
        read_preregistrations(project, STUDY)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("scratch/E1_baseline_linear.yaml", "{}", "scratch/E1_baseline_linear.yaml: the study has this arm"),
        ("scratch/X1.yaml", "los: {}", "scratch/X1.yaml: los is not a known key; did you mean 'loss'?"),
        ("presets/digits_pilot.yaml", "{}", "digits_pilot.yaml: digits_pilot is the name of a pilot"),
        (
            "presets/digits.yaml",
            "pilot: {seeds: [1, 1078]}",
            "digits.yaml: pilot.seeds: 1078 is a seed of the study",
        ),
    ],
)
def test_mistakes_about_a_pilot_are_one_line(project, path, text, message):
    file = project / f"config/study/{STUDY}" / path
    file.parent.mkdir(exist_ok=True)
    file.write_text((file.read_text() if file.is_file() else "") + text + "\n")
    with pytest.raises(ConfigError) as error:
        load_study(project, STUDY, "digits_pilot")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_pilot_may_have_seeds_of_its_own_choice(project, edit):
    edit(f"{PRESETS}/digits.yaml", "seeds: [", "pilot: {seeds: [1, 2]}\nseeds: [")
    assert {seed for _, seed in load_study(project, STUDY, "digits_pilot").runs} == {1, 2}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("threshold: 0.07", "treshold: 0.07", "did you mean 'threshold'?"),
        ("direction: lower", "direction: down", "direction is 'down'"),
        ("arms: [E2_minsnr_linear]", "arms: [E2_minsnr_liner]", "did you mean 'E2_minsnr_linear'?"),
        ("nfe: 50", "nfe: 51", "NFE 51 is not evaluated"),
        ("loss.weighting", "loss.weigthing", "did you mean 'loss.weighting'?"),
        ("study: MS1_min_snr", "study: MS2", "the configuration says 'MS1_min_snr'"),
        ("preset: cifar10", "preset: cifar", "did you mean 'cifar10'?"),
        ("seeds: [1077, 1078, 1079]", "seeds: [1077]", "[1077] differ from those of E1_baseline_linear"),
        ("---\n", "", "must start with front matter"),
        ("{name: fid,", "{name: fidd,", "metric.name 'fidd' is not measured of E2_minsnr_linear by "),
        ("{name: fid,", "{name: fidd,", "cifar10.yaml; did you mean 'fid'?"),
        ("{name: fid,", "{name: fd_digits,", "metric.name 'fd_digits' is not measured"),
        ("{name: hessian_trace", "{name: hesian_trace", "did you mean 'hessian_trace'?"),
        ("num_samples: 10000", "num_samples: 5000", "cifar10.yaml has 10000 at ddpm_nfe0050"),
        ("num_probes: 16", "num_probes: 32", "metric.num_probes is 32, but"),
        ("sampler: ddpm, nfe: 50, ", "", "metric.point is missing; fid is measured at points"),
        (
            "sampler: ddpm, nfe: 50",
            "point: ddpm_nfe0050, comparator_point: ddpm_nfe0051",
            "ddpm_nfe0051 is not",
        ),
        ("ema: true", "ema: false", "metric.ema must be true for fid"),
        ("objective: common, ", "", "metric.objective is missing beside hessian_trace"),
        ("num_probes: 16", "num_probes: 16, nfe: 50", "metric.nfe has no place beside hessian_trace"),
        ("{name: fid,", "{name: fid, objective: own,", "metric.objective has no place beside fid"),
        ("hypotheses:", "power: {H1: 0.8, H2: 0.8}\nhypotheses:", "power needs pilot"),
        ("hypotheses:", "pilot: digit_pilot\nhypotheses:", "that of no preset; did you mean 'digits_pilot'?"),
        ("hypotheses:", "pilot: digits\nhypotheses:", "pilot digits is that of no preset"),
        ("hypotheses:", "pilot: digits_pilot\npower: {H1: 0.8}\nhypotheses:", "power.H2 is missing"),
        (
            "hypotheses:",
            "pilot: digits_pilot\npower: {H1: 0.8, H2: 0.8, H9: 1}\nhypotheses:",
            "power: no hypothesis H9; did you mean",
        ),
        ("threshold: 0.07", "threshold: 7", "threshold is 7, must be less than 1"),
        ("threshold: 0.07", "margin: 0.07", "hypotheses.0.threshold is missing"),
        ("threshold: 0.07", "test: noninferiority", "hypotheses.0.margin is missing"),
        ("    threshold: 0.07", "    test: bound\n    bound: {low: 0, high: 1}", "direction has no place in"),
        ("threshold: 0.07", "estimand: level", "hypotheses.0.test is missing"),
        (
            "    direction: lower\n    threshold: 0.07",
            "    estimand: level\n    test: bound\n    bound: {low: 0, high: 1}",
            "comparator has no place in",
        ),
        ("threshold: 0.07", "threshold: 0.07\n    all_of: [H1, H2]", "hypotheses.0.arm has no place in"),
        (
            "    direction: lower\n    threshold: 0.07",
            "    test: bound\n    bound: {low: 0.1, high: 0.1}",
            "H1: bound.low must be less than bound.high",
        ),
        (
            "    direction: lower\n    threshold: 0.07",
            "    test: bound\n    bound: {low: -1, high: 0.1}",
            "low is -1, must be more than -1",
        ),
        (
            "analysis:",
            "  - {id: H3, statement: x, role: confirmatory, all_of: [H1, H4]}\nanalysis:",
            "H3 combines H4, which must be a hypothesis above it",
        ),
        (
            "analysis:",
            "  - {id: H3, statement: x, role: confirmatory, all_of: [H1, H2], any_of: [H2, H1]}\nanalysis:",
            "hypotheses.2.any_of has no place in",
        ),
        (
            "analysis:",
            LEVEL.replace("E2_minsnr_linear", "E2_minsnr_liner") + "analysis:",
            "did you mean 'E2_minsnr_linear'?",
        ),
        (
            "analysis:",
            LEVEL + "  - {id: H4, statement: x, role: confirmatory, any_of: [H1, H3]}\nanalysis:",
            "H4 is confirmatory but combines H3, which is exploratory",
        ),
    ],
)
def test_front_matter_mistakes_are_one_line(project, old, new, message, edit):
    edit(E2_PRE, old, new)
    if old == "preset: cifar10":  # which all must name
        for experiment in ("E1", "E3"):
            edit(f"docs/experiments/{experiment}_pre_reg.md", old, new)
    with pytest.raises(ConfigError) as error:
        read_preregistrations(project, STUDY)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_every_kind_of_hypothesis_can_be_preregistered(project, edit):
    both = "  - {id: H4, statement: x, role: exploratory, all_of: [H1, H3]}\n"
    edit(E2_PRE, "analysis:", LEVEL + both + "analysis:")
    edit(E2_PRE, "threshold: 0.07", "estimand: difference\n    threshold: 7")
    edit(E2_PRE, "threshold: 0.1", "test: noninferiority\n    margin: 0.1")
    found = read_preregistrations(project, STUDY)[1].hypotheses
    kinds = [(item["estimand"], item["test"]) for item in found]
    assert kinds[:3] == [("difference", "superiority"), ("ratio", "noninferiority"), ("level", "bound")]
    assert found[3]["all_of"] == ["E2.H1", "E2.H3"] and found[3]["how"] == "all_of"


def test_an_arm_that_nobody_preregistered_is_refused(project):
    (project / f"config/study/{STUDY}/E4_new.yaml").write_text("loss: {weighting: truncated_snr}\n")
    with pytest.raises(ConfigError, match="E4_new.yaml: the arm is in 0 preregistrations"):
        read_preregistrations(project, STUDY)


def test_an_arm_of_a_rehearsal_only_is_neither_locked_nor_preregistered(project, edit):
    arms = [arm.name for arm in load_study(project, STUDY, "cifar10").arms]
    (project / f"config/study/{STUDY}/E4_extra.yaml").write_text("label: extra\n")
    edit(CIFAR10, "seeds:", f"arms: [{', '.join(arms)}]\nseeds:")
    edit(f"{PRESETS}/digits.yaml", "E3_minsnr_cosine", "E4_extra")
    _command(project, "lock")
    study, preregistrations = load_study(project, STUDY, "digits"), read_preregistrations(project, STUDY)
    open_gate(project, gate_settings(project, study, preregistrations))
    assert study.arms[-1].name == "E4_extra"
    assert list(lock.read_lock(project, STUDY)["settings"]["arms"]) == arms


def test_an_arms_own_seeds_are_locked_and_must_be_those_of_its_preregistration(project, edit):
    _command(project, "lock")
    preregistrations = read_preregistrations(project, STUDY)
    edit(CIFAR10, "seeds:", "arm_seeds: {E2_minsnr_linear: [1, 2]}\nseeds:")
    study = load_study(project, STUDY, "cifar10")
    assert dict(study.runs)["E2_minsnr_linear"] == 2 and dict(study.runs)["E1_baseline_linear"] == 1079
    with pytest.raises(
        PipelineError, match="E2_minsnr_linear: seeds has drifted from the lock: locked absent"
    ):
        lock.require_unchanged(project, STUDY, lock.current_state(project, study, preregistrations))
    with pytest.raises(ConfigError, match="differ from those of E2_minsnr_linear in .*cifar10.yaml: .1, 2."):
        read_preregistrations(project, STUDY)


def test_charter_thresholds_and_main_metric():
    study = load_study(ROOT, STUDY, "cifar10")
    preregistrations = read_preregistrations(ROOT, STUDY)
    (e2,) = [item for item in preregistrations if item.experiment == "E2"]
    metrics = {(h["metric"]["name"], h["threshold"], h["direction"], h["role"]) for h in e2.hypotheses}
    assert metrics == {
        (name, most, "lower", "confirmatory") for name, most in (("fid", 0.07), ("hessian_trace", 0.1))
    }
    assert main_point(study, preregistrations) == "ddpm_nfe0050"
    assert gate_settings(ROOT, study, preregistrations)["rehearsal"] is False


@pytest.fixture
def matched():
    """(preregistered comparisons, settings of every arm) of the preregistered preset."""
    study = load_study(ROOT, STUDY, "cifar10")
    handed_on = gate_settings(ROOT, study, read_preregistrations(ROOT, STUDY))
    return handed_on["comparisons"], handed_on["settings"]


def test_every_preregistered_comparison_is_matched(matched):
    comparisons, settings = matched
    assert len(comparisons) >= 6
    for comparison in comparisons:
        keys = {item["key"] for item in check_comparison(comparison, settings, "x")}
        assert keys and keys <= set(comparison["factor"])


def test_unmatched_compute_stops_with_the_setting_named(matched):
    (comparison, *_), settings = matched
    arm, comparator = comparison["arm"], comparison["comparator"]
    settings[arm]["training"]["batch_size"] = 8
    with pytest.raises(PipelineError, match="not matched: training.batch_size is 8 against 4"):
        check_comparison(comparison, settings, E2_PRE)
    settings[arm] = settings[comparator]
    with pytest.raises(PipelineError, match="equal settings, so there is nothing to compare"):
        check_comparison(comparison, settings, E2_PRE)
