"""Print how a model folder scores labelled real ion images, with Moran's I beside it.

    python scripts/evaluate_bundled_model.py [--model FOLDER] [--data FOLDER] [--record]

The images and labels are not part of the repository: see the option ``--data``. None of them was used in training.
``--record`` writes the table into the model's config.json.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import ionmorphnet as imn
from ionmorphnet._files import atomic_path
from ionmorphnet.models import DEFAULT_MODEL
from ionmorphnet.scorers import Scorer, make_scorer
from ionmorphnet.training.metrics import auc

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "python" / "ionmorphnet" / "bundled" / DEFAULT_MODEL
DATA = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
SETS = ("bladder79", "bladder150", "brain96", "barley101")
STRUCTURED_FROM = 1.5


def load_set(folder: Path, name: str) -> tuple[list[NDArray[np.float32]], pd.DataFrame]:
    """Images (H, W) and their labels, in the order of the labels; not measured = NaN."""
    labels = pd.read_csv(folder / f"{name}_labels.csv")
    arrays = np.load(folder / f"{name}.npz")
    if "images" not in arrays:
        return [arrays[key].astype(np.float32) for key in labels["key"]], labels
    stack = arrays["images"].astype(np.float32)
    stack[:, ~arrays["mask"].astype(bool)] = np.nan
    return [stack[k] for k in labels["index"]], labels


def scored(images: list[NDArray[np.float32]], scorer: Scorer) -> pd.DataFrame:
    """score_images of images of different sizes: one call for each image."""
    frames = [imn.score_images(image, scorer=scorer) for image in images]
    return pd.concat(frames, ignore_index=True)


def evaluate(model: Path, data: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row of figures for each set, and the confusion with the first labelling."""
    loaded = imn.load_model(model)
    network, statistic = make_scorer(model=loaded, precision="f32"), make_scorer(scorer="moran")
    rows, confusions = [], {}
    for name in SETS:
        images, labels = load_set(data / "ion_images", name)
        frame = scored(images, network)
        score, predicted = frame["score"].to_numpy(), frame["label"].to_numpy()
        moran = scored(images, statistic)["score"].to_numpy()
        structure = labels["structure"].to_numpy()
        positive = structure >= STRUCTURED_FROM
        accuracies = [(predicted == labels[column]).mean() for column in ("label_a", "label_b")]
        rows.append(
            {
                "set": name,
                "images": len(images),
                "auc": auc(positive, score),
                "auc_moran": auc(positive, moran),
                "spearman": pd.Series(score).corr(labels["structure"], method="spearman"),
                "spearman_moran": pd.Series(moran).corr(labels["structure"], method="spearman"),
                "accuracy": float(np.mean(accuracies)),
                "kept_at_threshold": float((score >= loaded.threshold).mean()),
                "structured_share": float(positive.mean()),
            }
        )
        confusions[name] = pd.crosstab(labels["label_a"], pd.Series(predicted, name="predicted"))
    return pd.DataFrame(rows).set_index("set"), confusions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="model folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with ion_images/ (or IMN_SHARED_DATA)")
    parser.add_argument("--record", action="store_true", help="write the table into config.json")
    arguments = parser.parse_args()
    table, confusions = evaluate(arguments.model, arguments.data)
    print(table.round(3).to_string())
    for name, confusion in confusions.items():
        print(f"\n{name}\n{confusion.to_string()}")
    if arguments.record:
        path = arguments.model / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["metrics"]["real_images"] = {
            str(name): {key: None if pd.isna(value) else round(float(value), 4) for key, value in row.items()}
            for name, row in table.iterrows()
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
