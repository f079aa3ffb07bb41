"""Both forms of RED-diff against closed forms for an exact Gaussian prior, in float64."""

import math
import subprocess
import sys

import pytest
import torch

from doubles import gaussian_prior
from reddiff_cli.operators import Inpaint
from reddiff_cli.schedule import Schedule, linear_betas
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.reddiff import Annealing, red_diff, red_diff_paper

SIDE = 8
PIXELS = SIDE * SIDE
SCHEDULE = linear_betas()


def generator_of_noise(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def problem(seed=3):
    """Half of the pixels observed, noise 0.1."""
    generator = torch.Generator().manual_seed(seed)
    known = (torch.rand(1, 1, SIDE, SIDE, generator=generator) < 0.5).double()
    x = torch.randn(1, 1, SIDE, SIDE, generator=generator, dtype=torch.float64) * 0.5
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return Inpaint(known), known * (x + 0.1 * noise), known.flatten()


def last(iterator):
    *_, (_, mu) = iterator
    return mu


@pytest.fixture
def unclipped(monkeypatch):
    """The closed forms know no range of pictures."""
    monkeypatch.setattr("reddiff_cli.solvers.reddiff.CLIP_ABOVE", math.inf)


def at_level(s):
    """A schedule whose every time step has noise level s."""
    return Schedule(torch.full((4000,), 1 / (1 + s**2), dtype=torch.float64))


def test_antithetic_pair_has_no_noise():
    prior = gaussian_prior(SIDE, SCHEDULE)
    t, mu = torch.tensor([144]), torch.randn(1, 1, SIDE, SIDE, dtype=torch.float64)
    s = float(SCHEDULE.s[144])
    xi = torch.randn_like(mu)
    mean = (prior(mu + s * xi, t) + prior(mu - s * xi, t)) / 2
    expected = prior.mean + (mu.flatten() - prior.mean) @ prior.wiener(s).T
    torch.testing.assert_close(mean.flatten(), expected, atol=1e-12, rtol=0)


def test_expected_gradient_of_the_regulariser():
    """E[mu - D] = s^2 (S + s^2 I)^-1 (mu - m), and (z - D)/s - eps = (mu - D)/s."""
    prior = gaussian_prior(SIDE, SCHEDULE)
    s, t = float(SCHEDULE.s[200]), torch.tensor([200])
    mu, eps = torch.randn(2, 1, 1, SIDE, SIDE, dtype=torch.float64).unbind(0)
    plus, minus = prior(mu + s * eps, t), prior(mu - s * eps, t)
    gradient = (mu - (plus + minus) / 2).flatten()
    matrix = prior.covariance + s**2 * torch.eye(PIXELS, dtype=torch.float64)
    expected = s**2 * torch.linalg.solve(matrix, mu.flatten() - prior.mean)
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=0)
    eps_hat = (mu + s * eps - plus) / s
    torch.testing.assert_close(eps_hat - eps, (mu - plus) / s, atol=1e-12, rtol=0)


