"""What a method draws and updates, against the algorithm written out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.house.blurred import blurred
from tests.house.psnr import psnr
from tests.recorded_graphs import record_on_a_cpu
from tests.tiny_run import IMAGES, bytes_of, saved_and_loaded, tiny_settings, trained
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_npz_dict, write_npz
from workflow_scripts.core.randomness import stream
from workflow_scripts.core.step import Step
from workflow_scripts.methods.diffusion import Diffusion
from workflow_scripts.steps import measure, present_samples
from workflow_scripts.training.step import TrainingStep, initial_state

CPU = torch.device("cpu")
DATA = {"images": IMAGES, "labels": np.arange(20) % 10}
UNET = tiny_settings()["model"] | {"dropout": 0.0}
GAN = {
    "method": {
        "name": "gan",
        "condition": "class",
        "discriminator": {
            "name": "dcgan_discriminator",
            "base_channels": 4,
            "num_levels": 2,
        },
    },
    "model": {
        "name": "dcgan_generator",
        "latent_dim": 3,
        "base_channels": 4,
        "num_levels": 2,
    },
}


def gan_settings() -> dict:
    return {**tiny_settings(training={"grad_clip_norm": 1e9}), **GAN}


def norm_of_gradient(network) -> torch.Tensor:
    return torch.sqrt(sum(parameter.grad.square().sum() for parameter in network.parameters()))


def test_diffusion_draws_follow_the_documented_streams():
    settings = tiny_settings(method={"condition": "class", "label_dropout": 0.3})
    drawn = Diffusion(settings, "class", 0.3).draw(5)
    assert drawn.keys() == {"t", "noise", "dropped"} and drawn["t"].dtype == torch.int64
    assert drawn["t"].tolist() == stream(5, "timesteps", 5).integers(0, 50, size=6).tolist()
    noise = stream(5, "noise", 5).standard_normal((6, 1, 8, 8), dtype=np.float32)
    assert np.array_equal(drawn["noise"].numpy(), noise)
    assert drawn["dropped"].tolist() == (stream(5, "label_dropout", 5).random(6) < 0.3).tolist()
    shares = [Diffusion(settings, "class", 0.3).draw(step)["dropped"].float().mean() for step in range(300)]
    # 1,800 draws: the standard deviation of their mean is .011
    assert abs(np.mean(shares) - 0.3) < 0.04
    assert Diffusion(settings).draw(5).keys() == {"t", "noise"}


def test_class_conditional_diffusion_sees_each_images_label_or_none():
    settings = tiny_settings(method={"condition": "class", "label_dropout": 0.5}, model={"dropout": 0.0})
    state, seen = initial_state(settings, CPU), []
    state.model.class_embedding.register_forward_hook(lambda module, given, _: seen.append(given[0]))
    step = TrainingStep(state, DATA, settings)
    for _ in range(8):
        step.run()
    expected = []
    for number in range(8):
        indices = step._order.indices(number)
        dropped = stream(5, "label_dropout", number).random(6) < 0.5
        expected.append(np.where(dropped, 10, DATA["labels"][indices]).tolist())
    assert [labels.tolist() for labels in seen] == expected
    # the other weights start as in the unconditional network
    unconditional = initial_state(tiny_settings(), CPU).model.state_dict()
    start = initial_state(settings, CPU).model.state_dict()
    assert all(torch.equal(start[name], value) for name, value in unconditional.items())
    assert start.keys() - unconditional.keys() == {"class_embedding.weight"}


def test_a_gans_update_is_the_algorithm_written_out():
    settings = gan_settings()
    state, rows = trained(settings, 2)

    other = initial_state(settings, CPU)
    generator, judge = (other.trained[name].network.train() for name in ("model", "discriminator"))
    adams = {
        name: torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
        for name, network in (("model", generator), ("discriminator", judge))
    }
    order = stream(5, "order", 0).permutation(20)
    for number in range(2):
        indices = order[6 * number : 6 * number + 6]
        real = torch.tensor(IMAGES[indices].transpose(0, 3, 1, 2) / 127.5 - 1).float()
        labels = torch.tensor(DATA["labels"][indices])
        latents = torch.tensor(stream(5, "noise", number).standard_normal((6, 3, 1, 1), dtype=np.float32))
        fake = generator(latents, labels)
        logits = torch.cat((judge(real, labels), judge(fake.detach(), labels)))
        truth = torch.cat((torch.ones(6), torch.zeros(6)))
        judge_loss = binary_cross_entropy_with_logits(logits, truth)
        adams["discriminator"].zero_grad()
        judge_loss.backward()
        judge_norm = norm_of_gradient(judge)
        adams["discriminator"].step()
        loss = binary_cross_entropy_with_logits(judge(fake, labels), torch.ones(6))
        adams["model"].zero_grad()
        loss.backward()
        norm = norm_of_gradient(generator)
        adams["model"].step()
        accuracy = ((logits > 0) == (truth > 0)).float().mean()
        expected = [value.item() for value in (loss, judge_loss, accuracy, norm, judge_norm)]
        # float32 sums in another order
        np.testing.assert_allclose(rows[number][1:], expected, rtol=2e-5)
    for name, network in (("model", generator), ("discriminator", judge)):
        for ours, theirs in zip(state.trained[name].network.parameters(), network.parameters()):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)  # as in test_step.py


def test_a_discriminator_that_cannot_tell_has_a_loss_of_ln_2():
    settings = gan_settings()
    state = initial_state(settings, CPU)
    for parameter in state.trained["discriminator"].network.layers[-2].parameters():
        torch.nn.init.zeros_(parameter)
    step = TrainingStep(state, DATA, settings)
    step.run()
    values = dict(zip(state.method.columns, step.values.tolist()))
    assert values["discriminator_loss"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("changes", [GAN, {"method": {"name": "diffusion", "condition": "class"}}])
def test_replayed_and_resumed_updates_are_the_updates(changes, monkeypatch):
    settings = {**tiny_settings(model={"dropout": 0.0}), **changes}
    eager, rows = trained(settings, 8)
    record_on_a_cpu(monkeypatch)
    replayed, replayed_rows = trained(settings, 8)
    assert bytes_of(replayed) == bytes_of(eager) and replayed_rows == rows
    first, _ = trained(settings, 5)
    resumed, _ = trained(settings, 8, saved_and_loaded(first, settings))
    assert bytes_of(resumed) == bytes_of(eager)


def test_a_gan_of_one_level_learns_a_constant():
    settings = gan_settings()
    settings["training"] = settings["training"] | {"learning_rate": 2e-3, "batch_size": 20}
    state, rows = trained(settings, 300, every=300, images=np.full((20, 8, 8, 1), 200, dtype=np.uint8))
    made = state.ema.model(torch.zeros(10, 3, 1, 1), torch.arange(10))
    assert (made - (200 / 127.5 - 1)).abs().mean() < 0.3 and all(map(math.isfinite, rows[-1]))


def test_identity_presents_each_test_images_condition_and_has_their_psnr(tmp_path):
    arrays = blurred(tmp_path, 20)["test"]
    write_npz(tmp_path / "test.npz", **arrays)
    files = {"test": [tmp_path / "test.npz"]}, {"samples": [tmp_path / "samples.npz"]}
    present_samples.main(Step("present", {"method": {"name": "identity"}, "num_samples": 9}, *files))
    samples, metric = read_npz_dict(tmp_path / "samples.npz"), "tests.house.psnr:psnr"
    assert list(samples) == ["images"] and np.array_equal(samples["images"], arrays["condition"][:9])
    settings = {"study": "S", "preset": "p", "arm": "E1_identity", "seed": 0, "metric": metric, "step": 0}
    settings["points"] = [{"name": "one", "sampler": "direct", "eta": None, "nfe": 1, "num_samples": 9}]
    inputs = {"samples": files[1]["samples"], "test": files[0]["test"], "checkpoint": []}
    measure.main(Step("measure", settings, inputs, {"metrics": [tmp_path / "rows.json"]}))
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["from"] == {"point": "one", "sampler": "direct", "nfe": 1, "step": 0}
    assert (
        row["value"] == pytest.approx(psnr(arrays["condition"][:9], arrays["images"])) and row["value"] > 10
    )


@pytest.mark.parametrize(("shape", "words"), [(None, "asks for condition"), ((5, 8, 8, 3), "must be alike")])
def test_identity_without_a_fitting_condition_is_refused(tmp_path, shape, words):
    pairs = {} if shape is None else {"condition": np.zeros(shape, np.uint8)}
    write_npz(tmp_path / "test.npz", images=IMAGES[:5], **pairs)
    files = {"test": [tmp_path / "test.npz"]}, {"samples": [tmp_path / "samples.npz"]}
    with pytest.raises(PipelineError, match=words):
        present_samples.main(Step("present", {"method": {"name": "identity"}, "num_samples": 5}, *files))
    assert not (tmp_path / "samples.npz").exists()


def test_a_batch_holds_the_condition_that_belongs_to_each_image(monkeypatch):
    settings, seen = tiny_settings(), []
    state = initial_state(settings, CPU)
    state.method.asks = ("images", "condition")
    monkeypatch.setattr(
        state.method, "updater", lambda _: lambda batch: torch.zeros(3) + (seen.append(batch) or 0)
    )
    with pytest.raises(PipelineError, match="diffusion asks for condition, the dataset has images, labels"):
        TrainingStep(state, DATA, settings)
    TrainingStep(state, {**DATA, "condition": 255 - IMAGES}, settings).run()
    assert torch.equal(seen[0]["condition"], 255 - seen[0]["images"])
