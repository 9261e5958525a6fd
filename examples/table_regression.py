"""Error bars for a table with holes: three lines, and what they are worth on rows not seen.

Run it with ``python examples/table_regression.py``; it writes ``output/table_regression.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from tagix import plotting
from tagix.sklearn import TagiRegressor


def main() -> None:
    # Ten measurements of 442 patients, and how their diabetes went on; a tenth is missing.
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

    model = TagiRegressor(random_state=0).fit(X_train, y_train)
    mean = model.predict(X_test)
    low, high = model.predict_interval(X_test, level=0.9).T

    covered = np.mean((low <= y_test) & (y_test <= high))
    print(f"{'rows':8} {len(y_train)} learned, {len(y_test)} held out")
    print(f"{'R2':8} {model.score(X_test, y_test):.2f}")
    print(f"{'log p':8} {model.log_prob(X_test, y_test).mean():.2f} a row")
    print(f"{'coverage':8} {covered:.2f} of 90 % intervals")

    order = np.argsort(mean)
    rank = np.arange(len(order))
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        rank, low[order], high[order], color="#c2410c", alpha=0.2, lw=0, label="90 % interval"
    )
    axes.plot(rank, mean[order], color="#c2410c", label="prediction")
    axes.scatter(rank, y_test[order], s=10, color="#52606d", linewidths=0, label="held-out rows")
    axes.set(xlabel="held-out rows, by their prediction", ylabel="progression of diabetes")
    axes.legend(frameon=False)
    print(plotting.save_figure(figure, Path("output/table_regression.png")))


if __name__ == "__main__":
    main()
