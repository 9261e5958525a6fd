"""
The compiled core of tagix. Use it through the package.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "Activation",
    "BatchSource",
    "Capped",
    "Container",
    "CudaArgument",
    "CudaArray",
    "DiffusionProcess",
    "DiffusionSource",
    "EpochRecord",
    "Exp",
    "GELU",
    "Hardtanh",
    "Homoscedastic",
    "Identity",
    "Information",
    "Layer",
    "LeakyReLU",
    "Linear",
    "Model",
    "PredictionSums",
    "ReLU",
    "RegressionSource",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Trainer",
    "UpdateRule",
    "backend_name",
    "cuda_device_name",
    "cuda_is_built",
    "cuda_why_not",
    "derive_seed",
    "get_num_threads",
    "has_precision",
    "instruction_sets",
    "peak_flops",
    "set_num_threads",
]

class CudaArray:
    """
    A dense float32 array in the memory of the GPU.

    What networks on device "cuda" give for inputs that lie there; they take it as they do the arrays of
    other libraries. It computes nothing itself: numpy() copies it to the CPU, and any library with DLPack
    views it without a copy, as torch.from_dlpack(array). What it holds is complete, whatever stream it is
    used on. As an object of its own, Array(values) is a copy of an array on the CPU.

    Raises TypeError for values that are no array of numbers, ValueError where CUDA cannot be used.
    """
    def __dlpack__(
        self,
        *,
        stream: typing.Any = None,
        max_version: typing.Any = None,
        dl_device: typing.Any = None,
        copy: typing.Any = None,
    ) -> typing.Any:
        """
        A capsule that shares the memory, or holds a copy, as the array API standard has it.
        """
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __init__(self, values: typing.Any) -> None: ...
    def __repr__(self) -> str: ...
    def numpy(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy in the memory of the CPU.
        """
    @property
    def dtype(self) -> typing.Any:
        """
        numpy's float32.
        """
    @property
    def shape(self) -> tuple:
        """
        Extents of the dimensions.
        """

class CudaArgument:
    """
    An array on the GPU, lent by any library for the length of a call, or uploaded from the CPU.
    """
    def __init__(self, name: str, value: typing.Any) -> None: ...
    def numpy(self) -> numpy.typing.NDArray[numpy.float32]: ...
    @property
    def shape(self) -> tuple: ...

class Layer:
    """
    A piece of a network: a description without parameters of its own.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def in_features(self) -> int | None:
        """
        The number of input features, or None where any will do.
        """

class Linear(Layer):
    """
    z = a W^T + b.

    Takes (batch, in_features) to (batch, out_features). The weight (out_features, in_features) and the
    bias (out_features,) are independent Gaussians. Before training their means are drawn from N(0, s^2)
    and their variances are s^2, with s = gain * scale and scale = sqrt(1 / in_features) for init="he",
    sqrt(2 / (in_features + out_features)) for "xavier". As in cuTAGI, and unlike in PyTorch, "he" has no
    factor 2 for the ReLU.

    Raises ValueError for feature counts below 1, gains outside [1e-12, 1e12] or an unknown init,
    TypeError for counts that are no integers and the like.
    """
    def __init__(
        self,
        in_features: typing.SupportsIndex,
        out_features: typing.SupportsIndex,
        bias: bool = True,
        *,
        init: str = "he",
        gain_weight: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        gain_bias: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    ) -> None: ...

class Identity(Layer):
    """
    f(z) = z, element by element: (batch, features) in and out, moments unchanged.
    """
    def __init__(self) -> None: ...

class ReLU(Layer):
    """
    f(z) = max(z, 0), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form.
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class LeakyReLU(Layer):
    """
    f(z) = max(z, 0) + negative_slope min(z, 0), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form.
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    ValueError for a slope that is not finite, too.
    """
    def __init__(
        self,
        negative_slope: typing.SupportsFloat | typing.SupportsIndex = 0.01,
        moments: str = "exact",
    ) -> None: ...

