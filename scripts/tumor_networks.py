"""Try networks for tissue classification on cohorts that the tables of docs/reference/tumor-results.md do not use.

python scripts/tumor_networks.py --out RUN [--trial NAME ...] [--seeds 911 ...]

Every trial sees the picker's 40 channels, the folds and the standardisation of scripts/tumor_tables.py. All but
cnn3d are fully convolutional: a step draws a whole section. They start as the shrinkage LDA of local features, to which
a branch adds. What is done is kept, so the same command resumes; --trial without a name only writes the table.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import tumor_tables
from torch import Tensor, nn
from torch.nn import functional

import ionmorphnet as imn
from ionmorphnet.base.files import atomic_path
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.tumor.baselines import FittedBaseline
from ionmorphnet.tumor.channels import make_channels
from ionmorphnet.tumor.cubes import Cube, open_cubes
from ionmorphnet.tumor.evaluation import inner_pixels
from ionmorphnet.tumor.evaluation_report import calibration
from ionmorphnet.tumor.patches import (
    LEAST_TEXTURE,
    LEAST_VARIANCE,
    TEXTURE_SIDES,
    Scaling,
    labelled_pixels,
    measured_pixels,
)
from ionmorphnet.tumor.posteriors import change_posteriors
from ionmorphnet.tumor.selection import DEFAULT_TOP, section_scores, select
from ionmorphnet.tumor.splits import Fold, read_folds
from ionmorphnet.tumor.texture import texture_projection
from ionmorphnet.tumor.training_setup import prepare_fit

SEEDS = (911,)
DIFFICULTIES = ("medium", "hard")
STEPS, RATE, EVERY, DECAY = 100, 3e-3, 20, 0.95

Section = tuple[Tensor, Tensor, Tensor]  # values (1, C, H, W), mask (1, 1, H, W), labels (1, H, W)


def box(values: Tensor, mask: Tensor, size: int) -> Tensor:
    """Mean of the measured pixels around each pixel; values are 0 where the mask is."""
    given = functional.avg_pool2d(torch.cat([values, mask], 1), size, 1, size // 2)
    return given[:, :-1] / given[:, -1:].clamp(min=1e-6) * mask


def variance(values: Tensor, mask: Tensor, size: int) -> Tensor:
    """Variance of the measured pixels around each pixel."""
    return (box(values**2, mask, size) - box(values, mask, size) ** 2).clamp(min=0.0) * mask


class Features(nn.Module):
    """Local means of the channels, and their standard deviations or the logs of the variances of projections."""

    def __init__(self, side: int, projection: npt.NDArray[np.float32] | None) -> None:
        super().__init__()
        self.side, self.projection = side, None
        if projection is not None:
            self.projection = nn.Conv2d(*projection.shape, 1, bias=False)
            self.projection.weight.data = torch.from_numpy(projection.T[:, :, None, None].copy())

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        found = [box(values, mask, self.side)]
        if self.projection is None:
            found.append(torch.sqrt(variance(values, mask, self.side) + LEAST_VARIANCE))
        else:
            given = self.projection(values)
            found += [torch.log(variance(given, mask, side) + LEAST_TEXTURE) for side in TEXTURE_SIDES]
        return torch.cat(found, 1) * mask


class Volume(nn.Module):
    """Filters of each channel, then 3D convolutions with stride along m/z, as in cnn3d."""

    def __init__(self, channels: int, classes: int, dilations: Sequence[int] = (1,), given: str = "values") -> None:
        super().__init__()
        self.width, self.given = 8, given
        planes = channels * (3 if given == "features" else 1)
        self.stem = nn.Conv2d(planes, planes * self.width, 3, padding=1, groups=planes)
        self.planes = planes
        stages: list[nn.Module] = [nn.BatchNorm3d(self.width), nn.GELU()]
        now = self.width
        for i, dilation in enumerate((*dilations, 1)):
            kernel = (5, 3, 3) if i < len(dilations) else (5, 1, 1)
            padding = (2, dilation, dilation) if i < len(dilations) else (2, 0, 0)
            stages.append(nn.Conv3d(now, 2 * now, kernel, (4 if i < 2 else 1, 1, 1), padding, (1, dilation, dilation)))
            now *= 2
            stages += [nn.BatchNorm3d(now), nn.GELU()]
        self.stages, self.features = nn.Sequential(*stages), now
        self.gate: nn.Module | None = None
        if given == "squeezed":
            self.gate = nn.Sequential(nn.Conv2d(2 * channels, 16, 1), nn.GELU(), nn.Conv2d(16, channels, 1))
        self.head = nn.Sequential(nn.Conv2d(now, 64, 1), nn.GELU(), nn.Dropout(0.3), nn.Conv2d(64, classes, 1))

    def trunk(self, values: Tensor, mask: Tensor) -> Tensor:
        if self.given == "features":
            values = torch.cat([values, box(values, mask, 5), variance(values, mask, 5).sqrt()], 1)
        if self.gate is not None:
            local = torch.cat([box(values, mask, 5), variance(values, mask, 5)], 1)
            values = values * 2.0 * torch.sigmoid(self.gate(local)) * mask
        cube = self.stem(values).unflatten(1, (self.planes, self.width)).transpose(1, 2)
        found: Tensor = self.stages(cube).mean(dim=2)
        return found

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.head(self.trunk(values, mask))
        return found


class Attention(nn.Module):
    """Self-attention between the channels of a pixel, each a token of its value, local mean and deviation."""

    def __init__(self, channels: int, classes: int, size: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(3, size)
        self.place = nn.Parameter(0.3 * torch.randn(channels, size))
        self.mix = nn.TransformerEncoderLayer(size, 2, 2 * size, 0.1, batch_first=True, norm_first=True)
        self.head = nn.Linear(size, classes)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        each = torch.stack([values, box(values, mask, 5), variance(values, mask, 5).sqrt()], -1)
        tokens = self.embed(each[0].permute(1, 2, 0, 3)[mask[0, 0] > 0]) + self.place
        found = self.head(self.mix(tokens).mean(dim=1))
        planes = values.new_zeros(*mask.shape[2:], found.shape[1])
        planes[mask[0, 0] > 0] = found
        return planes.permute(2, 0, 1)[None]


class Dense(nn.Module):
    """A linear classifier of local features, to which a branch adds; logits may be smoothed inside."""

    def __init__(self, features: Features, start: FittedBaseline, branch: nn.Module | None, smooth: bool) -> None:
        super().__init__()
        weight, bias = (torch.from_numpy(each).float() for each in start.linear())
        self.features, self.branch = features, branch
        self.linear = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.linear.weight.data, self.linear.bias.data = weight[:, :, None, None].contiguous(), bias  # type: ignore[union-attr]
        if branch is not None:
            last = branch.head[-1] if isinstance(branch.head, nn.Sequential) else branch.head
            nn.init.zeros_(last.weight)  # type: ignore[arg-type, union-attr]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type, union-attr]
        away = torch.arange(-4, 5.0)
        kernel = torch.exp(-(away**2) / (2 * 1.5**2))
        self.register_buffer("kernel", torch.outer(kernel, kernel)[None, None] if smooth else None)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.linear(self.features(values, mask))
        if self.branch is not None:
            found = found + self.branch(values, mask)
        if self.kernel is not None:
            given = functional.conv2d(torch.cat([found * mask, mask], 1).transpose(0, 1), self.kernel, padding=4)
            found = (given[:-1] / given[-1:].clamp(min=1e-6)).transpose(0, 1)
        return found


@dataclass(frozen=True)
class Trial:
    """A network.

    Attributes:
        side: Side of the neighbourhood of the linear part.
        texture: Whether the linear part sees texture instead of standard deviations; its projections are learnt too.
        branch: Makes what adds to it from the numbers of channels and classes; None: nothing but its weights is learnt.
        steps: Optimiser steps; 0: the linear part stays as it starts.
        smooth: Whether the logits are smoothed inside.
        turned: Whether predictions are means over the eight orientations.
        pretrained: Whether the branch first learns to restore channels of all sections, labels or not.
        refit: Whether it is trained again, for as many steps, with the patient that told when to stop.
    """

    side: int = 5
    texture: bool = False
    branch: Callable[[int, int], nn.Module] | None = None
    steps: int = STEPS
    smooth: bool = False
    turned: bool = False
    pretrained: bool = False
    refit: bool = True


TRIALS: dict[str, Trial | None] = {
    "lda-meanstd": Trial(steps=0),
    "cnn3d": None,
    "cnn3d-9": None,
    "lda-meanstd 9": Trial(side=9, steps=0),
    "lda-texture": Trial(texture=True, steps=0),
    "lda-meanstd trained": Trial(),
    "volume": Trial(branch=Volume),
    "volume not refitted": Trial(branch=Volume, refit=False),
    "volume turned": Trial(branch=Volume, turned=True),
    "volume dilated": Trial(branch=lambda k, n: Volume(k, n, (1, 2, 4))),
    "volume squeezed": Trial(branch=lambda k, n: Volume(k, n, given="squeezed")),
    "volume of mean+std": Trial(branch=lambda k, n: Volume(k, n, given="features")),
    "volume pretrained": Trial(branch=Volume, pretrained=True),
    "volume smooth": Trial(branch=Volume, smooth=True),
    "attention": Trial(branch=Attention),
    "texture trained": Trial(texture=True),
    "texture smooth": Trial(texture=True, smooth=True),
    "texture volume": Trial(texture=True, branch=Volume),
    "texture attention": Trial(texture=True, branch=Attention),
}


def tensors(cubes: Sequence[Cube], scaling: Scaling) -> list[Section]:
    """The sections with the chosen channels, scaled; 0 where not measured."""
    found = []
    for cube in cubes:
        values = (cube.values[..., scaling.channels] - scaling.centre) * scaling.scale * cube.measured[..., None]
        planes = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None].float()
        mask = torch.from_numpy(cube.measured.astype(np.float32))[None, None]
        found.append((planes, mask, torch.from_numpy(cube.labels.astype(np.int64))[None]))
    return found


def augmented(section: Section, generator: torch.Generator) -> Section:
    """The section turned, with noise, other gains and without some channels."""
    values, mask, labels = section
    turned = int(torch.randint(8, (), generator=generator))
    values, mask, labels = (oriented(each, turned) for each in (values, mask, labels))
    shape = (1, values.shape[1], 1, 1)
    values = values * torch.exp(0.15 * torch.randn(shape, generator=generator))
    values = values + 0.1 * torch.randn(values.shape, generator=generator)
    kept = torch.rand(shape, generator=generator) >= 0.1
    return values * kept * mask, mask, labels


def oriented(image: Tensor, which: int) -> Tensor:
    """One of the eight orientations of the last two axes."""
    image = torch.rot90(image, which % 4, (-2, -1))
    return image.flip(-1) if which >= 4 else image


def restored(image: Tensor, which: int) -> Tensor:
    """Undoes an orientation."""
    image = image.flip(-1) if which >= 4 else image
    return torch.rot90(image, -(which % 4), (-2, -1))


def loss_of(logits: Tensor, labels: Tensor, smoothing: float = 0.05) -> Tensor:
    """Cross entropy, the same weight for every class."""
    counts = torch.bincount(labels[labels >= 0], minlength=logits.shape[1]).clamp(min=1)
    return functional.cross_entropy(
        logits, labels, 1.0 / counts.float(), ignore_index=-1, label_smoothing=smoothing, reduction="mean"
    )


def pretrain(branch: Volume, sections: Sequence[Section], generator: torch.Generator) -> None:
    """Teaches the branch to tell the local means of channels that it does not see."""
    k = sections[0][0].shape[1]
    decoder = nn.Conv2d(branch.features, k, 1)
    optimiser = torch.optim.AdamW([*branch.parameters(), *decoder.parameters()], RATE)
    for step in range(STEPS):
        values, mask, _ = augmented(sections[step % len(sections)], generator)
        hidden = torch.rand((1, k, 1, 1), generator=generator) < 0.5
        found = decoder(branch.trunk(values * ~hidden, mask))
        loss = (((found - box(values, mask, 3)) ** 2) * hidden * mask).sum() / (hidden.sum() * mask.sum() + 1e-6)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def fit(
    network: Dense, train: Sequence[Section], inner: Sequence[Section], steps: int, seed: int, until: int | None = None
) -> int:
    """Trains on one section a step; keeps the moving average that does best on the patient held out.

    Args:
        network: The network, afterwards in evaluation mode.
        train: Training sections.
        inner: Those of the patient held out.
        steps: Optimiser steps.
        seed: Seed of draws and augmentation.
        until: Step after which to stop; None: judged by ``inner``.

    Returns:
        The step that was best.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    best = (np.inf, 0, average)
    for step in range(steps + 1):
        if step == until:
            best = 0.0, step, average
            break
        if until is None and (step % EVERY == 0 or step == steps):
            now = {name: value.clone() for name, value in network.state_dict().items()}
            network.load_state_dict(average)
            network.eval()
            with torch.no_grad():
                loss = float(np.mean([float(loss_of(network(v, m), label, 0.0)) for v, m, label in inner] or [-step]))
            if loss < best[0]:
                best = loss, step, {name: value.clone() for name, value in average.items()}
            network.load_state_dict(now)
            network.train()
        if step == steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 10) * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = int(torch.randint(len(train), (), generator=generator))
        values, mask, labels = augmented(train[chosen], generator)
        loss_now = loss_of(network(values, mask), labels)
        optimiser.zero_grad()
        loss_now.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        for name, value in network.state_dict().items():
            average[name] = DECAY * average[name] + (1 - DECAY) * value if value.is_floating_point() else value.clone()
    network.load_state_dict(best[2])
    network.eval()
    return best[1]


