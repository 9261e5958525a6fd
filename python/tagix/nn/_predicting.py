"""What networks predict, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core
from tagix._arrays import SupportsDLPack, as_count, as_float32, is_on_gpu, like, refuse_gpu
from tagix._input_inference import InputPosterior, infer_inputs
from tagix._seeds import check_seed
from tagix._variance_attribution import VarianceAttribution, attribute_variance
from tagix.gaussian import Prediction
from tagix.nn._base import Noise, S
from tagix.nn._noise import Noisy
from tagix.nn._tracing import Value, apply

Arrays: TypeAlias = "ArrayLike | Mapping[str, ArrayLike]"
VarianceKind: TypeAlias = Literal["diagonal", "calibrated"]
AnyArrays: TypeAlias = "ArrayLike | SupportsDLPack | Mapping[str, ArrayLike]"


def is_calibrated(variance: str) -> bool:
    """Whether that kind of variance is the calibrated one. Raises ValueError for another kind."""
    if variance not in ("diagonal", "calibrated"):
        raise ValueError(f"variance: got {variance!r}, needed 'diagonal' or 'calibrated'")
    return variance == "calibrated"


class Predicting(Noisy):
    """Predictions of networks."""

    @overload
    def __call__(self, x: Value) -> Value: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(
        self,
        x: AnyArrays | None = None,
        x_var: AnyArrays | None = None,
        *,
        variance: VarianceKind = "diagonal",
        **inputs: ArrayLike,
    ) -> Prediction: ...

    def __call__(
        self,
        x: AnyArrays | Value | None = None,
        x_var: AnyArrays | None = None,
        *,
        variance: VarianceKind = "diagonal",
        **inputs: ArrayLike,
    ) -> Prediction | Value:
        """Predict targets, including their noise if the network knows it.

        Args:
            x: inputs, (batch, features), or of the shape that the network was made for; of a
                network of several inputs a dict of them by name.
            x_var: variances of the inputs, same shape; None means that all inputs are known
                exactly. Inputs that a dict leaves out are known exactly, too.
            variance: what ``epistemic`` is. "diagonal" is TAGI's own, which training uses: it
                takes the units of each layer as independent, and is often too small.
                "calibrated" is the diagonal of :meth:`covariance`: within some percent of the
                variance over :meth:`draw`, at the price of about one prediction for each output.
            **inputs: the inputs by name, in place of x: ``net(a=..., b=...)``.

        In the ``forward`` of a :class:`Module`, a :class:`Sequential` gives the symbolic output for
        a symbolic x.

        A network of one input on device "cuda" takes float32 arrays on the GPU without a copy, from
        any library with DLPack. It then returns arrays on the GPU: of PyTorch or CuPy for their
        arrays, else :class:`tagix.cuda.Array`. It waits for work that the library has queued, and
        its own results are complete when it returns.

        Returns:
            Mean and variance, each float32 (batch, outputs), or (batch, channels, ...) for outputs
            on a grid (on the GPU, rows with the channels of the first position first), and the
            parts of the variance:
            ``epistemic``, of the mean, and ``aleatoric``, of the noise that the network knows
            (:attr:`noise`). Without known noise, ``var`` is the variance of the mean. With a
            :attr:`likelihood` these are the latent outputs; :meth:`predict_proba` gives classes.

        Raises:
            ValueError: for wrong shapes, NaN, infinity or negative variances, if the function of an
                :class:`Activation` gives NaN or infinity, and for an array on the GPU that is not
                C-contiguous.
            TypeError: for something that is not an array of numbers, and for an array on the GPU
                that is not float32 or is given to a network on the CPU.
            RuntimeError: for variance="calibrated", as :meth:`covariance`.
        """
        if type(x) is Value:
            return apply(self, (x,))
        if inputs:
            x = inputs if x is None else {"x": x, **inputs}  # type: ignore[dict-item]
        noise_var = self._known_noise_var()
        calibrated = is_calibrated(variance)
        if is_on_gpu("x", x, self.device):
            on_gpu = self._model.predict_on_device(
                _core.CudaArgument("x", x),
                self._optional_argument("x_var", x_var),
                noise_var,
                calibrated,
            )
            return self._prediction(on_gpu, x)
        rows = self._inputs.rows("x", x)
        variances = self._inputs.variances("x_var", x_var, len(rows))
        return self._prediction(self._model.predict(rows, variances, noise_var, calibrated))

    def _prediction(self, arrays: tuple[Any, Any, Any, Any], x: Any = None) -> Prediction:
        """What the core predicts, as arrays like ``x``, if that is on the GPU."""
        if x is not None:
            given = tuple(None if array is None else like(x, array) for array in arrays)
        elif self._grid_outputs is not None:
            on_grid = self._grid_outputs.arrays
            given = tuple(None if array is None else on_grid(array) for array in arrays)
        else:
            given = arrays
        mean, var, noise_var, total_var = given
        if self.noise is None:  # what a call says of the noise is not the network's knowledge
            return Prediction(mean, var)
        return Prediction(mean, var, noise_var, total_var)

    def predict_proba(
        self, x: Arrays, x_var: Arrays | None = None, *, variance: VarianceKind = "diagonal"
    ) -> NDArray[np.float32]:
        """The probabilities of classes, by a network with a :attr:`likelihood`.

        They include the network's uncertainty: they are expectations over its uncertain outputs, so
        larger variances bring the probabilities closer together.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape; None means that they are known exactly.
            variance: of the outputs, as for calling the network.

        Returns:
            (batch, n_classes); each row sums to 1.

        Raises:
            ValueError, TypeError, RuntimeError: as calling the network; ValueError for an array on
                the GPU, and for a network without a likelihood.
        """
        if self.likelihood is None:
            raise ValueError(
                "predict_proba: got a network without a likelihood, needed one made with "
                "likelihood=tagix.Softmax(n_classes) or another"
            )
        refuse_gpu("predict_proba", x=x, x_var=x_var)
        rows = self._inputs.rows("x", x)
        variances = self._inputs.variances("x_var", x_var, len(rows))
        return self._model.predict_proba(rows, variances, is_calibrated(variance))

    def jacobian(self, x: Arrays, x_var: Arrays | None = None) -> Any:
        """The Jacobian of the mean outputs, d mean[b, o] / d x[b, i].

        This is the derivative of the mean that calling the network gives, in closed form and not by
        differences. Means and variances of all layers change with x, and the variances change the
        means of the layers above them.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape; they are held constant.

        Returns:
            float32 (batch, outputs, features); for a network with named inputs, a dict of such
            arrays by name.

        Raises:
            ValueError, TypeError: as calling the network, and for an array on the GPU.

        An :class:`Activation` with first-order moments has no second derivative, so the dependence
        of its variance on its mean is left out. This matters if an activation with exact moments
        lies above it.
        """
        refuse_gpu("jacobian", x=x, x_var=x_var)
        rows = self._inputs.rows("x", x)
        variances = self._inputs.variances("x_var", x_var, len(rows))
        return self._inputs.split(self._model.jacobian(rows, variances))

    def covariance(self, x: Arrays, x_var: Arrays | None = None) -> NDArray[np.float32]:
        """The covariance of the outputs, without observation noise.

            W = sum over affine maps   G diag(W_var (a_mean^2 + a_var) + b_var) G^T
              + sum over activations   H diag(a_var - J^2 z_var) H^T
              + G_x diag(x_var) G_x^T

        with G, H and G_x the total derivatives of the outputs by the means of z, a and x. Unlike
        the variances that calling the network gives, it counts that the units of a layer share the
        layers below. It takes about as long as one prediction, and one more for each
        output.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape; None means that they are known exactly.

        Returns:
            (batch, outputs, outputs).

        Raises:
            ValueError, TypeError: as calling the network, and for an array on the GPU.
            RuntimeError: for a network that uses a weight more than once.
        """
        refuse_gpu("covariance", x=x, x_var=x_var)
        rows = self._inputs.rows("x", x)
        return self._model.covariance(rows, self._inputs.variances("x_var", x_var, len(rows)))

    def infer_inputs(
        self,
        y: ArrayLike,
        prior: tuple[ArrayLike, ArrayLike],
        noise: Noise | None = None,
        *,
        start: ArrayLike | None = None,
        n_iterations: int = 50,
        tolerance: float = 0.01,
    ) -> InputPosterior:
        """The posterior of inputs that give wanted outputs, by iterated linearization.

        p(x | y) is proportional to p(x) N(y; mean(x), covariance(x) + noise): the network's
        uncertainty about an input makes it less likely, as noise does. The posterior is
        approximated by a Gaussian near a most probable x. A network may give the same outputs at
        many inputs; the start of the search decides which mode is found.

        Args:
            y: wanted outputs, (rows, outputs), or (rows,) for one output; NaN where any value is
                acceptable.
            prior: a :class:`tagix.Gaussian`, or (mean, var), of the inputs: each (rows, features)
                or (features,). A variance of 0 is an input that is known.
            noise: as for :meth:`update`; it says how far from y an output may be. A network that
                knows its noise takes none.
            start: where the search begins, of the shape of the prior's mean, which is the default.
            n_iterations: steps at most.
            tolerance: the length of a step, in posterior standard deviations, at which to end.

        Returns:
            Mean, full covariance, log evidence, and whether the search reached its tolerance, each
            by row.

        Raises:
            ValueError: for wrong shapes, NaN, infinity or negative variances in the prior, infinite
                y, a count below 1, a tolerance that is not above 0, noise as for
                :meth:`update`, and a network with a :attr:`likelihood`.
            TypeError: for an array that is not of numbers or is on the GPU, and noise as for
                :meth:`update`.
        """
        if not self._inputs.is_one:
            raise ValueError("infer_inputs: got a network of several inputs, needed one of one")
        return infer_inputs(self, y, prior, noise, start, n_iterations, tolerance)

    def attribute_variance(
        self,
        x: Arrays,
        x_var: Arrays | None = None,
        *,
        n_orders: int | None = None,
        seed: int = 0,
    ) -> VarianceAttribution:
        """Split a predictive variance into the shares of input features, layers and noise.

        Sources of uncertainty are switched on one after the other, with the others fixed at their
        means. The share of a source is what it adds to the variance, averaged over the orders of
        the sources. So the shares add up to the variance that calling the network gives. The share
        of noise is the predicted noise.

        Args:
            x: inputs, (batch, features).
            x_var: variances of the inputs, same shape; None means that they are known exactly.
            n_orders: how many random orders to average over; each takes a prediction for every
                source. None takes all orders for up to 8 sources, by 2^n predictions, and 16 random
                orders for more.
            seed: fixes the random orders.

        Raises:
            ValueError, TypeError: as calling the network; for arrays on the GPU; for an n_orders
                below 1 and a seed outside [0, 2**63), and for either if it is not an integer.
        """
        refuse_gpu("attribute_variance", x=x, x_var=x_var)
        if n_orders is not None:
            n_orders = as_count("n_orders", n_orders, least=1)
        seed = check_seed(seed)
        rows = self._inputs.rows("x", x)
        variances = self._inputs.variances("x_var", x_var, len(rows))
        # One model for all predictions, so that they know nothing of what other threads learn.
        model = self._model.copy_to(self.device, self.precision)
        return attribute_variance(model, rows, variances, self._known_noise_var(), n_orders, seed)

    def draw(self: S, seed: int) -> S:
        """A network without uncertainty, whose weights are drawn from this network's posterior.

        The mean of each parameter is drawn from its N(mean, var), and its variance is 0, so the
        epistemic variance of predictions is 0, too. The variation of predictions from draw to draw
        is what the epistemic variance approximates. So draws serve as a Monte Carlo check of it,
        and as an ensemble.

        Args:
            seed: fixes the numbers; equal seeds give equal bits.

        Returns:
            A new network of the same layers, seed, rule, noise, device, precision and epochs.

        Raises:
            ValueError: if the seed is not in [0, 2**63).
            TypeError: for anything but an integer.
        """
        return self._with_model(self._model.draw(check_seed(seed)))

    def _argument(self, name: str, value: Any) -> _core.CudaArgument:
        """An array of a user on the GPU; from the CPU it is uploaded."""
        on_gpu = is_on_gpu(name, value, self.device)
        return _core.CudaArgument(name, value if on_gpu else as_float32(name, value))

    def _on_host(self, name: str, value: Any) -> Any:
        """A copy on the CPU of an array on the GPU; anything else as it is."""
        on_gpu = value is not None and is_on_gpu(name, value, self.device)
        return _core.CudaArgument(name, value).numpy() if on_gpu else value

    def _optional_argument(self, name: str, value: Any) -> _core.CudaArgument | None:
        return None if value is None else self._argument(name, value)
