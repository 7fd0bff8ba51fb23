"""Causal filters that take the jitter out and pay for it with as little lag as can be."""

from __future__ import annotations

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle


class RotationFilter:
    """A g-h (alpha-beta) filter on K rotations, critically damped.

    memory: 0-1, theta of the fading-memory filter at 30 frames a second: g = 1 - theta^2, h = (1 - theta)^2; 0 passes
    the input through. It has no lag for a constant angular velocity.
    """

    def __init__(self, memory: float) -> None:
        self.memory = memory
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next rotations pass unchanged."""
        self.rotation: np.ndarray | None = None
        self.velocity: np.ndarray | None = None

    def update(self, rotation: np.ndarray, interval: float) -> np.ndarray:
        """rotation: (K, 3, 3) measured; interval: seconds since the last update. Returns the filtered (K, 3, 3)."""
        if self.rotation is None or self.velocity is None or self.memory <= 0.0:
            self.rotation = rotation
            self.velocity = np.zeros(rotation.shape[:-2] + (3,))
            return rotation
        theta = self.memory ** (interval * 30.0)
        predicted = self.rotation @ matrix_from_axis_angle(self.velocity * interval)
        innovation = axis_angle_from_matrix(np.swapaxes(predicted, -1, -2) @ rotation)
        self.rotation = predicted @ matrix_from_axis_angle((1.0 - theta**2) * innovation)
        self.velocity = self.velocity + (1.0 - theta) ** 2 / interval * innovation
        return self.rotation


class ComplementaryFilter:
    """K rotations measured twice: by a steady measurement, right on average but late, and by a prompt one, quick but off.

    What sets them apart changes slowly, so that its mean over the past (first order, `_MEMORY`) is added to the prompt one.
    The newest two frames are then averaged, the newest with weight `_NEWEST`: what alternates from frame to frame, most of
    the detector's jitter, falls to four tenths at the price of three tenths of a frame.
    """

    _MEMORY = 0.95
    """Of the mean, at 30 frames a second: two thirds of a second. A shorter one lets more of the steady measurement's lag
    through, a longer one is off by more."""
    _NEWEST = 0.7

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next steady measurement passes unchanged."""
        self.apart: np.ndarray | None = None
        self.last: np.ndarray | None = None

    def update(self, steady: np.ndarray, prompt: np.ndarray, interval: float) -> np.ndarray:
        """steady, prompt: (K, 3, 3) of this frame; interval: seconds since the last update. Returns (K, 3, 3)."""
        apart = axis_angle_from_matrix(np.swapaxes(prompt, -1, -2) @ steady)
        if self.apart is None or self.last is None:
            self.apart, self.last = apart, steady
            return steady
        self.apart = apart + self._MEMORY ** (interval * 30.0) * (self.apart - apart)
        newest = prompt @ matrix_from_axis_angle(self.apart)
        back = axis_angle_from_matrix(np.swapaxes(newest, -1, -2) @ self.last)
        self.last = newest
        return newest @ matrix_from_axis_angle((1.0 - self._NEWEST) * back)


class PositionFilter:
    """The prior of a wrist's position from its past: a Kalman filter with white acceleration.

    acceleration: spectral density, m^2/s^3. The measurement is not linear, so `translation.solve_translations` takes
    this prior and its posterior comes back through `update`.
    """

    def __init__(self, acceleration: float) -> None:
        self.acceleration = acceleration
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.state: np.ndarray | None = None
        self.covariance: np.ndarray | None = None

    def predict(self, interval: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Advance by `interval` seconds; returns (mean (3,) metres, information (3, 3)), None before the first update."""
        if self.state is None or self.covariance is None:
            return None
        step, noise = np.eye(6), np.zeros((6, 6))
        np.fill_diagonal(step[:3, 3:], interval)
        np.fill_diagonal(noise[:3, :3], interval**3 / 3)
        np.fill_diagonal(noise[:3, 3:], interval**2 / 2)
        np.fill_diagonal(noise[3:, :3], interval**2 / 2)
        np.fill_diagonal(noise[3:, 3:], interval)
        self.state = step @ self.state
        self.covariance = step @ self.covariance @ step.T + self.acceleration * noise
        return self.state[:3].copy(), np.linalg.inv(self.covariance[:3, :3])

    def update(self, position: np.ndarray, covariance: np.ndarray) -> None:
        """Take in the posterior position (3,) and covariance (3, 3) of the solution that used `predict`'s prior."""
        if self.state is None or self.covariance is None:
            self.state = np.concatenate([position, np.zeros(3)])
            self.covariance = np.zeros((6, 6))
            self.covariance[:3, :3] = covariance
            self.covariance[3:, 3:] = np.eye(3)
            return
        prior = self.covariance[:3, :3]
        gain = self.covariance[:, :3] @ np.linalg.inv(prior)
        self.state = self.state + gain @ (position - self.state[:3])
        self.covariance = self.covariance + gain @ (covariance - prior) @ gain.T
        self.covariance = (self.covariance + self.covariance.T) / 2.0  # what rounding makes of it would grow