def test_fixed_point_of_the_proximal_form():
    s, sigma_y = 0.6, 0.1
    schedule = at_level(s)
    prior = gaussian_prior(SIDE, schedule)
    operator, y, known = problem()
    mu = last(
        red_diff(
            Given(y, operator, prior, schedule, torch.zeros_like(y), generator_of_noise(y.shape)),
            Annealing(steps=2000, sigma_y=sigma_y, s_start=s, s_end=s),
        )
    )
    r = sigma_y**2 * (1 + s**2) / s**2
    eye = torch.eye(PIXELS, dtype=torch.float64)
    matrix = torch.diag(known) + r * (eye - prior.wiener(s))
    target = known * (y.flatten() - prior.mean)
    expected = prior.mean + torch.linalg.solve(matrix, target)
    torch.testing.assert_close(mu.flatten(), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("s", [0.5, 1.0, 3.0])
def test_fixed_point_is_the_posterior_mean_for_a_white_prior(s, unclipped):
    """nu = s^2 / (1 + s^2) and S = I: the exact posterior mean, whatever the level."""
    sigma_y = 0.2
    schedule = at_level(s)
    prior = gaussian_prior(SIDE, schedule, white=True)
    operator, y, known = problem()
    mu = last(
        red_diff(
            Given(y, operator, prior, schedule, torch.zeros_like(y), generator_of_noise(y.shape)),
            Annealing(steps=800, sigma_y=sigma_y, s_start=s, s_end=s),
        )
    )
    gain = known / (known + sigma_y**2)
    expected = prior.mean + gain * (y.flatten() - prior.mean)
    torch.testing.assert_close(mu.flatten(), expected, atol=1e-10, rtol=0)


def test_whole_trajectory_with_pairs(unclipped):
    sigma_y, kappa, steps = 0.1, 1.5, 40
    prior = gaussian_prior(SIDE, SCHEDULE)
    operator, y, known = problem()
    iterator = red_diff(
        Given(y, operator, prior, SCHEDULE, torch.zeros_like(y), generator_of_noise(y.shape)),
        Annealing(steps=steps, sigma_y=sigma_y, s_start=10.0, prior_weight=kappa),
    )
    expected = torch.zeros(PIXELS, dtype=torch.float64)
    grid = SCHEDULE.log_grid(10.0, 0.03, steps // 2)
    for k, (done, mu) in enumerate(iterator):
        s = float(SCHEDULE.s[grid[k]])
        r = kappa * sigma_y**2 / (s**2 / (1 + s**2))
        clean = prior.mean + prior.wiener(s) @ (expected - prior.mean)
        expected = torch.linalg.solve(torch.diag(known + r), y.flatten() + r * clean)
        assert done == 2 * (k + 1)
        torch.testing.assert_close(mu.flatten(), expected, atol=1e-10, rtol=0)
    assert done == steps


def test_single_draws_have_the_derived_mean_and_covariance(unclipped):
    """C_k = F C_{k-1} F^T + s_k^2 G W^2 G^T over many independent rows."""
    side, rows, steps, sigma_y = 3, 40_000, 6, 0.3
    prior = gaussian_prior(side, SCHEDULE)
    known = torch.tensor([1, 0, 1, 0, 0, 1, 1, 0, 1], dtype=torch.float64)
    operator = Inpaint(known.view(1, 1, side, side))
    y = operator(torch.linspace(-1, 1, 9, dtype=torch.float64).view(1, 1, side, side))
    shape = (rows, 1, side, side)
    zero = torch.zeros(shape, dtype=torch.float64)
    mu = last(
        red_diff(
            Given(y, operator, prior, SCHEDULE, zero, generator_of_noise(shape)),
            Annealing(steps=steps, sigma_y=sigma_y, s_start=1.0, s_end=0.2, pairs=False),
        )
    ).flatten(1)
    mean = torch.zeros(9, dtype=torch.float64)
    covariance = torch.zeros(9, 9, dtype=torch.float64)
    for t in SCHEDULE.log_grid(1.0, 0.2, steps):
        s = float(SCHEDULE.s[t])
        r = sigma_y**2 * (1 + s**2) / s**2
        w, g = prior.wiener(s), torch.diag(r / (known + r))
        mean = y.flatten() / (known + r) + g @ (prior.mean + w @ (mean - prior.mean))
        covariance = g @ w @ covariance @ w.T @ g.T + s**2 * g @ w @ w.T @ g.T
    torch.testing.assert_close(mu.mean(0), mean, atol=0.01, rtol=0)
    torch.testing.assert_close(torch.cov(mu.T), covariance, atol=0.01, rtol=0)


def test_no_prior_returns_the_measurement():
    prior = gaussian_prior(SIDE, SCHEDULE)
    _, y, _ = problem()
    everything = Inpaint(torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64))
    noise = generator_of_noise(y.shape)
    start = torch.zeros_like(y)
    settings = {"steps": 20, "sigma_y": 0.1, "s_start": 1.0, "prior_weight": 1e-12}
    mu = last(red_diff(Given(y, everything, prior, SCHEDULE, start, noise), Annealing(**settings)))
    torch.testing.assert_close(mu, y, atol=1e-9, rtol=0)


def test_rows_of_a_batch_do_not_see_each_other():
    prior = gaussian_prior(SIDE, SCHEDULE)
    operator, y, _ = problem()
    start = torch.zeros_like(y)
    settings = {"steps": 20, "sigma_y": 0.1, "s_start": 3.0}
    alone = [
        last(
            red_diff(
                Given(y, operator, prior, SCHEDULE, start, generator_of_noise(y.shape, k)),
                Annealing(**settings),
            )
        )
        for k in range(2)
    ]
    draws = [generator_of_noise(y.shape, k) for k in range(2)]
    both = last(
        red_diff(
            Given(
                y.expand(2, -1, -1, -1),
                operator,
                prior,
                SCHEDULE,
                start.expand(2, -1, -1, -1),
                lambda: torch.cat([draw() for draw in draws]),
            ),
            Annealing(**settings),
        )
    )
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("steps", "pairs"), [(20, True), (50, True), (7, False), (2, True)])
def test_evaluations_are_exact(steps, pairs):
    prior = gaussian_prior(SIDE, SCHEDULE)
    operator, y, _ = problem()
    seen = []

    def counted(z, t):
        seen.append(len(z))
        return prior(z, t)

    noise = generator_of_noise(y.shape)
    settings = {"steps": steps, "sigma_y": 0.1, "s_start": 3.0, "pairs": pairs}
    given = Given(y, operator, counted, SCHEDULE, y, noise)
    done = [k for k, _ in red_diff(given, Annealing(**settings))]
    assert sum(seen) == done[-1] == steps


