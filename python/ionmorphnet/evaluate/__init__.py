"""Evaluation of models and scores: classes, rankings against grades or pairs, mSCF1, with bootstrap intervals.

import ionmorphnet as imn
methods = imn.evaluate.make_methods()
scored = [imn.evaluate.score_set(s, methods) for s in imn.evaluate.load_sets("section.npz")]
imn.evaluate.ranking_report(scored).table
"""

from __future__ import annotations

from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate
from ionmorphnet.evaluate.classifier import ClassifierReport, ClassifierResult, classifier_report, judge_classes
from ionmorphnet.evaluate.evaluation_set import EvaluationSet, load_sets, require_unique_names
from ionmorphnet.evaluate.methods import Methods, ScoredSet, make_methods, score_set
from ionmorphnet.evaluate.metrics import best_threshold, precision_at_k
from ionmorphnet.evaluate.mscf1 import MSCF1, THRESHOLDS, MSCF1Truth, mscf1, mscf1_truth
from ionmorphnet.evaluate.pairs import read_pairs
from ionmorphnet.evaluate.patterns import distinct_patterns, reference_correlation
from ionmorphnet.evaluate.picking_report import PickingReport, default_cuts, mean_of_sections, picking_report
from ionmorphnet.evaluate.ranking import RankingReport, pair_report, ranking_report
from ionmorphnet.evaluate.section_bins import SectionBins, open_bins

__all__ = [
    "MSCF1",
    "THRESHOLDS",
    "BootstrapOptions",
    "ClassifierReport",
    "ClassifierResult",
    "Estimate",
    "EvaluationSet",
    "MSCF1Truth",
    "Methods",
    "PickingReport",
    "RankingReport",
    "ScoredSet",
    "SectionBins",
    "best_threshold",
    "classifier_report",
    "default_cuts",
    "distinct_patterns",
    "judge_classes",
    "load_sets",
    "make_methods",
    "mean_of_sections",
    "mscf1",
    "mscf1_truth",
    "open_bins",
    "pair_report",
    "picking_report",
    "precision_at_k",
    "ranking_report",
    "read_pairs",
    "reference_correlation",
    "require_unique_names",
    "score_set",
]
