"""Fuzzing: whatever a file or a command line holds, a reader gives a valid value or one clear line, in time.

Hypothesis makes the inputs, the same ones every time: text that looks like the format, and our files changed.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import zipfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.study.made_up_rows import fd_row
from workflow_scripts.core import files
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import published
from workflow_scripts.provenance import manifest
from workflow_scripts.provenance.lineage import StepRecord
from workflow_scripts.study import description, lock
from workflow_scripts.study.config import load_study, read_config
from workflow_scripts.study.preregistration import parse_front_matter, read_preregistrations
from workflow_scripts.study.results import merge_rows, read_rows
from workflow_scripts.study.schema import parse_yaml

ROOT = Path(__file__).parents[3]
STUDY = "MS1_min_snr"
SECONDS_PER_INPUT = 20  # one that takes longer is a hang


def fuzz(inputs: int):
    """Run a test on `inputs` examples."""
    return settings(
        max_examples=inputs,
        derandomize=True,
        deadline=timedelta(seconds=SECONDS_PER_INPUT),
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def clear_error_or_value():
    """A reader may return, or raise a PipelineError of one line that ends. All else fails the test."""
    try:
        yield
    except PipelineError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 2000, text


# Scalars as people mistype them, and as people attack with them.
AWKWARD = st.sampled_from(
    [
        *("", " ", "~", "null", "yes", "1e3", "1e400", ".nan", "-.inf", "0x1F", "1:30:00", "2001-99-99"),
        *("'", '"', "{", "[", "|", ">", "%x", "@x", "`x`", "-0.0", "9" * 5000, "\u2028", "\x85", "<script>"),
        *("!!python/object/apply:os.system [id]", "!!int ''", "!!bool x", "!!timestamp x", "!!binary x"),
        *("&a [*a]", "*a", "&a {b: *a}", "? [1]", "<<: x", "!!set {a}", "!!omap [a: 1]", "2001-01-01"),
        *("../../etc/passwd", "/etc/passwd", "~nobody_here/x", "a b$(id)'"),
    ]
)
TEXT = st.one_of(AWKWARD, st.text(max_size=30))
HUGE = st.integers(min_value=-(10**400), max_value=10**400)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), HUGE, st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def changed_lines(draw, text: str) -> str:
    """The text with up to three changes of a line: another value or key, more text, doubled, cut or gone."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line, new = lines[at], draw(TEXT)
        where = draw(st.integers(0, len(line)))
        key, _, value = line.partition(":")
        changes = [[f"{key}: {new}"], [f"{new}:{value}"], [line[:where] + new + line[where:]], [line[:where]]]
        changes += [[line, line], [" " * (where % 7) + line.lstrip()], []]
        lines[at : at + 1] = draw(st.sampled_from(changes))
        lines = lines or [""]
    return "\n".join(lines)


@st.composite
def changed_json(draw, value) -> str:
    """JSON of `value` with one part, at any depth, replaced or removed; sometimes with other characters."""
    changed = {"": json.loads(json.dumps(value))}
    inner, key = changed, ""
    while isinstance(inner[key], dict | list) and len(inner[key]) and draw(st.integers(0, 3)):
        inner = inner[key]
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    if inner is not changed and draw(st.booleans()):
        del inner[key]
    else:
        inner[key] = draw(JSON)
    text = json.dumps(changed[""], ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 4)) == 0:
        where = draw(st.integers(0, len(text)))
        text = text[:where] + draw(TEXT) + text[where + draw(st.integers(0, 3)) :]
    return text


