"""Augmentation: the effects on image and mask, and reproducibility from the generator."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from torch import Tensor  # noqa: E402

from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.training.augment import (  # noqa: E402
    DEFAULT,
    NO_AUGMENTATION,
    OFF,
    PUBLISHED,
    Augmentation,
    Effect,
    augment,
)

EFFECTS = [field.name for field in fields(Augmentation) if isinstance(getattr(DEFAULT, field.name), Effect)]
GEOMETRY = ["rotate", "zoom", "elastic"]
PHOTOMETRY = [name for name in EFFECTS if name not in GEOMETRY]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(name: str, strength: float | None = None) -> Augmentation:
    """One effect on every image."""
    effect = Effect(1.0, getattr(DEFAULT, name).strength if strength is None else strength)
    return replace(NO_AUGMENTATION, **{name: effect})


def batch(n: int = 16, side: int = 48, channels: int = 2) -> Tensor:
    """Smooth random images within a measured disc, a different one for each image."""
    torch.manual_seed(1)
    x = torch.nn.functional.interpolate(torch.rand(n, 1, 6, 6), size=(side, side), mode="bilinear")
    place = torch.linspace(-1, 1, side)
    centre = 0.3 * (torch.rand(n, 2, 1, 1) - 0.5)
    mask = ((place[:, None] - centre[:, 0]) ** 2 + (place[None, :] - centre[:, 1]) ** 2 < 0.64).float()[:, None]
    return torch.cat([x * mask, mask], dim=1)[:, :channels]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("augmentation", [DEFAULT, PUBLISHED, *map(only, EFFECTS)], ids=["default", "pub", *EFFECTS])
def test_result_is_valid_and_repeatable(augmentation: Augmentation, channels: int) -> None:
    x = batch(channels=channels)
    before = x.clone()
    y = augment(x, augmentation, generator(3))
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert y.data_ptr() != x.data_ptr()
    assert float(y.min()) >= 0.0
    assert float(y.max()) <= 1.0
    assert torch.equal(y, augment(x, augmentation, generator(3)))
    assert not torch.equal(y, augment(x, augmentation, generator(4)))
    assert not torch.equal(y, x)


def test_nothing_happens_when_all_is_off() -> None:
    x = batch()
    assert torch.equal(augment(x, NO_AUGMENTATION, generator()), x)
    for name in EFFECTS:
        for effect in (Effect(0.0, getattr(DEFAULT, name).strength), Effect(1.0, 0.0)):
            assert torch.equal(augment(x, replace(NO_AUGMENTATION, **{name: effect}), generator()), x)


@pytest.mark.parametrize("name", PHOTOMETRY)
def test_photometric_effects_leave_the_mask_and_the_outside(name: str) -> None:
    x = batch()
    y = augment(x, only(name), generator())
    assert torch.equal(y[:, 1], x[:, 1])
    assert float(y[:, 0][x[:, 1] == 0].abs().max()) == 0.0
    changed = (y[:, 0] != x[:, 0]).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.4  # the weakest blurs round to nothing


@pytest.mark.parametrize("name", ["turns", *GEOMETRY])
def test_the_mask_moves_with_the_image(name: str) -> None:
    x = batch()
    x[:, 0] = x[:, 1]
    y = augment(x, PUBLISHED if name == "turns" else only(name), generator())
    torch.testing.assert_close(y[:, 0], y[:, 1])
    assert not torch.equal(y[:, 1], x[:, 1])


def test_turns_are_exact_and_equally_likely() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4) / 16.0
    forms = [torch.rot90(f, k, (-2, -1)) for f in (image, image.flip(-1)) for k in range(4)]
    y = augment(image.expand(4000, -1, -1, -1), PUBLISHED, generator())
    counts = [int((y == form).flatten(1).all(1).sum()) for form in forms]
    assert sum(counts) == 4000
    # Binomial: a standard deviation of 21 around 500.
    assert min(counts) > 400
    assert max(counts) < 600
    quarter = augment(image.expand(400, -1, -1, -1), replace(NO_AUGMENTATION, quarter_turns=True), generator())
    assert {k for y in quarter for k, form in enumerate(forms) if torch.equal(y[None], form)} == {0, 1, 2, 3}
    flipped = augment(image.expand(400, -1, -1, -1), replace(NO_AUGMENTATION, flips=True), generator())
    assert {k for y in flipped for k, form in enumerate(forms) if torch.equal(y[None], form)} == {0, 2, 4, 6}


def centre_of_mass(x: Tensor) -> Tensor:
    place = torch.linspace(-1, 1, x.shape[-1])
    total = x.sum(dim=(-2, -1))
    return torch.stack([(x * place[:, None]).sum((-2, -1)), (x * place).sum((-2, -1))], -1) / total[..., None]


def test_rotation_turns_by_up_to_its_strength() -> None:
    side = 65
    x = torch.zeros(200, 1, side, side)
    x[:, :, 30:35, 50:55] = 1.0  # on the right
    y = augment(x, only("rotate", 30.0), generator())
    place = centre_of_mass(y[:, 0])
    angle = torch.rad2deg(torch.atan2(place[:, 0], place[:, 1]))
    assert 25.0 < float(angle.max()) < 31.0
    assert -31.0 < float(angle.min()) < -25.0
    torch.testing.assert_close(place.norm(dim=1), centre_of_mass(x)[:, 0].norm(dim=1), atol=0.02, rtol=0)


def test_zoom_shows_a_window_or_a_margin() -> None:
    x = torch.ones(300, 2, 40, 40)
    y = augment(x, only("zoom", 0.3), generator())
    part = y[:, 1].mean(dim=(1, 2))
    cropped = part > 0.999
    # Sides of 0.7 to 1.15, equally likely: a third adds a margin of up to 1 - 1 / 1.15**2.
    assert 0.55 < float(cropped.float().mean()) < 0.78
    assert 0.74 < float(part.min()) < 0.8
    bright = batch(60, 40)
    bright[:, 0] = 0.0
    bright[:, 0, 18:22, 18:22] = 1.0
    area = augment(bright, only("zoom", 0.3), generator())[:, 0].sum(dim=(1, 2)) / 16.0
    assert 1.7 < float(area.max()) < 2.1
    assert 0.7 < float(area.min()) < 0.85


def test_elastic_moves_smoothly() -> None:
    side = 64
    ramp = ((torch.arange(side) + 0.5) / side).expand(40, 1, side, side)
    y = augment(torch.cat([ramp, torch.ones_like(ramp)], 1), only("elastic", 0.02), generator())
    inside = y[:, 0, 8:-8, 8:-8]
    shift = inside - ramp[:, 0, 8:-8, 8:-8]
    assert 0.008 < float(shift.square().mean().sqrt()) < 0.016  # uniform strengths up to 0.02: 0.0115
    assert float(shift.diff(dim=-1).abs().max()) < 0.012
    assert float(shift.diff(dim=-2).abs().max()) < 0.012


def test_gamma_is_a_power_that_keeps_the_order() -> None:
    ramp = torch.linspace(0, 1, 32).expand(50, 1, 32, 32)
    y = augment(ramp, only("gamma", 0.3), generator())
    assert bool((y.diff(dim=-1) >= 0).all())
    assert float(y[..., 0].max()) == 0.0
    assert float(y[..., -1].min()) == 1.0
    power = y[:, 0, 0, 16].log() / ramp[0, 0, 0, 16].log()
    assert float(power.log().std()) == pytest.approx(0.3, abs=0.1)


def test_blur_keeps_the_mean_and_lowers_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.rand(20, 1, 64, 64)
    y = augment(x, only("blur", 0.03), generator())
    torch.testing.assert_close(y.mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=0.03, rtol=0)
    ratio = y.var(dim=(2, 3)) / x.var(dim=(2, 3))
    assert float(ratio.max()) <= 1.001
    assert float(ratio.min()) < 0.1
    point = torch.zeros(1, 1, 33, 33)
    point[..., 16, 16] = 1.0
    spread = augment(point, only("blur", 0.05), generator())[0, 0]
    torch.testing.assert_close(spread, spread.mT)
    torch.testing.assert_close(spread, spread.flip(0))
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-3)


def test_noise_has_its_strength() -> None:
    x = torch.full((200, 1, 32, 32), 0.5)
    spread = (augment(x, only("noise", 0.05), generator()) - x).std(dim=(1, 2, 3))
    assert 0.045 < float(spread.max()) < 0.055
    assert float(spread.min()) < 0.005
    assert float(spread.mean()) == pytest.approx(0.025, abs=0.004)


def test_stripes_are_constant_along_a_line() -> None:
    x = torch.full((60, 1, 112, 112), 0.3)
    y = augment(x, only("stripes", 0.2), generator())[:, 0]
    along_rows = (y.var(dim=2) < 1e-10).all(dim=1)
    along_columns = (y.var(dim=1) < 1e-10).all(dim=1)
    assert bool((along_rows | along_columns).all())
    assert 0.3 < float(along_rows.float().mean()) < 0.7
    gain = (y / 0.3).log().std(dim=(1, 2))
    assert float(gain.max()) < 0.3
    assert float(gain.max()) > 0.15


def test_holes_have_their_sizes() -> None:
    x = torch.ones(300, 1, 100, 100)
    lost = 1.0 - augment(x, only("cut_out", 0.3), generator()).mean(dim=(1, 2, 3))
    assert 0.0 < float(lost.min()) < 0.01
    assert 0.06 < float(lost.max()) <= 0.0961
    blank = augment(x[:1], only("cut_out", 0.3), generator())[0, 0] == 0
    rows, columns = np.flatnonzero(blank.any(1).numpy()), np.flatnonzero(blank.any(0).numpy())
    assert bool(blank[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())
    lattice = 1.0 - augment(x, only("grid_mask", 0.5), generator()).mean(dim=(1, 2, 3))
    assert 0.15 < float(lattice.max()) < 0.35
    assert 0.005 < float(lattice.min()) < 0.06


def test_effects_occur_with_the_requested_probability() -> None:
    x = batch(400, 16, 1)
    for name in ("gamma", "noise", "zoom"):
        effect = Effect(0.25, getattr(DEFAULT, name).strength)
        y = augment(x, replace(NO_AUGMENTATION, **{name: effect}), generator())
        assert (y != x).flatten(1).any(dim=1).float().mean() == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_devices_agree_under_a_cpu_generator(request: pytest.FixtureRequest, device: str) -> None:
    if device == "cuda":
        request.getfixturevalue("cuda")  # skips, or fails, without one
    everything = Augmentation(**{name: Effect(1.0, getattr(DEFAULT, name).strength) for name in EFFECTS})
    x = batch()
    y = augment(x.to(device), everything, generator())
    assert y.device.type == device
    torch.testing.assert_close(y.cpu(), augment(x, everything, generator()), atol=1e-3, rtol=0)


@pytest.mark.parametrize("n", [0, 1])
def test_small_batches(n: int) -> None:
    everything = Augmentation(**{name: Effect(1.0, getattr(DEFAULT, name).strength) for name in EFFECTS})
    assert augment(batch()[:n], everything, generator()).shape == (n, 2, 48, 48)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 8, 9), (2, 8, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="images must have the shape"):
        augment(torch.zeros(shape), DEFAULT, generator())


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("gamma", Effect(1.5, 0.1)),
        ("gamma", Effect(-0.1, 0.1)),
        ("noise", Effect(0.5, -0.1)),
        ("zoom", Effect(0.5, 0.95)),
        ("blur", Effect(0.5, float("nan"))),
    ],
)
def test_invalid_settings(name: str, effect: Effect) -> None:
    with pytest.raises(ArgumentError, match=f"{name}: probability must be 0 to 1"):
        replace(DEFAULT, **{name: effect})


def test_presets() -> None:
    assert PUBLISHED.flips
    assert PUBLISHED.quarter_turns
    assert all(getattr(PUBLISHED, name) == OFF for name in EFFECTS)
    assert all(0.0 < getattr(DEFAULT, name).probability <= 0.25 for name in EFFECTS)


ALL = ("image", "mask", "sqrt", "sample")


def four_channels() -> Tensor:
    """Image and mask of a batch, the root of the image, and a sample map of ones where measured."""
    x = batch()
    return torch.cat([x, x[:, :1].sqrt(), x[:, 1:]], 1)


@pytest.mark.parametrize("name", ["gamma", "blur", "noise", "stripes", "grid_mask", "cut_out"])
def test_photometric_effects_change_the_root_with_the_image_but_not_the_sample_map(name: str) -> None:
    x = four_channels()
    y = augment(x, only(name), generator(), ALL)
    assert torch.equal(y[:, 1], x[:, 1])
    assert torch.equal(y[:, 3], x[:, 3])
    changed = (y[:, 0] != x[:, 0]).flatten(1).any(1)
    assert changed.any()
    torch.testing.assert_close(y[changed, 2], y[changed, 0].sqrt())
    assert torch.equal(y[~changed, 2], x[~changed, 2])
    # The random numbers do not depend on the channels.
    assert torch.equal(y[:, :2], augment(x[:, :2], only(name), generator()))


@pytest.mark.parametrize("name", ["turns", "rotate", "zoom", "elastic"])
def test_the_sample_map_moves_with_the_image_unless_it_is_unknown(name: str) -> None:
    x = four_channels()
    x[:2, 3] = 0.5
    y = augment(x, PUBLISHED if name == "turns" else only(name), generator(), ALL)
    assert (y[:2, 3] == 0.5).all()
    torch.testing.assert_close(y[2:, 3], y[2:, 1])
    assert not torch.equal(y[2:, 3], x[2:, 3])
