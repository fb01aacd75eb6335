"""Recipes, their schedules and presets; losses against plain formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.labelled.sources import SimulatedSource  # noqa: E402
from ionmorphnet.training import losses, presets  # noqa: E402
from ionmorphnet.training.batches import Batch  # noqa: E402
from ionmorphnet.training.recipe import Phase, Recipe, images_seen, learning_rate  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402


def test_recipes_round_trip_as_plain_values() -> None:
    recipe = Recipe(phases=(Phase(64, 100, 8), Phase(96, 10, 4)), seed=5)
    values = recipe.to_dict()
    assert Recipe.from_dict(values) == recipe
    assert recipe.differences(values) == []
    assert replace(recipe, seed=6, drop_path=0.5).differences(values) == ["seed", "drop_path"]
    del values["start"]  # written before that entry existed
    assert recipe.differences(values) == []
    with pytest.raises(ArgumentError, match="colour"):
        recipe.differences(values | {"colour": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": "shrink"}, "resize must be stretch or area"),
        ({"phases": ()}, "phase"),
        ({"phases": (Phase(100, 1, 1),)}, "SIZE a multiple of 16 from 32 to 384"),
        ({"precision": "f16"}, "precision"),
        ({"augmentation": "wild"}, "augmentation"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_invalid_recipes(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Recipe(**change)  # type: ignore[arg-type]


def test_the_preprocessing_of_a_recipe_is_that_of_its_last_phase() -> None:
    recipe = Recipe(phases=(Phase(64, 100, 8), Phase(112, 10, 4)), resize="area", sqrt=True, sample=True)
    assert str(recipe.preprocessing) == "p99-area-112-mask-sqrt-sample"
    assert str(recipe.preprocessing_at(64)) == "p99-area-64-mask-sqrt-sample"
    assert recipe.in_chans == 4
    assert str(Recipe().preprocessing) == "p99-stretch-224-mask"
    assert str(presets.published_recipe(10).preprocessing) == "p99-stretch-224"


def test_learning_rate_schedule() -> None:
    recipe = Recipe(phases=(Phase(64, 995, 10),), warmup=0.05)
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    assert recipe.steps == 100
    assert rates[0] == pytest.approx(recipe.learning_rate / 5)
    assert max(rates) == rates[4] == pytest.approx(recipe.learning_rate)
    assert (np.diff(rates[5:]) < 0).all()
    assert rates[-1] < 0.02 * recipe.learning_rate


def test_published_schedule() -> None:
    recipe = presets.published_recipe(1600)
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    assert recipe.steps == 10_000
    assert rates[0] == pytest.approx(3e-5, rel=0.02)  # a tenth
    assert int(np.argmax(rates)) == 799  # the end of the eighth epoch
    assert max(rates) == pytest.approx(3e-4)
    assert rates[-1] == pytest.approx(1e-6, rel=0.01)


def test_images_seen() -> None:
    recipe = Recipe(phases=(Phase(32, 30, 8), Phase(64, 10, 4)))
    assert [images_seen(recipe, step) for step in (0, 3, 4, 5, 7, 99)] == [0, 24, 32, 36, 44, 44]


def test_scaled_keeps_the_shares() -> None:
    phases = presets.scaled(Recipe(phases=(Phase(96, 900, 32), Phase(224, 100, 16))), 50).phases
    assert phases == (Phase(96, 45, 32), Phase(224, 5, 16))
    for n in (1, 8, 33):  # as many as asked for, even where a share rounds to none
        assert sum(phase.images for phase in presets.scaled(Recipe(), n).phases) == n
    with pytest.raises(ArgumentError, match="at least 1"):
        presets.scaled(Recipe(), 0)


class Unequal(DiscsAndNoise):
    """Three images of class 0, one of class 5."""

    def targets(self) -> np.ndarray:
        return np.eye(6, dtype=np.float32)[[0, 0, 0, 5]]


def test_class_weights_are_inverse_frequencies() -> None:
    weights = presets.class_weights(Unequal(4), limit=np.inf)
    # Classes that no image shows count like the rarest one, should an evaluation meet them.
    assert weights == pytest.approx((2 / 3, 2, 2, 2, 2, 2))
    assert np.mean([weights[k] for k in (0, 0, 0, 5)]) == pytest.approx(1.0)


def test_class_weights_are_limited() -> None:
    class Rare(DiscsAndNoise):
        def targets(self) -> np.ndarray:
            return np.eye(6, dtype=np.float32)[[0] * 99 + [5]]

    free, limited = presets.class_weights(Rare(100), limit=np.inf), presets.class_weights(Rare(100))
    assert max(free) / min(free) == pytest.approx(99)
    assert max(limited) / min(limited) == pytest.approx(10)
    assert 0.99 * limited[0] + 0.01 * limited[5] == pytest.approx(1.0)


def test_class_weights_count_simulated_images() -> None:
    weights = np.array(presets.class_weights(Unequal(4), simulated_share=0.5))
    seen = 0.5 * np.array([0.75, 0, 0, 0, 0, 0.25]) + 0.5 / 6
    np.testing.assert_allclose(weights * seen, 1 / 6)  # every class counts the same in all


def test_class_weights_need_labels() -> None:
    class Unknown(DiscsAndNoise):
        def targets(self) -> np.ndarray:
            return np.full((4, 6), np.nan, np.float32)

    assert presets.class_weights(Unknown(4)) is None
    assert presets.class_weights(SimulatedSource(4, 1)) is None


def test_short_trainings_are_not_compiled(tmp_path: Path) -> None:
    done = imn.train(tmp_path, images=4, size=32, batch=4, workers=0, threads=1)
    assert (Recipe().compile, done.recipe.compile) == (True, False)


def _cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return -(target * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))).sum(axis=1)


def test_class_loss() -> None:
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(5, 6)), rng.dirichlet(np.ones(6), size=5)
    given = torch.tensor(logits), torch.tensor(target)
    assert float(losses.class_loss(*given)) == pytest.approx(_cross_entropy(logits, target).mean())
    smooth = 0.9 * target + 0.1 / 6
    assert float(losses.class_loss(*given, label_smoothing=0.1)) == pytest.approx(_cross_entropy(logits, smooth).mean())
    # Rows of unknown class do not count.
    given[1][2:] = float("nan")
    assert float(losses.class_loss(*given)) == pytest.approx(_cross_entropy(logits, target)[:2].mean())
    given[1][:] = float("nan")
    assert float(losses.class_loss(*given)) == 0.0


def test_weighted_class_loss_is_a_weighted_mean() -> None:
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    labels, weights = torch.tensor([0, 4, 4]), torch.tensor([3.0, 1.0, 1.0, 1.0, 0.5, 1.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weights)
    got = losses.class_loss(logits, torch.nn.functional.one_hot(labels, 6).float(), weights=weights)
    torch.testing.assert_close(got, expected)


def test_structure_loss_is_smallest_at_the_truth() -> None:
    structure = torch.tensor([0.6, 2.4, float("nan")])
    logit = torch.logit(structure / 3.0).nan_to_num(5.0).requires_grad_()
    loss = losses.structure_loss(logit, structure)
    loss.backward()
    torch.testing.assert_close(logit.grad, torch.zeros(3), atol=1e-6, rtol=0)
    p = np.array([0.2, 0.8])
    assert float(loss.detach()) == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def test_ranking_loss() -> None:
    # One scene with a pair that is ranked and one below the margin; another image far away in truth.
    score, truth = torch.tensor([0.3, -0.2, 0.1, 1.0]), torch.tensor([2.0, 1.0, 2.05, 0.0])
    scene = torch.tensor([7, 7, 7, 8])
    pairs = [(0, 1, 1.0), (2, 1, 1.05)]
    within = sum(w * np.log1p(np.exp(-float(score[i] - score[j]))) for i, j, w in pairs) / 2.05
    others = [(0, 3, 2.0), (1, 3, 1.0), (2, 3, 2.05)]
    across = sum(w * np.log1p(np.exp(-float(score[i] - score[j]))) for i, j, w in others) / 5.05
    assert float(losses.ranking_loss(score, truth, scene)) == pytest.approx(within + across, rel=1e-5)
    assert float(losses.ranking_loss(score, torch.full((4,), float("nan")), scene)) == 0.0


def test_without_a_structure_output_the_informative_classes_are_ranked() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.5, 0.0, 0.0, -1.0]])
    p = torch.softmax(logits, dim=1)[0]
    informative = p[0] + p[2] + p[5]
    score = losses.ranking_score({"logits": logits})
    torch.testing.assert_close(score[0], torch.log(informative / (1 - informative)))


def test_hard_labels_and_switched_off_losses() -> None:
    target = torch.tensor([[0.6, 0.4, 0, 0, 0, 0], [float("nan")] * 6])
    batch = Batch(torch.zeros(2, 1, 8, 8), torch.zeros(2, 4), target, torch.tensor([1.0, 2.0]), torch.tensor([0, 1]))
    outputs = {"logits": torch.tensor([[0.5, 0.0, 0, 0, 0, 0], [9.0, 0, 0, 0, 0, 0]]), "structure": torch.zeros(2, 1)}
    recipe = Recipe(soft_labels=False, label_smoothing=0.0, ranking_weight=0.0, structure_weight=2.0)
    parts = losses.loss_parts(outputs, batch, recipe, None)
    assert set(parts) == {"loss", "classes", "structure"}
    torch.testing.assert_close(
        parts["classes"], torch.nn.functional.cross_entropy(outputs["logits"][:1], torch.tensor([0]))
    )
    torch.testing.assert_close(parts["loss"], parts["classes"] + 2.0 * parts["structure"])


def test_a_phase_may_restart_the_schedule() -> None:
    recipe = Recipe(phases=(Phase(32, 1000, 10), Phase(64, 500, 10, peak=0.25)), warmup=0.1)
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    falling = Recipe(phases=(Phase(32, 1000, 10), Phase(64, 500, 10)), warmup=0.1)
    assert rates[:100] == [learning_rate(falling, step) for step in range(100)]
    assert max(rates[100:]) == pytest.approx(0.25 * recipe.learning_rate)
    assert rates[100] < rates[104] > rates[149]
    assert rates[149] < 0.02 * 0.25 * recipe.learning_rate + 1e-6
    with pytest.raises(ArgumentError, match="peak of a phase"):
        Recipe(phases=(Phase(32, 10, 10, peak=2.0),))