def test_odd_steps_with_pairs_are_refused():
    operator, y, _ = problem()
    given = Given(y, operator, lambda z, t: z, SCHEDULE, y, lambda: y)
    settings = {"steps": 21, "sigma_y": 0.0, "s_start": 1.0}
    with pytest.raises(ValueError, match="21"):
        next(red_diff(given, Annealing(**settings)))


def test_start_and_measurement_are_not_changed():
    prior = gaussian_prior(SIDE, SCHEDULE)
    operator, y, _ = problem()
    start, y_before = y.clone(), y.clone()
    noise = generator_of_noise(y.shape)
    given = Given(y, operator, prior, SCHEDULE, start, noise)
    last(red_diff(given, Annealing(steps=4, sigma_y=0.1, s_start=1.0)))
    last(red_diff_paper(given, steps=4, lr=0.5, prior_weight=1))
    assert torch.equal(start, y_before)
    assert torch.equal(y, y_before)


def test_paper_form_takes_the_published_step():
    """First step: mu_1 = mu_0 - lr g / (|g| + 1e-8), g from the published losses by autograd."""
    prior = gaussian_prior(SIDE, SCHEDULE)
    operator, y, _ = problem()
    lr, weight = 0.1, 0.25
    draw = generator_of_noise(y.shape)
    iterator = red_diff_paper(
        Given(y, operator, prior, SCHEDULE, y, draw), steps=100, lr=lr, prior_weight=weight
    )
    first, second = next(iterator)[1].clone(), next(iterator)[1].clone()
    assert torch.equal(first, y)

    t = 990
    abar = SCHEDULE.alpha_bar[t]
    eps = generator_of_noise(y.shape)()
    mu = y.clone().requires_grad_(True)
    x_t = abar.sqrt() * mu + (1 - abar).sqrt() * eps
    with torch.no_grad():
        z = x_t / abar.sqrt()
        clean = prior(z, torch.tensor([t]))
        eps_hat = (x_t - abar.sqrt() * clean) / (1 - abar).sqrt()
    loss_noise = ((eps_hat - eps).detach() * mu).mean()
    loss_data = (y - operator(mu)).square().mean() / 2
    inverse_snr = ((1 - abar) / abar).sqrt()
    (weight * inverse_snr * loss_noise + loss_data).backward()
    expected = y - lr * mu.grad / (mu.grad.abs() + 1e-8)
    torch.testing.assert_close(second, expected, atol=1e-7, rtol=0)


