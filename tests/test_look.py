"""Pixels that were observed as they are: against the exact posterior of a Gaussian prior."""

import json
from pathlib import Path

import pytest
import torch

from conftest import reddiff
from doubles import gaussian_prior, told_of_tiles
from reddiff_cli.budget import looking
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Blur, Chain, Identity, Inpaint, Whitened, rec601
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.tasks import DenoiseOptions, InpaintOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.schedule import Schedule, linear_betas
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.look import Seen, mean_of_looks
from reddiff_cli.solvers.reddiff import Annealing, red_diff
from reddiff_cli.tasks import Setting, Stage, pose, solver_of
from reddiff_cli.tasks.denoise import DESCENT
from reddiff_cli.tasks.problem import to_tensor
from reddiff_cli.tasks.whole import WholePicture
from reddiff_cli.tiling import Whole

PICTURE = Path(__file__).parent / "pictures" / "coffee.png"
SIDE = 6
PIXELS = SIDE**2
SCHEDULE = linear_betas()
CARD = Card("none", None, turns="none")


class Counted:
    """A denoiser that remembers how many rows it saw, and at what level."""

    def __init__(self, prior, schedule=SCHEDULE):
        self.prior, self.schedule, self.levels = prior, schedule, []

    def __call__(self, z, t):
        self.levels += [float(self.schedule.s[k]) for k in t]
        return self.prior(z, t)


def noise_of(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def measured(sigma, known=None):
    """y = x + sigma n where it is known, x drawn from the prior's range."""
    shape = (1, 1, SIDE, SIDE)
    draw = noise_of(shape, 7)
    y = 0.5 * draw() + sigma * draw()
    return y if known is None else known * y


def half_known():
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(1, 1, SIDE, SIDE, generator=generator) < 0.5).double()


def posterior_mean(prior, y, known, sigma):
    """E[x | known pixels of y], by conditioning the Gaussian, for all pixels."""
    rows = known.flatten() == 1
    covariance = prior.covariance[rows][:, rows] + sigma**2 * torch.eye(
        int(rows.sum()), dtype=torch.float64
    )
    weights = torch.linalg.solve(covariance, y.flatten()[rows] - prior.mean[rows])
    return prior.mean + prior.covariance[:, rows] @ weights


def solved(operator, y, sigma, prior, schedule, solver, task="inpaint", **stage):
    about = {"s_start": 1.0, "sigma_y": sigma, "sigma_least": 1e-6} | stage
    posed = Stage(Whole(0), operator, y, operator.start(y), **about)
    denoiser = Counted(prior, schedule)
    *_, (done, mu) = Solving(
        task, posed, posed.start, draws(posed.start, 0), denoiser, CARD, solver
    ).run()
    assert done == len(denoiser.levels) == solver.evaluations
    return mu, denoiser.levels


def test_one_look_is_the_mean_of_all_pictures_that_y_may_show():
    sigma = float(SCHEDULE.s[60])
    prior, y = gaussian_prior(SIDE, SCHEDULE), measured(sigma)
    mu, levels = solved(Identity(), y, sigma, prior, SCHEDULE, SolverOptions(steps=4), "denoise")
    expected = posterior_mean(prior, y, torch.ones(PIXELS), sigma)
    torch.testing.assert_close(mu.flatten(), expected, atol=1e-9, rtol=0)
    assert levels == [sigma] * 4


@pytest.mark.parametrize("sigma", [0.002, 0.006, 0.0125])
def test_noise_between_and_below_the_levels_is_taken_at_its_size(sigma):
    """The lowest level of the schedule is 0.01; D there would take too much away."""
    prior, y = gaussian_prior(SIDE, SCHEDULE), measured(sigma)
    mu, _ = solved(Identity(), y, sigma, prior, SCHEDULE, SolverOptions(steps=2), "denoise")
    expected = posterior_mean(prior, y, torch.ones(PIXELS), sigma) - y.flatten()
    taken = mu.flatten() - y.flatten()
    assert float((taken - expected).norm()) < 0.02 * float(expected.norm())


