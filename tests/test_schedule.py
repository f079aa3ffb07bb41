"""Noise schedule against diffusers and against the published figures."""

import pytest
import torch
from diffusers import DDPMScheduler

from reddiff_cli.errors import ModelMissing
from reddiff_cli.schedule import KINDS, linear_betas, schedule_from_config


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_bar_equals_diffusers(kind):
    scheduler = DDPMScheduler(beta_schedule=kind)
    ours = schedule_from_config(dict(scheduler.config)).alpha_bar
    torch.testing.assert_close(ours.float(), scheduler.alphas_cumprod, atol=1e-6, rtol=1e-4)
    betas = 1 - ours[1:] / ours[:-1]
    torch.testing.assert_close(betas.float(), scheduler.betas[1:], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("t", "s"), [(0, 0.010), (26, 0.10), (144, 0.50), (258, 1.0), (999, 157.4)]
)
def test_levels_of_the_linear_schedule(t, s):
    assert float(linear_betas().s[t]) == pytest.approx(s, rel=0.02)


def test_log_grid_falls_and_ends_where_asked():
    schedule = linear_betas()
    grid = schedule.log_grid(10.0, 0.03, 25)
    assert len(grid) == 25
    assert grid == sorted(grid, reverse=True)
    assert grid[0] == schedule.nearest_t(10.0) == 674
    assert grid[-1] == schedule.nearest_t(0.03) == 5


def test_unknown_schedule_is_refused():
    told = "beta_schedule 'laplace' is not supported; only linear, scaled_linear, .*sigmoid are"
    with pytest.raises(ModelMissing, match=told):
        schedule_from_config({"beta_schedule": "laplace"})


@pytest.mark.parametrize("steps", [1, 2, 20, 100])
@pytest.mark.parametrize("s_start", [None, 10.0])
def test_chain_grids_go_from_the_start_to_zero(steps, s_start):
    schedule = linear_betas()
    top = 999 if s_start is None else 674
    for grid in (schedule.uniform_grid(steps, s_start), schedule.quadratic_grid(steps, s_start)):
        assert len(grid) == len(set(grid)) == steps
        assert grid == sorted(grid, reverse=True)
        assert grid[0] == top
        assert steps == 1 or grid[-1] == 0
    gaps = [t - u for t, u in zip(grid, grid[1:], strict=False)]  # quadratic: smaller near 0
    assert steps < 3 or gaps[0] > 2 * gaps[-1]


def test_chain_grids_beyond_the_schedule_are_refused():
    with pytest.raises(ValueError, match="1 to 675"):
        linear_betas().uniform_grid(676, 10.0)
    assert linear_betas().uniform_grid(1000) == list(range(999, -1, -1))
