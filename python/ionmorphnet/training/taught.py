"""Labels from a teacher: a trained model grades the images that a student learns from (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.models.labels import PROBABILITY_COLUMNS
from ionmorphnet.models.model import load_model
from ionmorphnet.scoring.images import score_images


class TaughtSource:
    """Images of a source, with labels and grades between the source's and a teacher's.

    The teacher sees each image as in inference, at its own size and without a cascade. It is compiled when the first
    image is read, in each process anew.
    """

    def __init__(
        self, source: Source, teacher: str | Path, *, class_share: float = 0.0, grade_share: float = 1.0
    ) -> None:
        """Wrap ``source``.

        Args:
            source: Images with known classes and grades, such as simulated ones.
            teacher: Name of a bundled model, or a model folder; it must estimate the structure.
            class_share: Share of the teacher in the class labels, 0 to 1.
            grade_share: Share of the teacher in the grades, 0 to 1.

        Raises:
            ArgumentError: A share is out of range, or the teacher has no structure output.
            FileError: The teacher cannot be read.
        """
        if not (0.0 <= class_share <= 1.0 and 0.0 <= grade_share <= 1.0):
            raise ArgumentError(f"shares of the teacher must be from 0 to 1, got {class_share} and {grade_share}")
        model = load_model(teacher)
        if not model.has_structure:
            raise ArgumentError(f"{model.name}: estimates no structure, so it cannot grade images for a student")
        self.source, self.teacher, self.name = source, model.folder, model.name
        self.class_share, self.grade_share = class_share, grade_share

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the source."""
        return self.source.dataset_ids

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index`` with its labels as taught."""
        sample = self.source[index]
        frame = score_images(
            sample.image,
            sample.mask,
            sample=sample.sample,
            model=self.teacher,
            device="cpu",
            cascade=False,
            threads=1,
            progress=False,
        )
        classes = frame[list(PROBABILITY_COLUMNS)].to_numpy(np.float64)[0]
        mixed = (1.0 - self.class_share) * sample.probabilities + self.class_share * classes
        grade = (1.0 - self.grade_share) * sample.structure + self.grade_share * float(frame["structure"].iloc[0])
        return replace(sample, probabilities=mixed.astype(np.float32), structure=grade)

    def targets(self) -> None:
        """None: labels are known only when an image has been graded."""
        return None

    def select(self, datasets: Iterable[str]) -> TaughtSource:
        """Select datasets of the source."""
        return TaughtSource(
            self.source.select(datasets), self.teacher, class_share=self.class_share, grade_share=self.grade_share
        )

    def describe(self) -> dict[str, object]:
        """Describe the source, the teacher and its shares."""
        taught = {"teacher": self.name, "class_share": self.class_share, "grade_share": self.grade_share}
        return self.source.describe() | taught

    def __repr__(self) -> str:
        """Show source and teacher."""
        return f"TaughtSource({self.source!r}, {self.name})"