def test_holes_settle_at_the_posterior_mean():
    """With one level, that of the noise, every step is a step of a contraction."""
    sigma = 0.4
    schedule = Schedule(torch.full((1000,), 1 / (1 + sigma**2), dtype=torch.float64))
    prior, known = gaussian_prior(SIDE, schedule), half_known()
    y = measured(sigma, known)
    seen = Seen(known == 1, y, sigma)
    iterator = red_diff(
        Given(y, Inpaint(known), prior, schedule, y, noise_of(y.shape)),
        Annealing(steps=400, sigma_y=sigma, s_start=sigma, s_end=sigma),
        seen,
    )
    *_, (_, mu) = iterator
    expected = posterior_mean(prior, y, known, sigma)
    torch.testing.assert_close(mu.flatten(), expected, atol=1e-8, rtol=0)


def test_annealed_holes_end_nearer_the_posterior_mean_than_without():
    sigma = 0.2
    prior, known = gaussian_prior(SIDE, SCHEDULE), half_known()
    y = measured(sigma, known)
    expected = posterior_mean(prior, y, known, sigma)
    solver = SolverOptions(steps=50)
    mu, levels = solved(Inpaint(known), y, sigma, prior, SCHEDULE, solver)
    iterator = red_diff(
        Given(y, Inpaint(known), prior, SCHEDULE, y, noise_of(y.shape)),
        Annealing(steps=50, sigma_y=sigma, s_start=1.0),
    )
    *_, (_, without) = iterator
    errors = [float((x.flatten() - expected).norm()) for x in (mu, without)]
    assert errors[0] < 0.7 * errors[1]
    below, above = (float(SCHEDULE.s[t]) for t in SCHEDULE.around(sigma)[:2])
    assert set(levels[-8:]) == {below, above}
    assert min(levels) == pytest.approx(0.7 * sigma, rel=0.05)


def test_the_network_sees_the_noise_of_its_level_everywhere():
    """Known pixels carry their own noise already; z - x has variance s^2 at every pixel."""
    rows, sigma = 20_000, 0.3
    known = torch.tensor([True, False]).view(1, 1, 1, 2)
    draw = noise_of((rows, 1, 1, 2))
    x = 0.3
    y, mu = x + sigma * draw(), torch.full((rows, 1, 1, 2), x, dtype=torch.float64)
    for s in (0.3, 0.5, 2.0):
        centre, deviation = Seen(known, y, sigma).around(mu, s, draw())
        spread = (centre + deviation - x).std(0).flatten()
        torch.testing.assert_close(spread / s, torch.ones(2).double(), atol=0.02, rtol=0)
    centre, deviation = Seen(known, y, sigma).around(mu, 0.1, draw())
    assert torch.equal((centre + deviation)[..., 0], y[..., 0])


@pytest.mark.parametrize("noise", [1.28, 1.53, 1.8, 2.3])  # of 255; levels at 1.3, 1.9, 2.4
@pytest.mark.parametrize("count", [2, 4])
def test_nothing_of_the_noise_is_left_on_even_ground_between_levels(noise, count):
    """Nor its negative."""
    denoiser = load_model(find_model("natural"), torch.device("cpu"), torch.float32)
    x = torch.full((1, 3, 64, 64), 0.1)
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) * noise / 127.5
    seen = Seen(torch.ones(1, 1, 1, 1).bool(), x + n, noise / 127.5)
    looks = mean_of_looks(seen, x, denoiser, denoiser.schedule, lambda: torch.zeros_like(x), count)
    *_, (_, mean) = looks
    left = float(((mean - x) * n).sum() / n.square().sum())
    assert abs(left) < 0.16


def test_the_levels_next_to_a_noise_level():
    low, high = (float(SCHEDULE.s[t]) for t in (3, 4))
    assert SCHEDULE.around((low * high) ** 0.5) == (3, 4, pytest.approx(0.5))
    assert SCHEDULE.around(0.1 * float(SCHEDULE.s[0])) == (0, 0, 0.0)
    assert SCHEDULE.around(10 * float(SCHEDULE.s[-1])) == (len(SCHEDULE.s) - 1,) * 2 + (0.0,)


