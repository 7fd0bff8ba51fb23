"""What the node tells about each camera on /diagnostics: rates, ages, latencies by stage, drops, refusals, state."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from fourdhands_core.pipeline.session import INTERNAL, Counts
from fourdhands_core.streams import counted, printable


class Statistics(Counts):
    """Counts since activation, and what happened since the last report. All methods may be called from any thread.

    An event is shown by itself from the first `count_event` on. Other rates, counts and levels are made in `report`, of what
    `count_published` is given: latencies alone, by `FrameProcessor._publish` and `FusedChannel._publish`. A warning made there
    is told in place of those of `Channel.status`, which are told where all else is well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received = self.published = self.dropped = 0
        self._latency: dict[str, list[float]] = defaultdict(list)
        self._reported = (0, 0, 0, 0, 0)
        self._reported_at = time.monotonic()
        self._last_received = self._last_published = float("nan")

    def count_received(self) -> None:
        """An image message arrived."""
        with self._lock:
            self.received += 1
            self._last_received = time.monotonic()

    def count_dropped(self) -> None:
        """An image was replaced by a newer one before it was processed."""
        with self._lock:
            self.dropped += 1

    def count_published(self, latency: Mapping[str, float]) -> None:
        """An image's results are out; latency in seconds by stage."""
        with self._lock:
            self.published += 1
            self._last_published = time.monotonic()
            for stage, seconds in latency.items():
                self._latency[stage].append(seconds)

    def report(self) -> tuple[dict[str, str], bytes, str]:
        """Values by name, diagnostics level and message, for the time since the last report."""
        with self._lock:
            at = time.monotonic()
            period, self._reported_at = max(at - self._reported_at, 1e-3), at
            now = self.received, self.published, self.dropped, self.rejected, self.refused[INTERNAL]
            received, published, dropped, rejected, failed = (a - b for a, b in zip(now, self._reported))
            self._reported = now
            latency, self._latency = self._latency, defaultdict(list)
            values = {
                "input rate (Hz)": f"{received / period:.1f}",
                "output rate (Hz)": f"{published / period:.1f}",
                "last image (s ago)": f"{at - self._last_received:.2f}",
                "last hands (s ago)": f"{at - self._last_published:.2f}",
                "received": str(self.received),
                "published": str(self.published),
                "dropped": str(self.dropped),
                "dropped now": str(dropped),
                "refused": str(self.rejected),
            }
            values.update({f"refused: {reason}": str(count) for reason, count in sorted(self.refused.items())})
            values.update({event: str(count) for event, count in sorted(self.events.items())})
            if self.last_problem:
                values["last problem"] = self.last_problem
        for stage, seconds in latency.items():
            seconds = np.array(seconds)[np.isfinite(seconds)]
            if len(seconds):
                p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
                values[f"{stage} p50 (ms)"], values[f"{stage} p99 (ms)"] = f"{p50:.2f}", f"{p99:.2f}"
        if failed:
            return values, DiagnosticStatus.ERROR, f"{counted(failed, 'images')} could not be processed: {self.last_problem}"
        if rejected:
            return values, DiagnosticStatus.WARN, f"{counted(rejected, 'images')} refused: {self.last_problem}"
        if not received:
            return values, DiagnosticStatus.STALE, "no images"
        if not published:
            return values, DiagnosticStatus.WARN, "images came, but no hands were published of them"
        return values, DiagnosticStatus.OK, "tracking"


def array_of(status: DiagnosticStatus) -> DiagnosticArray:
    """A message for /diagnostics with that status alone, of now by the computer's clock."""
    array = DiagnosticArray(status=[status])
    array.header.stamp.sec, array.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
    return array


def diagnostic_status(name: str, hardware_id: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticStatus:
    """diagnostic_msgs/DiagnosticStatus with values by name; what is not UTF-8 is escaped."""
    pairs = [KeyValue(key=printable(key), value=printable(value)) for key, value in values.items()]
    message, hardware_id = printable(message), printable(hardware_id)
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware_id, values=pairs)
