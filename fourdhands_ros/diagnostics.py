"""What the node tells about itself on /diagnostics: rates, latencies by stage, drops, refusals, state."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


class Statistics:
    """Counts since activation, and what happened since the last report. All methods may be called from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self.received = self.published = self.dropped = 0
        self.refused: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.last_problem = ""
        self._latency: dict[str, list[float]] = defaultdict(list)
        self._reported = (0, 0, 0, 0)

    @property
    def rejected(self) -> int:
        """Images that were refused, for whatever reason."""
        return sum(self.refused.values())

    def count_received(self) -> None:
        """An image message arrived."""
        with self._lock:
            self.received += 1

    def count_dropped(self) -> None:
        """An image was replaced by a newer one before it was processed."""
        with self._lock:
            self.dropped += 1

    def count_refused(self, reason: str, problem: str) -> bool:
        """An image was refused. True the first time that this reason comes up."""
        with self._lock:
            self.refused[reason] += 1
            self.last_problem = problem
            return self.refused[reason] == 1

    def count_event(self, event: str) -> None:
        """Something else worth counting, such as a reset."""
        with self._lock:
            self.events[event] += 1

    def count_published(self, latency: Mapping[str, float]) -> None:
        """An image's results are out; latency in seconds by stage."""
        with self._lock:
            self.published += 1
            for stage, seconds in latency.items():
                self._latency[stage].append(seconds)

    def report(self, period: float) -> tuple[dict[str, str], int, str]:
        """Values by name, diagnostics level and message, for the `period` seconds since the last report."""
        with self._lock:
            now = self.received, self.published, self.dropped, self.rejected
            received, published, dropped, rejected = (a - b for a, b in zip(now, self._reported))
            self._reported = now
            latency, self._latency = self._latency, defaultdict(list)
            values = {
                "input rate (Hz)": f"{received / period:.1f}", "output rate (Hz)": f"{published / period:.1f}",
                "received": str(self.received), "published": str(self.published), "dropped": str(self.dropped),
                "refused": str(self.rejected)}
            values.update({f"refused: {reason}": str(count) for reason, count in sorted(self.refused.items())})
            values.update({event: str(count) for event, count in sorted(self.events.items())})
            if self.last_problem:
                values["last problem"] = self.last_problem
        for stage, seconds in latency.items():
            seconds = np.array(seconds)[np.isfinite(seconds)]
            if len(seconds):
                p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
                values[f"{stage} p50 (ms)"], values[f"{stage} p99 (ms)"] = f"{p50:.2f}", f"{p99:.2f}"
        if rejected:
            return values, DiagnosticStatus.WARN, f"{rejected} images refused: {self.last_problem}"
        if not received:
            return values, DiagnosticStatus.STALE, "no images"
        return values, DiagnosticStatus.OK, "tracking"


def diagnostic_array(stamp, name: str, hardware_id: str, level, message: str, values: Mapping[str, str]):
    """diagnostic_msgs/DiagnosticArray with one status."""
    status = DiagnosticStatus(
        level=level, name=name, message=message, hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
