"""The four baselines against closed forms for an exact Gaussian prior, in float64."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from doubles import gaussian_prior
from reddiff_cli import methods
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.errors import UsageError
from reddiff_cli.operators import CircularBlur, Inpaint
from reddiff_cli.options.common import (
    METHODS,
    PUBLISHED_STEPS,
    STEPS,
    TASKS,
    SolverOptions,
    check_method,
    check_solver,
)
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.ddrm import ETA as DDRM_ETA
from reddiff_cli.solvers.ddrm import ddrm
from reddiff_cli.solvers.diffpir import SETTINGS, SIGMA_LEAST, diffpir
from reddiff_cli.solvers.dps import ZETA, default_zeta, dps
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.pigdm import ETA as PIGDM_ETA
from reddiff_cli.solvers.pigdm import pigdm
from reddiff_cli.solvers.reddiff import SIGMA_FLOOR, SIGMA_SINGLE
from reddiff_cli.tasks import Stage
from reddiff_cli.tiling import Whole

SIDE, ROWS = 8, 512
PIXELS = SIDE * SIDE
SCHEDULE = linear_betas()
PRIOR = gaussian_prior(SIDE, SCHEDULE)
EYE = torch.eye(PIXELS, dtype=torch.float64)
SOLVERS = {
    "dps": (dps, {"zeta": 0.5}),
    "pigdm": (pigdm, {"sigma_y": 0.1}),
    "ddrm": (ddrm, {"sigma_y": 0.1}),
    "diffpir": (diffpir, {"sigma_y": 0.1, "zeta": 0.4, "weight": 3.0}),
}
EACH = pytest.mark.parametrize("name", SOLVERS)


@dataclass(frozen=True)
class Dense:
    """y = A x for any matrix A (m, PIXELS), all steps by dense linear algebra."""

    matrix: Tensor

    def __call__(self, x):
        return x.flatten(1) @ self.matrix.T

    def data_step(self, d, y, r):
        left = self.matrix.T @ self.matrix + r * EYE
        right = y @ self.matrix + r * d.flatten(1)
        return torch.linalg.solve(left, right.T).T.view_as(d)

    @property
    def spectrum(self):
        return DenseSpectrum(*torch.linalg.svd(self.matrix))


@dataclass(frozen=True)
class DenseSpectrum:
    u: Tensor
    values: Tensor
    vt: Tensor

    @property
    def singular_values(self):
        return torch.cat([self.values, self.values.new_zeros(PIXELS - len(self.values))])

    def to_basis(self, x):
        return x.flatten(1) @ self.vt.T

    def from_basis(self, coordinates):
        return (coordinates @ self.vt).view(-1, 1, SIDE, SIDE)

    def measurement_to_basis(self, y):
        seen = y @ self.u / self.values
        return torch.cat([seen, seen.new_zeros(len(y), PIXELS - len(self.values))], 1)


def random(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def draws(rows=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, 1, SIDE, SIDE)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def zeros(rows=1):
    return torch.zeros(rows, 1, SIDE, SIDE, dtype=torch.float64)


def dense_problem():
    """24 measurements with singular values from 0.02 to 2, noise 0.1."""
    u, _, vt = torch.linalg.svd(random((24, PIXELS), 1), full_matrices=False)
    values = torch.logspace(math.log10(2), math.log10(0.02), 24, dtype=torch.float64)
    operator = Dense(u @ torch.diag(values) @ vt)
    return operator, operator(0.5 * random((1, 1, SIDE, SIDE), 2)) + 0.1 * random((1, 24), 3)


def inpainting(rows=1):
    known = (random((1, 1, SIDE, SIDE), 4) > 0).double()
    return Inpaint(known), known * 0.5 * random((rows, 1, SIDE, SIDE), 5)


def last(iterator):
    *_, (_, x) = iterator
    return x


def denoised(z, s):
    """D of one picture as a vector, by matrices."""
    return PRIOR.mean + PRIOR.wiener(s) @ (z - PRIOR.mean)


def visited(grid):
    """(s_t, s_u, alpha_bar_t, alpha_bar_u) along a grid."""
    bars = [*SCHEDULE.alpha_bar[grid].tolist(), 1.0]
    levels = [math.sqrt((1 - bar) / bar) for bar in bars]
    return list(zip(levels, levels[1:], bars, bars[1:], strict=False))


def watched(seen):
    """The prior, noting every z that it is asked for."""

    def denoise(z, t):
        seen.append(z.detach().clone())
        return PRIOR(z, t)

    return denoise


# Without data every method is z <- D + kept eps_hat + fresh xi; kept and fresh as functions of
# the levels. DPS is written as a DDPM posterior, which is DDIM at eta 1.
def ddim(eta):
    def shares(s, s_u, bar, bar_u):
        c1 = eta * math.sqrt((1 - bar / bar_u) * (1 - bar_u) / (1 - bar))
        return math.sqrt(1 - bar_u - c1**2) / math.sqrt(bar_u), c1 / math.sqrt(bar_u)

    return shares


def split(fresh):
    return lambda s, s_u, bar, bar_u: (s_u * math.sqrt(1 - fresh**2), s_u * fresh)


UNCONDITIONAL = {
    "dps": (dps, {"steps": 250, "zeta": 1.0, "clip": False}, "uniform", ddim(1.0), True),
    "pigdm": (pigdm, {"steps": 250, "eta": 1.0, "sigma_y": 0.1}, "uniform", ddim(1.0), True),
    "pigdm, eta 0.3": (
        pigdm,
        {"steps": 40, "eta": 0.3, "sigma_y": SIGMA_FLOOR},
        "uniform",
        ddim(0.3),
        False,
    ),
    "ddrm, eta 0": (ddrm, {"steps": 250, "eta": 0.0, "sigma_y": 0.1}, "uniform", split(0), True),
    "ddrm": (ddrm, {"steps": 20, "sigma_y": 0.0}, "uniform", split(0.85), False),
    "diffpir, zeta 0": (
        diffpir,
        {"steps": 250, "sigma_y": 0.1, "zeta": 0.0, "weight": 1.0, "clip": False},
        "quadratic",
        split(0),
        True,
    ),
    "diffpir": (
        diffpir,
        {"steps": 100, "sigma_y": 0.1, "zeta": 0.25, "weight": 1.0, "clip": False},
        "quadratic",
        split(0.5),
        False,
    ),
}


@pytest.mark.parametrize("case", UNCONDITIONAL)
def test_without_data_the_prior_comes_back(case):
    """Mean, and the variance along every eigenvector of S, over 512 rows."""
    solver, settings, spacing, shares, faithful = UNCONDITIONAL[case]
    nothing = Inpaint(zeros())
    seen = []
    x = last(
        solver(
            Given(zeros(ROWS), nothing, watched(seen), SCHEDULE, zeros(ROWS), draws(ROWS)),
            **settings,
        )
    ).flatten(1)
    eigenvalues, vectors = torch.linalg.eigh(PRIOR.covariance)
    make_grid = getattr(SCHEDULE, f"{spacing}_grid")
    grid = visited(make_grid(len(seen)))
    expected = torch.full_like(eigenvalues, grid[0][0] ** 2)
    for s, s_u, bar, bar_u in grid:
        w = eigenvalues / (eigenvalues + s**2)
        kept, fresh = shares(s, s_u, bar, bar_u)
        expected = (w + kept * (1 - w) / s).square() * expected + fresh**2
    ratio = ((x - PRIOR.mean) @ vectors).var(0) / expected  # chi-square, spread 0.063
    assert float((ratio - 1).abs().max()) < 0.32
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float((x.mean(0) - PRIOR.mean).abs().max()) < 0.11  # spread 0.022
    if faithful:
        torch.testing.assert_close(expected, eigenvalues, rtol=0.12, atol=0)


def test_pigdm_data_vector_is_that_of_the_pseudo_inverse():
    """data_step - D = A^T (A A^T + q I)^-1 (y - A D), pulled back by W^T: one step from s."""
    operator, y = dense_problem()
    t, sigma_y = 300, 0.1
    s = float(SCHEDULE.s[t])
    z = s * draws()().flatten()
    x = last(
        pigdm(
            Given(y, operator, PRIOR, SCHEDULE, zeros(), draws()), steps=1, sigma_y=0.1, s_start=s
        )
    )
    clean, a = denoised(z, s), operator.matrix
    q = sigma_y**2 * (1 + s**2) / s**2
    kernel = a @ a.T + q * torch.eye(len(a), dtype=torch.float64)
    v = a.T @ torch.linalg.solve(kernel, y[0] - a @ clean)
    torch.testing.assert_close(x.flatten(), clean + PRIOR.wiener(s).T @ v, atol=1e-9, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_pigdm_trajectory(eta):
    operator, y = dense_problem()
    seen, noise = [], draws()
    last(
        pigdm(
            Given(y, operator, watched(seen), SCHEDULE, zeros(), draws()),
            steps=8,
            sigma_y=0.1,
            eta=eta,
        )
    )
    a = operator.matrix
    grid = visited(SCHEDULE.uniform_grid(8))
    x = math.sqrt(1 - grid[0][2]) * noise().flatten()
    for k, (s, _, bar, bar_u) in enumerate(grid):
        torch.testing.assert_close(seen[k].flatten(), x / math.sqrt(bar), atol=1e-8, rtol=1e-8)
        clean = denoised(x / math.sqrt(bar), s)
        eps = (x - math.sqrt(bar) * clean) / math.sqrt(1 - bar)
        r = 0.1**2 / (s**2 / (1 + s**2))
        v = torch.linalg.solve(a.T @ a + r * EYE, y[0] @ a + r * clean) - clean
        g = PRIOR.wiener(s).T @ v / math.sqrt(bar)
        kept, fresh = (share * math.sqrt(bar_u) for share in ddim(eta)(s, 0, bar, bar_u))
        x = math.sqrt(bar_u) * clean + kept * eps + math.sqrt(bar_u * bar) * g
        if k < 7:
            x = x + fresh * noise().flatten()


def test_ddrm_keeps_what_was_measured_without_noise():
    operator, y = inpainting(3)
    x = last(ddrm(Given(y, operator, PRIOR, SCHEDULE, zeros(3), draws(3)), steps=20, sigma_y=0.0))
    assert torch.equal(operator(x), y)
    dense, _ = dense_problem()
    y = dense(random((3, 1, SIDE, SIDE), 6))
    x = last(ddrm(Given(y, dense, PRIOR, SCHEDULE, zeros(3), draws(3)), steps=20, sigma_y=0.0))
    torch.testing.assert_close(dense(x), y, atol=1e-10, rtol=0)


def test_ddrm_comes_near_the_posterior_mean_where_all_is_seen():
    sigma_y = 0.3
    everything = Inpaint(torch.ones_like(zeros()))
    picture = PRIOR.mean + torch.linalg.cholesky(PRIOR.covariance) @ random((PIXELS,), 7)
    y = picture + sigma_y * random((PIXELS,), 8)
    rows = y.view(1, 1, SIDE, SIDE).expand(64, -1, -1, -1)
    settings = {"steps": 100, "sigma_y": sigma_y}
    x = last(ddrm(Given(rows, everything, PRIOR, SCHEDULE, zeros(64), draws(64)), **settings))
    expected = denoised(y, sigma_y)
    off, noise = (x.flatten(1).mean(0) - expected).norm(), (y - expected).norm()
    assert float(off / noise) < 0.25


def test_ddrm_trajectory_in_all_three_cases():
    """Every coordinate by itself, as the formulas stand in the paper."""
    operator, y = dense_problem()
    sigma_y, eta, steps = 0.1, 0.7, 12
    seen, noise = [], draws()
    settings = {"steps": steps, "sigma_y": sigma_y, "eta": eta, "s_start": 2.0}
    start = 0.3 * random((1, 1, SIDE, SIDE), 9)
    x = last(ddrm(Given(y, operator, watched(seen), SCHEDULE, start, draws()), **settings))
    u, values, vt = torch.linalg.svd(operator.matrix)
    a = [*values.tolist(), *[0.0] * (PIXELS - len(values))]
    ybar = [*(y[0] @ u / values).tolist(), *[0.0] * (PIXELS - len(values))]
    grid = visited(SCHEDULE.uniform_grid(steps, 2.0))
    xi, begin, s = vt @ noise().flatten(), vt @ start.flatten(), grid[0][0]
    zbar = torch.tensor(
        [
            ybar[i] + math.sqrt(s**2 - (sigma_y / a[i]) ** 2) * xi[i]
            if a[i] * s > sigma_y
            else begin[i] + s * xi[i]
            for i in range(PIXELS)
        ],
        dtype=torch.float64,
    )
    cases = set()
    for k, (s, s_u, _, _) in enumerate(grid):
        torch.testing.assert_close(seen[k].flatten(), vt.T @ zbar, atol=1e-8, rtol=0)
        dbar = vt @ denoised(vt.T @ zbar, s)
        xi = vt @ noise().flatten() if k < steps - 1 else torch.zeros(PIXELS)
        zbar = zbar.clone()
        for i in range(PIXELS):
            if a[i] == 0:
                case, side = "unseen", s_u * (zbar[i] - dbar[i]) / s
            elif a[i] * s_u < sigma_y:
                case, side = "noisy", s_u * (ybar[i] - dbar[i]) * a[i] / sigma_y
            else:
                case = "trusted"
                spread = math.sqrt(s_u**2 - (sigma_y / a[i]) ** 2)
                zbar[i] = ybar[i] + spread * xi[i]
            if case != "trusted":
                zbar[i] = dbar[i] + math.sqrt(1 - eta**2) * side + eta * s_u * xi[i]
            cases.add(case)
    assert cases == {"unseen", "noisy", "trusted"}
    torch.testing.assert_close(x.flatten(), vt.T @ zbar, atol=1e-8, rtol=0)


@pytest.mark.parametrize("clip", [False, True])
def test_dps_step_by_its_jacobian(clip):
    """x' = mu(x, D) + std xi - zeta g, g = -(W / sqrt(alpha_bar))^T A^T e / |e|."""
    operator, y = dense_problem()
    zeta, seen, noise = 0.7, [], draws()
    settings = {"steps": 3, "zeta": zeta, "s_start": 3.0, "clip": clip}
    x_last = last(dps(Given(y, operator, watched(seen), SCHEDULE, zeros(), draws()), **settings))
    grid = visited(SCHEDULE.uniform_grid(3, 3.0))
    x = math.sqrt(1 - grid[0][2]) * noise().flatten()
    for k, (s, _, bar, bar_u) in enumerate(grid):
        torch.testing.assert_close(seen[k].flatten(), x / math.sqrt(bar), atol=1e-10, rtol=0)
        raw = denoised(x / math.sqrt(bar), s)
        inside = (raw.abs() < 1).double() if clip else torch.ones(PIXELS, dtype=torch.float64)
        clean = raw.clamp(-1, 1) if clip else raw
        e = y[0] - operator.matrix @ clean
        jacobian = torch.diag(inside) @ PRIOR.wiener(s) / math.sqrt(bar)
        g = -jacobian.T @ operator.matrix.T @ e / e.norm()
        beta = 1 - bar / bar_u
        mean = math.sqrt(bar_u) * beta * clean + math.sqrt(1 - beta) * (1 - bar_u) * x
        x = mean / (1 - bar) - zeta * g
        if k < 2:
            x = x + math.sqrt(beta * (1 - bar_u) / (1 - bar)) * noise().flatten()
    torch.testing.assert_close(x_last.flatten(), x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("zeta", [1.0, 0.3])
def test_diffpir_trajectory(zeta, clip):
    operator, y = dense_problem()
    sigma_y, weight, steps, noise = 0.1, 7.0, 15, draws()
    settings = {"steps": steps, "sigma_y": sigma_y, "zeta": zeta, "weight": weight, "clip": clip}
    states = diffpir(Given(y, operator, PRIOR, SCHEDULE, zeros(), draws()), **settings)
    a = operator.matrix
    grid = visited(SCHEDULE.quadratic_grid(steps))
    z = grid[0][0] * noise().flatten()
    for (s, s_u, _, _), (done, state) in zip(grid, states, strict=True):
        clean = denoised(z, s)
        clean = clean.clamp(-1, 1) if clip else clean
        r = weight / 4 * sigma_y**2 / s**2
        h = torch.linalg.solve(a.T @ a + r * EYE, a.T @ y[0] + r * clean)
        expected = clean if done == steps else h
        torch.testing.assert_close(state.flatten(), expected, atol=1e-8, rtol=0)
        if done < steps:
            xi = noise().flatten()
            e = (z - h) / s
            z = h + s_u * (math.sqrt(1 - zeta) * e + math.sqrt(zeta) * xi)


def test_diffpir_pastes_known_pixels():
    operator, y = inpainting()
    settings = {"steps": 5, "sigma_y": 0.0, "zeta": 1.0, "weight": 1.0}
    free = last(diffpir(Given(y, operator, PRIOR, SCHEDULE, zeros(), draws()), **settings))
    settings["known"] = operator.known
    pasted = last(diffpir(Given(y, operator, PRIOR, SCHEDULE, zeros(), draws()), **settings))
    assert torch.equal(operator(pasted), y)
    assert torch.equal(pasted * (1 - operator.known), free * (1 - operator.known))


@EACH
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_evaluations_are_exact_and_runs_repeat(name, steps):
    solver, settings = SOLVERS[name]
    operator, y = inpainting()
    runs = []
    for _ in range(2):
        seen = []
        noise = draws()
        states = solver(
            Given(y, operator, watched(seen), SCHEDULE, zeros(), noise), steps=steps, **settings
        )
        runs.append([(done, x) for done, x in states])
        assert [done for done, _ in runs[-1]] == list(range(1, steps + 1))
        assert len(seen) == steps
    assert torch.equal(runs[0][-1][1], runs[1][-1][1])
    assert not runs[0][-1][1].requires_grad


@EACH
def test_rows_of_a_batch_do_not_see_each_other(name):
    solver, settings = SOLVERS[name]
    operator, y = inpainting(3)
    start = 0.3 * random(y.shape, 10)
    settings = {**settings, "steps": 10, "s_start": 5.0}
    alone = [
        last(
            solver(
                Given(y[k][None], operator, PRIOR, SCHEDULE, start[k][None], draws(1, k)),
                **settings,
            )
        )
        for k in range(3)
    ]
    noise = [draws(1, k) for k in range(3)]
    both = last(
        solver(
            Given(
                y, operator, PRIOR, SCHEDULE, start, lambda: torch.cat([draw() for draw in noise])
            ),
            **settings,
        )
    )
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-11, rtol=0)