def predicted(network: Dense, section: Section, turned: bool) -> npt.NDArray[np.float64]:
    """Class probabilities of the measured pixels, (n, classes)."""
    values, mask, _ = section
    with torch.no_grad():
        logits = [
            restored(network(oriented(values, way), oriented(mask, way)), way) for way in range(8 if turned else 1)
        ]
        found = torch.softmax(torch.stack(logits).double().mean(dim=0), dim=1)[0]
    return found.permute(1, 2, 0)[mask[0, 0] > 0].numpy()


def run_dense(
    trial: Trial, cubes: Sequence[Cube], fold: Fold, channels: npt.NDArray[np.int64], classes: int, seed: int
) -> dict[int, npt.NDArray[np.float64]]:
    """Probabilities of the measured pixels of the test sections."""

    def made(training: Sequence[int]) -> tuple[Dense, list[Section]]:
        """The network at its start, and all sections."""
        torch.manual_seed(seed)
        pixels = labelled_pixels(cubes, training)
        scaling = Scaling.of(cubes, pixels, channels)
        sections = tensors(cubes, scaling)
        kind = "-texture" if trial.texture else "-meanstd"
        features = Features(trial.side, texture_projection(kind, cubes, pixels, scaling))
        values, labels, groups = [], [], []
        with torch.no_grad():
            for i in training:
                at = sections[i][2][0] >= 0
                values.append(features(*sections[i][:2])[0][:, at].T.numpy())
                labels.append(sections[i][2][0][at].numpy())
                groups.append(np.full(len(labels[-1]), i))
        given = np.concatenate(values), np.concatenate(labels), np.concatenate(groups)
        start = FittedBaseline("lda", *given, seed=seed, threads=1)
        branch = None if trial.branch is None else trial.branch(len(channels), classes)
        if trial.pretrained and isinstance(branch, Volume):
            pretrain(branch, sections, torch.Generator().manual_seed(seed))
        return Dense(features, start, branch, trial.smooth), sections

    best = 0
    if trial.steps:
        network, sections = made(fold.train)
        inner = [sections[i] for i in fold.inner]
        best = fit(network, [sections[i] for i in fold.train], inner, trial.steps, seed)
    if trial.refit or not trial.steps:
        # The patient that told when to stop is trained on as well, as the baselines do.
        network, sections = made(fold.outer)
        fit(network, [sections[i] for i in fold.outer], (), max(trial.steps, 1), seed, until=best)
    return {i: predicted(network, sections[i], trial.turned) for i in fold.test}