@pytest.mark.parametrize(("steps", "looks"), [(8, 0), (10, 2), (20, 4), (50, 8), (100, 8)])
def test_so_many_evaluations_are_looks(steps, looks):
    sigma = float(SCHEDULE.s[60])
    prior, known = gaussian_prior(SIDE, SCHEDULE), half_known()
    y = measured(sigma, known)
    _, levels = solved(Inpaint(known), y, sigma, prior, SCHEDULE, SolverOptions(steps=steps))
    assert levels[-looks - 1] < sigma  # of the path, which ends below
    assert levels[len(levels) - looks :] == [sigma] * looks


@pytest.mark.parametrize("asked", [{"preset": "perceptual"}, {"samples": 2}])
def test_single_draws_are_not_averaged(asked):
    sigma = float(SCHEDULE.s[60])
    prior, known = gaussian_prior(SIDE, SCHEDULE), half_known()
    y = measured(sigma, known)
    solver = SolverOptions(steps=20, **asked)
    _, levels = solved(Inpaint(known), y, sigma, prior, SCHEDULE, solver)
    assert levels[-1] < sigma


@pytest.mark.parametrize("asked", [{"samples": 2}, {"s_start": 1.0}])
def test_samples_and_paths_of_denoising_go_through_levels(asked):
    sigma = float(SCHEDULE.s[60])
    prior, y = gaussian_prior(SIDE, SCHEDULE), measured(sigma)
    solver = SolverOptions(steps=20, **asked)
    _, levels = solved(Identity(), y, sigma, prior, SCHEDULE, solver, "denoise")
    assert levels[0] > 2 * sigma


def test_a_weight_of_the_prior_is_a_weight_of_the_noise():
    """r = weight sigma^2 (...): four times the weight is twice the noise, in looks as well."""
    sigma = float(SCHEDULE.s[60])
    prior, y = gaussian_prior(SIDE, SCHEDULE), measured(sigma)
    heavy = SolverOptions(steps=1, prior_weight=4.0)
    mu, (level,) = solved(Identity(), y, sigma, prior, SCHEDULE, heavy, "denoise")
    assert level == pytest.approx(2 * sigma, rel=0.05)
    light, _ = solved(Identity(), y, sigma, prior, SCHEDULE, SolverOptions(steps=1), "denoise")
    assert float((mu - y).norm()) > 1.5 * float((light - y).norm())


def test_exact_pixels_stay_exact():
    """Without noise nothing changes: D is not asked what a known pixel is."""
    prior, known = gaussian_prior(SIDE, SCHEDULE), half_known()
    y = measured(0.0, known)
    mu, levels = solved(Inpaint(known), y, 0.0, prior, SCHEDULE, SolverOptions(steps=20))
    torch.testing.assert_close(mu * known, y, atol=1e-5, rtol=0)
    assert levels[-1] == pytest.approx(0.03, rel=0.05)


def test_operators_say_what_they_show_as_it_is():
    known = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 1, 3)
    fully = (known == 1).flatten().tolist()
    assert Inpaint(known).direct.flatten().tolist() == fully
    assert Chain((Whitened(known),)).direct.flatten().tolist() == fully
    assert bool(Identity().direct)
    blur = Blur(torch.ones(3, 3) / 9)
    assert Chain((blur, Inpaint(known))).direct is None
    for operator in (blur, rec601()):
        assert getattr(operator, "direct", None) is None


@pytest.mark.parametrize(
    ("turns", "preset", "steps"),
    [("all", "standard", 4), ("all", "fast", 2), ("mirror", "best", 2), ("none", "fast", 1)],
)
def test_denoising_takes_as_many_looks_as_gain_anything(turns, preset, steps):
    card = Card("none", None, turns=turns)
    assert looking(card, SolverOptions(preset=preset)).evaluations == steps
    assert looking(card, SolverOptions(preset=preset, steps=20)).evaluations == 20
    for other in ({"samples": 2}, {"s_start": 1.0}, {"preset": "paper"}):
        solver = SolverOptions(**{"preset": preset, **other})
        assert looking(card, solver) == solver


