"""Tissue classification with a 3D CNN on patches of picked channels, compared with pixel-wise classifiers.

import ionmorphnet as imn
cohort = imn.tumor.read_cohort("cohort.csv", labels={"1": "normal", "2": "tumor"})
report = imn.tumor.evaluate_cohort("evaluation", cohort)
trained = imn.tumor.train_tumor("run", cohort)
prediction = imn.tumor.predict(trained.model, "new.imzML")
"""

from __future__ import annotations

from ionmorphnet.tumor.channels import make_channels
from ionmorphnet.tumor.cohort import Cohort, SectionFile, make_cohort, read_cohort
from ionmorphnet.tumor.evaluation import evaluate_cohort
from ionmorphnet.tumor.evaluation_plan import METHODS, EvaluationPlan
from ionmorphnet.tumor.evaluation_report import TumorReport
from ionmorphnet.tumor.explain import explain
from ionmorphnet.tumor.model import TumorModel, load_tumor_model
from ionmorphnet.tumor.outputs import annotate, overlay, to_anndata, write_npz, write_overlay
from ionmorphnet.tumor.predict import Prediction, predict
from ionmorphnet.tumor.regions import parse_label_map, read_regions
from ionmorphnet.tumor.selection import SELECTIONS
from ionmorphnet.tumor.simulate import DIFFICULTIES, Difficulty, SimulatedCohort, simulate_cohort
from ionmorphnet.tumor.train import MODEL_METHODS, TrainedTumorModel, train_tumor

__all__ = [
    "DIFFICULTIES",
    "METHODS",
    "MODEL_METHODS",
    "SELECTIONS",
    "Cohort",
    "Difficulty",
    "EvaluationPlan",
    "Prediction",
    "SectionFile",
    "SimulatedCohort",
    "TrainedTumorModel",
    "TumorModel",
    "TumorReport",
    "annotate",
    "evaluate_cohort",
    "explain",
    "load_tumor_model",
    "make_channels",
    "make_cohort",
    "overlay",
    "parse_label_map",
    "predict",
    "read_cohort",
    "read_regions",
    "simulate_cohort",
    "to_anndata",
    "train_tumor",
    "write_npz",
    "write_overlay",
]
