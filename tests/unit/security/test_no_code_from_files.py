"""Nothing in the source can run what a file holds, and files made to do it leave no trace."""

from __future__ import annotations

import ast
import gzip
import io
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from workflow_scripts.core import files
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data.images import load_dataset
from workflow_scripts.data.sources import load_source
from workflow_scripts.metrics.classifier import load_classifier
from workflow_scripts.metrics.inception import load_inception
from workflow_scripts.metrics.statistics import load_statistics
from workflow_scripts.metrics.weights import load_weights
from workflow_scripts.study.preregistration import parse_front_matter
from workflow_scripts.study.schema import read_yaml
from workflow_scripts.training.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "workflow_scripts").rglob("*.py"))
# The one class that reads a pickle, and knows no name but those it is given (data/python2_pickle.py).
RESTRICTED_UNPICKLER = ("data/python2_pickle.py", "pickle.Unpickler")
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "marshal.load",
    "shelve.open",
    "dill.load",
    "joblib.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "subprocess.getoutput",
    "urllib.request.urlopen",
    "urllib.request.urlretrieve",
    "requests.get",
    "torch.hub.load",
    "torch.jit.load",
    "shutil.unpack_archive",
    "np.fromfile",
}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; `.c` where it hangs on something else, such as a call."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword; None where it is missing or no constant."""
    return next(
        (
            item.value.value
            for item in call.keywords
            if item.arg == name and isinstance(item.value, ast.Constant)
        ),
        None,
    )


def dangers(source: str) -> list[str]:
    """What in a module's source could run, or unpack, what a file holds: `line: what`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found += [f"{node.lineno}: {dotted(base)}" for base in node.bases if dotted(base) in FORBIDDEN]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [f"{node.lineno}: {name}" for name in names if name in FORBIDDEN]
        if not isinstance(node, ast.Call):
            continue
        name, last = dotted(node.func), dotted(node.func).rsplit(".", 1)[-1]
        if name in FORBIDDEN or ("." in name and last in ("extractall", "extract")):
            found.append(f"{node.lineno}: {name}")
        elif name == "torch.load" and keyword(node, "weights_only") is not True:
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        elif last in ("load", "load_all") and name.startswith("yaml.") and not _safe_loader(node):
            found.append(f"{node.lineno}: {name} without a safe loader")
        elif name in ("np.load", "numpy.load") and keyword(node, "allow_pickle") is not False:
            found.append(f"{node.lineno}: np.load without allow_pickle=False")
        elif any(item.arg == "shell" for item in node.keywords):
            found.append(f"{node.lineno}: {name} with shell=")
    return found


def _safe_loader(call: ast.Call) -> bool:
    loader = next((item.value for item in call.keywords if item.arg == "Loader"), None)
    return dotted(loader) in ("_Loader", "yaml.SafeLoader", "yaml.CSafeLoader")


def test_no_module_can_run_or_unpack_what_a_file_holds():
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT / "workflow_scripts").as_posix()
        allowed = RESTRICTED_UNPICKLER[1] if name == RESTRICTED_UNPICKLER[0] else None
        found += [
            f"{name}:{item}"
            for item in dangers(path.read_text(encoding="utf-8"))
            if item.split(": ")[1] != allowed
        ]
    assert len(SOURCES) > 80 and found == []


def test_the_yaml_loader_is_a_safe_one():
    import yaml

    from workflow_scripts.study import schema

    assert issubclass(schema._Loader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(handle)",
        "from pickle import loads\nloads(b'')",
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "import os\nos.system(x)",
        "class Mine(pickle.Unpickler):\n    pass",
        "from urllib.request import urlopen",
        "tar.extract(member)",
    ],
)
def test_the_search_finds_each_kind(source):
    assert dangers(source)


def test_rules_quote_every_path_and_every_value():
    """A shell command is filled in by Snakemake: each placeholder that can hold text from outside must end in `:q`."""
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]:
        text = path.read_text(encoding="utf-8")
        assert (
            "shell=True" not in text
            and "os.system" not in text
            and not re.search(r"^    run:", text, flags=re.MULTILINE)
        ), path
        for commands in re.findall(r"^    shell:\n((?:        .*\n)+)", text, flags=re.MULTILINE):
            assert "step(" in commands, path
            for placeholder in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", commands):
                # `params.inputs` is quoted where it is made (rules/report.smk)
                assert placeholder.endswith(":q") or placeholder in ("params.inputs", "threads"), (
                    path,
                    placeholder,
                )


# --- files made to run something


class Payload:
    """Unpickled by Python's own unpickler, it creates the marker."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "a file ran code"


def test_the_payload_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "own"))).close()
    assert (tmp_path / "own").exists()


