"""probe_checkpoint as a rule calls it, on a U-Net of a few thousand weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.tiny_run import IMAGES, tiny_settings
from workflow_scripts.core.files import sha256_file, write_npz
from workflow_scripts.core.step import run
from workflow_scripts.data.images import to_float
from workflow_scripts.diffusion.objective import eps_mse, weighted_mse
from workflow_scripts.diffusion.process import GaussianDiffusion
from workflow_scripts.diffusion.weighting import loss_weights
from workflow_scripts.nets.build import build_model
from workflow_scripts.steps import probe_checkpoint
from workflow_scripts.study.results import require_comparable
from workflow_scripts.training.checkpoints import save_checkpoint

SETTINGS = tiny_settings(seed=7, model={"base_channels": 4, "norm_groups": 2}) | {
    "study": "S",
    "preset": "digits",
    "step": 40,
    "loss": {"weighting": "uniform", "min_snr_gamma": None},
    "curvature": {
        "num_probes": 3,
        "batch_size": 6,
        "seed": 0,
        "top_eigenvalue_iterations": 4,
        "timestep_mse_points": 5,
        "timestep_mse_batch_size": 6,
    },
}
MODEL = SETTINGS["model"]
MIN_SNR = {"weighting": "min_snr", "min_snr_gamma": 5.0}


def random_state(seed):
    """Weights that are nowhere zero, unlike fresh ones, so that every part of the network has curvature."""
    torch.manual_seed(seed)
    state = build_model(MODEL, 1, 8).state_dict()
    return {name: value + 0.1 * torch.randn_like(value) for name, value in state.items()}


def write_inputs(folder, settings):
    write_npz(folder / "train.npz", images=IMAGES, labels=np.zeros(20, dtype=np.int64))
    write_checkpoint(folder, random_state(2), settings)


def write_checkpoint(folder, ema, settings=SETTINGS):
    save_checkpoint(
        folder / "checkpoint.pt",
        model=random_state(1),
        ema=ema,
        step=settings["step"],
        seed=settings["seed"],
        settings={section: settings[section] for section in ("model", "diffusion", "loss")},
    )


def probe(folder, settings, name="probe.json"):
    files = ("--input checkpoint checkpoint.pt --input train train.npz --output probe " + name).split()
    argv = [str(folder / word) if "." in word else word for word in files]
    run(probe_checkpoint.main, ["--settings", json.dumps(settings), *argv])
    return json.loads((folder / name).read_text())


def by_name(result):
    return {(row["metric"], row["on"]["objective"]): row for row in result["rows"]}


@pytest.mark.parametrize(("prediction_type", "loss"), [("eps", MIN_SNR), ("v", SETTINGS["loss"])])
def test_both_objectives_equal_their_explicit_estimates(tmp_path, monkeypatch, prediction_type, loss):
    """v^T H v by finite differences of first derivatives, for the probe set that the step drew."""
    diffusion = SETTINGS["diffusion"] | {"prediction_type": prediction_type}
    settings = SETTINGS | {"loss": loss, "diffusion": diffusion}
    write_inputs(tmp_path, settings)
    caught = []
    draw = probe_checkpoint.draw_probe_set
    monkeypatch.setattr(
        probe_checkpoint, "draw_probe_set", lambda *a, **k: caught.append(draw(*a, **k)) or caught[-1]
    )
    rows = by_name(probe(tmp_path, settings))
    (probe_set,) = caught

    model = build_model(MODEL, 1, 8).double().eval()
    model.load_state_dict(random_state(2))
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    diffusion = GaussianDiffusion.from_settings(settings["diffusion"])
    x_start = to_float(IMAGES[probe_set.indices]).double()
    t, noise = torch.from_numpy(probe_set.t), torch.from_numpy(probe_set.noise).double()
    weights = torch.from_numpy(loss_weights(diffusion.snr.numpy(), prediction_type, *loss.values()))
    losses = {
        "common": lambda: eps_mse(model, diffusion, x_start, t, noise).mean(),
        "own": lambda: weighted_mse(model, diffusion, weights, x_start, t, noise)[0],
    }

    def gradient(loss, at):
        torch.nn.utils.vector_to_parameters(at, model.parameters())
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss(), list(model.parameters()))])

    for objective, loss in losses.items():
        terms = []
        for vector in probe_set.vectors():
            step = 1e-5 * torch.from_numpy(vector).double()
            difference = (gradient(loss, start + step) - gradient(loss, start - step)) / 2e-5
            terms.append(torch.dot(torch.from_numpy(vector).double(), difference).item())
        trace = rows["hessian_trace", objective]
        # The step computes in float32: about 1e-6 of each of some thousand terms that partly cancel.
        assert trace["value"] == pytest.approx(np.mean(terms), rel=1e-3)
        assert trace["stderr"] == pytest.approx(np.std(terms, ddof=1) / np.sqrt(3), rel=1e-2)
    assert rows["hessian_trace", "own"]["value"] != pytest.approx(
        rows["hessian_trace", "common"]["value"], rel=0.02
    )


def test_rows_carry_their_identity_and_equal_objectives_are_probed_once(tmp_path, monkeypatch):
    write_inputs(tmp_path, SETTINGS)
    built = []
    product = probe_checkpoint.HessianVectorProduct
    monkeypatch.setattr(probe_checkpoint, "HessianVectorProduct", lambda *a: built.append(a) or product(*a))
    rows = by_name(probe(tmp_path, SETTINGS))
    assert len(built) == 1 and len(rows) == 4
    assert by_name(probe(tmp_path, SETTINGS, "again.json")) == rows
    for metric in ("hessian_trace", "hessian_top_eigenvalue"):
        common = rows[metric, "common"]
        assert rows[metric, "own"] == common | {"on": common["on"] | {"objective": "own"}}
    row = rows["hessian_top_eigenvalue", "common"]
    checkpoint = sha256_file(tmp_path / "checkpoint.pt")
    assert row == {
        **{name: SETTINGS[name] for name in ("study", "preset", "arm", "seed")},
        "metric": "hessian_top_eigenvalue",
        "value": row["value"],
        "stderr": None,
        "interval": None,
        "from": {"step": SETTINGS["step"], "weights": "ema", "checkpoint_sha256": checkpoint},
        "on": {"objective": "common", "num_probes": 3, "probe_sha256": row["on"]["probe_sha256"]},
    }
    assert len(row["on"]["probe_sha256"]) == 64


def test_arms_and_run_seeds_share_the_probe_set_and_weighting_leaves_common_alone(tmp_path):
    write_inputs(tmp_path, SETTINGS)
    first = probe(tmp_path, SETTINGS)
    other = SETTINGS | {"arm": "E2_minsnr_linear", "seed": 8, "loss": MIN_SNR}
    write_inputs(tmp_path, other)
    second = by_name(probe(tmp_path, other))
    for key, row in by_name(first).items():
        require_comparable(row, second[key])
        assert (row["value"] == second[key]["value"]) == (row["on"]["objective"] == "common")
    reseeded = SETTINGS | {"curvature": SETTINGS["curvature"] | {"seed": 1}}
    write_inputs(tmp_path, reseeded)
    third = probe(tmp_path, reseeded)
    assert third["rows"][0]["on"]["probe_sha256"] != first["rows"][0]["on"]["probe_sha256"]
    assert third["timestep_mse"] != first["timestep_mse"]


def test_timestep_mse_uses_ema_weights_at_evenly_spaced_timesteps(tmp_path):
    write_inputs(tmp_path, SETTINGS)
    points = probe(tmp_path, SETTINGS)["timestep_mse"]
    assert [point["t"] for point in points] == [0, 12, 24, 37, 49]
    # A network whose output is zero has the mean square of standard normal noise, 1, at every timestep: 6 *
    # 64 values have it within 4 * sqrt(2 / 384) = 0.29.
    zero = {name: torch.zeros_like(value) for name, value in random_state(0).items()}
    write_checkpoint(tmp_path, zero)
    points = probe(tmp_path, SETTINGS)["timestep_mse"]
    assert all(point["mse"] == pytest.approx(1.0, abs=0.29) for point in points)
    assert len({point["mse"] for point in points}) == 5  # noise of its own at each


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("damaged", "checkpoint.pt is damaged"),
        ("missing", "checkpoint.pt"),
        ("another step", "another step"),
        ("another loss", "another loss"),
        ("few images", "has 20 training images, the probe's batch needs 21"),
    ],
)
def test_faults_end_in_one_line_and_no_file(tmp_path, capsys, fault, message):
    write_inputs(tmp_path, SETTINGS)
    path, settings = tmp_path / "checkpoint.pt", SETTINGS
    if fault == "damaged":
        path.write_bytes(path.read_bytes()[:-200])
    elif fault == "missing":
        path.unlink()
    elif fault == "another step":
        settings = SETTINGS | {"step": 41}
    elif fault == "another loss":
        settings = SETTINGS | {"loss": MIN_SNR}
    else:
        settings = SETTINGS | {"curvature": SETTINGS["curvature"] | {"batch_size": 21}}
    with pytest.raises(SystemExit) as exit_:
        probe(tmp_path, settings)
    assert exit_.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "probe.json").exists()


def test_of_a_diverged_network_what_is_not_finite_is_left_out(tmp_path, capsys):
    state = random_state(2)
    state["conv_out.bias"] = torch.tensor([float("nan")])
    write_inputs(tmp_path, SETTINGS)
    write_checkpoint(tmp_path, state)
    assert probe(tmp_path, SETTINGS) == {"rows": [], "timestep_mse": []}
    assert "are not finite and are left out" in capsys.readouterr().err