@EACH
def test_inputs_are_not_changed(name):
    solver, settings = SOLVERS[name]
    operator, y = inpainting()
    start = random(y.shape, 11)
    copies = y.clone(), start.clone(), operator.known.clone()
    given = Given(y, operator, PRIOR, SCHEDULE, start, draws())
    results = [x for _, x in solver(given, steps=4, **settings)]
    for x in results:
        x.add_(1)
    for now, before in zip((y, start, operator.known), copies, strict=True):
        assert torch.equal(now, before)


@EACH
@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_that_the_schedule_has_not(name, steps):
    solver, settings = SOLVERS[name]
    operator, y = inpainting()
    with pytest.raises(ValueError, match=str(steps)):
        next(solver(Given(y, operator, PRIOR, SCHEDULE, y, draws()), steps=steps, **settings))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dps", {"zeta": -1.0}),
        ("pigdm", {"eta": 1.5}),
        ("ddrm", {"eta": -0.1}),
        ("diffpir", {"zeta": 1.5}),
        ("diffpir", {"weight": 0.0}),
    ],
)
def test_settings_out_of_range(name, wrong):
    solver, settings = SOLVERS[name]
    operator, y = inpainting()
    given = Given(y, operator, PRIOR, SCHEDULE, y, draws())
    with pytest.raises(ValueError, match=next(iter(wrong))):
        next(solver(given, steps=9, **{**settings, **wrong}))


