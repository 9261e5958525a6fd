"""Figures of samples, of training and of how far predicted variances can be trusted.

Every plot function takes arrays and returns a matplotlib Figure, made without pyplot: nothing is
shown, no display is needed, and ``figure.savefig(path)`` writes it. animate_denoising writes a GIF.
"""

from tagix.plotting._figures import save_figure
from tagix.plotting.calibration import (
    plot_coverage,
    plot_pit_histogram,
    plot_quantile_calibration,
    plot_reliability_diagram,
    plot_variance_by,
    plot_variance_calibration,
)
from tagix.plotting.denoising import animate_denoising, plot_trajectories
from tagix.plotting.density import plot_density
from tagix.plotting.ranking import plot_ood_roc, plot_risk_coverage, plot_sparsification
from tagix.plotting.regression import plot_predictions, plot_regression
from tagix.plotting.sample_grid import plot_sample_grid
from tagix.plotting.samples import plot_data_and_samples, plot_sample_var, plot_samples_by
from tagix.plotting.sweeps import plot_scores, plot_trade_off
from tagix.plotting.training import plot_training, plot_training_runs

__all__ = [
    "animate_denoising",
    "plot_coverage",
    "plot_data_and_samples",
    "plot_density",
    "plot_ood_roc",
    "plot_pit_histogram",
    "plot_predictions",
    "plot_quantile_calibration",
    "plot_regression",
    "plot_reliability_diagram",
    "plot_risk_coverage",
    "plot_sample_grid",
    "plot_sample_var",
    "plot_samples_by",
    "plot_scores",
    "plot_sparsification",
    "plot_trade_off",
    "plot_training",
    "plot_training_runs",
    "plot_trajectories",
    "plot_variance_by",
    "plot_variance_calibration",
    "save_figure",
]
