"""Calibration: known distortions are recovered, and folding preserves the outputs."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.models.model import (  # noqa: E402
    sigmoid,
    softmax,
)
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2  # noqa: E402
from ionmorphnet.training.calibration import (  # noqa: E402
    LIMITS,
    Calibration,
    calibrated,
    calibration_report,
    class_calibration_error,
    fit_affine,
    fit_calibration,
    fit_temperature,
    structure_calibration_error,
)


def drawn(rng: np.random.Generator, n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outputs that are calibrated by construction: labels are drawn with the predicted probabilities."""
    logits = rng.normal(0.0, 2.0, (n, 6))
    chosen = (rng.random((n, 1)) > np.cumsum(softmax(logits), 1)).sum(1)
    z = rng.normal(0.5, 1.5, n)
    return logits, np.eye(6)[chosen], z, sigmoid(z)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_temperature_is_found(rng: np.random.Generator, temperature: float) -> None:
    logits, labels, _, _ = drawn(rng)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.25, -1.5), (5.0, 3.0)])
def test_affine_map_is_found(rng: np.random.Generator, scale: float, shift: float) -> None:
    _, _, z, target = drawn(rng)
    found = fit_affine((z - shift) / scale, target)
    assert found == pytest.approx((scale, shift), rel=1e-3, abs=1e-3)


def test_degenerate_outputs_stay_within_the_limits(rng: np.random.Generator) -> None:
    target = rng.random(500)
    z = rng.normal(size=500)
    against = fit_affine(-5.0 * (target - 0.5), target)
    assert against[0] == pytest.approx(LIMITS[0], rel=0.02)  # never decreasing
    assert np.isfinite(fit_affine(np.zeros(500), target)).all()
    assert np.isfinite(fit_affine(z, np.zeros(500))).all()
    assert np.isfinite(fit_affine(z, np.ones(500))).all()
    never_right = np.eye(6)[np.full(500, 3)]
    logits = np.where(never_right, -4.0, 4.0)
    assert fit_temperature(logits, never_right) == pytest.approx(LIMITS[1], rel=0.02)
    assert Calibration(LIMITS[1]).at_limit
    assert not Calibration(1.2, 0.8, 3.0).at_limit


def test_calibration_lowers_loss_and_error_and_keeps_order(rng: np.random.Generator) -> None:
    logits, labels, z, target = drawn(rng)
    outputs = np.column_stack([3.0 * logits, 0.2 * z - 1.0])
    calibration = fit_calibration(outputs[:, :6], labels, outputs[:, 6], target)
    report = calibration_report(outputs, labels, target, calibration)
    assert set(report["before"]) == {"class_nll", "class_ece", "structure_nll", "structure_ece"}
    for name, value in report["after"].items():
        assert value < report["before"][name], name
    assert report["after"]["class_ece"] < 0.03 < report["before"]["class_ece"]
    assert report["after"]["structure_ece"] < 0.005 < report["before"]["structure_ece"]
    mapped = calibration.apply(outputs, 6)
    np.testing.assert_array_equal(mapped[:, :6].argmax(1), outputs[:, :6].argmax(1))
    np.testing.assert_array_equal(np.argsort(mapped[:, 6]), np.argsort(outputs[:, 6]))
    alone = fit_calibration(outputs[:, :6], labels, None, target)
    assert alone == Calibration(calibration.temperature)


def test_calibration_error_by_hand() -> None:
    logits = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]))
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    # 15 bins: 0.8, 0.8 together, 0.6, 0.6 together: |1.6 - 1| and |1.2 - 1| of four images.
    assert class_calibration_error(logits, labels) == pytest.approx((0.6 + 0.2) / 4)
    assert structure_calibration_error(np.array([0.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.2])) == pytest.approx(0.1)


@pytest.mark.parametrize(("statistics", "channels"), [(0, ("image",)), (4, ("image",)), (4, ("image", "sample"))])
def test_folding_gives_the_calibrated_outputs(statistics: int, channels: tuple[str, ...]) -> None:
    torch.manual_seed(4)
    sample = channels if "sample" in channels else ()
    net = ConvNeXtV2(
        in_chans=len(channels), extra_outputs={"structure": 1}, statistics=statistics, sample_channels=sample
    ).eval()
    with torch.no_grad():
        for p in net.head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    images, values = torch.rand(3, len(channels), 64, 64), torch.rand(3, statistics) if statistics else None

    def outputs(model: ConvNeXtV2) -> np.ndarray:
        with torch.no_grad():
            found = model.forward_all(images, values)
        return torch.cat([found["logits"], found["structure"]], 1).double().numpy()

    before = outputs(net)
    calibration = Calibration(1.7, 2.5, -0.8)
    expected = calibration.apply(before, 6)
    assert np.abs(expected - before).max() > 0.1
    np.testing.assert_allclose(outputs(calibrated(net, calibration)), expected, atol=1e-5)
    np.testing.assert_array_equal(outputs(net), before)  # the model itself is left alone
