"""Phase retrieval: operator, alignment, search, support, noise, choice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import scene
from reddiff_cli.alignment import align
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.symmetry import TURNS
from reddiff_cli.errors import PictureError
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Phase
from reddiff_cli.operators.hio import (
    BETA,
    Magnitudes,
    half_magnitudes,
    misfit,
    opposite,
    pad,
    relaxed_reflections,
)
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.retrieval import pipeline as phase_pipeline
from reddiff_cli.retrieval.diffraction import Diffraction
from reddiff_cli.retrieval.options import PhaseOptions
from reddiff_cli.retrieval.pipeline import choose, conclude, gather, polish, search
from reddiff_cli.retrieval.problem import estimate_noise, prepare
from reddiff_cli.retrieval.support import find_support
from reddiff_cli.schedule import Schedule
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks import phase as task

SIZES = [((16, 20), (8, 10)), ((17, 23), (8, 11)), ((16, 21), (7, 10))]


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def distance(x, reference):
    """Root mean square difference of each picture after alignment, (B,)."""
    return (align(x, reference) - reference).square().flatten(1).mean(1).sqrt()


def holes(detector, share=0.1, seed=3):
    return (random(*detector, seed=seed) >= share).double()


def operator_of(detector, support, share=0.0, iterations=8):
    return Phase(detector, support, holes(detector, share), iterations)


def picture(height=32, width=32, channels=1, seed=0):
    """A scene with detail, (1, C, H, W) in [0, 1], fp32."""
    values = scene(height, width, 3, seed)[:, :, :channels]
    return torch.from_numpy(values.copy()).permute(2, 0, 1)[None].float() / 255


def measured_from(u, detector, noise=0.0, scale=1.0, known=None, seed=0):
    y = torch.fft.fft2(u[0].double(), s=detector, norm="ortho").abs()
    generator = torch.Generator().manual_seed(seed)
    y = (y + noise * torch.randn(y.shape, generator=generator, dtype=torch.float64)).clamp(min=0)
    known = np.ones(detector, bool) if known is None else known
    return Diffraction((scale * y).float().numpy(), known, "corner", False, ())


@pytest.mark.parametrize(("detector", "support"), SIZES)
def test_measurement_has_the_energy_of_the_object_and_no_phase(detector, support):
    operator = operator_of(detector, support)
    x = 2 * random(2, 3, *support) - 1
    y = operator(x)
    assert y.shape == (2, 3, *detector)
    energy = ((x + 1) / 2).square().sum((2, 3))
    torch.testing.assert_close(y.square().sum((2, 3)), energy)
    torch.testing.assert_close(operator(torch.flip(x, (-2, -1))), y)
    torch.testing.assert_close(opposite(y), y)


@pytest.mark.parametrize(("detector", "support"), SIZES)
@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("r", [0.01, 0.5, 20.0])
def test_data_step_descends(detector, support, share, r):
    d = 2 * random(2, 2, *support, seed=1) - 1
    y = random(1, 2, *detector, seed=2)  # no object's magnitudes, not even symmetric
    known = holes(detector, share)

    def objective(x):
        operator = Phase(detector, support, known)
        misfit = ((operator(x) - y * known).square()).sum((1, 2, 3))
        return misfit + r / 4 * (x - d).square().sum((1, 2, 3))

    values = [objective(Phase(detector, support, known, n).data_step(d, y, r)) for n in range(9)]
    steps = torch.stack(values).diff(dim=0)
    assert float(steps.max()) <= 1e-12
    assert float(steps[0].max()) < -1e-6


def test_data_step_ends_at_a_stationary_point():
    detector, support = SIZES[0]
    operator = operator_of(detector, support, share=0.1, iterations=400)
    d, y = 2 * random(1, 1, *support, seed=1) - 1, random(1, 1, *detector, seed=2)
    r = 0.5
    x = operator.data_step(d, y, r).requires_grad_(True)
    objective = (operator(x) - y * operator.known).square().sum() + r / 4 * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    assert float(gradient.abs().max()) < 1e-6


def test_truth_stays_where_it_is():
    operator = operator_of(*SIZES[1])
    x = 2 * random(1, 3, *SIZES[1][1]) - 1
    torch.testing.assert_close(operator.data_step(x, operator(x), 0.1), x)


def test_dead_pixels_do_not_matter():
    detector, support = SIZES[1]
    operator = operator_of(detector, support, share=0.2)
    x, d = 2 * random(1, 1, *support) - 1, 2 * random(1, 1, *support, seed=5) - 1
    y = operator(x)
    spoilt = torch.where(operator.known > 0, y, 1e3)
    torch.testing.assert_close(operator.data_step(d, spoilt, 0.1), operator.data_step(d, y, 0.1))
    assert torch.equal(half_magnitudes(spoilt, operator.known).amplitude.isnan().any(), ~y.any())
    error = misfit((x + 1) / 2, half_magnitudes(spoilt, operator.known))
    assert float(error) < 1e-20


def test_pure_and_row_by_row():
    operator = operator_of(*SIZES[0], share=0.1)
    d, y = 2 * random(3, 2, *SIZES[0][1]) - 1, random(1, 2, *SIZES[0][0], seed=2)
    before = d.clone(), y.clone()
    whole = operator.data_step(d, y, 0.2)
    for i in range(3):
        torch.testing.assert_close(operator.data_step(d[i : i + 1], y, 0.2), whole[i : i + 1])
    assert torch.equal(d, before[0])
    assert torch.equal(y, before[1])


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (3, -5)])
def test_alignment_undoes_flip_and_shift(flipped, shift):
    x = random(2, 3, 9, 12) - 0.4
    moved = torch.roll(torch.flip(x, (-2, -1)) if flipped else x, shift, (-2, -1))
    assert torch.equal(align(moved, x), x)
    assert float(distance(moved, x).max()) == 0


def test_alignment_without_shifts_turns_alone():
    x = random(1, 1, 9, 12)
    moved = torch.roll(x, (0, 4), (-2, -1))
    assert torch.equal(align(torch.flip(x, (-2, -1)), x, shifts=False), x)
    turned = torch.flip(moved, (-2, -1))
    alone = align(moved, x, shifts=False)
    assert torch.equal(alone, moved) or torch.equal(alone, turned)
    with pytest.raises(ValueError, match="picture is"):
        align(x, random(1, 3, 9, 12))


def test_start_explains_a_small_object():
    operator = Phase((32, 32), (16, 16), torch.ones(32, 32))
    x = picture(16, 16) * 2 - 1
    y = operator(x)
    before = y.clone()
    start = operator.start(y)
    assert start.shape == x.shape
    assert torch.equal(y, before)
    relative = (operator(start) - y).square().mean().sqrt() / y.square().mean().sqrt()
    assert float(relative) < 0.05
    assert float(start.min()) >= -1
    assert float(start.max()) <= 1


@pytest.mark.parametrize("detector", [(64, 64), (65, 67)])
def test_search_finds_an_object_at_twice_oversampling(detector):
    u = picture()
    options = PhaseOptions(data="amplitude", starts=8, keep=2, scale=1.0, support=(32, 32))
    problem, runs = search(prepare(measured_from(u, detector), options), options)
    result = choose(problem, runs)
    x = u * 2 - 1
    assert float(psnr(align(result.x, x), x)) > 30
    assert result.verdict == "converged"


def test_what_no_run_explains_is_searched_again(monkeypatch):
    """The first search ends in noise; the second finds the picture."""
    u = picture()
    options = PhaseOptions(data="amplitude", starts=2, keep=2, scale=1.0, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64)), options)
    answers = [random(2, 1, 32, 32).float(), torch.cat([u, 1 - u]), torch.cat([1 - u, 1 - u])]
    asked = []

    def answer(*_):
        asked.append(answers[len(asked)])
        return asked[-1]

    monkeypatch.setattr(phase_pipeline, "_search_once", answer)
    _, runs = search(problem, options)
    assert len(asked) == 2
    assert len(runs) == 2
    torch.testing.assert_close(runs[:1], u * 2 - 1)


def test_noisy_runs_of_one_picture_are_averaged():
    """Runs that noise sets apart are the same picture; the mean is nearer to it than the best."""
    x = picture() * 2 - 1
    options = PhaseOptions(data="amplitude", starts=2, keep=2, scale=1.0, support=(32, 32))
    problem = prepare(measured_from(picture(), (64, 64), 0.02), options)
    errors = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    runs = (x + 0.15 * errors).clamp(-1, 1)
    runs = runs[misfit((runs + 1) / 2, problem.measured).argsort()]
    assert not problem.exact
    assert problem.operator.iterations > operator_of(*SIZES[0]).iterations
    mean = gather(problem, runs)
    assert mean.shape == x.shape
    assert float(psnr(mean, x)) > float(psnr(runs[:1], x)) + 4


def test_search_with_dead_pixels_and_unknown_scale():
    u = picture()
    known = np.random.default_rng(0).random((64, 64)) > 0.03
    measured = measured_from(u, (64, 64), scale=300.0, known=known)
    options = PhaseOptions(data="amplitude", starts=8, keep=2, support=(32, 32))
    problem, runs = search(prepare(measured, options), options)
    result = choose(problem, runs)
    wanted = u / (phase_pipeline.HEADROOM * u.max()) * 2 - 1
    assert float(psnr(align(result.x, wanted), wanted)) > 25
    found = problem.scale * torch.fft.fft2((result.x + 1) / 2, s=(64, 64), norm="ortho").abs()
    error = (found[0].numpy() - measured.amplitude)[:, known]
    assert float(np.sqrt(np.square(error).mean())) < 0.02 * measured.amplitude.std()


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_points_of_light_are_not_clipped_when_the_scale_is_found(noise, monkeypatch):
    """6 pixels much brighter than the rest, and a search that ends at the truth."""
    u = 0.2 * picture()
    u.flatten()[50::170] = torch.linspace(0.6, 1, 6)
    options = PhaseOptions(data="amplitude", starts=2, keep=2, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64), noise, scale=300.0), options)
    truth = u * 300 / problem.scale
    monkeypatch.setattr(phase_pipeline, "_search_once", lambda *_: truth.expand(2, -1, -1, -1))
    found, runs = search(problem, options)
    assert problem.exact is (noise == 0)
    result = (runs[:1] + 1) / 2
    torch.testing.assert_close(result * found.scale, u * 300, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(result, u / phase_pipeline.HEADROOM)


@pytest.mark.parametrize("noise", [None, 0.03])
def test_noise_that_was_told_stays_when_the_scale_is_found(noise):
    """It is told for a picture whose white is 1."""
    u = picture()
    options = PhaseOptions(data="amplitude", starts=2, keep=1, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64), 0.03, scale=300.0), options, noise)
    before = problem.sigma
    found, _ = search(problem, options)
    assert found.scale != problem.scale
    assert (found.sigma == before) is (noise is not None)


def test_colours_face_the_same_way():
    shade = torch.linspace(0.6, 1, 32)
    u = torch.cat([picture(), 0.7 * picture() * shade, 0.9 * picture() * shade[:, None]], 1)
    options = PhaseOptions(data="amplitude", starts=9, keep=2, scale=1.0, support=(32, 32))
    problem, runs = search(prepare(measured_from(u, (64, 64)), options), options)
    assert runs.shape == (2, 3, 32, 32)
    x = u * 2 - 1
    assert float(psnr(align(runs[:1], x), x)) > 25


def test_search_depends_on_nothing_but_the_seed():
    options = PhaseOptions(data="amplitude", starts=2, keep=1, scale=1.0, support=(8, 8))
    problem = prepare(measured_from(picture(8, 8), (16, 16)), options)
    first, again, other = (search(problem, options, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize(("detector", "support"), [((72, 70), (32, 30)), ((65, 81), (31, 33))])
def test_support_is_read_from_the_autocorrelation(detector, support, noise):
    measured = measured_from(picture(*support), detector, noise)
    found, note = find_support(measured.amplitude, noise)
    assert found == support
    assert "warning" not in note


def test_support_that_fills_the_detector_is_warned_about():
    found, note = find_support(measured_from(picture(40, 40), (64, 64)).amplitude, 0.0)
    assert found == (32, 32)
    assert "warning" in note


def test_noise_is_read_from_the_asymmetry():
    clean = measured_from(picture(), (64, 64)).amplitude
    noisy = measured_from(picture(), (64, 64), 0.02).amplitude
    known = torch.ones(64, 64)
    assert estimate_noise(torch.from_numpy(clean)[None], known, False) == 0
    assert estimate_noise(torch.from_numpy(clean)[None], known, True) == 0.5
    found = estimate_noise(torch.from_numpy(noisy)[None], known, False)
    assert found == pytest.approx(0.02, rel=0.1)
    generator = np.random.default_rng(0)
    counts = np.sqrt(generator.poisson(np.square(clean * 200 + 20))).astype(np.float32)
    found = estimate_noise(torch.from_numpy(counts)[None], known, True)
    assert found == pytest.approx(0.5, rel=0.05)


def test_prepare_says_what_it_found():
    options = PhaseOptions(data="amplitude", support=(40, 20))
    problem = prepare(measured_from(picture(), (64, 64), scale=1000.0), options)
    assert problem.oversampling == (1.6, 3.2)
    assert any("below 2" in note for note in problem.notes)
    with pytest.raises(PictureError, match="support is 65x8"):
        prepare(measured_from(picture(), (64, 64)), PhaseOptions("amplitude", support=(65, 8)))


def test_a_flat_frame_is_no_object():
    counts = np.random.default_rng(0).poisson(5, (1, 32, 32))
    known = np.ones((32, 32), bool)
    dark = Diffraction(np.sqrt(counts).astype(np.float32), known, "corner", True, ())
    with pytest.raises(PictureError, match="shows one pixel and no object"):
        prepare(dark, PhaseOptions(data="intensity"))


def test_the_task_searches_from_the_seed_that_was_asked_for():
    options = PhaseOptions(data="amplitude", starts=2, keep=1, scale=1.0, support=(16, 16))
    measurement, found = measured_from(picture(16, 16), (32, 32), 0.1), []
    for seed in (0, 0, 1):
        solver = SolverOptions(steps=2, noise=0.1, seed=seed)
        setting = Setting(Card("none", Path()), solver, lambda _: None, MachineOptions("cpu"))
        (stage,) = task.PhaseRetrieval(measurement, options, setting).stages()
        found.append(stage.start)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_refinement_lowers_noise_with_a_good_denoiser():
    """The denoiser knows the answer: what is tested is the coupling of data and prior."""
    u = picture()
    x = u * 2 - 1
    options = PhaseOptions(data="amplitude", starts=4, keep=2, scale=1.0, support=(32, 32))
    solver = SolverOptions(steps=8, noise=0.02)
    card = Card(name="none", folder=Path())
    setting = Setting(card, solver, lambda _: None, MachineOptions("cpu"))
    problem = task.PhaseRetrieval(measured_from(u, (64, 64), 0.02), options, setting)
    (stage,) = problem.stages()
    assert stage.start.shape == x.shape
    x = align(x, stage.start)
    schedule = Schedule(torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000).double(), 0))

    class Knowing:
        """Half of what it sees, half of the truth, which it knows in every position."""

        def __init__(self):
            self.schedule = schedule

        def __call__(self, z, t):
            nearest = min((turn(x) for turn in TURNS), key=lambda seen: -psnr(z, seen).sum())
            return 0.5 * z + 0.5 * nearest

    noise = draws(stage.start, 0)
    *_, (count, mu) = Solving("phase", stage, stage.start, noise, Knowing(), card, solver).run()
    assert count == 8
    assert float(psnr(mu, x)) > float(psnr(stage.start, x)) + 2
    problem.accept(stage, mu)
    assert problem.verdict == "converged"


def test_verdicts():
    u = picture()
    options = PhaseOptions(data="amplitude", keep=1, starts=1, scale=1.0, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64)), options)
    x = u * 2 - 1
    twins = torch.cat([x, torch.flip(x, (-2, -1))])
    same = choose(problem, twins)
    assert same.verdict == "converged"
    assert same.residual < 1e-6
    torch.testing.assert_close(same.rivals[1], same.x[0])
    wrong = 2 * random(1, 1, 32, 32).float() - 1
    assert choose(problem, wrong).verdict == "failed"
    assert torch.equal(choose(problem, torch.cat([wrong, x])).x, choose(problem, x).x)


def test_refined_picture_that_explains_noisy_data_has_not_failed():
    """Runs that stopped short of the noise are no reason to distrust what the prior made."""
    u = picture()
    x = u * 2 - 1
    options = PhaseOptions(data="amplitude", keep=1, starts=1, scale=1.0, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64), 0.01), options)
    assert not problem.exact
    generator = torch.Generator().manual_seed(0)
    runs = (x + 0.2 * torch.randn(4, 1, 32, 32, generator=generator)).clamp(-1, 1)
    assert choose(problem, runs).verdict == "failed"
    assert choose(problem, x).verdict == "converged"
    assert conclude(problem, runs, x).verdict == "converged"
    assert torch.equal(conclude(problem, runs, x).x, x)
    assert conclude(problem, x.expand(4, -1, -1, -1), runs[:1]).verdict == "converged"
    assert conclude(problem, runs, runs[:1]).verdict == "failed"
    apart = (x + 0.8 * torch.randn(4, 1, 32, 32, generator=generator)).clamp(-1, 1)
    assert conclude(problem, apart, x).verdict == "ambiguous"


def test_two_pictures_of_equal_spectrum_are_ambiguous():
    """a * b and a * flipped(b), * a convolution, have equal magnitudes and are no twins."""
    a, ramp = torch.zeros(1, 1, 9, 9, dtype=torch.float64), torch.arange(8).double() / 7
    a[..., 0, 0], a[..., 0, 8], a[..., 8, 3] = 1, 0.6, 0.8
    b = (ramp[:, None] * ramp + ramp)[None, None] ** 2
    pair = []
    for second in (b, torch.flip(b, (-2, -1))):
        product = torch.fft.fft2(a, s=(16, 16)) * torch.fft.fft2(second, s=(16, 16))
        pair.append(torch.fft.ifft2(product).real)
    pair = torch.cat(pair)
    u = (pair.clamp(min=0) / pair.max()).float()
    options = PhaseOptions(data="amplitude", keep=1, starts=1, scale=1.0, support=(16, 16))
    problem = prepare(measured_from(u[:1], (32, 32)), options)
    result = choose(problem, u * 2 - 1)
    assert float(distance(u[1:], u[:1])) > 0.1
    assert result.verdict == "ambiguous"


@pytest.mark.parametrize("seed", [0, 1])
def test_one_object_at_two_places_of_its_support_is_not_ambiguous(seed):
    """What rounding leaves beside it wraps around when it is shifted, and fits less well there."""
    measured = measured_from(picture(20, 20, seed=seed), (56, 56))
    rounded = measured.amplitude.astype(np.float16).astype(np.float32)
    options = PhaseOptions(data="amplitude", starts=8, keep=4, support=(26, 26))
    problem, runs = search(prepare(replace(measured, amplitude=rounded), options), options)
    result = conclude(problem, runs, runs)
    assert problem.exact
    assert result.verdict == "converged"


def test_relaxed_reflections_are_those_of_their_formula():
    """beta / 2 (R_S R_M + 1) + (1 - beta) P_M, with R = 2 P - 1 (Luke 2005)."""
    support, detector, ceiling = (8, 11), (17, 23), 0.8
    y = torch.fft.fft2(random(1, 2, *support), s=detector, norm="ortho").abs()
    measured = half_magnitudes(y, holes(detector))
    before = random(3, 2, *detector, seed=1) - 0.3

    def on_object(field):
        return pad(field[..., : support[0], : support[1]].clamp(0, ceiling), detector)

    field = before.clone()
    for _ in range(2):
        reflected = 2 * measured.impose(field) - field
        twice = 2 * on_object(reflected) - reflected
        field = BETA / 2 * (twice + field) + (1 - BETA) * measured.impose(field)
    found = relaxed_reflections(before, measured, support, 2, ceiling)
    torch.testing.assert_close(found, field)


def test_polish_makes_a_near_guess_exact():
    u = picture()
    options = PhaseOptions(data="amplitude", keep=1, starts=1, scale=1.0, support=(32, 32))
    problem = prepare(measured_from(u, (64, 64)), options)
    x = u * 2 - 1
    near = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(
        -1, 1
    )
    assert float(psnr(align(polish(problem, near), x), x)) > float(psnr(near, x)) + 8


def test_padding_puts_the_object_in_the_corner():
    u = random(1, 2, 3, 4)
    field = pad(u, (7, 9))
    assert torch.equal(field[..., :3, :4], u)
    assert float(field.sum()) == pytest.approx(float(u.sum()))


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_what_noise_leaves_of_the_truth_is_no_excess(sigma):
    """As half of it is symmetric, which is all that a real object can meet: 1 / EXCESS."""
    u = random(1, 1, 32, 32).float()  # whose magnitudes are well above the noise
    options = PhaseOptions(data="amplitude", keep=1, starts=1, scale=1.0, support=(32, 32))
    measured = measured_from(u, (64, 64), sigma)
    problem = prepare(measured, options, sigma)
    assert problem.sigma == pytest.approx(sigma)
    found = phase_pipeline.excess(problem, float(misfit(u, problem.measured)))
    assert found == pytest.approx(1 / phase_pipeline.EXCESS, rel=0.06)


def test_noise_of_the_stage_is_that_of_the_data_in_its_own_units():
    """y shows a picture in [0, 1], a solver counts in [-1, 1]."""
    setting = Setting(Card("none", None), SolverOptions(noise=0.02), lambda _: None)
    options = PhaseOptions(data="amplitude", keep=1, starts=2, scale=1.0, support=(32, 32))
    problem = task.PhaseRetrieval(measured_from(picture(), (64, 64), 0.02), options, setting)
    (stage,) = problem.stages()
    assert problem.noise == pytest.approx(0.02)
    assert stage.sigma_y == pytest.approx(0.04)


class Interrupted(Exception):
    """What a check raises."""


def test_an_interrupt_does_not_wait_for_the_search(tmp_path, monkeypatch):
    """No more iterations than the one that the check was called in."""
    calls, iterations, impose = [], [], Magnitudes.impose

    def check():
        calls.append(1)
        if len(calls) == 5:
            raise Interrupted

    def counted(*about):
        iterations.append(1)
        return impose(*about)

    monkeypatch.setattr(Magnitudes, "impose", counted)
    np.save(tmp_path / "a.npy", measured_from(picture(), (64, 64)).amplitude)
    options = PhaseOptions(data="amplitude", starts=4, keep=2, scale=1.0, support=(32, 32))
    about = find_model("natural"), SolverOptions(), MachineOptions("cpu"), options
    restorer = Restorer(*about, OutputOptions(), check=check)
    job = Job("phase", tmp_path / "a.npy", tmp_path / "a.png")
    with pytest.raises(Interrupted):
        restorer.restore(job, lambda *_: None, lambda _: None)
    assert len(iterations) == 5