def run_cnn3d(
    size: int, steps: int, cubes: Sequence[Cube], fold: Fold, channels: npt.NDArray[np.int64], classes: int, seed: int
) -> dict[int, npt.NDArray[np.float64]]:
    """The same of the method cnn3d."""
    ready = prepare_fit(
        "cnn3d",
        cubes,
        labelled_pixels(cubes, fold.train),
        inner_pixels(cubes, fold.inner, seed),
        channels,
        classes=classes,
        size=size,
        steps=steps,
        seed=seed,
        device="cpu",
        threads=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        ready.run(Path(folder))
        return {i: ready.predict(Path(folder), measured_pixels(cubes, [i])) for i in fold.test}


def judged(
    found: dict[int, npt.NDArray[np.float64]], cubes: Sequence[Cube], classes: int
) -> Iterator[dict[str, object]]:
    """Figures of each section, without and with smoothing."""
    for i, probabilities in found.items():
        cube = cubes[i]
        label = cube.labels[cube.measured].astype(np.int64)
        for smooth in ("none", "gaussian"):
            changed = change_posteriors(probabilities, cube.measured, smooth=smooth)[label >= 0]
            own = label[label >= 0]
            right = changed.argmax(axis=1) == own
            brier, ece = calibration(own, changed)
            yield {
                "patient": cube.group,
                "smooth": smooth,
                "balanced_accuracy": np.mean([right[own == k].mean() for k in np.unique(own)]),
                "auc": np.mean([auc(own == k, changed[:, k]) for k in range(classes)]),
                "brier": brier,
                "ece": ece,
            }


def evaluate(out: Path, cell: tuple[str, float, int], names: Sequence[str]) -> None:
    """Runs the trials on a cohort that were not run before."""
    difficulty, share, seed = cell
    folder = out / f"{difficulty}_{share:g}_{seed}"
    names = [name for name in names if not (folder / f"{name.replace(' ', '_')}.csv").is_file()]
    if not names:
        return
    place = folder / "cohort"
    if not (place / "cohort.csv").is_file():
        imn.tumor.simulate_cohort(
            place, sections=1, shape=(36, 40), difficulty=difficulty, texture_share=share, seed=seed
        )
    cohort = imn.tumor.read_cohort(place / "cohort.csv", labels=imn.tumor.parse_label_map(str(place / "labels.json")))
    split = folder / "split.json"
    tumor_tables._write_split(split, cohort, 3)
    axis = make_channels(None, cohort)
    ranked = folder / "scores.csv"
    if not ranked.is_file():
        scores = section_scores(cohort, axis, ["picked"], device="cpu", threads=1)
        with atomic_path(ranked) as temporary:
            pd.concat(scores, keys=range(len(scores)), names=["section", "channel"]).to_csv(temporary)
    table = pd.read_csv(ranked)
    scores = [own.reset_index(drop=True) for _, own in table.groupby("section")]
    with open_cubes(cohort, axis, normalize="tic", standardize="z") as cubes:
        folds = read_folds(split, cubes, cohort.classes)
        for name in names:
            began, found = time.process_time(), {}
            for fold in folds:
                channels = select([scores[i] for i in fold.outer], "picked", DEFAULT_TOP, len(axis))
                trial = TRIALS[name]
                if trial is None:
                    sizes = (9, 200) if name.endswith("9") else (5, 120)
                    found |= run_cnn3d(*sizes, cubes, fold, channels, len(cohort.classes), 1)
                else:
                    found |= run_dense(trial, cubes, fold, channels, len(cohort.classes), 1)
            rows = pd.DataFrame(judged(found, cubes, len(cohort.classes)))
            spent = time.process_time() - began
            rows = rows.assign(difficulty=difficulty, texture=share, cohort=seed, run=0, method=name, cpu_s=spent)
            with atomic_path(folder / f"{name.replace(' ', '_')}.csv") as temporary:
                rows.to_csv(temporary, index=False)
            means = rows.groupby("smooth", sort=False)[["balanced_accuracy", "auc"]].mean().round(3)
            print(time.strftime("%H:%M:%S"), folder.name, name, f"{spent:.0f} s", means.to_numpy().tolist(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trial", nargs="*", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the cohorts")
    options = parser.parse_args()
    logging.getLogger("ionmorphnet").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for seed, share, difficulty in itertools.product(options.seeds, tumor_tables.TEXTURE_SHARES, DIFFICULTIES):
        evaluate(options.out, (difficulty, share, seed), options.trial)
    rows = pd.concat([pd.read_csv(path) for path in sorted(options.out.glob("*_*_*/*.csv")) if path.stem != "scores"])
    rows["method"] += np.where(rows["smooth"] == "none", "", "+" + rows["smooth"])
    whole = rows.groupby("method")[["difficulty", "texture", "cohort"]].apply(lambda own: len(own.drop_duplicates()))
    rows = rows[rows["method"].isin(whole[whole == whole.max()].index)]
    # Cohorts are resampled whatever their difficulty and share of texture: there are few of each.
    cells = rows["difficulty"] + " " + rows["texture"].astype(str) + " " + rows["cohort"].astype(str)
    rows = rows.assign(cohort=cells, difficulty="all", texture="all")
    for smooth in ("", "+gaussian"):
        chosen = rows[rows["method"].str.endswith("+gaussian") == bool(smooth)]
        table = tumor_tables.summarise(chosen, "method", reference=f"lda-meanstd{smooth}")
        table.to_csv(options.out / f"networks{smooth}.csv", index=False)
        own = table.sort_values("auc", ascending=False)
        cpu = chosen.groupby("method")["cpu_s"].mean()
        print(f"\n| method | balanced accuracy | less lda-meanstd{smooth} | AUC | less lda-meanstd{smooth} | CPU s |")
        print("|---|---:|---:|---:|---:|---:|")
        for _, row in own.iterrows():
            figures = [tumor_tables._text(row, each) for f in tumor_tables.FIGURES[:2] for each in (f, f"less_{f}")]
            print(f"| {row['method']} | {' | '.join(figures)} | {cpu[row['method']]:.0f} |")


if __name__ == "__main__":
    main()
