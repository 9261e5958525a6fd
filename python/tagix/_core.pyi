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
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchSource",
    "Capped",
    "ClassEmbedding",
    "Concat",
    "Container",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CudaArgument",
    "CudaArray",
    "DiffusionProcess",
    "DiffusionSource",
    "Encoding",
    "EpochRecord",
    "Exp",
    "Flatten",
    "Forgetting",
    "GELU",
    "Gated",
    "GraphBuilder",
    "GroupNorm",
    "Hardtanh",
    "Heteroscedastic",
    "HierarchicalSoftmax",
    "Homoscedastic",
    "Identity",
    "Information",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Model",
    "OneVsRest",
    "PredictionSums",
    "PythonLayer",
    "RMSNorm",
    "ReLU",
    "RegressionSource",
    "Remax",
    "Residual",
    "SamplerPlan",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Stream",
    "Tanh",
    "Topology",
    "Trainer",
    "UpdateRule",
    "Upsample",
    "ZeroPad2d",
    "backend_name",
    "bounded_leverage",
    "cuda_architectures",
    "cuda_device_name",
    "cuda_is_built",
    "cuda_why_not",
    "derive_seed",
    "get_num_threads",
    "has_precision",
    "instruction_sets",
    "leverage_slope",
    "peak_flops",
    "set_num_threads",
]

class CudaArray:
    """
    A dense float32 array in the memory of the GPU.

    Networks on device "cuda" return it for inputs on the GPU, and take it as an input like arrays of
    other libraries. It supports no arithmetic: numpy() copies it to the CPU, and any library with
    DLPack views it without a copy, such as torch.from_dlpack(array). Its values are complete on any
    stream. Array(values) copies an array from the CPU to the GPU.

    Raises TypeError for values that are not an array of numbers, ValueError where CUDA cannot be
    used.
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
    def __call__(self, *args: typing.Any) -> typing.Any:
        """
        The output for symbolic values, in the forward of a Module.
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
    TypeError for counts that are not integers and the like.
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

