"""The person's hand shape and size as several views show them: both hands', over time."""

from __future__ import annotations

import numpy as np

_INDEPENDENT = 0.05
"""How much of a new observation each estimate of a hand is: a detector errs the same way again and again."""
_ALL, _FEW = 60, 3
"""So many estimates at first are all taken in, then one in so many."""
_PRIOR = 3.0
"""Of the betas, of which people's are 1: what a detector always gets wrong of a hand does not become less by looking on."""
_MOST = 0.998
"""Of what is known, kept from one estimate to the next."""


class SharedShape:
    """The likeliest betas (10,), given all that views have told of it. Changes slowly, so that no bone jumps. wanted:
    whether the next estimate should tell of it: all at first, then one in a few, as they tell the same. count: of those that
    did."""

    def __init__(self) -> None:
        self._information, self._right = np.zeros((10, 10)), np.zeros(10)
        self.mean, self.count, self._asked = np.zeros(10), 0, 0

    @property
    def wanted(self) -> bool:
        """See above; asked once for each hand that several views show."""
        self._asked += 1
        return self._asked < _ALL or self._asked % _FEW == 0

    def add(self, information: np.ndarray, pull: np.ndarray) -> None:
        """What one estimate of a hand says about the change of `mean`: see `solution.Solution.shape`."""
        self.count += 1
        weight = max(_INDEPENDENT, 1.0 / self.count)
        self._information = _MOST * self._information + weight * information
        self._right = _MOST * self._right + weight * (pull + information @ self.mean)
        likely = np.linalg.solve(self._information + _PRIOR * np.eye(10), self._right)
        limit = max(0.05, 1.0 / self.count)
        self.mean = self.mean + np.clip(likely - self.mean, -limit, limit)
