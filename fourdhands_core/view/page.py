"""The page around the scene: states in words, what is shown, and for recordings time line, play and jumps."""

from __future__ import annotations

import html
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser

from ..errors import FourDHandsError
from . import events
from .comparison import DIFFERENCES, difference_plot, nearest
from .moments import Moment, words
from .plots import PlotPanel
from .recordings import Recording
from .serving import Served
from .sights import PARTS, Sight
from .stage import Stage
from .timeline import bands, with_cursor

_PLOT_PERIOD = 1.0
"""Seconds between two drawings of the plot or the time line."""
_SLICE = 0.05
"""Seconds in which a recording is read on between two pictures."""
_PAUSE = 5e9
"""Nanoseconds of a recording that are waited for between two images: the rest of a pause, or of the years that a clock was set
forward by, is passed over."""
_QUIET = 0.5
"""Seconds after a choice, or after somebody came, in which nothing is read on: what was chosen is still on its way to the
browser, and drawn there, perhaps by the same cores."""
_TOLD = 2.0
"""Seconds for which what a jump found is told at least while the recording plays on."""
_LEGEND = (
    "above the left hand, below the right: coloured TRACKED, pale HELD, dark ABSENT, grey not read yet; "
    "red: refused, violet: exchanged, small grey: images missing; black line: the part that is exported"
)
_SPEEDS = 0.1, 0.25, 0.5, 1.0, 2.0, 4.0


class Panel:
    """What every page has: words, what is shown, and a view through the camera's eye. changed: set when a choice was made."""

    def __init__(self, server: viser.ViserServer, stages: Sequence[Stage], heading: str) -> None:
        self._server, self._stages = server, stages
        self.changed = threading.Event()
        self.heading = server.gui.add_html("")
        self.name(heading)
        self.words = server.gui.add_html(_as_html("nothing yet"))
        eye = server.gui.add_button("Look through the camera", hint="from where the camera is, the hands lie on its image")
        eye.on_click(lambda event: self._look_through(event.client))

    def add_choices(self) -> None:
        """Check boxes for what is shown."""
        with self._server.gui.add_folder("Show", expand_by_default=False):
            for part in PARTS:
                box = self._server.gui.add_checkbox(part, True)
                box.on_update(self._shower(part, box))

    def name(self, heading: str) -> None:
        """What is shown."""
        self.heading.content = _as_html(heading, "font-weight:bold")

    def say(self, lines: Sequence[str]) -> None:
        """Sentences, one a line."""
        text = _as_html("\n".join(lines))
        if self.words.content != text:
            self.words.content = text

    def _shower(self, part: str, box: Any) -> Callable[[Any], None]:
        def show(_: Any) -> None:
            for stage in self._stages:
                stage.shown[part] = bool(box.value)
            self.changed.set()

        return show

    def _look_through(self, client: viser.ClientHandle | None) -> None:
        eye = self._stages[0].eye()
        if client is None or eye is None:
            return
        lens, pose = eye
        with client.atomic():
            client.camera.up_direction = tuple(-pose.rotation[:, 1])
            client.camera.position = tuple(pose.position)
            client.camera.look_at = tuple(pose.apply(np.array([0.0, 0.0, 1.0])))
            client.camera.fov = lens.fov


@dataclass(frozen=True)
class Episode:
    """One of several recordings that a page can show. label: for people. open: raises what Recording's makers raise."""

    label: str
    open: Callable[[], Recording]