class ClassEmbedding(Layer):
    """
    A learned vector for each class, with a posterior of its own.

    Takes (batch, n_values + n_classes), rows of values and a one-hot class, to (batch, n_values +
    embedding_dim). The values pass unchanged, followed by the embedding of the class; for a row without
    a class (all zeros) the embedding is 0. It is an affine map in which only the embeddings are
    learned: in weight (n_values + embedding_dim, n_values + n_classes), column n_values + k has the
    embedding of class k in its last embedding_dim rows. Before training its means are drawn from
    N(0, gain^2) and its variances are gain^2.

    Raises ValueError for counts below 1 or a gain outside [1e-12, 1e12], TypeError for counts that are
    not integers and the like.
    """
    def __init__(
        self,
        n_values: typing.SupportsIndex,
        n_classes: typing.SupportsIndex,
        embedding_dim: typing.SupportsIndex,
        *,
        gain: typing.SupportsFloat | typing.SupportsIndex = 1.0,
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

    Raises ValueError for other moments, TypeError for anything but a string.
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

    Raises ValueError for other moments, TypeError for anything but a string.
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

    Raises ValueError for other moments, TypeError for anything but a string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Sigmoid(Layer):
    """
    f(z) = 1 / (1 + exp(-z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, of a mixture of normals in place of the sigmoid (cpp/math/logistic_moments.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for anything but a string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Tanh(Layer):
    """
    f(z) = tanh(z), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, of a mixture of normals in place of the sigmoid (cpp/math/logistic_moments.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for anything but a string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class Softplus(Layer):
    """
    f(z) = log(1 + exp(z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, by quadrature with 12 or 30 nodes (cpp/math/quadrature.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for anything but a string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class SiLU(Layer):
    """
    f(z) = z / (1 + exp(-z)), element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, of a mixture of normals in place of the sigmoid (cpp/math/logistic_moments.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for anything but a string.
    """
    def __init__(self, moments: str = "exact") -> None: ...

class GELU(Layer):
    """
    f(z) = z Phi(z), Phi the standard normal distribution, element by element: (batch, features) in and out.

    For a Gaussian z, moments="exact" gives mean and variance of f(z), and the Jacobian
    Cov(z, f(z)) / Var z, in closed form, the variance with an integral by 5 nodes (cpp/math/smooth_activations.h).
    moments="first_order" linearises at the mean m of z (mean f(m), variance f'(m)^2 Var z, Jacobian
    f'(m)), as the published TAGI results do: cheaper, with variances that may be several times too
    small. Source: Goulet, Nguyen & Amiri, JMLR 22 (2021); the formulas stand in
    cpp/math/activations.h.

    Raises ValueError for other moments, TypeError for anything but a string.
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

    Raises ValueError for other moments, TypeError for anything but a string.
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

class Conv2d(Layer):
    """
    z[p] = sum over a window of W_t a[p stride + t dilation - padding], + b.

    Takes (batch, in_channels, H, W) to (batch, out_channels, H', W') with H' = (H + 2 padding - dilation
    (kernel - 1) - 1) // stride + 1, and W' likewise; padding="same" keeps H and W. The weight
    (out_channels, in_channels, kernel height, kernel width) and the bias (out_channels,) are independent
    Gaussians. Before training their means are drawn from N(0, s^2) and their variances are s^2, with s =
    gain / sqrt(in_channels * positions of the kernel). Moments are those of sums of independent products,
    as in nn.Linear:

        mean = conv(a_mean, W_mean) + b_mean
        var = conv(a_var, W_mean^2 + W_var) + conv(a_mean^2, W_var) + b_var

    Raises ValueError for counts that are out of range, gains outside [1e-12, 1e12], or padding="same" with
    a stride, TypeError for counts that are not integers and the like.
    """
    def __init__(
        self,
        in_channels: typing.SupportsIndex,
        out_channels: typing.SupportsIndex,
        kernel_size: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex],
        stride: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        padding: typing.Any = 0,
        dilation: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        bias: bool = True,
        *,
        gain_weight: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        gain_bias: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    ) -> None: ...

class Conv1d(Layer):
    """
    nn.Conv2d along one dimension.

    Takes (batch, in_channels, L) to (batch, out_channels, L') with L' = (L + 2 padding - dilation (kernel -
    1) - 1) // stride + 1; padding="same" keeps L. The weight is (out_channels, in_channels, kernel), the
    bias (out_channels,).

    Raises ValueError and TypeError as nn.Conv2d does.
    """
    def __init__(
        self,
        in_channels: typing.SupportsIndex,
        out_channels: typing.SupportsIndex,
        kernel_size: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex],
        stride: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        padding: typing.Any = 0,
        dilation: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        bias: bool = True,
        *,
        gain_weight: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        gain_bias: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    ) -> None: ...

class ConvTranspose2d(Layer):
    """
    A convolution turned round: each position is spread over a window.

    Takes (batch, in_channels, H, W) to (batch, out_channels, H', W') with H' = (H - 1) stride - 2 padding
    + dilation (kernel - 1) + 1 + output_padding, and W' likewise. The weight (in_channels, out_channels,
    kernel height, kernel width) and the bias (out_channels,) are independent Gaussians. Before training
    their means are drawn from N(0, s^2) and their variances are s^2, with s = gain / sqrt(in_channels *
    positions of the kernel / product of the strides), the number of terms of an output. Moments are those
    of sums of independent products, as in nn.Linear.

    Raises ValueError for counts that are out of range or gains outside [1e-12, 1e12], TypeError for counts
    that are not integers and the like.
    """
    def __init__(
        self,
        in_channels: typing.SupportsIndex,
        out_channels: typing.SupportsIndex,
        kernel_size: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex],
        stride: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        padding: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 0,
        output_padding: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 0,
        bias: bool = True,
        dilation: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 1,
        *,
        gain_weight: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        gain_bias: typing.SupportsFloat | typing.SupportsIndex = 1.0,
    ) -> None: ...

class AvgPool2d(Layer):
    """
    The mean over windows of an image, channel by channel.

    Takes (batch, channels, H, W) to (batch, channels, H', W') with H' = (H + 2 padding - kernel) // stride
    + 1. Padded positions are 0 and count, as in PyTorch. Positions count as independent, so a variance is
    the sum of those in the window over kernel^4 for a square one.

    Raises ValueError for a kernel or a stride below 1 and a padding above half of the kernel, TypeError
    for counts that are not integers.
    """
    def __init__(
        self,
        kernel_size: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex],
        stride: typing.Any = None,
        padding: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 0,
    ) -> None: ...

class MaxPool2d(Layer):
    """
    The position with the largest mean in windows of an image, channel by channel.

    Takes (batch, channels, H, W) to (batch, channels, H', W') with H' = (H + 2 padding - kernel) // stride
    + 1. Padded positions are left out, as in PyTorch. Which position is the largest counts as known: its
    mean and variance pass, and innovations go back to it, as in cuTAGI.

    Raises ValueError for a kernel or a stride below 1 and a padding above half of the kernel, TypeError
    for counts that are not integers.
    """
    def __init__(
        self,
        kernel_size: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex],
        stride: typing.Any = None,
        padding: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex] = 0,
    ) -> None: ...

class AdaptiveAvgPool2d(Layer):
    """
    The mean over all positions of an image, channel by channel.

    Takes (batch, channels, H, W) to (batch, channels, 1, 1). Positions count as independent.

    Raises ValueError for an output_size other than 1, TypeError unless it is an integer.
    """
    def __init__(self, output_size: typing.SupportsIndex) -> None: ...

