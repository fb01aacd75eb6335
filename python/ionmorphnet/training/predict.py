"""Predictions of trained weights for labelled images, without exporting a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.models.model import HIGHEST_GRADE, sigmoid, softmax
from ionmorphnet.models.networks.onnx_export import torch_outputs
from ionmorphnet.models.networks.weights import read_weights
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.training.batches import NetworkInputs


def predict_corpus(weights: Path, corpus: Corpus, *, maps: bool = True) -> pd.DataFrame:
    """Predict classes and score of the images of a corpus in float32.

    Args:
        weights: Weights file of a training.
        corpus: The images.
        maps: Whether to pass the sample maps of the corpus; otherwise every map is unknown.

    Returns:
        Frame (n) with ``source``, ``key``, ``score`` (structure output, 0 to 1), ``structure`` (grade 0 to 3) and the
        class probabilities, in the order of the corpus; none of them calibrated.

    Raises:
        FileError: The weights cannot be used.
    """
    trained = read_weights(weights)
    source = corpus if maps else corpus.with_maps({})
    inputs = NetworkInputs(source, Preprocessing.parse(trained.preprocessing), statistics=trained.statistics)
    images, statistics, *_ = zip(*(inputs[k] for k in range(len(inputs))), strict=True)
    uses = np.stack(statistics) if trained.statistics else None
    outputs = torch_outputs(trained.model, np.stack(images), uses)
    k = len(CLASSES)
    frame = pd.DataFrame({"source": [i.source for i in corpus.items], "key": [i.key for i in corpus.items]})
    frame["score"] = sigmoid(outputs[:, k])
    frame["structure"] = HIGHEST_GRADE * frame["score"]
    frame[list(PROBABILITY_COLUMNS)] = softmax(outputs[:, :k])
    return frame