@pytest.mark.parametrize("name", ["dps", "pigdm"])
def test_denoiser_that_records_nothing_is_refused(name, tiny_prior):
    solver, settings = SOLVERS[name]
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    y = torch.randn(2, 3, 9, 10)
    operator = Inpaint((torch.rand(1, 1, 9, 10) < 0.5).float())
    problem = (SCHEDULE, y, lambda: torch.randn_like(y))
    with pytest.raises(ValueError, match="records no gradient"):
        next(solver(Given(y, operator, denoiser, *problem), steps=2, **settings))
    x = last(solver(Given(y, operator, denoiser.recorded, *problem), steps=2, **settings))
    assert x.shape == y.shape
    assert bool(x.isfinite().all())


def test_operators_that_a_method_cannot_take():
    y = random((1, 1, SIDE, SIDE), 12)
    problem = (PRIOR, SCHEDULE, zeros(), draws())
    with pytest.raises(ValueError, match="zero everywhere"):
        next(dps(Given(y, torch.round, *problem), steps=9, zeta=1.0))
    with pytest.raises(ValueError, match="not differentiable"):
        next(dps(Given(y, lambda x: x.detach(), *problem), steps=9, zeta=1.0))
    with pytest.raises(ValueError, match="singular value"):
        next(ddrm(Given(y, torch.round, *problem), steps=9, sigma_y=0.1))