class Upsample(Layer):
    """
    An image that is scale_factor times as large.

    Takes (batch, channels, H, W) to (batch, channels, scale_factor H, scale_factor W): mode="nearest"
    repeats each position, "bilinear" interpolates linearly between positions (PyTorch's align_corners is
    False). Positions count as independent.

    Raises ValueError for a scale_factor below 1 or an unknown mode, TypeError for one that is not an
    integer.
    """
    def __init__(self, scale_factor: typing.SupportsIndex, mode: str = "nearest") -> None: ...

class ZeroPad2d(Layer):
    """
    Zeros around an image.

    Takes (batch, channels, H, W) to (batch, channels, top + H + bottom, left + W + right); padding is one
    integer for all sides, or (left, right, top, bottom). The zeros are known exactly.

    Raises ValueError for negative numbers, TypeError for what is not an integer.
    """
    def __init__(
        self, padding: typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex]
    ) -> None: ...

class GroupNorm(Layer):
    """
    (x - mu) / sqrt(q + eps) for each row and group of channels.

        mu = mean of m,   q = mean of (m - mu)^2 + v

    over the channels of a group at all positions, with m and v the means and variances that come in: the
    statistics count what is uncertain. Takes (batch, num_channels, ...) to the same shape. There are no
    parameters, since the layer that follows has a scale and a bias.

    With statistics="exact" innovations go down by the derivatives of mu and q, too:

        delta_mean' = r (delta_mean - mean(delta_mean) - y mean(delta_mean y)),   delta_var' = r^2 delta_var

    with r = 1 / sqrt(q + eps). "constant" is r delta_mean, the form of cuTAGI, with which convolutional
    networks hardly train: what is asked for along y is undone in the next forward pass.

    Raises ValueError unless num_groups divides num_channels, for an eps outside [0, 1e12] and unknown
    statistics, TypeError for counts that are not integers and the like.
    """
    def __init__(
        self,
        num_groups: typing.SupportsIndex,
        num_channels: typing.SupportsIndex,
        eps: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
        *,
        statistics: str = "exact",
    ) -> None: ...

class LayerNorm(Layer):
    """
    nn.GroupNorm of all elements of a row.

    Takes (batch, *normalized_shape) to the same shape: (features,), or (channels, ...) on a grid.

    Raises ValueError for extents below 1, an eps outside [0, 1e12] and unknown statistics, TypeError for
    extents that are not integers and the like.
    """
    def __init__(
        self,
        normalized_shape: typing.Any,
        eps: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
        *,
        statistics: str = "exact",
    ) -> None: ...

class RMSNorm(Layer):
    """
    nn.LayerNorm without a mean: x / sqrt(mean(m^2 + v) + eps).

    Takes (batch, *normalized_shape) to the same shape; innovations as in nn.GroupNorm, without
    mean(delta_mean).

    Raises ValueError and TypeError as nn.LayerNorm does.
    """
    def __init__(
        self,
        normalized_shape: typing.Any,
        eps: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
        *,
        statistics: str = "exact",
    ) -> None: ...

class Container(Layer):
    """
    Layers one after the other, as tagix.nn.Sequential describes them.
    """
    def __init__(self, layers: collections.abc.Sequence[Layer]) -> None: ...

class PythonLayer(Layer):
    """
    A module of tagix.nn as a layer.
    """
    def __init__(self, name: str, write: typing.Any) -> None: ...

class Residual(Layer):
    """
    x + body(x), or shortcut(x) + body(x).

    Takes the body's inputs to the body's outputs, (batch, features); both terms must have the same
    shape. Their parameters are named "body..." and "shortcut...". The terms count as independent. The
    exception is a body of one activation without a shortcut: there the variance is exact, and such a
    network has no Jacobian. Source: He et al., Deep residual learning (CVPR, 2016).

    Raises TypeError for anything but layers, Sequentials and Modules.
    """
    def __init__(self, body: typing.Any, shortcut: typing.Any = None) -> None: ...
    @property
    def config(self) -> dict: ...

class Concat(Layer):
    """
    The outputs of several branches of one input, side by side.

    Takes (batch, features) to (batch, the sum of the branches' outputs). Parameters are named by the
    position of the branch, as in nn.Sequential: "0.weight".

    Raises ValueError if there is no branch, TypeError for anything but layers, Sequentials and Modules.
    """
    def __init__(self, *args: typing.Any) -> None: ...
    def __reduce__(self) -> tuple: ...
    def __repr__(self) -> str: ...
    @property
    def branches(self) -> tuple:
        """
        The branches as they were given.
        """
    @property
    def config(self) -> dict: ...

class Flatten(Layer):
    """
    All positions of a grid side by side, as one row of features.

    Takes (batch, channels, ...) to (batch, channels times positions): the channels of the first position,
    then those of the second. A row of features stays as it is.
    """
    def __init__(self) -> None: ...

