"""Small valid files of every kind and of every version, for fuzz_files.py to damage."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np

import tagix as tx
from tagix import nn, schedules


class _Product(nn.Module):
    """A module of a user's own, of every operation that one can have."""

    def __init__(self) -> None:
        self.a, self.b, self.act = nn.Linear(3, 2), nn.Linear(3, 2), nn.LeakyReLU(0.1)
        self.embed, self.head = nn.ClassEmbedding(1, 2, 2), nn.Linear(5, 2)

    def forward(self, x: nn.Value) -> nn.Value:
        a = self.a(x)
        joined = nn.concat([(a + self.act(a)) * self.b(x), self.embed(x)])
        return self.head(joined)  # type: ignore[no-any-return]


def valid_files(folder: Path) -> list[bytes]:
    """Small files of every kind and of every version, the same in each process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3)).astype(np.float32)
    y = x[:, :2] + 1
    labels = np.arange(8) % 2
    contents = []
    for model in [
        *_networks(x, y),
        *_diffusion_models(x, labels),
        *_estimators(x, y[:, 0], labels),
    ]:
        model.save(folder / "valid")
        contents.append((folder / "valid").read_bytes())
    stored = Path(__file__).parents[1] / "tests" / "python" / "old_files"
    return contents + [path.read_bytes() for path in sorted(stored.glob("*.safetensors"))]


def _networks(x: Any, y: Any) -> list[Any]:
    """Networks of all layers, modules, rules and noise models, fitted for an epoch."""
    known = tx.Homoscedastic([0.5, 0.7], decay=0.9)
    activations: list[Any] = [
        nn.ReLU("first_order"),
        nn.LeakyReLU(0.1),
        nn.Hardtanh(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.SiLU(),
        nn.GELU(),
        nn.Identity(),
        nn.Exp(),
    ]
    nested = nn.Sequential(nn.Linear(4, 4, init="xavier"), nn.Sequential(nn.ReLU(), seed=2), seed=1)
    ends: list[dict[str, Any]] = [
        {"noise": known},
        {"noise": tx.Heteroscedastic(), "rule": tx.Capped(2.0)},
        {"noise": tx.Homoscedastic(learn=True), "precision": "mixed"},
        {"noise": known, "forgetting": tx.Forgetting(window=5)},
    ]
    joined = nn.Residual(nn.Concat(nn.Gated(3, 2), nn.Sequential(nn.Linear(3, 1), seed=1)))
    networks: list[Any] = [
        *(
            nn.Sequential(nn.Linear(3, 4), nested, nn.Linear(4, 2), seed=3, **options)
            for options in ends
        ),
        nn.Sequential(nn.Linear(3, 2), *activations, nn.Linear(2, 2), seed=4, noise=known),
        nn.Sequential(nn.ClassEmbedding(1, 2, 2), nn.Linear(3, 2, bias=False), seed=5, noise=known),
        nn.Sequential(nn.Flatten(), joined, nn.Linear(3, 2), input_shape=(3,), seed=8, noise=known),
        nn.Network(_Product(), (3,), seed=9, noise=tx.Heteroscedastic()),
    ]
    for network in networks:
        network.fit(x, y, n_epochs=1, progress=False)
    return networks


def _diffusion_models(x: Any, labels: Any) -> list[Any]:
    """Diffusion models of all schedules and features of times and classes, likewise."""
    kinds: list[dict[str, Any]] = [
        {"schedule": "linear", "prediction_type": "sample", "time_features": "scalar"},
        {"schedule": schedules.Sigmoid(), "n_classes": 2, "class_features": "sinusoidal"},
        {"schedule": schedules.EDM(), "time_features": "log_sigma", "n_classes": 2},
        {"n_classes": 2, "class_features": "embedding", "embedding_dim": 2},
        {"noise": tx.Heteroscedastic(), "prediction_type": "v_prediction", "hidden": ()},
    ]
    models = []
    for options in kinds:
        model = tx.DiffusionModel(3, **{"hidden": (3,), "n_steps": 5, "seed": 6, **options})
        model.fit(x, labels if model.n_classes else None, n_epochs=1, progress=False)
        models.append(model)
    return models


def _estimators(x: Any, y: Any, labels: Any) -> list[Any]:
    """Fitted estimators of tagix.sklearn, where scikit-learn is there."""
    try:
        from tagix import sklearn
    except ImportError:
        return []
    few: dict[str, Any] = {"hidden": (3,), "max_epochs": 1, "n_estimators": 1, "random_state": 0}
    table = np.where(np.abs(x) < 0.1, np.nan, x)
    stream = sklearn.TagiRegressor(**few)
    stream.learn_one({"a": 1.0, "b": 2.0}, 3.0)
    return [
        *_estimators_of_columns(sklearn, few, y, labels),
        sklearn.TagiRegressor(**few).fit(x, y),
        sklearn.TagiRegressor(**few | {"n_estimators": 2}, forgetting=tx.Forgetting()).fit(
            table, y
        ),
        stream,
        sklearn.TagiClassifier(**few).fit(x, np.array(["no", "yes"])[labels]),
        sklearn.TagiClassifier(**few, likelihood="remax").partial_fit(x, labels, classes=[0, 1, 2]),
        sklearn.TagiDiffusion((3,), n_steps=4, n_epochs=1, random_state=0).fit(x),
        sklearn.TagiDiffusion((3,), conditional=True, n_steps=4, n_epochs=1, random_state=1).fit(
            x, labels
        ),
        sklearn.TagiRegressor(),
    ]


def _estimators_of_columns(sklearn: Any, few: dict[str, Any], y: Any, labels: Any) -> list[Any]:
    """Those fitted to a DataFrame of categories and times, where polars and narwhals are there."""
    try:
        import narwhals  # noqa: F401
        import polars
    except ImportError:
        return []
    times = [datetime.time(hour % 24) for hour in range(len(y))]
    table = polars.DataFrame({"place": np.array(["here", "there"])[labels], "at": times, "y": y})
    return [
        sklearn.TagiRegressor(**few).fit(table, y),
        sklearn.TagiDiffusion((3,), n_steps=4, n_epochs=1, random_state=0).fit(table),
    ]
