"""Fuzzing: whatever a file or a command line holds, a reader gives a valid value or one clear line, and never hangs.

Inputs are made by hypothesis from fixed seeds: text that looks like the format, and files of ours with bytes changed.
`COUNTS` says how many inputs each reader meets; the last test adds them up.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_scripts.core import files
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import DATASET_MANIFEST, read_document
from workflow_scripts.data import published
from workflow_scripts.provenance import manifest
from workflow_scripts.study import description, lock
from workflow_scripts.study.config import load_study, read_config
from workflow_scripts.study.preregistration import parse_front_matter, read_preregistrations
from workflow_scripts.study.results import merge_rows, read_rows
from workflow_scripts.study.schema import parse_yaml

ROOT = Path(__file__).parents[3]
STUDY = "MS1_min_snr"
# What the last test adds up; the smallest sum that is still a fuzz test.
COUNTS: Counter[str] = Counter()
AT_LEAST = 2000
SECONDS_PER_INPUT = 20


def fuzz(name: str, inputs: int):
    """Run a test on `inputs` examples, the same ones every time; one that takes SECONDS_PER_INPUT is a hang."""

    def decorate(test):
        limited = settings(
            max_examples=inputs,
            derandomize=True,
            deadline=timedelta(seconds=SECONDS_PER_INPUT),
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.function_scoped_fixture,
                HealthCheck.filter_too_much,
            ],
        )
        return limited(test)

    return decorate


@contextmanager
def clear_error_or_value(name: str):
    """What a reader may do: return, or raise a PipelineError of one line that is not endless. All else fails the test."""
    COUNTS[name] += 1
    try:
        yield
    except PipelineError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 2000, text


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# Scalars as people mistype them, and as people attack with them.
AWKWARD = st.sampled_from(
    [
        "",
        " ",
        "~",
        "null",
        "yes",
        "1e3",
        "1e400",
        ".nan",
        ".inf",
        "-.inf",
        "0x1F",
        "0b2",
        "1:30:00",
        "2001-99-99",
        "2001-01-01",
        "'",
        '"',
        "!!python/object/apply:os.system [id]",
        "!!int ''",
        "!!float ''",
        "!!bool x",
        "!!timestamp x",
        "!!binary x",
        "&a [*a]",
        "*a",
        "&a {b: *a}",
        "? [1]",
        "<<: x",
        "!!set {a}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        '"\\0"',
        '"\\ud800"',
        '"\\x07"',
        "../../etc/passwd",
        "/etc/passwd",
        "~nobody_here/x",
        "a b$(id)'",
        "\u2028",
        "\x85",
        "9" * 5000,
        "1" * 400 + ".0",
        "-0.0",
        "{",
        "[",
        "|",
        ">",
        "<script>",
        "%x",
        "@x",
        "`x`",
    ]
)
TEXT = st.one_of(AWKWARD, st.text(max_size=30))
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=-(10**400), max_value=10**400),
        st.floats(),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=8,
)


def changed_lines(texts: list[str]) -> st.SearchStrategy[str]:
    """One of the texts with up to three changes: a value replaced, a line dropped, doubled or indented, a character put in."""

    @st.composite
    def build(draw) -> str:
        lines = draw(st.sampled_from(texts)).split("\n")
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(lines) - 1))
            kind = draw(st.sampled_from(["value", "key", "drop", "double", "indent", "insert", "cut"]))
            line = lines[at]
            if kind == "value":
                lines[at] = line.partition(":")[0] + ": " + draw(TEXT)
            elif kind == "key":
                lines[at] = draw(TEXT) + ":" + line.partition(":")[2]
            elif kind == "drop":
                del lines[at]
                lines = lines or [""]
            elif kind == "double":
                lines.insert(at, line)
            elif kind == "indent":
                lines[at] = " " * draw(st.integers(0, 6)) + line.lstrip()
            elif kind == "insert":
                where = draw(st.integers(0, len(line)))
                lines[at] = line[:where] + draw(TEXT) + line[where:]
            else:
                lines[at] = line[: draw(st.integers(0, len(line)))]
        return "\n".join(lines)

    return build()


def changed_json(value) -> st.SearchStrategy[str]:
    """JSON of `value` with one part, at any depth, replaced or removed; or with characters changed."""

    def parts(item, path=()):
        yield path
        if isinstance(item, dict | list):
            for key in item if isinstance(item, dict) else range(len(item)):
                yield from parts(item[key], (*path, key))

    places = list(parts(value))

    @st.composite
    def build(draw) -> str:
        path = draw(st.sampled_from(places))
        changed = json.loads(json.dumps(value))
        new, remove = draw(JSON), draw(st.booleans())
        if not path:
            changed = new
        else:
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if remove:
                del inner[path[-1]]
            else:
                inner[path[-1]] = new
        text = json.dumps(changed, ensure_ascii=draw(st.booleans()))
        if draw(st.integers(0, 4)) == 0:
            where = draw(st.integers(0, len(text)))
            text = text[:where] + draw(TEXT) + text[where + draw(st.integers(0, 3)) :]
        return text

    return build()


def changed_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """`content` with some bytes replaced, and perhaps cut off."""

    @st.composite
    def build(draw) -> bytes:
        changed = bytearray(content)
        for _ in range(draw(st.integers(1, 4))):
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
        return bytes(changed[: draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))])

    return build()


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


# --- YAML, configuration, front matter


@fuzz("yaml", 300)
@given(
    st.one_of(
        TEXT.map("a: {}".format), st.text(max_size=60), JSON.map(lambda value: yaml.safe_dump({"a": value}))
    )
)
def test_any_text_as_yaml(text):
    with clear_error_or_value("yaml"):
        assert isinstance(parse_yaml(text, "x.yaml"), dict)


CONFIGURATION = sorted(
    path.relative_to(ROOT / "config").as_posix() for path in (ROOT / "config").rglob("*.yaml")
)
USED = [
    name
    for name in CONFIGURATION
    if name.startswith("study/") or name in ("preset/smoke.yaml", "anchors.yaml")
]


@pytest.fixture(scope="module")
def configured(place):
    shutil.copytree(ROOT / "config", place / "project/config")
    shutil.copytree(ROOT / "docs/experiments", place / "project/docs/experiments")
    return place / "project"


@fuzz("configuration", 350)
@given(data=st.data(), name=st.sampled_from(USED))
def test_every_configuration_file_changed(configured, data, name):
    original = (ROOT / "config" / name).read_text(encoding="utf-8")
    try:
        write(configured / "config" / name, data.draw(changed_lines([original])))
        with clear_error_or_value("configuration"):
            study = load_study(configured, STUDY, "smoke")
            description.published_anchors(configured, study)
            files.canonical_json([arm.settings for arm in study.arms]).encode()  # what a rule hands on
    finally:
        write(configured / "config" / name, original)


@fuzz("command line", 300)
@given(st.dictionaries(st.one_of(st.sampled_from(["study", "preset", "data_root"]), TEXT), JSON, max_size=3))
def test_anything_given_with_config_on_the_command_line(overrides):
    with clear_error_or_value("command line"):
        study, preset, data_root = read_config(ROOT, overrides)
        load_study(ROOT, study, preset)
        (data_root / "x").exists()


FRONT = [
    (path.read_text(encoding="utf-8")) for path in sorted((ROOT / "docs/experiments").glob("E*_pre_reg.md"))
]


@fuzz("front matter", 300)
@given(
    text=st.one_of(
        changed_lines([text.split("\n# ")[0] for text in FRONT]), TEXT.map("---\n{}\n---\n".format)
    )
)
def test_front_matter_changed(configured, text):
    path = configured / "docs/experiments/E2_pre_reg.md"
    try:
        write(path, text)
        with clear_error_or_value("front matter"):
            parse_front_matter(text, "E2_pre_reg.md")
            study = load_study(configured, STUDY, "digits")
            preregistrations = read_preregistrations(configured, study)
            for described in (
                description.gate_settings(configured, study, preregistrations),
                description.verdict_settings(study, preregistrations),
                description.report_settings(configured, study, preregistrations),
            ):
                files.canonical_json(described).encode()  # what the rules hand on
    finally:
        shutil.copy(ROOT / "docs/experiments/E2_pre_reg.md", path)


# --- files that steps write: lock, amendments, rows, manifests


LOCK = json.loads((ROOT / lock.lock_path(STUDY)).read_text())


@fuzz("lock", 200)
@given(text=changed_json(LOCK))
def test_the_lock_changed(configured, text):
    write(configured / lock.lock_path(STUDY), text)
    with clear_error_or_value("lock"):
        lock.drift(lock.read_lock(configured, STUDY), [], LOCK)


AMENDMENT = {
    "date": "2001-02-03T04:05:06Z",
    "reason": "fewer steps",
    "results_seen": False,
    "results_existed": True,
    "changes": [{"what": "E1: training.num_steps", "locked": 400, "now": 200}],
    "previous_sha256": hashlib.sha256((ROOT / lock.lock_path(STUDY)).read_bytes()).hexdigest(),
}


@fuzz("amendments", 200)
@given(text=changed_json(AMENDMENT))
def test_the_amendments_changed(configured, text):
    shutil.copy(ROOT / lock.lock_path(STUDY), configured / lock.lock_path(STUDY))
    path = write(configured / lock.amendments_path(STUDY), text)
    try:
        with clear_error_or_value("amendments"):
            lock.drift(LOCK, lock.read_amendments(configured, STUDY), LOCK)
            lock.last_link(configured, STUDY)
    finally:
        path.unlink()


ROW = {
    "study": "S",
    "preset": "p",
    "arm": "A",
    "seed": 1,
    "step": 20,
    "metric": "fd_x",
    "value": 1.5,
    "stderr": None,
    "interval_low": None,
    "interval_high": None,
    "checkpoint_sha256": "c",
    "ema": True,
    "sampler": "ddpm",
    "eta": None,
    "nfe": 10,
    "num_samples": 50,
    "extractor": "fd_x",
    "extractor_sha256": "e",
    "reference_sha256": "r",
    "objective": None,
    "num_probes": None,
    "probe_sha256": None,
}


@fuzz("results.jsonl", 300)
@given(
    texts=st.lists(changed_json(ROW), min_size=1, max_size=3), end=st.sampled_from(["", "\n", "\r\n", "\n\n"])
)
def test_metric_rows_changed(place, texts, end):
    path = write(place / "results.jsonl", "\n".join(texts) + end)
    with clear_error_or_value("results.jsonl"):
        files.write_json_lines(place / "again.jsonl", merge_rows(read_rows(path)))


PART = {"count": 2, "class_counts": [1, 1], "sha256": "a" * 64}
DATA_MANIFEST = {
    "source": "digits",
    "title": "t",
    "origin": "o",
    "licence": "l",
    "preparation": "p",
    "shape": [8, 8, 1],
    "classes": ["0"],
    "train": PART,
    "test": PART,
    "sources": [{"path": "x", "bytes": 3, "sha256": "b" * 64}],
    "sources_sha256": "c" * 64,
}


@fuzz("data manifest", 150)
@given(text=changed_json(DATA_MANIFEST))
def test_the_datasets_manifest_changed(place, text):
    path = write(place / "manifest.json", text)
    with clear_error_or_value("data manifest"):
        found = read_document(path, DATASET_MANIFEST)
        assert len(found["sources_sha256"]) == len(found["train"]["sha256"]) == 64
        f"{found['train']['count']:,} {found['title'].upper()}"


FILE = {
    "name": "train",
    "path": "results/train.npz",
    "size": 10,
    "sha256": "a" * 64,
    "lineage_sha256": "b" * 64,
}
STEP_LINEAGE = {
    "rule": "r",
    "wildcards": {"arm": "A"},
    "entry": "train_model",
    "settings": {"seed": 1},
    "source": {"digest": "d", "files": {"a.py": "e"}},
    "packages": {"digest": "d", "versions": {"torch": "2"}},
    "inputs": [FILE],
    "outputs": [FILE],
}
STEP_MANIFEST = {
    "manifest_version": 1,
    "lineage": STEP_LINEAGE,
    "lineage_sha256": "a" * 64,
    "circumstances": {"threads": 1, "volatile_inputs": [FILE], "volatile_outputs": [FILE]},
    "circumstances_sha256": "b" * 64,
}


@fuzz("step manifest", 300)
@given(text=changed_json(STEP_MANIFEST))
def test_a_steps_manifest_changed(place, text):
    path = write(place / "train.npz.manifest.json", text)
    with clear_error_or_value("step manifest"):
        found = manifest.read_manifest(path)
        (
            manifest.output_files(found),
            manifest.input_files(found),
            manifest.input_lineage_sha256(found["lineage"]),
        )
        manifest.names_output(found, "results/train.npz")


# --- binary files


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@fuzz("npz", 300)
@given(
    content=st.one_of(
        changed_bytes(npz(images=np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), label=np.array("text"))),
        st.binary(max_size=80),
        changed_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
    )
)
def test_an_npz_changed(place, content):
    (place / "samples.npz").write_bytes(content)
    with clear_error_or_value("npz"):
        files.read_npz_dict(place / "samples.npz")


@st.composite
def npy_headers(draw) -> bytes:
    """An npz whose member has a header of one's own making, with a sum that fits."""
    import struct
    import zipfile

    header = draw(
        st.one_of(
            changed_lines(["{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }"]),
            st.sampled_from(
                [
                    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }",
                    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
                    "{'descr': [('a', '<f8', (10000000000,))], 'fortran_order': False, 'shape': (3,), }",
                    "__import__('os').system('id')",
                    "(" * 5000,
                    "{'descr': '|u1'",
                    "'",
                    "{'a': " * 200,
                ]
            ),
        )
    ).encode("latin1", "replace")[:60_000]
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
        length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
        archive.writestr("images.npy", b"\x93NUMPY" + version + length + header + bytes(12))
    return buffer.getvalue()


@fuzz("npy header", 200)
@given(content=npy_headers())
def test_an_npz_with_any_header(place, content):
    (place / "header.npz").write_bytes(content)
    with clear_error_or_value("npy header"):
        (images,) = files.read_npz(place / "header.npz", "images")
        assert images.dtype != object


@fuzz("idx", 300)
@given(
    content=changed_bytes(b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 2, 2)) + bytes(8)),
    packed=st.booleans(),
    official=st.booleans(),
)
def test_an_idx_file_changed(place, content, packed, official):
    """Also with the sum of the changed file taken for the official one, so that what follows the check is met as well."""
    path = place / "images"
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    name = "train-images-idx3-ubyte"
    with pytest.MonkeyPatch.context() as patch, clear_error_or_value("idx"):
        if official:
            patch.setitem(published.MNIST_MD5, name, hashlib.md5(content, usedforsecurity=False).hexdigest())
        published._read_mnist(path, name)


def test_no_fewer_inputs_than_promised():
    if len(COUNTS) > 8:  # the whole file was run, not one test of it
        print(dict(COUNTS), sum(COUNTS.values()))
        assert sum(COUNTS.values()) >= AT_LEAST, COUNTS