class Gated(Layer):
    """
    (W x + b) sigmoid(V x + c): a gated linear unit.

    Takes (batch, in_features) to (batch, out_features). W, V (out_features, in_features) and b, c
    (out_features,) are the parameters value.weight, gate.weight, value.bias and gate.bias, with the
    priors of nn.Linear; the two factors count as independent. Source: Dauphin et al., Language modeling
    with gated convolutional networks (ICML, 2017).

    Raises ValueError for feature counts below 1, TypeError for counts that are not integers.
    """
    def __init__(
        self, in_features: typing.SupportsIndex, out_features: typing.SupportsIndex
    ) -> None: ...

class Homoscedastic:
    """
    Observation noise that is equal for all samples.

    Known noise: std (a standard deviation in the unit of the targets, or one for each output) holds in
    epoch 0 and is multiplied by `decay` after each epoch, down to `min_std`. Epochs are those of `fit`,
    counted over the life of a model. `update` counts no epochs, so the noise does not change in a
    stream of updates.

    learn=True: a network made with this noise infers one noise variance v for each output together with
    its weights. The prior is log-normal with E v = std^2 (1 by default, for targets of that scale).
    Nothing has to be chosen. The inference is that of tagix.Heteroscedastic, with one w for all inputs.

    Raises ValueError unless every std is in [1e-18, 1e18], min_std in [0, 1e18] and decay in (0, 1], and
    for a schedule of noise that is learned; TypeError for anything but a number, and for no std where
    it is not learned.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self,
        std: typing.Any = None,
        min_std: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        decay: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        learn: bool = False,
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    def var(self, epoch: typing.SupportsIndex = 0) -> list[float]:
        """
        The noise variances in an epoch: one, or one for each output. Raises ValueError for an epoch below 0, TypeError for anything but an integer.
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
    def learn(self) -> bool:
        """
        Whether a network infers them with its weights.
        """
    @property
    def min_std(self) -> float:
        """
        The standard deviation that decay ends at.
        """
    @property
    def std(self) -> list[float]:
        """
        Standard deviations in epoch 0, or before anything was learned.
        """

