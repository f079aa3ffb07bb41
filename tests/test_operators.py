"""Properties that every operator must have, over one list of operators."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from doubles import exact_step
from reddiff_cli.holes.smooth import bend_smoothly, fill_smoothly
from reddiff_cli.kernels.filters import draw_filter, own
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.linear import solve_data_step
from reddiff_cli.metrics import rms
from reddiff_cli.operators import (
    Blur,
    Chain,
    CircularBlur,
    Downsample,
    Grey,
    Identity,
    Inpaint,
    Operator,
    PaddedBlur,
    Whitened,
    frames,
    on_device,
    rec601,
    separable,
)
from reddiff_cli.operators import chain as chains
from reddiff_cli.operators.downsample import bicubic, box, from_taps
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import Filter

SHAPE = (2, 3, 12, 16)


@dataclass(frozen=True)
class Case:
    name: str
    operator: Operator
    shape: tuple[int, ...] = SHAPE
    exact: bool = True  # the data step has a closed form

    def __str__(self) -> str:
        return self.name


def lanczos(scale):
    return from_taps(scale, draw_filter(scale, Filter("lanczos")))


def gaussian(scale, sigma):
    return from_taps(scale, draw_filter(scale, Filter("gaussian", sigma)))


def from_kernel(scale, kernel):
    return from_taps(scale, own(scale, kernel.double().numpy()))


def mask(seed=0, shape=SHAPE[2:]):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 1, *shape, generator=generator) < 0.6).double()


def soft_mask(seed=0, shape=SHAPE[2:]):
    return torch.where(mask(seed, shape) > 0, 1.0, 0.3).double()


def kernel(height, width, seed=1):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(height, width, generator=generator, dtype=torch.float64)
    return values / values.sum()


def product(height, width):
    return kernel(height, 1) * kernel(1, width, seed=2)


LINEAR = [
    Case("mask", Inpaint(mask())),
    Case("all known", Inpaint(torch.ones(1, 1, *SHAPE[2:], dtype=torch.float64))),
    Case("identity", Identity()),
    Case("grey", rec601()),
    Case("box 2", box(2)),
    Case("box 4", box(4)),
    Case("bicubic 2", bicubic(2)),
    Case("bicubic 3", bicubic(3), (2, 3, 12, 15)),
    Case("bicubic 4", bicubic(4)),
    Case("lanczos 3", lanczos(3), (2, 1, 9, 12)),
    Case("gaussian 2", gaussian(2, 1.2)),
    Case("own 4x3 by 2", from_kernel(2, kernel(4, 3)), exact=False),
    Case("single tap by 3", from_kernel(3, kernel(1, 1)), (2, 3, 9, 12), exact=False),
    Case("blur odd", Blur(kernel(3, 5)), exact=False),
    Case("blur even", Blur(kernel(4, 2)), exact=False),
    Case("blur reflect", PaddedBlur(kernel(5, 3), "reflect"), exact=False),
    Case("blur replicate", PaddedBlur(kernel(4, 3), "replicate"), exact=False),
    Case("blur circular", CircularBlur(kernel(3, 4))),
    Case(
        "blur, box, mask",
        Chain((Blur(kernel(3, 3)), box(2), Inpaint(mask(3, (5, 7))))),
        exact=False,
    ),
    Case(
        "blur, box, soft mask",
        Chain((Blur(kernel(3, 3)), box(2), Whitened(soft_mask(3, (5, 7))))),
        exact=False,
    ),
    Case(
        "blur, blur, bicubic",
        Chain((Blur(product(3, 4)), Blur(product(2, 3)), bicubic(2))),
        (2, 3, 15, 21),
    ),
    Case("grey, bicubic", Chain((rec601(), bicubic(2))), exact=False),
]
ALL = [*LINEAR, Case("soft mask", Inpaint(soft_mask()))]
BLURS = [
    Blur(kernel(3, 5)),
    Blur(kernel(4, 2)),
    PaddedBlur(kernel(5, 3), "reflect"),
    PaddedBlur(kernel(4, 3), "replicate"),
    CircularBlur(kernel(3, 4)),
]


def random(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_adjoint(case):
    u = random(case.shape, 1)
    y = case.operator(u)
    v = random(y.shape, 2)
    difference = (y * v).sum() - (u * case.operator.adjoint(v)).sum()
    assert abs(difference.item()) < 1e-9


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_adjoint_is_the_gradient(case):
    u = random(case.shape, 1).requires_grad_(True)
    y = case.operator(u)
    v = random(y.shape, 2)
    (gradient,) = torch.autograd.grad(y, u, v)
    torch.testing.assert_close(gradient, case.operator.adjoint(v))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_gradient_by_finite_differences(case):
    y = case.operator(random(case.shape, 4))
    x, direction = random(case.shape, 1), random(case.shape, 2)

    def loss(x):
        return (case.operator(x) - y).square().sum()

    variable = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(variable), variable)
    h = 1e-5
    difference = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", LINEAR, ids=str)
@pytest.mark.parametrize("r", [1e-2, 1.0, 50.0])
def test_data_step_is_at_its_minimum(case, r):
    d, y = random(case.shape, 3), case.operator(random(case.shape, 4))
    x = case.operator.data_step(d, y, r) if case.exact else exact_step(case.operator, d, y, r)
    x = x.requires_grad_(True)
    objective = (case.operator(x) - y).square().sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-7, rtol=0)


@pytest.mark.parametrize("case", [case for case in LINEAR if not case.exact], ids=str)
@pytest.mark.parametrize("r", [1e-2, 1.0])
def test_few_iterations_come_close_to_the_minimum(case, r):
    """What the solver gets: the objective is within a thousandth of its way down."""
    d, y = random(case.shape, 3), case.operator(random(case.shape, 4))

    def objective(x):
        return ((case.operator(x) - y).square().sum() + r * (x - d).square().sum()).item()

    best = objective(exact_step(case.operator, d, y, r))
    assert objective(case.operator.data_step(d, y, r)) - best < 1e-3 * (objective(d) - best)


@pytest.mark.parametrize("scale", range(2, 9))
def test_the_narrowest_gaussian_takes_what_is_nearest_to_the_middle(scale):
    """One pixel of odd blocks, the four around the middle of even ones, between which it falls."""
    taps = gaussian(scale, 0.1).taps
    assert taps.flatten().tolist() == pytest.approx([1.0] if scale % 2 else [0.25] * 4)


@pytest.mark.parametrize("r", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("make", [bicubic, lanczos, lambda f: gaussian(f, 2.0)])
def test_filters_with_rows_and_columns_apart_are_solved_exactly(make, r):
    operator = make(4)
    d, y = random((2, 3, 24, 32), 3), operator(random((2, 3, 24, 32), 4))
    x = operator.data_step(d, y, r).requires_grad_(True)
    objective = (operator(x) - y).square().sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    # The taps are stored in fp32, so they are products of a row and a column to 1e-7 only.
    assert float(gradient.abs().max()) < 1e-5


@pytest.mark.parametrize("r", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("text", ["gaussian:1.5", "uniform:5"])
def test_blurs_with_rows_and_columns_apart_are_solved_exactly(text, r):
    operator = Blur(make_kernel(parse_kernel(text)))
    d = random((2, 3, 40, 30), 3)
    y = operator(random((2, 3, 40, 30), 4))
    x = operator.data_step(d, y, r).requires_grad_(True)
    objective = (operator(x) - y).square().sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    assert float(gradient.abs().max()) < 1e-5


@pytest.mark.parametrize("r", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("text", ["gaussian:1.5", "uniform:5"])
@pytest.mark.parametrize("last", [(), (box(2),), (bicubic(3),), (gaussian(2, 1.2), box(2))])
def test_chains_with_rows_and_columns_apart_need_no_iterations(text, last, r, monkeypatch):
    """Their data step is that of conjugate gradients, which stop early."""
    chain = Chain((Blur(make_kernel(parse_kernel(text))), *last))
    shape = chain.adjoint(torch.zeros(2, 3, 12, 9)).shape
    d, x = random(shape, 3).float(), random(shape, 4).float()
    y = chain(x)
    close = exact_step(chain, d, y, r, 1000, 1e-6)
    monkeypatch.setattr(chains, "solve_data_step", None)
    monkeypatch.setattr(frames, "solve_in_frame", None)
    found = chain.data_step(d, y, r)
    torch.testing.assert_close(found, close, atol=3e-4, rtol=0)
    monkeypatch.setattr(separable.torch.linalg, "eigh", None)  # decomposed once
    assert torch.equal(chain.data_step(d, y, r), found)


@pytest.mark.parametrize("part", [Blur(kernel(3, 4)), Inpaint(torch.ones(1, 1, 12, 9))])
def test_other_chains_are_solved_as_ever(part):
    chain = Chain((Blur(product(3, 3)), part))
    d = random((1, 3, 14 if isinstance(part, Inpaint) else 16, 11), 3)
    y = chain(random(d.shape, 4))
    assert torch.equal(chain.data_step(d, y, 0.1), solve_data_step(chain, d, y, 0.1))


def test_a_filter_that_is_no_product_is_solved_too():
    kernel = torch.zeros(5, 5)
    kernel[0, 0] = kernel[2, 2] = kernel[1, 3] = 1 / 3
    operator = from_kernel(2, kernel)
    d, y = random((1, 3, 24, 32), 3), operator(random((1, 3, 24, 32), 4))
    exact = exact_step(operator, d, y, 0.1)
    torch.testing.assert_close(operator.data_step(d, y, 0.1), exact, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(96, 120), (97, 131)])
@pytest.mark.parametrize("r", [1e-3, 0.1])
def test_blur_in_a_frame_needs_a_few_iterations_only(size, r):
    """Fewer than 5 do what 25 without the preconditioner do."""
    operator = Blur(make_kernel(parse_kernel("disk:3")))
    x = F.interpolate(random((1, 3, 9, 9), 1), size, mode="bicubic")
    y = operator(x) + 0.02 * operator(random((1, 3, *size), 2))
    d = x + 0.1 * random((1, 3, *size), 3)

    def objective(x):
        return float((operator(x) - y).square().sum() + r * (x - d).square().sum())

    best = objective(exact_step(operator, d, y, r, 600))
    plain = objective(solve_data_step(operator, d, y, r))
    ours = objective(operator.data_step(d, y, r))
    assert ours - best < max(1.01 * (plain - best), 1e-3 * (objective(d) - best))


def test_channels_of_large_pictures_are_solved_one_by_one(monkeypatch):
    """Each as if it were alone, and of two pictures with one measurement as well."""
    operator = Blur(make_kernel(parse_kernel("disk:3")))
    d, y = random((2, 3, 40, 50), 1), operator(random((1, 3, 40, 50), 2))
    whole = operator.data_step(d, y, 0.1)
    monkeypatch.setattr(frames, "LARGE", 40 * 50)
    step = operator.data_step(d, y, 0.1)
    assert not torch.equal(step, whole)
    for row in range(2):
        for channel in range(3):
            alone = operator.data_step(d[row, channel][None, None], y[:, channel][None], 0.1)
            assert torch.equal(step[row, channel][None, None], alone)
    assert float(rms(step - whole).max()) < 5e-3


@pytest.mark.parametrize("r", [1e-9, 1e-6])
@pytest.mark.parametrize("text", ["motion:15,30", "disk:4", "gaussian:3"])
@pytest.mark.parametrize("boundary", ["unknown", "reflect", "replicate", "circular"])
def test_exact_data_never_make_a_picture_worse(text, boundary, r):
    """In single precision, with r too small for few iterations, x comes nearer to the truth."""
    taps = make_kernel(parse_kernel(text))
    padded = {b: PaddedBlur(taps, b) for b in ("reflect", "replicate")}
    operator = {"unknown": Blur(taps), "circular": CircularBlur(taps), **padded}[boundary]
    x = F.interpolate(random((1, 3, 20, 20), 1), (96, 90), mode="bicubic").float()
    d = x + 0.05 * random(x.shape, 2).float()
    y = operator(x)
    step = operator.data_step(d, y, r)
    assert rms(step - x) < rms(d - x)
    assert rms(operator(step) - y) < 0.5 * rms(operator(d) - y)


def test_what_an_operator_keeps_depends_on_the_size():
    blur, small = Blur(make_kernel(parse_kernel("gaussian:1"))), bicubic(2)
    for size in (32, 48, 32):
        x = random((1, 3, size, size), 1)
        fresh = Blur(blur.kernel), bicubic(2)
        for kept, new in zip((blur, small), fresh, strict=True):
            d, y = x + 0.1, new(x)
            assert torch.equal(kept.data_step(d, y, 0.1), new.data_step(d, y, 0.1))
            single = kept.data_step(d.float(), y.float(), 0.1)
            assert single.dtype == torch.float32


def test_soft_value_is_a_weight():
    """A pixel of weight w counts as if it were measured with noise sigma / sqrt(w)."""
    weight, r = soft_mask(), 0.2
    d, y = random(SHAPE, 3), random(SHAPE, 4)
    x = Inpaint(weight).data_step(d, y, r).requires_grad_(True)
    objective = (weight * (x - y).square()).sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_start_has_its_own_memory_and_the_shape_of_x(case):
    y = case.operator(random(case.shape, 5))
    before = y.clone()
    start = case.operator.start(y)
    assert start.shape == case.shape
    start.add_(1)
    assert torch.equal(y, before)


@pytest.mark.parametrize("operator", [Inpaint(mask()), Inpaint(soft_mask()), Identity(), rec601()])
def test_start_explains_the_measurement(operator):
    y = operator(random(SHAPE, 5))
    torch.testing.assert_close(operator(operator.start(y)), y, atol=1e-7, rtol=0)
    assert float(operator.residual(operator.start(y), y).max()) < 1e-7


@pytest.mark.parametrize("case", ALL, ids=str)
def test_pure_and_deterministic(case):
    x, d = random(case.shape, 6), random(case.shape, 7)
    copies = x.clone(), d.clone()
    y = case.operator(x)
    y_copy = y.clone()
    assert torch.equal(case.operator(x), y)
    step = case.operator.data_step(d, y, 0.1)
    assert torch.equal(case.operator.data_step(d, y, 0.1), step)
    step.add_(1)
    y_again = case.operator(x)
    y_again.add_(1)
    assert torch.equal(x, copies[0])
    assert torch.equal(d, copies[1])
    assert torch.equal(y, y_copy)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_row_of_a_batch_equals_the_row_alone(case):
    x, d = random(case.shape, 8), random(case.shape, 9)
    y = case.operator(x)
    residual = case.operator.residual(d, y)
    for i in range(case.shape[0]):
        row = slice(i, i + 1)
        torch.testing.assert_close(case.operator(x[row]), y[row])
        torch.testing.assert_close(case.operator.start(y[row]), case.operator.start(y)[row])
        alone = case.operator.data_step(d[row], y[row], 0.1)
        torch.testing.assert_close(alone, case.operator.data_step(d, y, 0.1)[row])
        torch.testing.assert_close(case.operator.residual(d[row], y[row]), residual[row])


@pytest.mark.parametrize("case", [case for case in LINEAR if "mask" not in case.name], ids=str)
def test_constant_pictures_keep_their_value(case):
    """DC gain 1, also at the borders."""
    y = case.operator(torch.full(case.shape, 0.7, dtype=torch.float64))
    torch.testing.assert_close(y, torch.full_like(y, 0.7), atol=1e-6, rtol=0)


@pytest.mark.parametrize("blur", BLURS)
def test_a_point_becomes_the_kernel(blur):
    kh, kw = blur.kernel.shape
    point = torch.zeros(1, 1, 17, 19, dtype=torch.float64)
    point[..., 8, 9] = 1
    if isinstance(blur, Blur):
        (top, bottom), (left, right) = blur.margins
        point = F.pad(point, (left, right, top, bottom))
    y = blur(point)
    rows = slice(8 - kh // 2, 8 - kh // 2 + kh)
    columns = slice(9 - kw // 2, 9 - kw // 2 + kw)
    torch.testing.assert_close(y[0, 0, rows, columns], blur.kernel, atol=1e-12, rtol=0)
    assert y.sum().item() == pytest.approx(1)


def test_a_point_in_the_middle_is_the_identity():
    delta = torch.zeros(4, 3, dtype=torch.float64)
    delta[2, 1] = 1
    canvas = random((1, 3, 15, 12), 0)
    blur = Blur(delta)
    torch.testing.assert_close(blur(canvas), blur.crop(canvas))
    assert torch.equal(blur.crop(blur.start(blur(canvas))), blur(canvas))
    x = random((1, 3, 12, 10), 1)
    for other in (PaddedBlur(delta, "reflect"), CircularBlur(delta)):
        torch.testing.assert_close(other(x), x)


def test_blurs_agree_away_from_the_border():
    psf = make_kernel(parse_kernel("motion:7,30")).double()
    x = random((1, 1, 40, 44), 0)
    blur = Blur(psf)
    (top, bottom), (left, right) = blur.margins
    inside = (..., slice(top, 40 - bottom), slice(left, 44 - right))
    for other in (PaddedBlur(psf, "reflect"), PaddedBlur(psf, "replicate"), CircularBlur(psf)):
        torch.testing.assert_close(other(x)[inside], blur(x))


def test_blur_equals_scipy():
    from scipy.signal import convolve2d

    psf, x = kernel(6, 5), random((1, 1, 21, 18), 0)
    expected = convolve2d(x[0, 0].numpy(), psf.numpy(), mode="valid")
    torch.testing.assert_close(Blur(psf)(x)[0, 0], torch.from_numpy(expected))


FILTERS = [
    (bicubic, Image.Resampling.BICUBIC),
    (lanczos, Image.Resampling.LANCZOS),
    (box, Image.Resampling.BOX),
]


@pytest.mark.parametrize("make, filter_", FILTERS)
@pytest.mark.parametrize("scale", [2, 3, 4, 5, 7, 8])
def test_reductions_equal_pillow(make, filter_, scale):
    rng = np.random.default_rng(scale)
    x = rng.uniform(-1, 1, (9 * scale, 11 * scale)).astype(np.float32)
    small = np.asarray(Image.fromarray(x).resize((11, 9), filter_))
    ours = make(scale)(torch.from_numpy(x)[None, None])
    torch.testing.assert_close(ours[0, 0], torch.from_numpy(small.copy()), atol=2e-6, rtol=0)


def test_own_filter_is_a_convolution_around_the_block_middle():
    psf = kernel(3, 3)
    x = random((1, 1, 20, 20), 0)
    blurred = CircularBlur(psf)(x)
    small = from_kernel(4, psf)(x)
    torch.testing.assert_close(small[..., 1:, 1:], blurred[..., 5::4, 5::4])


def test_gaussian_reduction_keeps_the_scene_in_place():
    ramp = torch.arange(32, dtype=torch.float64).expand(1, 1, 32, 32)
    for scale in (2, 3, 4):
        side = 32 // scale * scale
        small = gaussian(scale, 1.3)(ramp[..., :side, :side])
        centres = torch.arange(side // scale) * scale + (scale - 1) / 2
        torch.testing.assert_close(small[0, 0, 5, 5:-5], centres[5:-5].double())


def test_on_device_moves_every_part():
    chain = Chain((Blur(kernel(3, 3)), box(2), Inpaint(mask()), Grey(torch.ones(3) / 3)))
    moved = on_device(chain, torch.device("meta"))
    assert moved.parts[0].kernel.is_meta
    assert moved.parts[1].taps.is_meta
    assert moved.parts[2].known.is_meta
    assert moved.parts[3].weights.is_meta
    assert isinstance(moved.parts[1], Downsample)
    assert not chain.parts[0].kernel.is_meta


def test_an_operator_that_is_there_already_stays_as_it_is():
    for case in ALL:
        assert on_device(case.operator, torch.device("cpu")) is case.operator


@pytest.mark.parametrize(
    ("operator", "kept"),
    [
        (bicubic(2), "_apart"),
        (Blur(product(3, 3)), "_apart"),
        (Blur(kernel(3, 3)), "_transfers"),
        (CircularBlur(kernel(3, 3)), "_transfers"),
        (Chain((Blur(product(3, 3)), box(2))), "_apart"),
    ],
)
def test_what_an_operator_keeps_goes_along(operator, kept):
    """Eigenvectors of large pictures take seconds."""
    x = random((1, 3, 14, 14), 1)
    operator.data_step(x, operator(x), 0.1)
    (here,) = getattr(operator, kept).items()
    (there,) = getattr(on_device(operator, torch.device("meta")), kept).items()
    assert there[0] == (*here[0][:2], torch.device("meta"))
    part = there[1] if kept == "_transfers" else there[1].rows.turned
    assert part.is_meta


def test_smooth_filling_stays_between_its_neighbours():
    known = torch.ones(1, 1, 33, 41)
    known[:, :, 5:20, 8:30] = 0
    y = known * torch.linspace(-1, 1, 41).expand(1, 3, 33, 41)
    filled = fill_smoothly(y, known)
    torch.testing.assert_close(filled * known, y)
    assert float(filled.min()) >= -1
    assert float(filled.max()) <= 1
    ramp = torch.linspace(-1, 1, 41).expand(1, 3, 33, 41)
    assert float((filled - ramp).abs().max()) < 0.5


def test_nothing_known_is_filled_with_grey():
    assert torch.equal(
        fill_smoothly(torch.zeros(1, 3, 7, 5), torch.zeros(1, 1, 7, 5)), torch.zeros(1, 3, 7, 5)
    )


def test_bent_filling_equals_scikit_image_on_thin_holes():
    from skimage.restoration import inpaint_biharmonic

    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    picture = torch.stack([torch.sin(x / 7), torch.cos(y / 5), torch.sin((x + y) / 9)]).double()
    known = (torch.rand(1, 1, 40, 50, generator=generator) < 0.5).double()
    known[:, :, :3] = known[:, :, -3:] = known[..., :3] = known[..., -3:] = 1
    damaged = picture[None] * known
    filled = bend_smoothly(fill_smoothly(damaged, known), known)
    expected = inpaint_biharmonic(
        damaged[0].numpy().transpose(1, 2, 0), known[0, 0].numpy() == 0, channel_axis=-1
    )
    expected = torch.from_numpy(expected).permute(2, 0, 1)
    torch.testing.assert_close(filled[0], expected, atol=2e-3, rtol=0)
    assert float((filled - picture).abs().max()) < 0.05
    assert torch.equal(filled * known, damaged)


def test_residual_behind_a_mask_is_that_of_what_was_observed():
    """A chain that ends in a mask, or is a mask alone, judges the same pixels as the mask does."""
    last = Inpaint((torch.arange(64.0).view(1, 1, 8, 8) % 4 == 0).float())
    blur = Blur(kernel(3, 3))
    x = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    y = last(blur(x) + 0.1)
    chain = Chain((blur, last))
    assert torch.allclose(chain.residual(x, y), torch.full((2,), 0.1), atol=1e-6)
    assert torch.equal(Chain((last,)).residual(blur(x), y), last.residual(blur(x), y))


def test_nothing_is_bent_where_everything_is_known(monkeypatch):
    """Eighty rounds over 3 megapixels take 27 s on one core."""
    monkeypatch.setattr("reddiff_cli.holes.smooth._laplacian", None)
    x = torch.rand(1, 3, 8, 9)
    bent = bend_smoothly(x, torch.ones(1, 1, 8, 9))
    assert torch.equal(bent, x)
    assert bent.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("width", [8, 9])
def test_half_spectra_count_every_frequency_once(width):
    """Their inner product is that of the whole ones; so the last column of an even width."""
    a, b = random((2, 3, 6, width), 1), random((2, 3, 6, width), 2)
    halves = [torch.view_as_real(torch.fft.rfft2(v)) for v in (a, b)]
    whole = (torch.fft.fft2(a) * torch.fft.fft2(b).conj()).real.sum((1, 2, 3))
    torch.testing.assert_close(frames._dot(*halves, (6, width)).flatten(), whole)
