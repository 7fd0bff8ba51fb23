"""The detector of hands: MediaPipe's two networks, the second trained on, with rules of our own for where they look."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import DependencyError, InputError
from ..hand_model.skeleton import LEFT, RIGHT
from .beside import Beside, working
from .confidence import landmark_confidence
from .detector import HandDetection, check_image
from .hand_networks import HAND, HAND_INT8, HandNetworks, Look
from .palms import Palms
from .squares import Square, around_landmarks, overlap
from .tone import AS_IT_IS, Tone, tone_of

_QUARTER = math.pi / 2.0
_WHOLE = (1.0, 0.5, 0.5, 0.0)
_TURNS: tuple[tuple[float, float, float, float], ...] = (
    (1.0, 0.5, 0.5, _QUARTER),
    (1.9, 0.28, 0.5, 0.0),
    (1.0, 0.5, 0.5, -_QUARTER),
    (1.9, 0.72, 0.5, 0.0),
    (1.0, 0.5, 0.5, math.pi),
    (1.9, 0.28, 0.5, _QUARTER),
    (1.9, 0.72, 0.5, -_QUARTER),
    (1.9, 0.5, 0.5, 0.0),
    (1.9, 0.28, 0.5, math.pi),
    (1.9, 0.72, 0.5, _QUARTER),
    (1.9, 0.28, 0.5, -_QUARTER),
    (1.9, 0.72, 0.5, math.pi),
)
"""Where else palms are searched: zoom, centre as shares of the image's width and height, angle. The palm network was trained on
upright hands that are not small."""
_GLANCE, _SURE, _MIRRORED = 0.1, 0.7, 0.3
"""Least presence in a palm's square, with which a new hand is looked at again; of a new hand whose palm is faint, and of each
in a second picture, its palm's square or the mirror image of its own; and in that mirror image in any case."""
_ALIKE = 1.5
"""How many times as large as a hand that is followed, or as small, a faint palm's hand may be."""


@dataclass(frozen=True)
class SearchRules:
    """When a hand is believed, and where hands are searched."""

    palm: float = 0.1
    """Least score of a palm that is looked at."""
    start: float = 0.6
    """Least presence of a new hand, 0-1."""
    keep: float = 0.4
    """Least presence of a hand that was there in the image before."""
    again: bool = True
    """A new hand is looked at a second time, in the square of its own landmarks, as the palm's is coarse, and believed if
    another picture shows it too (`_SURE`): of what does not move, the same square says the same in every image, and a foot or
    a face that passes for a hand in one seldom does in another."""
    apart: float = 0.35
    """Looks whose landmarks are less than this apart on average, in hand lengths, are of one hand."""
    overlap: float = 1.0
    """Hands whose squares overlap by more (intersection over union) are one hand too: the newer one is kept."""
    toned: bool = True
    """Dark and grey images are shown to the networks brighter and tinted."""
    looks: int = 1
    """Pictures of a hand, of which the mean counts, once its square is known."""
    turned: bool = True
    """Every second search is in a square turned or zoomed."""
    every: int = 1
    """While a hand is missing, palms are searched in every so manieth image, and in the one in which a hand was lost."""
    rest: int = 4
    """The same, at least, beside a hand that is followed, once a whole round of searches has found no other."""
    still: float = 0.05
    """Of its square's side that a hand moves between images and is looked for where it was. One that moves more is looked for
    where it goes on to: the network draws a hand beside the middle of its square towards there."""
    faint: float = 0.01
    """Least score of palms in the whole image that are looked at too, three while no hand is followed, else one of three by
    turns; after a whole round of searches in vain in every `rest`-th image. To the palm network many a hand is no palm that the
    landmark network reads: closed, from behind, from the side."""


SEARCHES = {"thorough": SearchRules(), "fast": SearchRules(every=5, faint=1.0)}
"""By the name that the setting `search` gives them."""
CLASSIC = SearchRules(
    palm=0.5,
    start=0.5,
    keep=0.5,
    again=False,
    toned=False,
    turned=False,
    rest=1,
    apart=0.0,
    overlap=0.5,
    still=math.inf,
    faint=1.0,
)
"""MediaPipe's own."""


def make_detector(
    search: str = "thorough",
    device: str = "cpu",
    threads: int = 1,
    precision: str = "float32",
    single_images: bool = False,
    **rules: Any,
) -> HandDetector:
    """The detector of a tracker's settings. rules: of SearchRules, what is otherwise. Raises as HandNetworks."""
    networks = HandNetworks(device, threads, HAND_INT8 if precision == "int8" else HAND)
    return HandDetector(networks, rules=replace(SEARCHES[search], **rules), single_images=single_images)


def detector_beside_torch(search: str, device: str, threads: int) -> HandDetector:
    """The same beside an image network in torch, which needs no onnxruntime for the GPU: without one, on the CPU. It is shown
    few of the images (`DetectionSchedule`), at uneven intervals, and searches in every one of those."""
    try:
        return make_detector(search, device, threads, rest=1, still=math.inf)
    except DependencyError as error:
        logging.getLogger("fourdhands").warning("%s; until then the detector runs on the CPU", error)
        return make_detector(search, "cpu", threads, rest=1, still=math.inf)


