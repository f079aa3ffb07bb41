"""Noise schedule against diffusers and against the published figures."""

import pytest
import torch
from diffusers import DDPMScheduler

from reddiff_cli.schedule import linear_betas, schedule_from_config


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_alpha_bar_equals_diffusers(kind):
    scheduler = DDPMScheduler(beta_schedule=kind)
    ours = schedule_from_config(dict(scheduler.config)).alpha_bar
    torch.testing.assert_close(ours.float(), scheduler.alphas_cumprod, atol=1e-5, rtol=1e-4)


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
    with pytest.raises(ValueError, match="sigmoid"):
        schedule_from_config({"beta_schedule": "sigmoid"})
