from __future__ import annotations

import numpy as np
import pytest
from diffusers import DDPMScheduler

from workflow_scripts.diffusion.schedules import alphas_cumprod_of, cosine_betas
from workflow_scripts.sampling.respacing import respace, trailing_timesteps


@pytest.mark.parametrize("nfe", [1, 3, 7, 10, 20, 25, 50, 100, 250, 999, 1000])
def test_timesteps_are_diffusers_trailing(nfe: int) -> None:
    peer = DDPMScheduler(1000, timestep_spacing="trailing")
    peer.set_timesteps(nfe)
    np.testing.assert_array_equal(trailing_timesteps(1000, nfe), peer.timesteps.numpy())


@pytest.mark.parametrize("num_timesteps", [2, 37, 200])
def test_every_nfe_counts_distinct_timesteps_from_the_last(num_timesteps: int) -> None:
    for nfe in range(1, num_timesteps + 1):
        timesteps = trailing_timesteps(num_timesteps, nfe)
        assert len(timesteps) == nfe and timesteps[0] == num_timesteps - 1 and timesteps[-1] >= 0
        assert (np.diff(timesteps) < 0).all()


def test_the_respaced_chain_meets_the_original_alphas_cumprod() -> None:
    alphas_cumprod = alphas_cumprod_of(cosine_betas(1000))
    timesteps = trailing_timesteps(1000, 30)
    chain = respace(alphas_cumprod, timesteps)
    # A chain of 30 timesteps made from these betas alone ends up at the alphas_cumprod that the network
    # knows. The last beta is 1 - 9e-7, which keeps ten digits of the 9e-7.
    np.testing.assert_allclose(np.cumprod(1 - chain.betas[::-1])[::-1], alphas_cumprod[timesteps], rtol=1e-9)
    np.testing.assert_array_equal(chain.alphas_cumprod_prev, [*alphas_cumprod[timesteps[1:]], 1.0])


def test_all_timesteps_give_back_the_original_betas() -> None:
    betas = cosine_betas(100)
    chain = respace(alphas_cumprod_of(betas), trailing_timesteps(100, 100))
    np.testing.assert_allclose(chain.betas[::-1], betas, rtol=1e-11)