class Heteroscedastic:
    """
    Observation noise whose variance a network infers from the input, beside the values.

    A network made with it has a noise head: a second output w for each target, with noise variance
    v = link(w), "exp" or "softplus" (log(1 + exp(w))). Weights and biases of the head start with
    standard deviations, and weights with means, `gain` times those of the last layer, biases with mean 0:
    v is about 1 at first, for targets of that scale. With V = E v, rho = Var v / V^2,
    j = Cov(w, v) / (Var w V), S the variance of a value, r its error, g = V / (V + S) and B rows at a
    time, k the share of the update rule:

        value   delta_mean = r / (V + S s),              delta_var = -1 / (V + S s),  s = 1 + k (B - 1)
        head    delta_mean = j g (r^2 / (V + S) - 1)/D,  delta_var = -j^2 g^2 / D,    D = 2 + 3 rho s

    For one row the means are those of AGVI (Deka, Nguyen & Goulet, Neurocomputing, 2024), and the
    precision gained is the one that AGVI expects; with the rule tagix.Capped it is AGVI's own.

    Where weights have learned little about an input, the tail of w ~ N(l, s) dominates exp(w), and its
    mean exp(l + s / 2) overflows. So with "exp", unless the rule is tagix.Capped, the network's
    Gaussian is multiplied by that of a belief that holds for any input, log v ~ N(0, 2^2):

        kappa = 1 / (1 + s / 4),   log v ~ N(kappa l, kappa s),   j = kappa

    V is then finite for any input, and of the order of 1 where nothing was learned: targets are best
    brought to a scale of about 1.

    Raises ValueError unless gain is in [1e-6, 1e6], and for another link; TypeError for a gain that is
    not a number and a link that is not a string.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self, link: str = "exp", gain: typing.SupportsFloat | typing.SupportsIndex = 0.1
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def gain(self) -> float:
        """
        Factor on the priors of the noise head.
        """
    @property
    def link(self) -> str:
        """
        How the head gives a noise variance, "exp" or "softplus".
        """

class GraphBuilder:
    """
    What a module writes itself down with.
    """
    def add(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    def affine(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        weight: typing.SupportsInt | typing.SupportsIndex,
        bias: typing.SupportsInt | typing.SupportsIndex | None,
        taps: tuple[
            str,
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            typing.SupportsFloat | typing.SupportsIndex,
        ]
        | None = None,
    ) -> int: ...
    def apply(
        self,
        child: str,
        layer: Layer,
        inputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int:
        """
        The output of a layer under this name.
        """
    def broadcast(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        grid: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int:
        """
        A vector at every position of a grid.
        """
    def concat(
        self, xs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    ) -> int: ...
    def largest(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        taps: tuple[
            str,
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            typing.SupportsFloat | typing.SupportsIndex,
        ],
    ) -> int:
        """
        The largest in each window.
        """
    def mix(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        taps: tuple[
            str,
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
            typing.SupportsFloat | typing.SupportsIndex,
        ],
    ) -> int:
        """
        Sums over positions with known weights, by the kind, the numbers and the weight of taps.
        """
    def normalise(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        groups: typing.SupportsInt | typing.SupportsIndex,
        per_position: bool,
        centred: bool,
        exact: bool,
        eps: typing.SupportsFloat | typing.SupportsIndex,
    ) -> int: ...
    def parameter(
        self,
        name: str,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        prior_std: typing.SupportsFloat | typing.SupportsIndex,
        constants: collections.abc.Sequence[
            tuple[
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsFloat | typing.SupportsIndex,
            ]
        ],
        memory_axes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def product(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    def record(
        self,
        path: str,
        name: str,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> None: ...
    def reshape(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def shape(self, x: typing.SupportsInt | typing.SupportsIndex) -> tuple:
        """
        The shape of a value: channels, then the grid.
        """
    def slice(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        first_channel: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    def write(
        self,
        layer: Layer,
        inputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int:
        """
        The output of a layer without a name of its own.
        """
    @property
    def path(self) -> str:
        """
        The path of the layer that writes now.
        """

class Topology:
    """
    What a network computes, for inputs of some shapes.
    """
    def __init__(
        self,
        layer: Layer,
        inputs: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
        noise: typing.Any,
    ) -> None:
        """
        Of the noise counts what is learned. Without inputs: a row of as many features as the layer fixes.
        """
    def layers(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> list:
        """
        (path, class, output shape) of the network, and of each layer before its own.
        """
    def nodes(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> list:
        """
        The operations, without a noise head.
        """
    def output_shape(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> tuple:
        """
        The shape of the outputs, those of a noise head left out.
        """
    def parameters(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> list:
        """
        The parameter arrays of the operations.
        """
    def products(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> list:
        """
        (positions, inputs, outputs, whether inputs are known) of each affine map.
        """
    @property
    def in_features(self) -> int | None: ...

class HierarchicalSoftmax:
    """
    Classes as the leaves of a balanced binary tree.

    Each of the n_classes - 1 inner nodes has an output z of the network. At a node a row goes right
    with probability Phi(z), the standard normal distribution function, else left, down to its class.
    With z ~ N(mean, var), s = 1 for right, -1 for left, beta = mean / sqrt(1 + var) and
    r(x) = phi(x) / Phi(x), probabilities and the mean of the posterior are exact, and the information
    is its expectation over both branches:

        P(s) = Phi(s beta),   delta_mean = s r(s beta) / sqrt(1 + var),
        delta_var = -r(beta) r(-beta) / (1 + var)

    The probability of a class is the product along its path, whose nodes count as independent. A row
    changes no more than log2(n_classes) outputs. Classes with neighbouring numbers share most of their
    path: many classes are learned best where neighbours are alike. With two classes there is one output.
    n_outputs is n_classes - 1.

    Raises ValueError unless n_classes is in [2, 2**24], TypeError for anything but an integer.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(self, n_classes: typing.SupportsIndex) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def n_classes(self) -> int:
        """
        The number of classes; labels are 0 to n_classes - 1.
        """
    @property
    def n_outputs(self) -> int:
        """
        The outputs that the last layer of a network has to have.
        """

class Remax:
    """
    Classes by rectified outputs, one for each, over their sum.

    With M_i = max(z_i, 0) of mean m_i and variance s_i, and their sum of mean m and variance s, the share
    A_i = M_i / sum M_j has, for log-normal M_i and sum, a closed form in b = s / m^2, c = s_i / (m_i m):

        E A_i = (m_i / m) (1 + b) / (1 + c)

    A label is observed as shares of 1 and 0, with the variance E A (1 - E A) of a label and additional
    noise of standard deviation `std`; None takes 0.1. Probabilities are the expected shares, normalized
    to sum to 1. Unlike the tree it treats all classes alike, and every row changes every output.
    n_outputs is n_classes.

    Raises ValueError unless n_classes is in [2, 2**24] and std None or in [1e-6, 1e6], TypeError for
    anything but a number.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self,
        n_classes: typing.SupportsIndex,
        std: typing.SupportsFloat | typing.SupportsIndex | None = None,
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def n_classes(self) -> int:
        """
        The number of classes; labels are 0 to n_classes - 1.
        """
    @property
    def n_outputs(self) -> int:
        """
        The outputs that the last layer of a network has to have.
        """

class Softmax:
    """
    Classes by exponentials of outputs, one for each, over their sum.

    Outputs are z_i ~ N(mean_i, var_i), and p is the softmax of the means. The logit of class i has, to
    first order, the variance t_i = var_i + sum_{j != i} q_j^2 var_j with q_j = p_j / (1 - p_i).
    Probabilities are those of a softmax flattened by these variances, and innovations are those of
    labels with these probabilities:

        P_i = p_i^k_i / sum_j p_j^k_j,   k_i = 1 / sqrt(1 + pi/8 t_i)
        delta_mean = k_i (y_i - P_i),    delta_var = -k_i^2 P_i (1 - P_i)

    It treats all classes alike, every row changes every output, and it learns many classes best. n_outputs
    is n_classes.

    Raises ValueError unless n_classes is in [2, 2**24], TypeError for anything but an integer.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(self, n_classes: typing.SupportsIndex) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def n_classes(self) -> int:
        """
        The number of classes; labels are 0 to n_classes - 1.
        """
    @property
    def n_outputs(self) -> int:
        """
        The outputs that the last layer of a network has to have.
        """