def test_what_each_method_can_do():
    able = {m: {t for t in TASKS if not _refusal(m, t)} for m in METHODS}
    assert able["reddiff"] == able["diffpir"] == set(TASKS)
    assert able["dps"] == set(TASKS) - {"jpeg"}
    assert able["pigdm"] == set(TASKS) - {"phase"}
    assert able["ddrm"] == {"inpaint", "denoise", "superres", "deblur", "colorize"}
    assert _refusal("ddrm", "phase") == (
        "--method ddrm: phase retrieval has no singular value decomposition; "
        "use reddiff, dps, diffpir"
    )
    assert "only blur with a circular border" in _refusal("ddrm", "deblur", spectral=False)
    with pytest.raises(UsageError, match="ddrm"):
        SolverOptions(method="gan")
    with pytest.raises(ValueError, match="dream"):
        check_method("dps", "dream")


def test_every_task_that_a_method_takes_has_settings():
    assert set(SETTINGS) == set(TASKS)
    assert set(ZETA) == set(TASKS) - {"jpeg"}
    assert default_zeta("inpaint", 1000) == 0.5
    assert default_zeta("inpaint", 100) == pytest.approx(5.0)
    assert default_zeta("inpaint", 1000, 512 * 512) == pytest.approx(1.0)


def _refusal(method, task, **settings):
    try:
        check_method(method, task, **settings)
    except UsageError as error:
        return str(error)
    return ""