def test_the_command_takes_four_looks(tmp_path):
    generator = torch.Generator().manual_seed(0)
    noisy = 0.5 + 0.1 * torch.randn((48, 64, 3), generator=generator)
    picture_file = tmp_path / "img.png"
    save_picture(Picture(noisy.clamp(0, 1).numpy()), picture_file, None)
    flags = ["--noise", "0.1", "--json", "-q"]
    out = ["-o", str(tmp_path / "a.png")]
    for key, value in (("steps", 4), ("status", "skipped")):
        stdout, _ = reddiff("denoise", picture_file, *out, *flags)
        assert json.loads(stdout.splitlines()[0])[key] == value
    where = ["--crop", "16", "-o", str(tmp_path / "e")]
    # Asked for, 50 are another method, whose row is not that of the 4.
    for methods in ("reddiff,ddrm:2", "reddiff:50"):
        words = ["eval", "denoise", str(picture_file), *where, "--method", methods, *flags]
        reddiff(*words)
    rows = json.loads((tmp_path / "e" / "eval.json").read_text())["rows"]
    found = {row["method"]: row["evaluations"] for row in rows}
    assert found == {"start": 0, "reddiff": 4, "ddrm-2": 2, "reddiff-50": 50}


@pytest.mark.parametrize("told", [None, 0.04])
@pytest.mark.parametrize("name", ["white", "wide"])
def test_noise_wider_than_a_pixel_is_heard_first(name, told, tmp_path):
    """The network knows noise that differs from pixel to pixel; more has to be heard first."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 3, 404, 404), generator=generator)
    if name == "wide":
        noise = 1.5 * torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    scene = torch.linspace(0.2, 0.8, 400).expand(1, 3, 400, 400)
    path = tmp_path / "img.png"
    pixels = (scene + 0.04 * noise[..., :400, :400]).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    save_picture(Picture(pixels), path, None)
    setting = Setting(CARD, SolverOptions(noise=told), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    stages = []
    for stage in problem.stages():
        stages.append(stage)
        answer = told_of_tiles(stage, 0.08, wide=name == "wide") if stage.probe else 2 * scene - 1
        problem.accept(stage, answer)
    # What is told and white is taken at its word, and so is what tiles tell to be white.
    asked = ["probe"] if told is None else []
    # Noise as loud as this next to what was added to hear it is heard again, and then asked about;
    # if it was told, enough was added at once.
    heard = []
    if name == "wide":
        heard = ["heard", "heard", *asked] if told is None else ["heard"]
    kinds = ["probe" if stage.probe else "heard" for stage in stages[:-1]]
    assert kinds == asked + heard
    assert (stage.whitening is None) is (name == "white")
    assert solver_of(stage, SolverOptions()).evaluations == (1 if name == "white" else 1 + DESCENT)
    assert solver_of(stage, SolverOptions(steps=30)).evaluations == 30
    there = 0.04 if name == "white" else 0.02  # the mean of nine has a third
    assert problem.noise == pytest.approx(told or there, rel=0.05)


@pytest.mark.parametrize("task", ["denoise", "inpaint", "restore"])
@pytest.mark.parametrize("damaged", [False, True], ids=["file", "eval"])
def test_every_task_asks_whether_the_noise_is_there(task, damaged, tmp_path):
    """Told three times what there is, no task looks at it: neither of a file, nor in `eval`."""
    scene = torch.linspace(0.3, 0.7, 64).expand(64, 64)[..., None].repeat(1, 1, 3)
    generator = torch.Generator().manual_seed(0)
    noisy = scene + 0.04 * torch.randn((64, 64, 3), generator=generator)
    path, mask = tmp_path / "img.png", tmp_path / "mask.png"
    save_picture(Picture((scene if damaged else noisy).numpy()), path, None)
    hole = torch.zeros((64, 64, 1))
    hole[20:26, 20:26] = 1
    save_picture(Picture(hole.numpy()), mask, None)
    for told in (0.04, 0.12):
        setting = Setting(CARD, SolverOptions(noise=told), print)
        if damaged:
            flags = {"inpaint": {"hole": "box:6"}, "restore": {"degrade": f"mask {mask}"}}
            case = make_case(task, flags.get(task, {}), 0.04)
            problem = degrade(load_picture(path), case, 64, 0).pose(setting)
        else:
            options = {
                "denoise": DenoiseOptions(),
                "inpaint": InpaintOptions(),
                "restore": parse_degrade(f"mask {mask}"),
            }[task]
            problem = pose(Job(task, path, path, mask), options, setting)
        stage = next(problem.stages())
        if task == "denoise":  # which listens first
            assert stage.shared == (told != 0.04)
        else:
            assert stage.white is (told == 0.04)


@pytest.mark.parametrize(
    "command",
    [
        ["denoise"],
        ["restore", "--degrade", "mask MASK"],
    ],
)
def test_a_grey_scan_in_three_channels_is_grey(command, tmp_path, tiny_prior):
    """Its noise is the same in all of them, which the network would take for the picture."""
    generator = torch.Generator().manual_seed(0)
    grey = (0.5 + 0.1 * torch.randn((32, 40, 1), generator=generator)).clamp(0, 1).numpy()
    mask = tmp_path / "mask.png"
    save_picture(Picture((grey > 0.6).astype("float32")), mask, None)
    results = []
    for name, channels in (("three", 3), ("one", 1)):
        path, out = tmp_path / f"{name}.png", tmp_path / f"{name}.out.png"
        save_picture(Picture(grey.repeat(channels, 2)), path, None)
        asked = [part.replace("MASK", str(mask)) for part in command]
        flags = ["--noise", "0.1", "-q", "--deterministic", "--device", "cpu", "--steps", "4"]
        flags += ["--model", str(tiny_prior), "-o", str(out)]
        reddiff(asked[0], path, *asked[1:], *flags)
        results.append(load_picture(out).pixels)
    three, one = results
    assert (three.shape[2], one.shape[2]) == (3, 1)
    assert (three == one).all()


def test_noise_of_a_grey_scan_is_taken_away():
    y = 0.2 * torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    pixels = ((y[0].repeat(3, 1, 1) + 1) / 2).permute(1, 2, 0).numpy()
    setting = Setting(find_model("natural"), SolverOptions(noise=0.1), print)
    problem = WholePicture(
        "denoise", Picture(pixels), Identity(), to_tensor(Picture(pixels)), 0.1, setting
    )
    (stage,) = problem.stages()
    denoiser = load_model(setting.card, torch.device("cpu"), torch.float32)
    here = solver_of(stage, setting.solver)
    noise = draws(stage.start, 0)
    *_, (_, mu) = Solving("denoise", stage, stage.start, noise, denoiser, setting.card, here).run()
    problem.accept(stage, mu)
    found = problem.finish().pixels
    assert found.shape == pixels.shape
    assert found.std() < 0.25 * pixels.std()


def test_a_stage_of_wide_noise_sees_mu():
    sigma = float(SCHEDULE.s[60])
    prior, y = gaussian_prior(SIDE, SCHEDULE), measured(sigma)
    solver = SolverOptions(steps=20)
    _, levels = solved(Identity(), y, sigma, prior, SCHEDULE, solver, "denoise", white=False)
    assert levels[0] > 2 * sigma


def test_photographs_gain_by_looks():
    """The bundled prior on a photograph of the tests: ahead of the path through levels."""
    card = find_model("natural")
    x = to_tensor(load_picture(PICTURE))[:, :, 96:224, 200:328]
    y = x + 50 / 127.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    denoiser = load_model(card, torch.device("cpu"), torch.float32)

    def quality(**asked):
        solver = looking(card, SolverOptions(**asked))
        stage = Stage(Whole(0), Identity(), y, y, 1.0, 100 / 255, weight=0.5)
        *_, (_, mu) = Solving("denoise", stage, y, draws(y, 0), denoiser, card, solver).run()
        return float(psnr(mu.clamp(-1, 1), x))

    looks, path = quality(), quality(s_start=1.0, steps=20)
    assert looks > path + 0.1