class OneVsRest:
    """
    Classes by regressions, one for each: 1 where it is the label, and else 0.

    These numbers are observed with noise of standard deviation `std`, so innovations are those of a
    regression. The weight w_i of a class is the probability that its output, with additional noise of
    standard deviation `link_std`, is above 1/2, raised to the power `sharpness`:

        P_i = w_i / sum_j w_j,   w_i = Phi((mean_i - 1/2) / sqrt(var_i + link_std^2))^sharpness

    link_std and sharpness decide how sure it is of a class. TagiClassifier fits them to held-out rows;
    then it predicts most tables of 3 to 32 classes better than a softmax does. With the default values,
    and with many classes, Softmax is the better choice. n_outputs is n_classes.

    Args:
        n_classes: how many classes there are; labels are 0 to n_classes - 1.
        std: standard deviation of the noise of 1 and 0; None takes 0.3.
        link_std: standard deviation beside that of an output; None takes 0.28.
        sharpness: the power; None takes 2.

    Raises ValueError unless n_classes is in [2, 2**24], std and link_std None or in [1e-6, 1e6], and
    sharpness None or in [1e-3, 1e3]; TypeError for anything but a number.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self,
        n_classes: typing.SupportsIndex,
        std: typing.SupportsFloat | typing.SupportsIndex | None = None,
        link_std: typing.SupportsFloat | typing.SupportsIndex | None = None,
        sharpness: typing.SupportsFloat | typing.SupportsIndex | None = None,
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def n_classes(self) -> int:
        """
        The number of classes; labels are 0 to n_classes - 1.
        """
    @property
    def n_outputs(self) -> int:
        """
        The outputs that the last layer of a network has to have.
        """

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
    unless share >= 0 and clip > 0, TypeError for anything but a number.
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
    that would not be positive becomes 1e-5, but one of 0 stays. cap=None takes 0.1 for batches of 1, 2
    below 256, and 3 from 256 on. Raises ValueError unless cap is None or positive, TypeError for
    anything but a number.
    """
    def __init__(self, cap: typing.SupportsFloat | typing.SupportsIndex | None = None) -> None: ...

class Forgetting:
    """
    How a network forgets, to follow a stream that changes.

    After each update every parameter takes a step of a random walk, no further than its prior:

        var' = min(var + process_noise prior_var, max(var, prior_var))

    and the targets' squared errors, divided by their predicted variances (noise included), are tested.
    Their mean over about the last `window` targets (each has 1 - 1/window times the weight of the next
    one) is 1 if the variances are right. If a chi-square test (Wilson & Hilferty, 1931) with a
    false-alarm probability of drift_level finds that it is larger, the data have changed: all variances
    are raised to at least inflation prior_var, and the test starts again. drift_level=None disables the
    test.

    Raises ValueError unless process_noise and inflation are in [0, 1], drift_level in (0, 1/2) and window
    at least 1, TypeError for anything but a number.
    """
    def __eq__(self, arg0: typing.Any) -> bool: ...
    def __hash__(self) -> int: ...
    def __init__(
        self,
        process_noise: typing.SupportsFloat | typing.SupportsIndex = 1e-06,
        drift_level: typing.SupportsFloat | typing.SupportsIndex | None = 1e-06,
        window: typing.SupportsFloat | typing.SupportsIndex = 100.0,
        inflation: typing.SupportsFloat | typing.SupportsIndex = 0.1,
    ) -> None: ...
    def __reduce__(self) -> tuple[typing.Any, tuple]: ...
    def __repr__(self) -> str: ...
    @property
    def config(self) -> dict:
        """
        The constructor's arguments by name.
        """
    @property
    def drift_level(self) -> float | None:
        """
        Probability of a false alarm of a test; None where nothing is tested.
        """
    @property
    def inflation(self) -> float:
        """
        What variances are raised to on drift, in units of the prior's.
        """
    @property
    def process_noise(self) -> float:
        """
        Variance gained after an update, in units of the prior's.
        """
    @property
    def window(self) -> float:
        """
        Targets that a test remembers.
        """