class _Search(NamedTuple):
    """Palms that are searched in a square. whole: it is the whole image, in which faint ones count too."""

    square: Square
    whole: bool
    palms: Beside[Palms]


@dataclass(eq=False)
class DetectorMemory:
    """What a HandDetector knows of the images so far.

    hands: those in the last one. searches: how many there were. idle: images since the last one. vain: searches since a hand
    came or went.
    """

    hands: list[_Hand] = field(default_factory=list)
    searches: int = 0
    idle: int = 0
    vain: int = 0


class HandDetector:
    """Finds the hands in the images of one camera, each after the one before.

    networks: may be shared. hands: how many are searched. rules: see SearchRules. single_images: each image is searched on its
    own, in every square. `reset` may be called from any thread.
    """

    def __init__(
        self,
        networks: HandNetworks | None = None,
        hands: int = 2,
        rules: SearchRules = SEARCHES["thorough"],
        single_images: bool = False,
    ) -> None:
        self._networks: HandNetworks | None = networks or HandNetworks()
        self._most, self._rules, self._single = hands, rules, single_images
        self._memory = DetectorMemory()
        self._forget = False

    @property
    def memory(self) -> DetectorMemory:
        """All that `reset` forgets; another detector with the same rules goes on from it when it is set."""
        return DetectorMemory() if self._forget else self._memory

    @memory.setter
    def memory(self, memory: DetectorMemory) -> None:
        self._memory, self._forget = memory, False

    def reset(self) -> None:
        """Forget the hands before the next image."""
        self._forget = True

    def close(self) -> None:
        self._networks = None

    def detect(self, image: np.ndarray) -> list[HandDetection]:
        """Hands in an RGB uint8 (H, W, 3) C-contiguous image; see `Detector.detect`."""
        check_image(image)
        networks = self._networks
        if networks is None:
            raise InputError("this HandDetector is closed; make a new one")
        if self._forget or self._single:
            self._memory, self._forget = DetectorMemory(), False
        memory, tone = self._memory, tone_of(image) if self._rules.toned else AS_IT_IS
        before = len(memory.hands)
        with working():
            search = self._search(networks, image, tone) if before < self._most and self._due() else None
            self._follow(networks, image, tone)
            if len(memory.hands) < before:
                memory.vain = memory.idle = 0
                search = search or self._search(networks, image, tone)
            if search:
                self._find(networks, image, tone, search)
        size = image.shape[1], image.shape[0]
        return [hand.detection(size) for hand in memory.hands]

    def _follow(self, networks: HandNetworks, image: np.ndarray, tone: Tone) -> None:
        """Look at the hands of the image before where they go on to."""
        followed: list[tuple[_Hand, Square]] = []
        for hand in self._memory.hands:
            square = hand.expected(self._rules.still)
            followed = [(h, other) for h, other in followed if overlap(square, other) <= self._rules.overlap]
            followed.append((hand, square))
        looks = networks.looks(image, [square for _, square in followed], tone, self._rules.looks)
        seen = [(hand, look) for (hand, _), look in zip(followed, looks) if look.presence > self._rules.keep]
        for (hand, look), (other, that) in itertools.combinations(seen, 2):
            if _part(look, that, self._rules.apart):
                hand.lost = True
            elif _part(that, look, self._rules.apart):
                other.lost = True
            elif _apart(look, that) < self._rules.apart:
                (hand if hand.misfit(look) > other.misfit(that) else other).lost = True
        for hand, look in seen:
            hand.take(look)
        self._memory.hands = [hand for hand, _ in seen if not hand.lost]

    def _due(self) -> bool:
        memory, every = self._memory, self._rules.every
        if memory.hands and memory.vain >= 2 * len(_TURNS):
            every = max(every, self._rules.rest)
        due = memory.searches == 0 or memory.idle + 1 >= every
        memory.idle = 0 if due else memory.idle + 1
        return due

    def _search(self, networks: HandNetworks, image: np.ndarray, tone: Tone) -> list[_Search]:
        """Begin to search palms, while the hands that are known are looked at."""
        height, width = image.shape[:2]
        number = self._memory.searches
        self._memory.searches += 1
        if not self._rules.turned:
            places = [_WHOLE]
        elif self._single:
            places = [_WHOLE, *_TURNS]
        else:
            places = [_TURNS[number // 2 % len(_TURNS)] if number % 2 else _WHOLE]
        searches = []
        for zoom, x, y, angle in places:
            square = Square(x * width, y * height, max(width, height) / zoom, angle)
            whole = (zoom, x, y, angle) == _WHOLE and not self._single
            searches.append(_Search(square, whole, Beside(networks.palms, image, square, tone, at_once=networks.at_once)))
        return searches

    def _find(self, networks: HandNetworks, image: np.ndarray, tone: Tone, search: list[_Search]) -> None:
        """Look at the hands of palms that are not known yet."""
        rules, memory, hands = self._rules, self._memory, self._memory.hands
        memory.vain += 1
        often = memory.vain <= 2 * len(_TURNS) or (memory.searches - 1) // 2 % rules.rest == 0
        squares: list[Square] = []
        faint: list[Square] = []
        for searched, whole, palms in search:
            least = min(rules.faint, rules.palm) if often and whole else rules.palm
            for palm in palms.result().above(least):
                square = palm.hand(searched)
                known = itertools.chain((around_landmarks(hand.look.landmarks) for hand in hands), squares, faint)
                if all(overlap(square, other) <= 0.5 for other in known):
                    (squares if palm.score >= rules.palm else faint).append(square)
        chosen = self._chosen(faint)
        starts = [rules.start] * len(squares) + [_SURE] * len(chosen)
        new = [(look, start, look.presence) for look, start in zip(networks.looks(image, squares + chosen, tone), starts)]
        if rules.again:
            new = [each for each in new if each[0].presence >= _GLANCE]
            closer = networks.looks(image, [around_landmarks(look.landmarks) for look, *_ in new], tone, rules.looks)
            new = [(look, start, coarse) for look, (_, start, coarse) in zip(closer, new)]
        for look, start, coarse in sorted(new, key=lambda each: -each[0].presence):
            if len(hands) == self._most:
                return
            if (
                look.presence >= start
                and all(_apart(look, hand.look) >= rules.apart and not _part(look, hand.look, rules.apart) for hand in hands)
                and (not rules.again or _borne_out(coarse, networks, image, tone, look))
            ):
                hands.append(_Hand(look))
                self._memory.vain = 0

    def _chosen(self, faint: list[Square]) -> list[Square]:
        """Of the hands of faint palms, the surest first, those that are looked at."""
        sides = [around_landmarks(hand.look.landmarks).side for hand in self._memory.hands]
        faint = [square for square in faint if all(1.0 / _ALIKE <= square.side / side <= _ALIKE for side in sides)]
        turn = (self._memory.searches - 1) // 2 % max(len(faint[:3]), 1)
        return faint[turn : turn + 1] if sides else faint[:3]


class _Hand:
    """A hand that is followed. right: sum of what its looks say of its side, right positive. moved: (2,) pixels since the image
    before."""

    def __init__(self, look: Look) -> None:
        self.look, self.lost, self.right = look, False, 2.0 * look.right - 1.0
        self.moved = np.zeros(2)

    def take(self, look: Look) -> None:
        self.moved = look.landmarks.mean(0) - self.look.landmarks.mean(0)
        self.look = look
        self.right = min(max(self.right + 2.0 * look.right - 1.0, -30.0), 30.0)

    def expected(self, still: float) -> Square:
        """Where to look for it in the next image. still: see SearchRules."""
        square = around_landmarks(self.look.landmarks)
        x, y = max(0.0, 1.0 - still * square.side / max(float(np.hypot(*self.moved)), 1e-9)) * self.moved
        return square._replace(x=square.x + float(x), y=square.y + float(y))

    def misfit(self, look: Look) -> float:
        """How badly a look continues this hand."""
        contradiction = -(2.0 * look.right - 1.0) * min(max(self.right / 3.0, -1.0), 1.0)
        return _apart(look, self.look) + 0.5 * max(contradiction, 0.0)

    def detection(self, size: tuple[int, int]) -> HandDetection:
        """size: the image's width and height."""
        look = self.look
        return HandDetection(
            side=RIGHT if look.right >= 0.5 else LEFT,
            score=max(look.right, 1.0 - look.right),
            landmarks=look.landmarks,
            world=look.world,
            confidence=landmark_confidence(look.landmarks, look.world, look.presence, size),
            presence=look.presence,
        )


def _borne_out(coarse: float, networks: HandNetworks, image: np.ndarray, tone: Tone, look: Look) -> bool:
    """Whether other pictures than its own square show a new hand too. coarse: presence in its palm's square."""
    mirrored = networks.mirrored(image, around_landmarks(look.landmarks), tone)
    return mirrored >= _MIRRORED and max(coarse, mirrored) >= _SURE


def _apart(a: Look, b: Look) -> float:
    """Mean distance of two looks' landmarks in hand lengths."""
    distance = np.sqrt(np.square(a.landmarks - b.landmarks).sum(axis=1)).mean()
    return float(distance / max(a.size, b.size))


def _part(look: Look, whole: Look, apart: float) -> bool:
    """Whether a look takes another hand's fingers for a hand: less than half as large, and nowhere `apart` from that one's
    landmarks, in its own lengths and on average.
    """
    if look.size >= 0.5 * whole.size:
        return False
    distance = np.sqrt(np.square(look.landmarks[:, None] - whole.landmarks).sum(axis=2)).min(axis=1).mean()
    return bool(distance < apart * look.size)
