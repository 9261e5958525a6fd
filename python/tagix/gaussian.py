"""Independent Gaussians, as every prediction returns them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Gaussian(NamedTuple):
    """Independent Gaussians given by two float32 arrays of one shape.

    Unpacks as ``mean, var = net(x)``. The arrays are numpy's, or, for inputs on a GPU, those of the
    inputs' library or :class:`tagix.cuda.Array`.
    """

    mean: NDArray[np.float32]
    var: NDArray[np.float32]

    @property
    def std(self) -> NDArray[np.float32]:
        """The standard deviations, in the unit of the mean.

        TypeError for a :class:`tagix.cuda.Array`, which does not compute.
        """
        # The array's own power, for libraries whose arrays numpy does not take.
        return np.sqrt(self.var) if isinstance(self.var, np.ndarray) else self.var**0.5
