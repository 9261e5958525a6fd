"""The models that benchmarks of tables compare, by name, with settings that are the same for all.

All other arguments have the package's defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from typing import Any

import tagix
from tagix._optional import MissingExtraError
from tagix.bench.tabular import classifiers, regressors
from tagix.bench.tabular.classifiers import Classifier
from tagix.bench.tabular.regressors import Arguments, Regressor

# Rounds without a better score of the rows left out after which boosting ends.
PATIENCE = 50


def version_of(package: str) -> str | None:
    """Of an installed package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Contender:
    """A model of numbers, of classes, or of both.

    Attributes:
        label: What tables call it.
        package: Its distribution.
        module: Imported before the clock runs.
        extra: Of tagix, which brings the package; None if it is always there.
        regressor: Makes a model of numbers of a seed and arguments.
        classifier: Makes a model of classes.
        arguments: Of the model of numbers.
        class_arguments: Of the model of classes.
        has_own_law: Whether the model itself predicts a law of numbers; for other models the law is
            one Student's t about their prediction (tagix.bench.tabular.residuals).
    """

    label: str
    package: str
    module: str
    extra: str | None = "peers"
    regressor: Callable[[int, Arguments], Regressor] | None = None
    classifier: Callable[[int, Arguments], Classifier] | None = None
    arguments: Arguments = field(default_factory=dict)
    class_arguments: Arguments = field(default_factory=dict)
    has_own_law: bool = True

    @property
    def version(self) -> str | None:
        """Of the installed package, None where it is not installed."""
        return tagix.__version__ if self.package == "tagix" else version_of(self.package)

    def learns(self, of_classes: bool) -> bool:
        """Whether it is a model of classes, or one of numbers."""
        return (self.classifier if of_classes else self.regressor) is not None

    def settings(self, of_classes: bool = False) -> dict[str, Any]:
        """All settings that decide what it learns from rows and a seed, as JSON can hold them."""
        arguments = dict(self.class_arguments if of_classes else self.arguments)
        if self.package == "tagix":
            from tagix.sklearn._recipe import RECIPE

            return {"version": self.version, "arguments": arguments, "recipe": asdict(RECIPE)}
        return {"version": self.version, "arguments": arguments}


_NETWORK = {"max_iter": 1000}
_OF_A_PROCESS = {"most_rows": 1000}

CONTENDERS: Mapping[str, Contender] = {
    "tagix": Contender(
        "tagix",
        "tagix",
        "tagix.sklearn",
        None,
        regressor=regressors.Tagix,
        classifier=classifiers.tagix,
    ),
    "ngboost": Contender(
        "NGBoost",
        "ngboost",
        "ngboost",
        regressor=regressors.NGBoost,
        classifier=classifiers.ngboost,
    ),
    "catboost": Contender(
        "CatBoost",
        "catboost",
        "catboost",
        regressor=regressors.CatBoostWithUncertainty,
        classifier=classifiers.catboost,
        arguments={"loss_function": "RMSEWithUncertainty", "early_stopping_rounds": PATIENCE},
    ),
    "catboost-rmse": Contender(
        "CatBoost RMSE",
        "catboost",
        "catboost",
        regressor=regressors.catboost_of_numbers,
        has_own_law=False,
    ),
    "xgboost-distribution": Contender(
        "XGBoost-distribution",
        "xgboost-distribution",
        "xgboost_distribution",
        regressor=regressors.XGBoostDistribution,
        arguments={"n_estimators": 1000, "early_stopping_rounds": PATIENCE},
    ),
    "lightgbm": Contender(
        "LightGBM",
        "lightgbm",
        "lightgbm",
        regressor=regressors.lightgbm_of_numbers,
        has_own_law=False,
    ),
    # The best RMSE of three that were tried on every fourth split of five UCI sets.
    "torch": Contender(
        "PyTorch deep ensemble",
        "torch",
        "torch",
        "torch",
        regressor=regressors.deep_ensemble,
        arguments={
            "n_hidden": 50,
            "n_networks": 3,
            "n_epochs": 100,
            "batch_size": 32,
            "learning_rate": 0.01,
        },
    ),
    "gaussian-process": Contender(
        "Gaussian process",
        "scikit-learn",
        "sklearn.gaussian_process",
        "sklearn",
        regressor=regressors.GaussianProcess,
        classifier=classifiers.gaussian_process,
        arguments=_OF_A_PROCESS,
        class_arguments=_OF_A_PROCESS,
    ),
    "mlp": Contender(
        "MLP",
        "scikit-learn",
        "sklearn.neural_network",
        "sklearn",
        regressor=regressors.mlp_of_numbers,
        classifier=classifiers.mlp,
        arguments=_NETWORK,
        class_arguments=_NETWORK,
        has_own_law=False,
    ),
    "random-forest": Contender(
        "random forest",
        "scikit-learn",
        "sklearn.ensemble",
        "sklearn",
        regressor=regressors.forest_of_numbers,
        classifier=classifiers.random_forest,
        has_own_law=False,
    ),
    "hist-gradient-boosting": Contender(
        "HistGradientBoosting",
        "scikit-learn",
        "sklearn.ensemble",
        "sklearn",
        regressor=regressors.boosted_trees_of_numbers,
        classifier=classifiers.boosted_trees,
        has_own_law=False,
    ),
}


def chosen_peers(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """The peers of these names, in the order of ``known``.

    "all" by itself stands for all that are installed, "none" for none.

    Raises:
        ValueError: A name that is not among the known ones.
        MissingExtraError: One whose package is not installed.
    """
    wanted = list(dict.fromkeys(name.strip() for name in names))
    if wanted == ["all"]:
        return [name for name in known if CONTENDERS[name].version is not None]
    if wanted == ["none"]:
        return []
    for name in wanted:
        if name not in known:
            choices = ", ".join(known)
            raise ValueError(f"peers: got {name!r}, needed all, none, or some of {choices}")
    for name in wanted:
        contender = CONTENDERS[name]
        if contender.version is None:
            raise MissingExtraError(
                f"peers: got {name!r}, and {contender.package} is not installed: "
                f'pip install "tagix[{contender.extra}]"',
                name=contender.module,
            )
    return [name for name in known if name in wanted]


def import_before_timing(name: str) -> None:
    """Import what a contender would import when it first learns or predicts."""
    for module in ("scipy.optimize", "scipy.special", "scipy.stats", CONTENDERS[name].module):
        import_module(module)