class RecordingPage:
    """Plays a recording. served: whose page it becomes. rate: pictures a second at most. against: a second result of the same
    images, drawn in other colours with how far it is from the first. episodes: among which the page lets choose, `recording`
    being that of the number `current`.

    A thread of its own does everything; `close` ends it. Who opened `recording` and `against` closes them.
    """

    def __init__(
        self,
        served: Served,
        recording: Recording,
        rate: float = 15.0,
        against: Recording | None = None,
        episodes: Sequence[Episode] = (),
        current: int = 0,
    ) -> None:
        server = served.server
        self._server, self._recording, self._against = server, recording, against
        self._first = recording
        self._episodes, self._wanted, self._current = episodes, current, current
        self._period = 1.0 / rate
        self._presence = served.gateway.presence
        self.stage = Stage(server, recording.hands)
        stages = [self.stage]
        if against is not None:
            self._other = Stage(server, against.hands, "/against", AGAINST)
            stages.append(self._other)
        self.panel = Panel(server, stages, recording.name)
        self.row, self.shown = 0, -1
        self.playing, self._played = False, -1
        self._time: float | None = None
        self._said, self._told = "", 0.0
        self._jumps: deque[tuple[str, bool]] = deque()
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._drawn = self._chosen = 0.0
        self._unread = True
        self._bands, self._banded = "", (recording.course, -1)
        self._plotted: tuple[Any, ...] = ()
        self._add_controls()
        more = None if against is None else {kind: difference_plot(kind, against) for kind in DIFFERENCES}
        self._plots = PlotPanel(server, more)
        self._plots.choice.on_update(lambda _: self.panel.changed.set())
        self.panel.add_choices()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and close what was opened here."""
        self._end.set()
        self.panel.changed.set()
        self._thread.join(10.0)
        if self._recording is not self._first:
            self._recording.close()

    def _add_controls(self) -> None:
        gui = self._server.gui
        count = max(len(self._recording.course) - 1, 1)
        if len(self._episodes) > 1:
            labels = tuple(one.label for one in self._episodes)
            choice = gui.add_dropdown("Episode", labels, initial_value=labels[self._current])
            choice.on_update(lambda _: self._choose(labels.index(choice.value) if choice.value in labels else self._current))
        with gui.add_folder("Time"):
            self.line = gui.add_html("")
            self.slider: Any = gui.add_slider("Image", 0, count, 1, 0)
            self.clock = gui.add_html("")
            self._play = gui.add_button("Play")
            self._speed = gui.add_dropdown("Speed", tuple(f"{speed:g}" for speed in _SPEEDS), initial_value="1")
            step = gui.add_button_group("Step", ("back", "forward"))
            jump = gui.add_button_group("Next", events.KINDS)
            back = gui.add_button_group("Before", events.KINDS)
        self.slider.on_update(lambda event: self.go(int(self.slider.value)) if event.client is not None else None)
        self._play.on_click(lambda _: self.toggle())
        step.on_click(lambda _: self.go(self.row + (1 if step.value == "forward" else -1)))
        jump.on_click(lambda _: self.jump(str(jump.value), False))
        back.on_click(lambda _: self.jump(str(back.value), True))

    def toggle(self) -> None:
        """Play or pause; at the end, play from the beginning."""
        with self._lock:
            self.playing = not self.playing
            if self.playing and self.row >= len(self._recording.course) - 1:
                self.row = 0
        self._play.label = "Pause" if self.playing else "Play"
        self.panel.changed.set()

    def go(self, row: int, said: str = "") -> None:
        """A client's wish, which may be any number. said: about it, below what is said of the image."""
        with self._lock:
            self.row = min(max(row, 0), max(len(self._recording.course) - 1, 0))
            self._said, self._told = said, time.monotonic()
        self.panel.changed.set()

    def _choose(self, number: int) -> None:
        self._wanted = number
        self.panel.changed.set()

    def _change_episode(self) -> None:
        """Show another episode; where it cannot be opened, that is said and the one before stays."""
        episode, self._current = self._episodes[self._wanted], self._wanted
        try:
            opened = episode.open()
        except FourDHandsError as error:
            self.panel.say([f"{episode.label} cannot be shown: {error}"])
            self._said, self.shown = "", self.row
            return
        if self._recording is not self._first:
            self._recording.close()
        with self._lock:
            self._recording, self.row, self.shown, self._time, self._said = opened, 0, -1, None, ""
        self._unread, self._drawn = True, 0.0
        self.panel.name(opened.name)
        self.stage.forget()

    def jump(self, kind: str, backwards: bool) -> None:
        """To the next event of one of events.KINDS; of another kind, which a client may ask for, nothing is done. It is looked
        for by the page's own thread, which alone adds to what has been read."""
        if kind in events.KINDS:
            self._jumps.append((kind, backwards))
            self.panel.changed.set()

    def _jump(self, kind: str, backwards: bool) -> None:
        course = self._recording.course
        if (row := events.following(course, kind, self.row, backwards)) is None:
            unread = "" if course.read == len(course) else " in what has been read so far"
            self.go(self.row, f"No {kind} {'before' if backwards else 'after'} this image{unread}.")
        else:
            self.go(row, f"Image {row}: {events.describe(course, kind, row)}.")

    def _run(self) -> None:
        last = time.monotonic()
        while not self._end.is_set():
            if not self._presence.wait(0.5):
                last = self._chosen = time.monotonic()
                continue
            began = time.monotonic()
            try:
                self.play_on(began - last)
                last = began
                busy = self.turn()
            except Exception as error:  # a file that is damaged within, or taken away: the page stays and says it
                self.panel.say([f"{type(error).__name__}: {error}"])
                busy = False
            wait = self._period - (time.monotonic() - began)
            if not busy or wait > 0:
                self.panel.changed.wait(max(wait, 0.01) if busy or self.playing else 0.5)

    def play_on(self, seconds: float) -> None:
        """Move on in the recording's time."""
        with self._lock:
            stamps = self._recording.course.stamp
            if not self.playing or not len(stamps):
                self._time = None
                return
            if self._time is None or self.row != self._played:
                self._time = float(stamps[self.row])
            self._time += seconds * 1e9 * float(self._speed.value)
            row = max(int(np.searchsorted(stamps, self._time, "right")) - 1, 0)
            if self._time - stamps[row] > _PAUSE and row < len(stamps) - 1:
                row += 1
                self._time = float(stamps[row])
            self.row = self._played = row
            if time.monotonic() - self._told > _TOLD:
                self._said = ""
            if self.row == len(stamps) - 1 and not self._unread:
                self.playing = False
        if not self.playing:
            self._play.label = "Play"

    def turn(self) -> bool:
        """Show what is to be shown, read on; whether there is more to do."""
        choice = self.panel.changed.is_set()
        self.panel.changed.clear()
        if self._wanted != self._current:
            self._change_episode()
            choice = self.shown < 0
        while self._jumps:
            self._jump(*self._jumps.popleft())
        if len(self._recording.course) and (self.row != self.shown or choice):
            with self._lock:
                row, said = self.row, self._said
            self._draw(row, said)
        now = time.monotonic()
        self._chosen = now if choice else self._chosen
        if now - self._chosen > _QUIET:
            self._read_on(now + _SLICE)
            if time.monotonic() - self._drawn > _PLOT_PERIOD:
                self._draw_course()
        elif self._drawn == 0.0 or self._plotted[:1] != (self._plots.title,):
            self._draw_course()
        return self.playing or self._unread

    def _read_on(self, until: float) -> None:
        recordings = [self._recording, *([self._against] if self._against else [])]
        while self._unread and time.monotonic() < until and not self.panel.changed.is_set():  # a wish comes first
            more = [recording.advance() for recording in recordings]  # of all of them
            self._unread = any(more)

    def _draw_course(self) -> None:
        course = self._recording.course
        if self._banded != (course, course.read):
            self._banded = course, course.read
            self._bands = bands(course, self._recording.span)
            self._show_line()
        if self.slider.max != max(len(course) - 1, 1):
            self.slider.max = max(len(course) - 1, 1)
        if self.shown >= 0:
            self._show_clock(self.shown)  # of a video that is being tracked there are more images now
        plotted = self._plots.title, course, course.read, self._against and self._against.course.read
        if plotted != self._plotted:
            self._plots.draw(course)
            self._plotted = plotted
        self._drawn = time.monotonic()

    def _draw(self, row: int, said: str) -> None:
        recording = self._recording
        if self.shown >= 0 and not 0 <= row - self.shown < 60:
            self.stage.forget()
        sights, robots = recording.sights(row, self.stage.shown), recording.robots(row)
        second = self._second(sights[0].moment)
        lines = words(sights[0].moment)
        for sight in sights[1:]:
            lines += [f"{sight.name}:", *words(sight.moment)]
        with self._server.atomic():
            lines += self.stage.draw(sights, robots)
            if second is not None and self._against is not None:
                self._other.draw([Sight("camera", second, fused=sights[0].fused, model=self._against.model)])
                lines += ["Against it:", *words(second)[:2]]
            elif self._against is not None:
                lines.append(f"Against it: {self._against.name} has no hands of this image's stamp.")
            if self.slider.value != row:
                self.slider.value = row
            self._show_line()
            self._show_clock(row)
            self.panel.say([*lines, *([said] if said else []), *recording.about, *recording.warnings[:4]])
        self._server.flush()  # not with the next sixtieth of a second
        self.shown = row

    def _show_clock(self, row: int) -> None:
        stamps = self._recording.course.stamp
        text = _as_html(f"image {row} of {len(stamps)}, {(int(stamps[row]) - int(stamps[0])) / 1e9:.2f} s")
        if text != self.clock.content:
            self.clock.content = text

    def _show_line(self) -> None:
        line = with_cursor(self._bands, len(self._recording.course), self.row)
        line = f'<div style="padding:0 0.8em" title="{_LEGEND}">{line}</div>'
        if line != self.line.content:
            self.line.content = line

    def _second(self, moment: Moment) -> Moment | None:
        """What the other result has nearest to an image."""
        if self._against is None:
            return None
        row = nearest(self._against.course.taken, np.array([moment.stamp]))[0]
        return None if row < 0 else self._against.moment(int(row))


AGAINST = (120, 220, 120), (220, 120, 220)
"""RGB of the hands, left and right, of the result that another one is compared with."""


_WORDS = "padding:0 0.9em 0.6em;font-size:0.875rem;white-space:pre-wrap"


def _as_html(text: str, style: str = "") -> str:
    """Lines of text as they are; with markdown a browser would have more to do for each picture."""
    return f'<div style="{_WORDS};{style}">{html.escape(text, quote=False)}</div>'