def test_what_is_trusted_a_little_pushes_dps_as_little(monkeypatch):
    """The patches of a wide hole are soft pixels: A(x) = sqrt(known) x."""
    known = torch.tensor([1.0, 0.01, 0.0]).view(1, 1, 1, 3)
    y = torch.tensor([0.4, 0.6, 0.0]).view(1, 1, 1, 3)
    stage = Stage(Whole(0), Inpaint(known), y, y.clone(), 1.0, 0.1)
    given = {}

    def solver(told, **options):
        given.update(y=told.y, predicted=told.operator(torch.ones_like(told.y)))
        return iter(())

    monkeypatch.setattr(methods, "dps", solver)
    options = SolverOptions(method="dps", steps=2)
    denoiser = SimpleNamespace(schedule=SCHEDULE, recorded=None)
    methods.Solving("inpaint", stage, y, lambda: y, denoiser, Card("none", None), options).run()
    assert torch.allclose(given["y"].flatten(), torch.tensor([0.4, 0.06, 0.0]))
    assert torch.allclose(given["predicted"].flatten(), torch.tensor([1.0, 0.1, 0.0]))


def test_pigdm_believes_what_it_is_told_to():
    """Half of the pixels without noise: believed to 1e-3 the answer meets them better."""
    operator = Dense(EYE[::2])
    y = operator(0.5 * random((1, 1, SIDE, SIDE), 2))
    missed = []
    for least in (0.3, 1e-3):
        stage = Stage(Whole(0), operator, y, zeros(), 1.0, 0.0, sigma_least=least)
        given = Given(y, operator, PRIOR, SCHEDULE, zeros(), draws())
        x = last(pigdm(given, steps=20, sigma_y=stage.sigma))
        missed.append(float((operator(x) - y).square().mean().sqrt()))
    assert missed[1] < missed[0] / 10


