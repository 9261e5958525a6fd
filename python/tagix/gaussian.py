"""Independent Gaussians, as every prediction returns them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Gaussian(NamedTuple):
    """Independent Gaussians given by two float32 arrays of one shape.

    Unpacks as ``mean, var = net(x)``.
    """

    mean: NDArray[np.float32]
    var: NDArray[np.float32]

    @property
    def std(self) -> NDArray[np.float32]:
        """The standard deviations, in the unit of the mean."""
        return np.sqrt(self.var)
