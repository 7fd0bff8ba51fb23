"""Least squares over a robot's joints: damped Gauss-Newton steps (Levenberg-Marquardt) that stay inside the joints' limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEPS, FIRST_STEPS = 8, 40
"""Of the solver at most, from the last image's joints and from the neutral ones."""
_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-5, 1e3
_STILL = 5e-4
"""Radians (metres): a step that changes no joint by more is the last."""

Residuals = Callable[[np.ndarray, bool], "tuple[np.ndarray, np.ndarray | None]"]
"""Of joints (n,), and whether derivatives are asked for: residuals (m,), metres, and derivatives (m, n)."""


def least_squares(
    residuals: Residuals, start: np.ndarray, lower: np.ndarray, upper: np.ndarray, steps: int = STEPS
) -> tuple[np.ndarray, float]:
    """The joints (n,) within [lower, upper], exactly, with the least sum of squares that is found from `start`; and the sum."""
    q = np.clip(start, lower, upper)
    values, slopes = residuals(q, True)
    cost, damping = float(values @ values), _DAMPING
    for _ in range(steps):
        assert slopes is not None
        gradient = slopes.T @ values
        # A joint at a limit that would go beyond it stays where it is.
        free = np.flatnonzero(~(((q <= lower) & (gradient > 0)) | ((q >= upper) & (gradient < 0))))
        if not len(free):
            break
        part = slopes[:, free]
        hessian = part.T @ part
        scale = float(hessian.trace()) / len(free) + 1e-12
        tried = False
        while damping <= _MOST_DAMPING:
            damped = hessian.copy()
            damped.flat[:: len(free) + 1] += damping * scale
            step = np.linalg.solve(damped, -gradient[free])
            new = q.copy()
            new[free] = np.clip(q[free] + step, lower[free], upper[free])
            new_values, _ = residuals(new, False)
            new_cost = float(new_values @ new_values)
            tried = new_cost <= cost
            if tried:
                break
            damping *= 10.0
        if not tried:
            break
        moved = float(np.abs(new - q).max())
        q, gained = new, cost - new_cost
        damping = max(damping * 0.2, _LEAST_DAMPING)
        enough = moved < _STILL or gained < 1e-3 * cost
        cost = new_cost
        if enough:
            break
        values, slopes = residuals(q, True)
    return q, cost