@pytest.mark.parametrize("preset", ["paper", "standard"])
def test_the_published_form_is_refused_where_there_is_no_gradient(preset):
    solver = SolverOptions(preset=preset)
    check_solver(solver, "denoise")
    if preset == "paper":
        with pytest.raises(UsageError, match="--preset paper: the rounding of JPEG"):
            check_solver(solver, "jpeg")
    else:
        check_solver(solver, "jpeg")


class Wired:
    """The prior of these tests as methods.py wants it."""

    schedule = SCHEDULE
    recorded = PRIOR

    def __call__(self, z, t):
        return PRIOR(z, t)


def ddrm_of(task, stage):
    """What DDRM makes of a stage by its wiring."""
    options = SolverOptions(method="ddrm", steps=20, noise=0.0, s_start=1.0)
    card = Card("none", None)
    return last(methods.Solving(task, stage, stage.start, draws(), Wired(), card, options).run())


@pytest.mark.parametrize("method", ["dps", "pigdm", "ddrm", "diffpir"])
def test_the_card_says_where_a_chain_begins(method):
    """As if it had been asked for; and what was asked for comes first."""
    y = 0.5 * random((1, 1, SIDE, SIDE), 2)
    stage = Stage(Whole(0), Inpaint(torch.ones_like(y)), y, y, 1.0, 0.1)

    def result(card, s_start):
        options = SolverOptions(method=method, steps=10, s_start=s_start)
        wiring = methods.Solving("inpaint", stage, y, draws(), Wired(), card, options)
        assert methods.evaluations(options, Wired(), card) == 10
        return last(wiring.run())

    plain, limited = Card("none", None), Card("none", None, chain_starts={method: 1.0})
    assert torch.equal(result(limited, None), result(plain, 1.0))
    assert torch.equal(result(limited, 3.0), result(plain, 3.0))
    assert not torch.equal(result(limited, None), result(plain, None))


