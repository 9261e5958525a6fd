"""The estimators as River's models, where River is installed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytest.importorskip("river", reason="River is not installed")

from river import base, compose, datasets, ensemble, evaluate, metrics, preprocessing

from tagix.sklearn import TagiClassifier, TagiRegressor


def take(dataset: Any, n_rows: int) -> list[Any]:
    return [pair for pair, _ in zip(dataset, range(n_rows), strict=False)]


def test_regression() -> None:
    """Better than the mean of the targets so far, and than a linear model."""
    rows = take(datasets.TrumpApproval(), 1000)
    model = TagiRegressor(n_estimators=1, random_state=0)
    error = evaluate.progressive_val_score(rows, model, metrics.MAE()).get()
    linear = compose.Pipeline(preprocessing.StandardScaler(), linear_model())
    assert error < evaluate.progressive_val_score(rows, linear, metrics.MAE()).get()
    targets = np.array([y for _, y in rows])
    assert error < 0.5 * np.abs(targets - targets.mean()).mean()


def linear_model() -> Any:
    from river import linear_model

    return linear_model.LinearRegression()


def test_classification_in_a_pipeline() -> None:
    rows = take(datasets.Phishing(), 1250)
    model = preprocessing.StandardScaler() | TagiClassifier(n_estimators=1, random_state=0)
    assert isinstance(model, compose.Pipeline) and isinstance(model, base.Classifier)
    metric = metrics.Accuracy() + metrics.LogLoss()
    evaluate.progressive_val_score(rows, model, metric)
    accuracy, log_loss = (each.get() for each in metric)
    assert accuracy > 0.85 and log_loss < 0.4


def test_multiclass_with_features_that_come_and_go() -> None:
    rows = take(datasets.ImageSegments(), 1000)
    for number, (x, _) in enumerate(rows):
        for name in list(x)[number % 5 :: 5]:
            del x[name]
    model = TagiClassifier(n_estimators=1, random_state=0)
    accuracy = evaluate.progressive_val_score(rows, model, metrics.Accuracy()).get()
    assert accuracy > 0.6 and len(model.classes_) == 7


def test_ensembles_of_river_take_clones() -> None:
    bagging = ensemble.BaggingRegressor(TagiRegressor(n_estimators=1, random_state=0), n_models=2)
    rows = take(datasets.TrumpApproval(), 100)
    assert evaluate.progressive_val_score(rows, bagging, metrics.MAE()).get() < 10


def test_river_imported_after() -> None:
    program = """
import tagix.sklearn
import river.base
assert isinstance(tagix.sklearn.TagiRegressor(), river.base.Regressor)
assert isinstance(tagix.sklearn.TagiClassifier(), river.base.Classifier)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
