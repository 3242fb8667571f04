"""Two reports compared: what differs is listed, what is equal is not, and unlike rows are never compared."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report import made_up_report as made_up
from tests.unit.report.made_up_manifests import Chain
from tests.unit.study.made_up_rows import changed
from workflow_scripts.core.files import sha256_text, write_json
from workflow_scripts.tools.compare import main

T_95 = 4.302653  # Student's t, 2 degrees of freedom, two-sided 95 %, from a printed table
SETTINGS = {
    "training": {"num_steps": 200, "batch_size": 8},
    "sampling": {"samplers": [{"name": "ddpm", "nfe": [10]}]},
}


def write_run(
    project: Path,
    preset: str = "tiny",
    outcome: str = "better",
    seeds: tuple[int, ...] = made_up.SEEDS,
    arms: tuple[str, ...] = made_up.ARMS,
    change: Any = dict,
    **manifests: Any,
) -> Path:
    """Write a run as results/S1_made_up/<preset>; `change` alters its rows."""
    report = made_up.report_settings(seeds) | {"preset": preset}
    rows = [changed(row, **change(row)) for row in made_up.result_rows(report, outcome, arms)]
    folder = project / "results" / "S1_made_up" / preset
    paths = {"results": [folder / "results.jsonl"], "verdict": [folder / "verdict.json"]}
    made_up.decide_again(report, paths, rows)
    if manifests:
        write_manifests(folder, **manifests)
    return folder


def write_manifests(
    folder: Path, files: dict[str, str], versions: dict[str, str], settings: dict[str, Any]
) -> None:
    gate = {"settings": dict.fromkeys(made_up.ARMS, settings)}
    for entry, output, held in (("check_preregistration", "gate", gate), ("decide_verdict", "verdict", {})):
        manifest = Chain().step(entry, [], [f"{output}.json"], held)
        manifest["lineage"]["source"]["files"] = files
        manifest["lineage"]["packages"]["versions"] = versions
        manifest["circumstances"] |= {"commit": "c" * 40, "ended": "2001-02-03", "threads": 1}
        write_json(folder / f"{output}.json.manifest.json", manifest)


def compared(project: Path, capsys, a: Path | str, b: Path | str) -> tuple[str, str]:
    """What the terminal says, and the page."""
    main([str(a), str(b), "--output", str(project / "page.html")], project)
    return capsys.readouterr().out, (project / "page.html").read_text(encoding="utf-8")


def line(text: str, *parts: str) -> str:
    return next(found for found in text.splitlines() if all(part in found for part in parts))


def test_the_same_results_are_said_to_be_the_same(tmp_path, capsys):
    write_run(tmp_path / "a"), write_run(tmp_path / "b")
    # a report folder stands for the results beside it
    folders = [tmp_path / side / "reports/S1_made_up/tiny" for side in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    said, page = compared(tmp_path, capsys, *folders)
    assert "The results are identical, byte for byte." in said and "The results are identical" in page
    assert line(said, "A_plain", "FD (fd_toy)", "NFE 50").endswith("0 %                          identical")
    assert line(said, "B.H1").endswith("identical")
    assert "not comparable" not in said and "Unknown for A and B: there are no manifests." in said
    assert said.rstrip().endswith(f"comparison: {tmp_path / 'page.html'}")


def test_a_change_is_paired_by_seed_with_its_interval(tmp_path, capsys):
    factors = dict(zip(made_up.SEEDS, (0.9, 0.95, 0.97)))
    a = write_run(tmp_path / "a")
    b = write_run(tmp_path / "b", change=lambda row: {"value": row["value"] * factors[row["seed"]]})
    said, page = compared(tmp_path, capsys, a, b)
    logs = [math.log(factor) for factor in factors.values()]
    mean, half = statistics.mean(logs), T_95 * statistics.stdev(logs) / math.sqrt(3)
    ends = (math.expm1(end) for end in (mean, mean - half, mean + half))
    change, low, high = (f"{100 * end:+.1f} %".replace("-", "−") for end in ends)
    row = line(said, "A_plain", "FD (fd_toy)", "NFE 50")
    zero = "the interval includes zero" if "+" in high else "the interval excludes zero"
    assert f"{change} ({low} to {high})" in row and row.endswith(zero)
    assert f"{change} ({low} to {high})" in page


def test_unlike_rows_are_not_compared_and_the_reason_is_named(tmp_path, capsys):
    a = write_run(tmp_path / "a")
    b = write_run(
        tmp_path / "b", change=lambda row: {"reference_sha256": "q"} if row["metric"] == "fd_toy" else {}
    )
    said, page = compared(tmp_path, capsys, a, b)
    row = line(said, "A_plain", "FD (fd_toy)", "NFE 50")
    assert row.endswith("not comparable: reference_sha256 (r | q)") and " % (" not in row.split("seeds)")[-1]
    assert "9 rows of 39 cannot be compared" in said
    # what is the same measurement in both is still compared
    assert line(said, "A_plain", "recall", "NFE 50").endswith("identical")
    assert page.count("not comparable: reference_sha256 (r | q)") == 9


def test_two_presets_are_never_compared_row_by_row(tmp_path, capsys):
    write_run(tmp_path), write_run(tmp_path, preset="other")
    said, _ = compared(tmp_path, capsys, "S1_made_up/tiny", "S1_made_up/other")
    notes = [found for found in said.splitlines() if found.startswith("A_plain")]
    assert notes and all("not comparable: preset (tiny | other)" in note for note in notes)


def test_settings_code_and_packages_that_changed_are_listed_and_no_others(tmp_path, capsys):
    files = {
        "workflow_scripts/same.py": "1" * 64,
        "workflow_scripts/changed.py": "2" * 64,
        "workflow_scripts/gone.py": "3" * 64,
    }
    a = write_run(tmp_path / "a", files=files, versions={"numpy": "2.0", "scipy": "1.0"}, settings=SETTINGS)
    image = "<img src=x onerror=alert(1)>"
    other = SETTINGS | {
        "model": {image: image},
        "training": {"num_steps": 400, "batch_size": 8},
        "sampling": {"samplers": [{"nfe": [10], "name": "ddpm"}]},
    }
    b = write_run(
        tmp_path / "b",
        arms=("A_plain", "B_weighted"),
        settings=other,
        versions={"numpy": "2.1", "scipy": "1.0", image: "1"},
        files={"workflow_scripts/same.py": "1" * 64, "workflow_scripts/changed.py": "4" * 64},
    )
    said, page = compared(tmp_path, capsys, a, b)
    assert line(said, "training.num_steps").split() == ["every", "arm", "training.num_steps", "200", "400"]
    assert "batch_size" not in said and "samplers" not in said  # the order of keys is no difference
    assert line(said, "workflow_scripts/changed.py").split()[1:] == ["2" * 12 + "…", "4" * 12 + "…"]
    assert line(said, "workflow_scripts/gone.py").split()[1:] == ["3" * 12 + "…", "absent"]
    assert "same.py" not in said and "scipy" not in said
    assert line(said, "numpy").split() == ["numpy", "2.0", "2.1"]
    assert re.search(
        r"<tr><td>C_cosine</td><td>FD \(fd_toy\)</td><td>[^<]*NFE 50</td>.*<td>only in A</td></tr>", page
    )
    assert "more rows in the page" in said
    for text in ("training.num_steps", "workflow_scripts/changed.py", "numpy", "c" * 12):
        assert text in page
    assert "<img" not in page and page.count("&lt;img src=x") == 3  # names from files are escaped


def test_the_page_depends_on_nothing_but_the_runs_and_loads_nothing(tmp_path, capsys):
    pages = []
    for place in ("one", "another/deeper"):
        root = tmp_path / place
        a, b = write_run(root / "a"), write_run(root / "b", outcome="worse")
        pages.append(compared(root, capsys, a, b)[1])
    assert pages[0] == pages[1] and str(tmp_path) not in pages[0]
    assert not re.search(r"https?://|<script[^>]*src=|<link|@import", pages[0])


def test_a_missing_arm_and_one_seed_are_named(tmp_path, capsys):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", seeds=(11,))
    said, _ = compared(tmp_path, capsys, a, b)
    row = line(said, "B_weighted", "FD (fd_toy)", "NFE 50")
    assert "without seed 12, 13" in row and "identical" in row
    a = write_run(tmp_path / "c", seeds=(21, 22))
    assert line(compared(tmp_path, capsys, a, b)[0], "A_plain", "NFE 50").endswith("no seed in common")


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("", "S1_made_up/tiny", "A is missing: make compare A=STUDY/PRESET B=STUDY/PRESET"),
        ("S1_made_up/tiny", "", "B is missing"),
        ("S1_made_up/tinny", "S1_made_up/tiny", "A: no results of 'S1_made_up/tinny'"),
        ("S1_made_up/tinny", "S1_made_up/tiny", "did you mean 'S1_made_up/tiny'?"),
        ("S1_made_up/tiny", "empty", "B: neither empty nor a results folder beside it"),
        ("S1_made_up/tiny", "S1_made_up/tiny", "A and B are both S1_made_up/tiny"),
        ("S1_made_up/tiny", "damaged", "line 1: not a JSON object"),
        ("S1_made_up/tiny", "torn", "decided from other results"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(a, b, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = write_run(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("damaged", "torn"):
        shutil.copytree(whole, tmp_path / name)
    (tmp_path / "torn/results.jsonl").write_text((whole / "results.jsonl").read_text().split("\n", 1)[1])
    (tmp_path / "damaged/results.jsonl").write_text("{\n")
    verdict = json.loads((whole / "verdict.json").read_text())
    write_json(tmp_path / "damaged/verdict.json", verdict | {"results_sha256": sha256_text("{\n")})
    with pytest.raises(SystemExit) as stopped:
        main([a, b])
    said = capsys.readouterr()
    assert stopped.value.code == 1 and said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and message in said.err
    assert not (tmp_path / "reports").exists()