def test_more_steps_than_levels_from_the_start_of_the_card_are_refused():
    card, options = (
        Card("none", None, chain_starts={"dps": 1.0}),
        SolverOptions(method="dps", steps=400),
    )
    with pytest.raises(UsageError, match="400: the prior has 25[0-9] noise levels from --start 1"):
        methods.evaluations(options, Wired(), card)
    assert methods.evaluations(options, Wired(), Card("none", None)) == 400


@pytest.mark.parametrize("method", ["dps", "pigdm", "ddrm", "diffpir"])
def test_by_default_a_short_chain_takes_as_many_steps_as_it_has_levels(method):
    """Nobody has given --steps, so nobody can be told to give fewer."""
    y = 0.5 * random((1, 1, SIDE, SIDE), 2)
    stage = Stage(Whole(0), Inpaint(torch.ones_like(y)), y, y, 1.0, 0.1)
    card, options = Card("none", None), SolverOptions(method=method, s_start=0.02)
    levels = SCHEDULE.levels_from(0.02)
    assert 1 < levels < options.evaluations
    assert methods.evaluations(options, Wired(), card) == levels
    wiring = methods.Solving("inpaint", stage, y, draws(), Wired(), card, options)
    done = [done for done, _ in wiring.run()]
    assert done[-1] == levels


@pytest.mark.parametrize(
    ("samples", "asked", "start"), [(1, None, 1), (2, None, 3), (2, 0.5, 0.5)]
)
def test_samples_start_where_they_are_asked_to(samples, asked, start, monkeypatch):
    """The card's `sample_start` is for those who ask for no start."""
    y = 0.5 * random((1, 1, SIDE, SIDE), 2)
    stage = Stage(Whole(0), Inpaint(torch.ones_like(y)), y, y, asked or 1.0, 0.1)
    card, given = Card("none", None, sample_start=3.0), {}
    monkeypatch.setattr(methods, "red_diff", lambda _, how, *rest: given.update(vars(how)) or ())
    options = SolverOptions(samples=samples, s_start=asked)
    methods.Solving("inpaint", stage, y, draws(), Wired(), card, options).run()
    assert given["s_start"] == start