class Hardtanh(Layer):
    """
    f(z) = min(max(z, -1), 1), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form.
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Sigmoid(Layer):
    """
    f(z) = 1 / (1 + exp(-z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, by a trapezoid rule of 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Tanh(Layer):
    """
    f(z) = tanh(z), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, by a trapezoid rule of 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Softplus(Layer):
    """
    f(z) = log(1 + exp(z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, by a trapezoid rule of 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class SiLU(Layer):
    """
    f(z) = z / (1 + exp(-z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, by a trapezoid rule of 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class GELU(Layer):
    """
    f(z) = z Phi(z), Phi the standard normal distribution, element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form, the variance by a trapezoid rule of 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Exp(Layer):
    """
    f(z) = exp(z), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form, as f(z) is log-normal.
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for what is no string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Activation(Layer):
    """
    An activation of your own, from its value and its derivative.

    Both are functions of a one-dimensional float32 array that return an array of the same shape, as
    nn.Activation(np.sin, np.cos). Each call gets an array of its own, which a function may overwrite.
    moments="exact" integrates over the Gaussian input by a trapezoid rule of 30 nodes
    (cpp/math/quadrature.h), "first_order" linearises at its mean (Goulet, Nguyen & Amiri, JMLR 22, 2021).

    Raises TypeError if they are not functions, ValueError for other moments. A function that returns
    another shape, NaN or infinity makes the call of the network a ValueError that names it; what a
    function raises itself passes through.
    """
    def __init__(
        self, value: typing.Any, derivative: typing.Any, moments: str = "exact"
    ) -> None: ...
    @property
    def config(self) -> dict: ...

class Container(Layer):
    """
    Layers one after the other, as tagix.nn.Sequential describes them.
    """
    def __init__(self, layers: collections.abc.Sequence[Layer]) -> None: ...

class UpdateRule:
    """
    How observations change the parameters.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """

class Information(UpdateRule):
    """
    The information form of the update, the default: stable at any batch size.

    With G and H >= 0 the summed innovations of mean and precision of a batch,
    var' = var / (1 + var H) and mean' = mean + min(max(var' G, -b), b), b = clip sqrt(var).
    `share` is the part of their uncertainty that the observations of a batch have in common: the
    predictive variance counts 1 + share (batch_size - 1) times in an innovation. Raises ValueError
    unless share >= 0 and clip > 0, TypeError for what is no number.
    """
    def __init__(
        self,
        share: typing.SupportsFloat | typing.SupportsIndex = 0.01,
        clip: typing.SupportsFloat | typing.SupportsIndex = 0.3333333333333333,
    ) -> None: ...

class Capped(UpdateRule):
    """
    The capped update of cuTAGI, for comparisons with published results.

    mean' = mean + var G and var' = var - var^2 H, both changes bounded by sqrt(var) / cap; a variance
    that would not be positive becomes 1e-5. cap=None takes 0.1 for batches of 1, 2 below 256, and 3
    from 256 on. Raises ValueError unless cap is None or positive, TypeError for what is no number.
    """
    def __init__(self, cap: typing.SupportsFloat | typing.SupportsIndex | None = None) -> None: ...

class Homoscedastic:
    """
    Observation noise that is equal for all samples.

    std (a standard deviation in the unit of the targets, or one for each output) holds in epoch 0 and is
    multiplied by `decay` after each epoch, down to `min_std`. Epochs are those of `fit`, counted over the
    life of a model; `update` counts none, so that in a stream of updates the noise stays as it is.

    Raises ValueError unless every std is in [1e-18, 1e18], min_std in [0, 1e18] and decay in (0, 1],
    TypeError for what is no number.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self,
        std: typing.Any,
        min_std: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        decay: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    def var(self, epoch: typing.SupportsIndex = 0) -> list[float]:
        """
        The noise variances in an epoch: one, or one for each output. Raises ValueError for an epoch below 0, TypeError for what is no integer.
        """
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def decay(self) -> float:
        """
        Factor on the standard deviations after each epoch, in (0, 1].
        """
    @property
    def min_std(self) -> float:
        """
        The standard deviation that decay ends at.
        """
    @property
    def std(self) -> list[float]:
        """
        Standard deviations in epoch 0.
        """

class PredictionSums:
    """
    Sums over observed targets.
    """
    @property
    def log_likelihood(self) -> float: ...
    @property
    def n_observed(self) -> int: ...
    @property
    def squared_error(self) -> float: ...
    @property
    def var(self) -> float: ...

class EpochRecord:
    """
    What one epoch of training gave, from the predictions made just before each update.
    """
    @property
    def epoch(self) -> int:
        """
        Epochs the model had been trained for before.
        """
    @property
    def log_likelihood(self) -> float:
        """
        Mean log density of a target, observation noise included.
        """
    @property
    def mse(self) -> float:
        """
        Mean squared error.
        """
    @property
    def n_rows(self) -> int:
        """
        Rows seen: all, unless a callback ended the epoch early.
        """
    @property
    def predicted_var(self) -> float:
        """
        Mean predicted variance, observation noise left out.
        """
    @property
    def seconds(self) -> float:
        """
        Wall-clock duration of the epoch, validation left out.
        """
    @property
    def stopped(self) -> bool:
        """
        Whether a callback ended the epoch early; it does not count as trained then.
        """

class Model:
    """
    A network with its parameters; tagix.nn.Sequential is its public face.
    """
    def __init__(
        self,
        network: Container,
        rule: UpdateRule,
        seed: typing.SupportsInt | typing.SupportsIndex,
        device: str,
        precision: str,
    ) -> None: ...
    def copy_to(self, device: str, precision: str) -> Model:
        """
        A copy on another device or in another precision, parameters and epochs included.
        """
    def evaluate(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32],
    ) -> PredictionSums: ...
    def get_parameters(
        self,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]: ...
    def innovations(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> dict:
        """
        delta_mean and delta_var (first axis) of outputs, inputs and parameters for a batch, without an update.
        """
    def out_features(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> int: ...
    def parameter_mean(
        self, arg0: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def parameter_var(
        self, arg0: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def predict(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]: ...
    def predict_on_device(
        self, x: CudaArgument, x_var: CudaArgument | None = None
    ) -> tuple[CudaArray, CudaArray]:
        """
        predict for arrays on the GPU.
        """
    def set_parameters(
        self, mean: numpy.typing.NDArray[numpy.float32], var: numpy.typing.NDArray[numpy.float32]
    ) -> None: ...
    def update(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]: ...
    def update_on_device(
        self,
        x: CudaArgument,
        y: CudaArgument,
        noise_var: numpy.typing.NDArray[numpy.float32],
        x_var: CudaArgument | None = None,
    ) -> tuple[CudaArray, CudaArray]:
        """
        update for arrays on the GPU, except noise_var.
        """
    @property
    def epochs_trained(self) -> int: ...
    @epochs_trained.setter
    def epochs_trained(self, arg1: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def in_features(self) -> int | None: ...
    @property
    def parameter_names(self) -> list[str]: ...
    @property
    def parameter_shapes(self) -> list[tuple]: ...
    @property
    def rule(self) -> UpdateRule: ...
    @property
    def seed(self) -> int: ...

class BatchSource:
    """
    Rows to train on.
    """
    @property
    def n_rows(self) -> int: ...

class RegressionSource(BatchSource):
    @typing.overload
    def __init__(
        self,
        model: Model,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
    ) -> None: ...
    @typing.overload
    def __init__(self, model: Model, x: CudaArgument, y: CudaArgument) -> None:
        """
        Rows that lie on the GPU, which stay there.
        """
    def set_noise_var(
        self, noise_var: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...
    def set_noise_var_per_target(self, noise_var: numpy.typing.NDArray[numpy.float32]) -> None: ...

class Trainer:
    """
    Trains a model on the rows of a source, epoch by epoch.
    """
    def __init__(
        self,
        model: Model,
        source: BatchSource,
        batch_size: typing.SupportsInt | typing.SupportsIndex,
        shuffle: bool,
    ) -> None: ...
    def run_epoch(self, progress: typing.Any) -> EpochRecord:
        """
        Train for one pass over the source, without returning to Python in between except to call progress(rows_done) some 20 times a second; true ends the epoch.
        """

class DiffusionProcess:
    """
    Schedule, time features and units of a diffusion model.
    """
    def __init__(
        self,
        n_features: typing.SupportsInt | typing.SupportsIndex,
        n_steps: typing.SupportsInt | typing.SupportsIndex,
        schedule: str,
        time_features: str,
        device: str,
    ) -> None: ...
    def predict(
        self,
        network: Model,
        x_t: numpy.typing.NDArray[numpy.float32],
        t: numpy.typing.NDArray[numpy.int64],
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]: ...
    def sample(
        self,
        network: Model,
        n_samples: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
        trajectory: bool,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], typing.Any
    ]: ...
    def set_standardization(
        self,
        shift: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
        scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None: ...
    def standardize_by(self, data: numpy.typing.NDArray[numpy.float32]) -> None: ...
    @property
    def alpha_bar(self) -> numpy.typing.NDArray[numpy.float64]: ...
    @property
    def n_features(self) -> int: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def network_inputs(self) -> int: ...
    @property
    def scale(self) -> list[float]: ...
    @property
    def shift(self) -> list[float]: ...

class DiffusionSource(BatchSource):
    def __init__(
        self, model: Model, process: DiffusionProcess, data: numpy.typing.NDArray[numpy.float32]
    ) -> None: ...
    def set_noise_var(
        self, noise_var: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...

def backend_name(device: str, precision: str = "float32") -> str:
    """
    The device, what it runs on and its precision, as 'cpu (x86-64-v4, float32)'. Raises ValueError for a device or a precision that is not there, and says why not.
    """

def cuda_device_name() -> str:
    """
    The name of the GPU. Raises ValueError where CUDA cannot be used.
    """

def cuda_is_built() -> bool:
    """
    Whether this build has CUDA kernels.
    """

def cuda_why_not() -> str | None:
    """
    Why device 'cuda' cannot be used, or None where it can.
    """

def derive_seed(
    seed: typing.SupportsInt | typing.SupportsIndex,
    count: typing.SupportsInt | typing.SupportsIndex,
) -> int:
    """
    The `count`-th seed, in [0, 2^63), derived from a seed.
    """

def get_num_threads() -> int:
    """
    How many threads a call may use; at first, the processors this process may run on.
    """

def has_precision(precision: str, device: str = "cpu") -> bool:
    """
    Whether this processor, or device 'cuda' wherever it can be used, has a precision.
    """

def instruction_sets() -> list[str]:
    """
    The instruction sets that this build has kernels for and this processor runs, the best first. The environment variable TAGIX_INSTRUCTION_SET chooses one; it is read once, when the first network or diffusion model is made, which raises ValueError for an unknown name.
    """

def peak_flops(precision: str = "float32") -> float:
    """
    The FLOP/s of multiply-adds in registers on one core: what no matrix product can beat.
    """

def set_num_threads(n: typing.SupportsIndex) -> None:
    """
    Set how many threads a call may use, the calling one included.

    Holds for the whole process, from the next call on; results do not depend on it. Raises ValueError
    for less than 1, TypeError for what is no integer; the number is then as it was.
    """

__version__: str = "0.1.0"
