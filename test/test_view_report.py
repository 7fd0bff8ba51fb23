"""The report: one file that is complete in itself, and says what is true of the recording."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from video_support import plain_video
from view_support import HANDS, PERIOD, hand, moving, pair, write_npz

from fourdhands_core.cli import main
from fourdhands_core.errors import InputError
from fourdhands_core.view.moments import Course, Moment
from fourdhands_core.view.recordings import NpzRecording
from fourdhands_core.view.report import line_plot, report, summary, worst, write_report


@pytest.fixture
def folder(tmp_path):
    """As `fourdhands track` leaves it."""
    folder = tmp_path / "track <b>&"
    folder.mkdir()
    write_npz(folder / "hands.npz", moving(60))
    plain_video(folder / "overlay.mp4", range(0, 240, 4), (640, 480))
    return folder


class Tags(HTMLParser):
    """What a browser would load, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.names = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        if tag not in ("meta", "img", "path", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_command_writes_one_file(folder, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    assert main(["report", str(folder), "--out", str(out), "--quiet"]) == 0
    assert str(out) in capsys.readouterr().out
    text = out.read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.open and "script" not in tags.names and "b" not in tags.names  # the folder's name is text
    assert tags.links and all(link.startswith("data:image/jpeg;base64,") for link in tags.links)
    assert "://" not in text
    assert ">z, m<" in text  # and no direction of a camera: hands of fused cameras are in another frame
    for link in tags.links:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(link.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[1] == 480
    for words in ("left hand tracked</td><td>83.3 %", "right hand tracked</td><td>100.0 %", "losses</td><td>1", "left lost"):
        assert words in text
    assert re.search(r"0\.67 s, image 20: left lost", text)


def test_the_inputs_are_kept(folder, capsys):
    before = (folder / "hands.npz").read_bytes()
    for name in ("hands.npz", "overlay.mp4"):
        assert main(["report", str(folder), "--out", str(folder / name), "--quiet"]) == 2
        assert "would be written over" in capsys.readouterr().err
    assert main(["report", str(folder), "--out", str(folder), "--quiet"]) == 2
    assert "is a folder" in capsys.readouterr().err
    for name in ("x.png", "x"):
        assert main(["report", str(folder), "--out", str(folder / name), "--quiet"]) == 2
        assert "is to be an HTML file; give a name such as" in capsys.readouterr().err and not (folder / name).exists()
    assert (folder / "hands.npz").read_bytes() == before
    for _ in range(2):  # its own may be written again
        assert main(["report", str(folder), "--out", str(folder / "report.html"), "--quiet"]) == 0


def test_a_name_that_is_not_utf8(folder, tmp_path):
    strange = folder.rename(tmp_path / "v\udce9l")
    assert main(["report", str(strange), "--out", str(tmp_path / "r.html"), "--quiet"]) == 0
    assert "v\\udce9l/hands.npz</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_without_images_there_are_words(tmp_path):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(30, range(5, 9))), HANDS)
    text = report(recording)
    assert "<img" not in text and "left lost" in text and "give the video with --video" in text and "Not recorded." in text


def test_an_overlay_that_was_cut_off_is_told(tmp_path):
    """Beyond its end no image is shown, where the last one was."""
    path = write_npz(tmp_path / "hands.npz", moving(60, range(40, 45)))
    plain_video(tmp_path / "overlay.mp4", range(0, 80, 4), (640, 480))
    recording = NpzRecording(path, HANDS)
    text = report(recording)
    assert "image 40: left lost" in text and 'alt="image 40"' not in text
    assert re.search("overlay.mp4 has no image [2-5][0-9]: it is shorter, damaged or taken away", text)
    assert text.count('class="note"') == 1


def test_nothing_to_report(tmp_path):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(2)), HANDS)
    recording.course = Course()
    with pytest.raises(InputError, match="holds no image that could be used"):
        write_report(recording, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_short_recordings(tmp_path, count):
    recording = NpzRecording(write_npz(tmp_path / "hands.npz", moving(count)), HANDS)
    assert "</html>" in report(recording)
    nobody = Course()
    nobody.add(Moment(pair(0)))
    assert ("left hand tracked", "0.0 %") in summary(nobody) and worst(nobody) == []


def test_the_worst_moments():
    """A jump, a slow image and a loss are each found, apart from each other."""
    course = Course()
    for i, one in enumerate(moving(120, range(30, 40))):
        if i == 60:
            one = pair(one.stamp, one.left, hand(1, (0.12, -0.3, 0.5)))
        course.add(Moment(one, {"detect": 0.01, "total": 0.5 if i == 90 else 0.02}))
    chosen = dict(worst(course, 6))
    assert chosen[30] == "left lost" and chosen[90] == "500 ms of processing"
    assert any(why.startswith("right wrist at") and row in (60, 61) for row, why in chosen.items())
    assert np.diff(sorted(chosen)).min() * PERIOD > 0.3e9
    assert course.stages["total"][90] == pytest.approx(0.5) and list(course.stages) == ["detect", "total"]


def test_how_fast_a_wrist_was_is_told_by_the_images_own_stamps():
    """Not by when messages arrived, as a bag's time line is: 0.3 m/s, of two that came 1 ms apart, was told as 10 m/s."""
    pairs = [pair(i * PERIOD, hand(0, (-0.12 + 0.01 * i, 0.05, 0.5)), hand(1, (0.12, 0.05, 0.5))) for i in range(9)]
    course = Course(np.array([0, 33, 66, 100, 163, 164, 200, 233, 266]) * 1_000_000)
    for row, one in enumerate(pairs):
        course.fill(row, Moment(one))
    assert not any("m/s" in why for _, why in worst(course))
    assert ("images a second, by the median period", "30.0") in summary(course)
    late = Course(np.arange(9) * PERIOD)  # a wrist that goes 0.1 m in one period: 3 m/s
    for row, one in enumerate(pairs):
        far = pair(one.stamp, one.left, hand(1, (0.12, 0.05, 0.5) if row < 5 else (0.22, 0.05, 0.5)))
        late.fill(row, Moment(far))
    assert dict(worst(late))[5] == "right wrist at 3.0 m/s"


def test_lines_are_broken_where_nothing_is_known():
    x, y = np.arange(6.0), np.array([1.0, 2.0, np.nan, 4.0, np.nan, 6.0])
    (path,) = re.findall(r'<path d="([^"]*)"', line_plot(x, [("a", y, (0, 0, 0))], "t"))
    assert path.count("M") == 3 and path.count("L") == 1
    assert "nothing" in line_plot(x, [("a", np.full(6, np.nan), (0, 0, 0))], "t")
    assert "1700</text>" in line_plot(x, [("a", np.linspace(1500, 1900, 6), (0, 0, 0))], "milliseconds")
    assert "nan" not in line_plot(x[:1], [("a", y[:1], (0, 0, 0))], "t")
    for least, written in ((0.0, "0"), (-1.0, "-1.05")):  # no distance is below 0
        assert f"{written}</text>" in line_plot(x, [("a", np.linspace(least, least + 1, 6), (0, 0, 0))], "mm").split("<line")[1]