@st.composite
def changed_bytes(draw, content: bytes) -> bytes:
    """`content` with some bytes replaced, and perhaps cut off."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))])


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def configured(place):
    for folder in ("config", "docs/experiments"):
        shutil.copytree(ROOT / folder, place / "project" / folder)
    return place / "project"


# --- files and words that people write


DUMPED = JSON.map(lambda value: yaml.safe_dump({"a": value}))


@fuzz(300)
@given(st.one_of(TEXT.map("a: {}".format), st.text(max_size=60), DUMPED))
def test_any_text_as_yaml(text):
    with clear_error_or_value():
        assert isinstance(parse_yaml(text, "x.yaml"), dict)


USED = ["defaults.yaml", "data/digits.yaml", f"study/{STUDY}/presets/smoke.yaml", "anchors.yaml"]
USED += [f"study/{STUDY}/{path.name}" for path in sorted((ROOT / "config/study" / STUDY).glob("*.yaml"))]


@fuzz(350)
@given(data=st.data(), name=st.sampled_from(USED))
def test_every_configuration_file_changed(configured, data, name):
    original = (ROOT / "config" / name).read_text(encoding="utf-8")
    try:
        write(configured / "config" / name, data.draw(changed_lines(original)))
        with clear_error_or_value():
            study = load_study(configured, STUDY, "smoke")
            description.published_anchors(configured, study)
            files.canonical_json([arm.settings for arm in study.arms])  # what a rule hands on
    finally:
        write(configured / "config" / name, original)


@fuzz(300)
@given(st.dictionaries(st.one_of(st.sampled_from(["study", "preset", "data_root"]), TEXT), JSON, max_size=3))
def test_anything_given_with_config_on_the_command_line(overrides):
    with clear_error_or_value():
        study, preset, data_root = read_config(ROOT, overrides)
        load_study(ROOT, study, preset)
        (data_root / "x").exists()


FRONT = (ROOT / "docs/experiments/E2_pre_reg.md").read_text(encoding="utf-8").split("\n# ")[0]


@fuzz(300)
@given(st.one_of(changed_lines(FRONT), TEXT.map("---\n{}\n---\n".format)))
def test_front_matter_changed(configured, text):
    path = configured / "docs/experiments/E2_pre_reg.md"
    try:
        write(path, text)
        with clear_error_or_value():
            parse_front_matter(text, "E2_pre_reg.md")
            study = load_study(configured, STUDY, "digits")
            preregistrations = read_preregistrations(configured, STUDY)
            for settings_of in (description.gate_settings, description.report_settings):
                files.canonical_json(settings_of(configured, study, preregistrations))
            files.canonical_json(description.verdict_settings(study, preregistrations))
    finally:
        shutil.copy(ROOT / "docs/experiments/E2_pre_reg.md", path)


# --- files that steps and tools write


LOCK = json.loads((ROOT / lock.lock_path(STUDY)).read_text())
AMENDMENT = {
    "date": "2001-02-03T04:05:06Z",
    "reason": "fewer steps",
    "results_seen": False,
    "results_existed": True,
    "changes": [{"what": "E1: training.num_steps", "locked": 400, "now": 200}],
    "previous_sha256": files.sha256_file(ROOT / lock.lock_path(STUDY)),
}


@fuzz(200)
@given(changed_json(LOCK))
def test_the_lock_changed(configured, text):
    write(configured / lock.lock_path(STUDY), text)
    with clear_error_or_value():
        lock.drift(lock.read_lock(configured, STUDY), [], LOCK)


@fuzz(200)
@given(changed_json(AMENDMENT))
def test_the_amendments_changed(configured, text):
    shutil.copy(ROOT / lock.lock_path(STUDY), configured / lock.lock_path(STUDY))
    write(configured / lock.amendments_path(STUDY), text)
    with clear_error_or_value():
        lock.drift(LOCK, lock.read_amendments(configured, STUDY), LOCK)


@fuzz(300)
@given(st.lists(changed_json(fd_row()), min_size=1, max_size=3), st.sampled_from(["", "\n", "\r\n", "\n\n"]))
def test_metric_rows_changed(place, texts, end):
    path = write(place / "results.jsonl", "\n".join(texts) + end)
    with clear_error_or_value():
        files.write_json_lines(place / "again.jsonl", merge_rows(read_rows(path)))


PART = {"count": 2, "class_counts": [1, 1], "sha256": "a" * 64}
DATA_MANIFEST = dict.fromkeys(("source", "title", "origin", "licence", "preparation"), "x")
DATA_MANIFEST |= {"shape": [8, 8, 1], "classes": ["0"], "train": PART, "test": PART}
DATA_MANIFEST["sources_sha256"] = "c" * 64


@fuzz(150)
@given(changed_json(DATA_MANIFEST))
def test_the_datasets_manifest_changed(place, text):
    path = write(place / "manifest.json", text)
    with clear_error_or_value():
        found = files.read_document(path, files.DATASET_MANIFEST)
        assert len(found["sources_sha256"]) == len(found["train"]["sha256"]) == 64


FILE = {"name": "train", "path": "results/x", "size": 10, "sha256": "a" * 64, "lineage_sha256": "b" * 64}
STEP_MANIFEST = {
    "manifest_version": 1,
    "lineage": {
        "rule": "r",
        "wildcards": {"arm": "A"},
        "entry": "train_model",
        "settings": {"seed": 1},
        "source": {"digest": "d", "files": {"a.py": "e"}},
        "packages": {"digest": "d", "versions": {"torch": "2"}},
        "inputs": [FILE],
        "outputs": [FILE],
    },
    "lineage_sha256": "a" * 64,
    "circumstances": {"threads": 1, "volatile_inputs": [FILE], "volatile_outputs": [FILE]},
    "circumstances_sha256": "b" * 64,
}


@fuzz(300)
@given(changed_json(STEP_MANIFEST))
def test_a_steps_manifest_changed(place, text):
    path = write(place / "train.npz.manifest.json", text)
    with clear_error_or_value():
        found = manifest.read_manifest(path)
        step = StepRecord("", found)
        assert [step.inputs, step.outputs, step.label, step.input_lineage_sha256]


# --- binary files


BUFFER = io.BytesIO()
np.savez_compressed(BUFFER, images=np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), label=np.array("text"))
HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }"
HEADERS = [
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': [('a', '<f8', (10000000000,))], 'fortran_order': False, 'shape': (3,), }",
    "__import__('os').system('id')",
    "(" * 5000,
    "{'a': " * 200,
]


@st.composite
def npz_with_header(draw) -> bytes:
    """An npz whose member has any header, with a sum that fits."""
    text = draw(st.one_of(changed_lines(HEADER), st.sampled_from(HEADERS)))
    header = text.encode("latin1", "replace")[:60_000]
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    buffer, packing = io.BytesIO(), draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        archive.writestr("images.npy", b"\x93NUMPY" + version + length + header + bytes(12))
    return buffer.getvalue()


@fuzz(500)
@given(st.one_of(changed_bytes(BUFFER.getvalue()), st.binary(max_size=80), npz_with_header()))
def test_an_npz_changed(place, content):
    (place / "samples.npz").write_bytes(content)
    with clear_error_or_value():
        assert all(array.dtype != object for array in files.read_npz_dict(place / "samples.npz").values())


@fuzz(200)
@given(changed_bytes(gzip.compress(bytes(range(200)), mtime=0)))
def test_an_idx_file_changed(place, content):
    (place / "images").write_bytes(content)
    with clear_error_or_value():
        published._read_mnist(place / "images", "train-images-idx3-ubyte")
