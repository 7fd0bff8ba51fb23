"""Which bags a folder holds."""

import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from fourdhands_core.errors import InputError
from fourdhands_ros.episodes import finding
from fourdhands_ros.episodes.finding import find_bags


def test_a_whole_disk_is_not_searched(tmp_path, monkeypatch):
    """Links in a circle, by two of which there are as many ways as there are numbers of 40 bits; 100 folders; one that may not
    be entered."""
    for number in range(12):
        (tmp_path / "days" / f"day_{number}").mkdir(parents=True)
        (tmp_path / "days" / f"day_{number}" / "a.mcap").touch()
    (tmp_path / "days" / "shut").mkdir(mode=0)
    assert len(find_bags([tmp_path])) == 12
    for name in "ab":
        (tmp_path / name).symlink_to(".")
    with pytest.raises(InputError, match="holds more than 10,000 folders; give one that is nearer to the bags"):
        find_bags([tmp_path])
    monkeypatch.setattr(finding, "_FOLDERS", 100)
    for number in range(100):
        (tmp_path / "days" / f"none_{number}").mkdir()
    with pytest.raises(InputError, match="more than 100 folders"):
        find_bags([tmp_path / "days"])