def torch_file(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


READERS = {
    "weights": load_weights,
    "classifier": load_classifier,
    "inception": load_inception,
    "checkpoint": load_checkpoint,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_weights_that_hold_code(tmp_path, marker, reader, kind, suffix):
    content = {"model": Payload(marker), "state_dict": Payload(marker), "architecture": Payload(marker)}
    path = tmp_path / f"evil.{suffix}"
    if kind == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        path.write_bytes(torch_file(content, _use_new_zipfile_serialization=kind == "zip"))
    with pytest.raises(PipelineError, match=f"evil.{suffix}"):
        READERS[reader](path)


def evil_npz(path: Path, marker: Path, *names: str) -> Path:
    array = np.empty(1, dtype=object)
    array[0] = Payload(marker)
    np.savez(path, **dict.fromkeys(names, array))
    return path


def test_an_npz_that_holds_code(tmp_path, marker):
    path = evil_npz(tmp_path / "evil.npz", marker, "images", "labels", "mu", "sigma", "count")
    for read in (
        load_dataset,
        load_statistics,
        files.read_npz_dict,
        lambda path: files.read_npz(path, "images"),
    ):
        with pytest.raises(PipelineError, match="evil.npz"):
            read(path)


def test_a_pickle_named_npz(tmp_path, marker):
    (tmp_path / "evil.npz").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(PipelineError, match="evil.npz"):
        files.read_npz_dict(tmp_path / "evil.npz")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system",
        "!!python/object/new:os.system",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_yaml_that_asks_for_code(tmp_path, marker, tag):
    text = f"title: {tag} ['touch {marker}']"
    (tmp_path / "evil.yaml").write_text(text)
    with pytest.raises(PipelineError, match="not valid YAML: could not determine a constructor"):
        read_yaml(tmp_path / "evil.yaml")
    with pytest.raises(PipelineError, match="not valid YAML"):
        parse_front_matter(f"---\n{text}\n---\n", "evil.md")


# --- files made to fill the machine


def test_an_npz_that_unpacks_to_more_than_the_machine_holds(tmp_path, monkeypatch):
    """One that is large because its content is large is read: the limit is on what comes out of how little."""
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**20)
    bomb, honest = tmp_path / "bomb.npz", tmp_path / "honest.npz"
    files.write_npz(bomb, images=np.zeros(2**24, dtype=np.uint8))
    files.write_npz(honest, images=np.random.default_rng(0).integers(0, 256, 2**22, dtype=np.uint8))
    with pytest.raises(PipelineError, match="bomb.npz .*it would unpack to 16,777,"):
        files.read_npz(bomb, "images")
    assert len(files.read_npz(honest, "images")[0]) == 2**22


def test_weights_that_are_packed_are_refused(tmp_path):
    """torch would unpack them, to any size."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_file({"w": torch.zeros(1000)}))) as plain,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to,
    ):
        for member in plain.infolist():
            to.writestr(member.filename, plain.read(member))
    (tmp_path / "bomb.pt").write_bytes(packed.getvalue())
    assert torch.load(tmp_path / "bomb.pt", weights_only=True)  # so the refusal is ours
    with pytest.raises(PipelineError, match="bomb.pt is damaged"):
        load_weights(tmp_path / "bomb.pt")


def test_weights_with_a_flipped_bit_are_refused(tmp_path):
    """torch reads on over a wrong sum."""
    content = bytearray(torch_file({"w": torch.arange(1000.0)}))
    content[content.index(np.arange(500.0, 501.0, dtype=np.float32).tobytes())] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(PipelineError, match="flipped.pt is damaged"):
        load_weights(tmp_path / "flipped.pt")


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:Trying to call")
def test_weights_with_bytes_changed_are_read_or_refused(tmp_path, seed):
    generator = np.random.default_rng(seed)
    for legacy in (False, True):
        content = bytearray(torch_file({"w": torch.zeros(3)}, _use_new_zipfile_serialization=not legacy))
        for _ in range(25):
            changed = bytearray(content)
            for position in generator.integers(0, len(content), generator.integers(1, 4)):
                changed[position] = generator.integers(0, 256)
            (tmp_path / "changed.pt").write_bytes(changed)
            try:
                load_weights(tmp_path / "changed.pt")
            except PipelineError as error:
                assert "changed.pt" in str(error)


DATA = {
    "source": "image_folder",
    "title": "own",
    "path": "set",
    "image_size": 8,
    "channels": 1,
    "num_classes": 2,
    "num_train": None,
    "num_test": None,
    "split_seed": 0,
}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["../outside.png", "/tmp/outside_of_the_folder.png", "a/../../outside.png"])
def test_an_archive_writes_nothing_anywhere(tmp_path, kind, name):
    root = tmp_path / "data"
    root.mkdir()
    path = root / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(PipelineError, match="leads outside"):
        load_source({**DATA, "path": path.name}, root)
    assert sorted(tmp_path.rglob("*")) == [root, path] and not Path("/tmp/outside_of_the_folder.png").exists()


def test_an_image_that_decodes_to_more_than_allowed(tmp_path):
    """A PNG of 30,000 x 30,000 black pixels is a few hundred kB."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    side = 30_000
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    # only the first rows: the size in the head must be enough to refuse it
    rows = zlib.compress(bytes(1000 * (side + 1)))
    for part in ("train", "test"):
        for name in "ab":
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            (folder / "1.png").write_bytes(
                b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
            )
    with pytest.raises(PipelineError, match=r"1.png' has 30000 x 30000 pixels|exceeds limit"):
        load_source(DATA, tmp_path)


def test_a_gzip_that_never_ends_in_an_archive(tmp_path):
    (tmp_path / "set.tar.gz").write_bytes(gzip.compress(bytes(50 * 2**20)))
    with pytest.raises(PipelineError, match="set.tar.gz"):
        load_source({**DATA, "path": "set.tar.gz"}, tmp_path)
