"""How good predictions, their variances and samples are.

For Gaussian predictions, from targets, means and TOTAL predictive variances (noise included):
proper scores (nll_gaussian, crps_gaussian, interval_score), calibration (coverage,
quantile_calibration_error, pit, expected_normalized_calibration_error) and ranking (aurc, ause).
For classifiers: expected_calibration_error. For any out-of-distribution score: ood_auroc. For
samples against real points: emd, wasserstein, sliced_wasserstein, mmd, nll_kernel,
precision_recall, off_manifold_share, knn_accuracy. For predictions of noise: denoising_mse.

    >>> mean, var = net(x)
    >>> metrics.crps_gaussian(y, mean, var + noise_var)
"""

from tagix.metrics.calibration import (
    FrequencyCurve,
    PitHistogram,
    VarianceCurve,
    coverage,
    coverage_curve,
    expected_normalized_calibration_error,
    pit,
    pit_histogram,
    quantile_calibration_curve,
    quantile_calibration_error,
    variance_calibration_curve,
)
from tagix.metrics.classification import (
    ReliabilityCurve,
    expected_calibration_error,
    reliability_curve,
)
from tagix.metrics.neighbours import PrecisionRecall, knn_accuracy, precision_recall
from tagix.metrics.ranking import (
    RiskCoverageCurve,
    RocCurve,
    SparsificationCurve,
    aurc,
    ause,
    ood_auroc,
    ood_roc_curve,
    risk_coverage_curve,
    sparsification_curve,
)
from tagix.metrics.samples import (
    KernelDenoiser,
    NoisePredictor,
    denoising_mse,
    off_manifold_radius,
    off_manifold_share,
    sliced_wasserstein,
)
from tagix.metrics.scores import crps_gaussian, interval_score, nll_gaussian
from tagix.metrics.two_sample import emd, emd_draws, mmd, nll_kernel, wasserstein

__all__ = [
    "FrequencyCurve",
    "KernelDenoiser",
    "NoisePredictor",
    "PitHistogram",
    "PrecisionRecall",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "RocCurve",
    "SparsificationCurve",
    "VarianceCurve",
    "aurc",
    "ause",
    "coverage",
    "coverage_curve",
    "crps_gaussian",
    "denoising_mse",
    "emd",
    "emd_draws",
    "expected_calibration_error",
    "expected_normalized_calibration_error",
    "interval_score",
    "knn_accuracy",
    "mmd",
    "nll_gaussian",
    "nll_kernel",
    "off_manifold_radius",
    "off_manifold_share",
    "ood_auroc",
    "ood_roc_curve",
    "pit",
    "pit_histogram",
    "precision_recall",
    "quantile_calibration_curve",
    "quantile_calibration_error",
    "reliability_curve",
    "risk_coverage_curve",
    "sliced_wasserstein",
    "sparsification_curve",
    "variance_calibration_curve",
    "wasserstein",
]