def test_paper_form_settles_at_its_derived_fixed_point():
    """mu* = m + (A^T A + Q)^-1 A^T (y - A m), Q = lambda m_y / n s^2 (S + s^2 I)^-1."""
    s, weight = 0.7, 0.5
    schedule = at_level(s)
    prior = gaussian_prior(SIDE, schedule)
    operator, y, known = problem()
    mu = last(
        red_diff_paper(
            # The mean over antithetic noise, exactly.
            Given(y, operator, prior, schedule, y, lambda: torch.zeros_like(y)),
            steps=4000,
            lr=0.01,
            prior_weight=weight,
        )
    )
    eye = torch.eye(PIXELS, dtype=torch.float64)
    q = weight * s**2 * torch.linalg.inv(prior.covariance + s**2 * eye)  # here m_y = n
    target = known * (y.flatten() - prior.mean)
    expected = prior.mean + torch.linalg.solve(torch.diag(known) + q, target)
    torch.testing.assert_close(mu.flatten(), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("asked", "taken"), [(100, 100), (300, 334), (10, 10), (1000, 1000)])
def test_paper_form_counts_steps_like_the_published_one(asked, taken):
    grid = SCHEDULE.reference_grid(asked)
    assert len(grid) == taken
    assert grid == sorted(grid, reverse=True)
    assert grid[-1] == 0


def test_pictures_of_a_batch_do_not_change_each_other_in_the_published_form():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(3, 1, 4, 4, generator=generator) * 2 - 1
    xi = torch.randn(4, 1, 1, 4, 4, generator=generator)

    def solved(rows):
        draws = iter(xi)
        steps = red_diff_paper(
            Given(
                *(y[rows], lambda x: 0.5 * x, lambda z, t: 0.9 * z, SCHEDULE, y[rows].clone()),
                lambda: next(draws).expand_as(y[rows]),
            ),
            steps=4,
            lr=0.1,
            prior_weight=0.25,
        )
        *_, (_, mu) = steps
        return mu

    torch.testing.assert_close(solved([0, 1, 2])[1:2], solved([1]), atol=0, rtol=0)


def test_paper_form_is_adam_with_the_published_betas():
    """(0.9, 0.99), by the formulas of Kingma and Ba 2015, where only the data pull."""
    y = torch.tensor([0.9, -0.4, 0.1, 0.0], dtype=torch.float64).view(1, 1, 2, 2)
    start, lr, steps = torch.zeros_like(y), 0.3, 6
    seen = red_diff_paper(
        Given(y, lambda x: x, lambda z, t: z, SCHEDULE, start, lambda: torch.zeros_like(y)),
        steps=steps,
        lr=lr,
        prior_weight=0.0,
    )
    mu, first, second = start.clone(), torch.zeros_like(y), torch.zeros_like(y)
    for k, found in seen:
        torch.testing.assert_close(found, mu, atol=1e-9, rtol=0)
        gradient = (mu - y) / y.numel()
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        root = (second / (1 - 0.99**k)).sqrt() + 1e-8
        mu = mu - lr * first / (1 - 0.9**k) / root


def test_paper_form_needs_no_compiler():
    """PyTorch's optimisers import it, which the first picture would wait two seconds for."""
    code = """
import sys, torch
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.reddiff import red_diff_paper
y = torch.zeros(1, 1, 2, 2)
solver = red_diff_paper(
    Given(y, lambda x: x, lambda z, t: z, linear_betas(), y, lambda: torch.zeros_like(y)),
    steps=2,
    lr=0.1,
    prior_weight=1.0,
)
assert len(list(solver)) == 2
print("torch._dynamo" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr
