"""What moving hands tell of the cameras: whether their clocks agree, and whether they stand where they are said to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from statistics import mode

import numpy as np

from .bumps import INDEPENDENT, NOISE, Bumps, PerCamera, doubted, sees
from .exchanged import Exchanged
from .matching import BESIDE
from .solution import Solution
from .trust import Trust
from .views import Sighting, View

_BESIDE, _CLOCK = 0.02, 0.1
"""How far a view may lie beside, metres, and how far its clock may be off, seconds, before anything is known."""
_MEMORY = 0.9993
_APART, _SURE = 0.02, 0.008
"""Seconds by which clocks are apart to be told, and how sure that must be."""
_FAR = 0.5
"""How sure it must be beside what it is: calm motion tells of less than there is, and of nothing where there is nothing."""
_HEARD, _OFTEN = 0.008, 15
"""Seconds by which a clock is off to be corrected, and estimates between two looks at that."""
_SHIFTED = 0.012
"""Metres by which a camera's landmarks lie beside the others' for longer, to be told."""
_ENTRIES = 200
"""Estimates of each camera that are remembered."""
_OUT, _WINDOW = 0.5, 1.0
"""Share of the estimates of the last seconds in which a camera was left out, to be told."""


class Consistency:
    """Collects, over the last seconds, how each view lies beside the common solution.

    Of each camera three numbers are estimated, by least squares over all that was seen: by how much its clock is off, which
    shows where hands move, and by how much it sees everything beside the others, which shows always. What a hand's own
    position explains says nothing. applied: seconds by which the stamps of cameras are taken to be late, once that is sure.
    """

    def __init__(self) -> None:
        self.trust = Trust()
        self.exchanged = Exchanged()
        self._out: dict[str, deque[tuple[int, str]]] = {}
        self._beside = set[str]()
        self.bumps = Bumps()
        self.forget()

    def forget(self) -> None:
        """A camera is said to stand elsewhere: how views lie beside one another is of other places. Of how large the hands were
        it tells nothing, which shows whether the new place is right."""
        self._sums = PerCamera()
        self._count = 0
        self.applied: dict[str, float] = {}
        self.bumps.forget_turns()

    def take(
        self,
        stamp: int,
        side: int,
        sightings: list[Sighting],
        shifts: np.ndarray,
        solution: Solution,
        velocity: np.ndarray,
        size: float,
    ) -> None:
        """One hand's solution at a stamp, and two sightings (V) or more that show it, also such as were left out. shifts:
        (V, 21, 3) as the solver takes them. velocity: (21, 3) metres a second. size: as `size_beside` has it."""
        points = solution.landmarks + solution.wrist
        misses = np.array([np.median(one.misses(points + shift), axis=0) for one, shift in zip(sightings, shifts)])
        axes = [one.view.pose.rotation.T for one in sightings]
        across = np.array([one[:2] - seen.rays.mean(0)[:, None] * one[2:] for one, seen in zip(axes, sightings)])
        free = np.linalg.qr(across.reshape(-1, 3))[0]  # what the hand's own place explains says nothing
        palm = float(np.linalg.norm(solution.joints[9]))  # from the wrist, in any pose
        self.bumps.take(stamp, side, sightings, shifts, points, misses, across, free, palm * size)
        firsts = self._sums.firsts([one.view.name for one in sightings])
        rows, error, speed = np.zeros((misses.size, len(self._sums.right))), misses.ravel().copy(), velocity.mean(0)
        for k, (one, first) in enumerate(zip(sightings, firsts)):
            at = slice(2 * k, 2 * k + 2)
            rows[at, first] = -across[k] @ speed
            error[at] -= rows[at, first] * self.applied.get(one.view.name, 0.0)
            rows[at, first + 1 : first + 3] = np.eye(2)
        worst = float(np.abs(error).max())
        weight = INDEPENDENT / NOISE**2 * min(1.0, 0.05 / max(worst, 1e-9))
        rows, error = rows - free @ (free.T @ rows), error - free @ (free.T @ error)
        self._sums.add(rows, error, weight, _MEMORY)
        self._count += 1
        if self._count % _OFTEN == 0:
            self.applied = {name: late for name, (late, sigma) in self.clocks().items() if sigma < _SURE and abs(late) > _HEARD}

    def believed(self, sightings: list[Sighting], views: Sequence[View]) -> list[Sighting]:
        """Those of a hand without those of cameras that lie beside the others, but for a look at whether they still do: that
        is possible beside two others, or the only other one. views: all that are there."""
        sure = [one for one in sightings if one.view.name not in self._beside]
        others = sum(view.name not in self._beside for view in views)
        return sure if len(sure) < min(others, 2) else sightings

    def left_out(self, stamp: int, cameras: list[str], left_out: list[tuple[str, str]], agreed: Collection[str] = ()) -> None:
        """Of one estimate, the cameras that were there, those that were left out and why, those that show a hand together."""
        reasons = dict(left_out)
        for camera in cameras:
            entries = self._out.setdefault(camera, deque())
            entries.append((stamp, reasons.get(camera, "")))
            if len(entries) > _ENTRIES:
                entries.popleft()
        beside = {camera for camera, why in left_out if why == BESIDE and self._why_out(camera, stamp) == BESIDE}
        self._beside = (self._beside | beside).difference(agreed)

    def _why_out(self, camera: str, stamp: int) -> str:
        """Why a camera was left out of most of the last second's estimates; empty where it was not."""
        recent = [why for when, why in self._out.get(camera, ()) if 0 <= stamp - when < _WINDOW * 1e9]
        reasons = [why for why in recent if why]
        return mode(reasons) if len(recent) > 4 and len(reasons) > _OUT * len(recent) else ""

    def clocks(self) -> dict[str, tuple[float, float]]:
        """By camera, by how many seconds its stamps are late beside the mean of all, and how sure that is."""
        values, covariance = self._solved()
        count = len(self._sums.names)
        beside = np.eye(count) - 1.0 / max(count, 1)
        late, sigma = beside @ values[0::3], np.sqrt(np.diag(beside @ covariance[0::3, 0::3] @ beside))
        return {name: (float(late[k]), float(sigma[k])) for k, name in enumerate(self._sums.names)}

    def shifts(self) -> dict[str, float]:
        """By camera, by how many metres it sees the hands beside the others."""
        values, _ = self._solved()
        return {name: float(np.linalg.norm(values[3 * k + 1 : 3 * k + 3])) for k, name in enumerate(self._sums.names)}

    def problems(self, stamp: int) -> list[str]:
        """What is wrong with the cameras, in words; the first is the worst."""
        if self.exchanged.problem:
            return [self.exchanged.problem]  # all else comes of it
        told = [f"{camera} is left out: {why}" for camera in self._out if (why := self._why_out(camera, stamp))]
        if 1 < len(told) == len(self._out) and (bump := self.bumps.problem(stamp)):
            told = [bump]  # each is left out in turn: which is wrong cannot be told, only by how much they differ
        late = {name: one for name, one in self.clocks().items() if one[1] < max(_SURE, _FAR * abs(one[0]))}
        if len(late) > 1:
            first, last = min(late, key=lambda name: late[name][0]), max(late, key=lambda name: late[name][0])
            apart = late[last][0] - late[first][0]
            if apart > _APART:
                told.append(f"the clocks are apart: stamps of {last} are {1e3 * apart:.0f} ms later than those of {first}")
        shifts = self.shifts()
        beside = doubted([name for name, one in shifts.items() if one > _SHIFTED], shifts)
        if beside and not told:
            other = "one another" if len(beside) > 1 else "the others"
            told.append(
                f"{sees(beside)} the hands {1e3 * max(shifts.values()):.0f} mm beside {other}: "
                "a camera has moved, or its pose is wrong; `fourdhands calibrate-cameras --check` tells by how much"
            )
        if not told and (bump := self.bumps.problem(stamp)):
            told.append(bump)
        if problem := self.trust.problem(stamp):
            told.insert(0, problem)
        return told

    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        prior = np.tile([1.0 / _CLOCK**2, 1.0 / _BESIDE**2, 1.0 / _BESIDE**2], len(self._sums.names))
        covariance = np.linalg.inv(self._sums.information + np.diag(prior))
        return covariance @ self._sums.right, covariance