class PredictionSums:
    """
    Sums over observed targets.
    """
    @property
    def chi_square(self) -> float: ...
    @property
    def log_likelihood(self) -> float: ...
    @property
    def n_observed(self) -> int: ...
    @property
    def noise_var(self) -> float: ...
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
    def noise_var(self) -> float:
        """
        Mean noise variance of the targets, known or inferred.
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
    @property
    def surprise(self) -> float:
        """
        Mean of squared errors over their predicted variances, observation noise included: 1 where variances are right.
        """

class Model:
    """
    A network with its parameters; tagix.nn.Sequential is its public face.
    """
    def __init__(
        self,
        topology: Topology,
        rule: UpdateRule,
        seed: typing.SupportsInt | typing.SupportsIndex,
        device: str,
        precision: str,
        noise: typing.Any,
        forgetting: Forgetting | None,
        likelihood: typing.Any = None,
    ) -> None:
        """
        Of the noise counts what is learned.
        """
    def copy_to(self, device: str, precision: str) -> Model:
        """
        A copy on another device or in another precision, parameters and epochs included.
        """
    def covariance(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def draw(self, seed: typing.SupportsInt | typing.SupportsIndex) -> Model:
        """
        The network with means drawn from the posterior and variances of 0.
        """
    def evaluate(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32] | None,
    ) -> PredictionSums: ...
    def get_parameters(
        self,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]: ...
    def innovations(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32] | None,
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
    ) -> dict:
        """
        delta_mean and delta_var (first axis) of outputs, inputs and parameters for a batch, without an update.
        """
    def jacobian(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
        n_inputs: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> numpy.typing.NDArray[numpy.float32]: ...
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
        noise_var: numpy.typing.NDArray[numpy.float32] | None = None,
        calibrated: bool = False,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float32] | None,
        numpy.typing.NDArray[numpy.float32] | None,
    ]:
        """
        mean, var, and, with noise variances or where the network infers them, the noise variances and the sums of both.
        """
    def predict_on_device(
        self,
        x: CudaArgument,
        x_var: CudaArgument | None = None,
        noise_var: numpy.typing.NDArray[numpy.float32] | None = None,
        calibrated: bool = False,
    ) -> tuple[CudaArray, CudaArray, CudaArray | None, CudaArray | None]:
        """
        predict for arrays on the GPU, except noise_var.
        """
    def predict_proba(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
        calibrated: bool = False,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The probabilities of classes, for a network that has them.
        """
    def set_parameters(
        self, mean: numpy.typing.NDArray[numpy.float32], var: numpy.typing.NDArray[numpy.float32]
    ) -> None: ...
    def target_features(self, in_features: typing.SupportsInt | typing.SupportsIndex) -> int: ...
    def update(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        y: numpy.typing.NDArray[numpy.float32],
        noise_var: numpy.typing.NDArray[numpy.float32] | None,
        x_var: numpy.typing.NDArray[numpy.float32] | None = None,
        weight: numpy.typing.NDArray[numpy.float32] | None = None,
        with_noise: bool = True,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float32] | None,
        numpy.typing.NDArray[numpy.float32] | None,
    ]:
        """
        The prediction made before, as predict; without the noise if that is not asked for.
        """
    def update_on_device(
        self,
        x: CudaArgument,
        y: CudaArgument,
        noise_var: numpy.typing.NDArray[numpy.float32] | None,
        x_var: CudaArgument | None = None,
        weight: numpy.typing.NDArray[numpy.float32] | None = None,
        with_noise: bool = True,
    ) -> tuple[CudaArray, CudaArray, CudaArray | None, CudaArray | None]:
        """
        update for arrays on the GPU, except noise_var and weight.
        """
    @property
    def drift(self) -> tuple[float, float, float, int]:
        """
        The sums of the test for drift, and how often it has found one.
        """
    @drift.setter
    def drift(
        self,
        arg1: tuple[
            typing.SupportsFloat | typing.SupportsIndex,
            typing.SupportsFloat | typing.SupportsIndex,
            typing.SupportsFloat | typing.SupportsIndex,
            typing.SupportsInt | typing.SupportsIndex,
        ],
    ) -> None: ...
    @property
    def epochs_trained(self) -> int: ...
    @epochs_trained.setter
    def epochs_trained(self, arg1: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def in_features(self) -> int | None: ...
    @property
    def parameter_layout(self) -> list:
        """
        (number, name, shape, start in get_parameters(), axes in their order there) of each array that can be learned.
        """
    @property
    def prior_std(self) -> dict:
        """
        The standard deviation of each array before any data, by its name.
        """
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
    def set_weight(self, weight: numpy.typing.NDArray[numpy.float32]) -> None: ...
    def set_x_var(self, x_var: numpy.typing.NDArray[numpy.float32]) -> None: ...

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

class SamplerPlan:
    """
    What a sampler does: its stages, as a table.
    """
    def __init__(
        self,
        stages: numpy.typing.NDArray[numpy.float32],
        time_features: numpy.typing.NDArray[numpy.float32],
        ends_step: collections.abc.Sequence[bool],
        last_noise_var: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...

class DiffusionProcess:
    """
    Levels of noise, conditions and units of a diffusion model.
    """
    def __init__(
        self,
        n_features: typing.SupportsInt | typing.SupportsIndex,
        levels: numpy.typing.NDArray[numpy.float32],
        time_features: numpy.typing.NDArray[numpy.float32],
        class_features: numpy.typing.NDArray[numpy.float32],
        device: str,
    ) -> None: ...
    def sample(
        self,
        network: Model,
        plan: SamplerPlan,
        n_samples: typing.SupportsInt | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
        labels: numpy.typing.NDArray[numpy.int64] | None,
        guidance: tuple[
            typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex
        ],
        trajectory: bool,
        uncertainty: bool,
        ensemble: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float32],
        typing.Any,
        typing.Any,
        typing.Any,
        typing.Any,
        typing.Any,
    ]:
        """
        x, var, trajectory, epistemic, aleatoric, score and the covariances of an ensemble, which needs uncertainty, 0 is none. guidance has the weights of the predictions with labels and without, (1, 0): none.
        """
    def set_standardization(
        self,
        shift: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
        scale: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None: ...
    def standardize_by(self, data: numpy.typing.NDArray[numpy.float32]) -> None: ...
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
    def set_labels(
        self,
        labels: numpy.typing.NDArray[numpy.int64],
        p_uncond: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def set_noise_var(
        self, noise_var: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]
    ) -> None: ...

class Encoding:
    """
    Inputs that are piecewise linear in the columns of standardized rows; see models/encoding.h.
    """
    def __init__(
        self,
        n_columns: typing.SupportsInt | typing.SupportsIndex,
        scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        knots: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        ramps: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> None:
        """
        scores: float64 (3, n_scores): column, slope beyond the knots, number of knots; knots: float64 (2, all knots): where they are, and the values there; ramps: float64 (4, n_ramps): column, start, end, centre. Raises ValueError for numbers that are not those of an encoding.
        """
    def inputs(
        self, x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Inputs (rows, inputs) of rows (rows, columns) that are known.
        """
    def moments(
        self,
        x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        x_var: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
        """
        Means and variances of the inputs of Gaussian rows.
        """
    def slopes(
        self, x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        The derivative of each input by its column, (rows, inputs).
        """

class Stream:
    """
    One row after the other, as dicts; see models/stream.h.
    """
    def __init__(
        self,
        model: Model,
        names: collections.abc.Sequence[str],
        columns: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        sums: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        rescale: collections.abc.Callable,
    ) -> None:
        """
        columns: float64 (features + 1, 5), the last row for the target: mean and scale of the standardization; count, mean and sum of squared deviations of what was seen. sums: float64 (7,): rows, observed rows, log-likelihood, squared and absolute error, covered, correct. rescale() is called when the number of rows becomes a power of two.
        """
    def learn(self, x: dict, y: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    def predict(self, x: dict) -> tuple[float, float]:
        """
        Mean and variance of the target, in its units.
        """
    def predict_proba(
        self, x: dict, n_classes: typing.SupportsInt | typing.SupportsIndex
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    @property
    def columns(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        To set it changes the standardization alone.
        """
    @columns.setter
    def columns(self, arg1: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> None: ...
    @property
    def sums(self) -> numpy.typing.NDArray[numpy.float64]: ...

def backend_name(device: str, precision: str = "float32") -> str:
    """
    The device, what it runs on and its precision, as 'cpu (x86-64-v4, float32)'. Raises ValueError for a device or a precision that is not there, and says why not.
    """

def bounded_leverage(z: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    Standardized inputs, those beyond 6 standard deviations by their logarithm; see math/leverage.h.
    """

def cuda_architectures() -> list[str]:
    """
    What GPUs the kernels of this build were compiled for.
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

def leverage_slope(z: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any:
    """
    The derivative of bounded_leverage.
    """

def peak_flops(precision: str = "float32") -> float:
    """
    The FLOP/s of multiply-adds in registers on one core: what no matrix product can beat.
    """

def set_num_threads(n: typing.SupportsIndex) -> None:
    """
    Set how many threads a call may use, the calling one included.

    Holds for the whole process, from the next call on; results do not depend on it. Raises ValueError
    for less than 1, TypeError for anything but an integer; the number is then as it was.
    """

__version__: str = "0.1.0"