def test_ddrm_believes_a_file_as_far_as_it_was_rounded():
    """Deblurring without noise, of 8 bits: rounding in weak directions is no picture."""
    kernel = torch.exp(-((torch.arange(7.0, dtype=torch.float64) - 3) ** 2) / 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    operator = CircularBlur(kernel, (SIDE, SIDE))
    truth = 0.5 * random((1, 1, SIDE, SIDE), 2)
    exact = operator(truth)
    y = ((exact + 1) * 127.5).round() / 127.5 - 1
    errors = {}
    for name, measured, least in (("file", y, SIGMA_FLOOR), ("believed", y, SIGMA_SINGLE)):
        stage = Stage(Whole(0), operator, measured, measured, 1.0, 0.0, sigma_least=least)
        errors[name] = float((ddrm_of("deblur", stage) - truth).square().mean().sqrt())
    assert errors["file"] < errors["believed"] / 3


def test_ddrm_moves_what_is_trusted_a_little():
    """The patches of a wide hole, in a picture without noise."""
    known = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    known[..., 2:6, 2:6] = 0.02
    y = 0.5 * random((1, 1, SIDE, SIDE), 2)
    stage = Stage(Whole(0), Inpaint(known), y, y, 1.0, 0.0)
    moved = (ddrm_of("inpaint", stage) - y).abs()
    assert float(moved[known < 1].min()) > 1e-4
    assert float(moved[known < 1].mean()) > 3 * float(moved[known == 1].mean())


def test_directions_of_noise_alone_are_left_to_the_prior():
    """With noise, a singular value of a ten-thousandth says nothing; without, it is exact."""
    a = torch.ones(PIXELS, dtype=torch.float64)
    a[0] = 1e-4
    operator = Dense(torch.diag(a))
    y = operator(0.5 * random((1, 1, SIDE, SIDE), 2))
    other = y.clone()
    other.view(-1)[0] += 1e-4  # 1 in the picture

    def given(one):
        return Given(one, operator, PRIOR, SCHEDULE, zeros(), draws())

    results = {
        sigma: [last(ddrm(given(one), steps=9, sigma_y=sigma)) for one in (y, other)]
        for sigma in (0.0, 0.05)
    }
    assert torch.equal(*results[0.05])
    assert not torch.equal(*results[0.0])


# Task: step size, lambda without and with noise. Of the configurations and the test script of
# github.com/NVlabs/RED-diff (100 steps in its README); phase: 0.25 for pictures in [-1, 1], whose
# loss is 4 times that of ours in [0, 1]. It has no denoise, colorize, restore: its defaults.
PAPER = {
    "inpaint": (0.25, 0.25, 1.0),
    "superres": (0.1, 0.25, 0.25),
    "deblur": (0.5, 0.25, 0.25),
    "hdr": (0.5, 0.25, 0.25),
    "jpeg": (0.5, 0.25, 0.25),
    "phase": (0.5, 0.0625, 0.0625),
    "denoise": (0.5, 0.25, 0.25),
    "colorize": (0.5, 0.25, 0.25),
    "restore": (0.5, 0.25, 0.25),
}


def test_published_constants():
    """Every one that a comparison rests on, with where it was published."""
    found = {
        task: (row.paper_lr, row.paper_weight, row.paper_weight_noisy)
        for task, row in TASKS.items()
    }
    assert found == PAPER
    # Chung et al. 2022, configurations of github.com/DPS2022/diffusion-posterior-sampling: 0.5
    # inpainting, 0.3 superres and blur, 1.0 phase (2.0 for amplitudes of pictures in [0, 1]).
    published = {"inpaint": 0.5, "superres": 0.3, "deblur": 0.3, "phase": 2.0}
    assert {task: ZETA[task] for task in published} == published
    assert {ZETA[task] for task in set(ZETA) - set(published)} == {0.3}
    # Song et al. 2023, 100 steps; eta of the test script in github.com/NVlabs/RED-diff.
    assert PIGDM_ETA == 1.0
    # Kawar et al. 2022, README of github.com/bahjat-kawar/ddrm.
    assert DDRM_ETA == 0.85
    # Zhu et al. 2023, scripts and tables of github.com/yuanzhi-zhu/DiffPIR: (zeta, lambda), and
    # the least noise, 0.001 in [0, 1].
    published = {"inpaint": (1.0, 1.0), "superres": (0.25, 1.0), "deblur": (0.1, 7.0)}
    assert {task: SETTINGS[task] for task in published} == published
    assert {SETTINGS[task] for task in set(SETTINGS) - set(published)} == {(0.25, 4.0)}
    assert SIGMA_LEAST == 0.002
    # Network evaluations of the papers.
    assert PUBLISHED_STEPS == {"dps": 1000, "pigdm": 100, "ddrm": 20, "diffpir": 100}
    assert STEPS["paper"] == 100
