"""Losses: soft-label cross-entropy, structure, and pairwise ranking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ionmorphnet.models.labels import CLASSES
from ionmorphnet.training.batches import Batch
from ionmorphnet.training.recipe import Recipe

MAX_STRUCTURE = 3.0
_INFORMATIVE = [CLASSES.index(name) for name in ("structured", "localized", "negative")]

# Smallest difference in true structure (grades 0 to 3) for a pair to be ranked. Images of one scene differ only in
# noise, so even small differences are reliable there; grades of different scenes are less comparable.
SCENE_MARGIN = 0.1
BATCH_MARGIN = 0.5


def class_loss(
    logits: Tensor,
    probabilities: Tensor,
    *,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Compute the cross-entropy with soft labels, averaged over images with a known class.

    Args:
        logits: (N, 6).
        probabilities: (N, 6), rows of NaN = unknown class.
        label_smoothing: Probability spread over all classes.
        weights: (6,), class weights; the average is weighted accordingly.

    Returns:
        Scalar; 0 if no class is known.
    """
    known = ~probabilities.isnan().any(dim=1)
    target = torch.nan_to_num(probabilities) * (1.0 - label_smoothing) + label_smoothing / probabilities.shape[1]
    share = target if weights is None else target * weights
    share = share * known[:, None]
    return -(share * F.log_softmax(logits, dim=1)).sum() / share.sum().clamp_min(1e-9)


def structure_loss(logit: Tensor, structure: Tensor) -> Tensor:
    """Compute the binary cross-entropy of the structure output, averaged over images with a known structure.

    The target is grade / 3. Like the squared error of the sigmoid, cross-entropy has its minimum at the expected grade,
    but its gradient does not vanish for confidently wrong outputs, and grades of exactly 0 or 3 need no clipping as
    they would in logit space.

    Args:
        logit: (N,).
        structure: (N,), grade 0 to 3, NaN = unknown.

    Returns:
        Scalar; 0 if no structure is known.
    """
    known = ~structure.isnan()
    target = torch.nan_to_num(structure) / MAX_STRUCTURE
    each = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    return (each * known).sum() / known.sum().clamp_min(1)


def ranking_loss(score: Tensor, structure: Tensor, scene: Tensor) -> Tensor:
    """Compute RankNet (Burges et al. 2005): the mean over pairs within scenes plus the mean over pairs between scenes.

    The loss of a pair is ``softplus(-(s_i - s_j))`` for ``t_i > t_j``, weighted by the difference of its true grades.

    Args:
        score: (N,), unbounded.
        structure: (N,), true grade 0 to 3; NaN = unknown, the image's pairs are ignored.
        scene: (N,), images of one scene have the same number.

    Returns:
        Scalar.
    """
    gap = torch.nan_to_num(structure[:, None] - structure[None, :])
    same = scene[:, None] == scene[None, :]
    each = F.softplus(score[None, :] - score[:, None])
    total = score.new_zeros(())
    for chosen, margin in ((same, SCENE_MARGIN), (~same, BATCH_MARGIN)):
        weight = gap * (chosen & (gap > margin))
        total = total + (weight * each).sum() / weight.sum().clamp_min(1e-6)
    return total


def ranking_score(outputs: dict[str, Tensor]) -> Tensor:
    """Score (N,) to rank by: the structure output, or without one the log-odds of the informative classes."""
    if "structure" in outputs:
        return outputs["structure"][:, 0]
    logits = outputs["logits"]
    rest = [k for k in range(logits.shape[1]) if k not in _INFORMATIVE]
    return torch.logsumexp(logits[:, _INFORMATIVE], dim=1) - torch.logsumexp(logits[:, rest], dim=1)


def loss_parts(outputs: dict[str, Tensor], batch: Batch, recipe: Recipe, weights: Tensor | None) -> dict[str, Tensor]:
    """Compute the weighted sum (``loss``) and its parts before weighting.

    Args:
        outputs: Outputs of the network, float32.
        batch: Batch with the labels.
        recipe: Weights of the losses.
        weights: (6,) class weights, or None.
    """
    probabilities = batch.probabilities
    if not recipe.soft_labels:
        hard = F.one_hot(torch.nan_to_num(probabilities).argmax(dim=1), probabilities.shape[1]).to(probabilities.dtype)
        probabilities = torch.where(probabilities.isnan(), probabilities, hard)
    smoothing = recipe.label_smoothing
    total = class_loss(outputs["logits"], probabilities, label_smoothing=smoothing, weights=weights)
    parts = {"classes": total}
    if recipe.structure and recipe.structure_weight > 0.0:
        parts["structure"] = structure_loss(outputs["structure"][:, 0], batch.structure)
        total = total + recipe.structure_weight * parts["structure"]
    if recipe.ranking_weight > 0.0:
        parts["ranking"] = ranking_loss(ranking_score(outputs), batch.structure, batch.scene)
        total = total + recipe.ranking_weight * parts["ranking"]
    return {"loss": total, **parts}
