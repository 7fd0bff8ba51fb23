"""The launch files start programs that exist, with arguments those take. ROS 2 from PyPI has no launch: here it is played."""

import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the programs need ROS 2 (pip install 'fourdhands[ros]')")

from ament_index_python.packages import PackageNotFoundError
from ros_support import REPOSITORY

from fourdhands_core.errors import InputError
from fourdhands_core.fusion.rig import Rig, save_rig
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_ros.bags import recorder
from fourdhands_ros.convert.camera_info import info_topics
from fourdhands_ros.episodes import player
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.tools import camera


def test_hands_alone(launched):
    nodes = launched("hands.launch.py")
    assert set(nodes) == {"hands_node"}
    file, parameters = nodes["hands_node"].parameters
    assert Path(file).is_file() and parameters == {}
    assert all(a == b for a, b in nodes["hands_node"].remappings)


@pytest.mark.parametrize(
    "given, arguments",
    [
        ({}, ["/hands", "--host", "127.0.0.1"]),
        ({"view_port": "9000", "view_host": "0.0.0.0"}, ["/hands", "--host", "0.0.0.0", "--port", "9000"]),
        ({"namespace": "front", "image": "cam/image"}, ["/front/hands", "--host", "127.0.0.1", "--image", "/front/cam/image"]),
        ({"namespace": "front", "image": "/front/image_raw"}, ["/front/hands", "--host", "127.0.0.1"]),
        ({"cameras": "[left, right]"}, ["/left/hands", "/right/hands", "--host", "127.0.0.1"]),
        ({"cameras": "[left, right]", "fusion": "true"}, ["/hands", "/left/hands", "/right/hands", "--host", "127.0.0.1"]),
        ({"view_estop": "true"}, ["/hands", "--host", "127.0.0.1", "--estop"]),
        ({"hand_model": "r.npz"}, ["/hands", "--host", "127.0.0.1", "--hand-model", "r.npz"]),
    ],
)
def test_the_page_in_a_browser(launched, given, arguments):
    """A process of its own, whose end ends nothing else; it is told the topics by their whole names."""
    nodes = launched("hands.launch.py", view="true", **given)
    assert set(nodes) == {"hands_node", "hands_view"} and nodes["hands_view"].arguments == arguments
    assert getattr(nodes["hands_view"], "on_exit", None) is None
    replayed = launched("replay.launch.py", bag="b", view="true", namespace="front")
    assert set(replayed) == {"hands_player", "hands_view"} and replayed["hands_view"].arguments[0] == "/front/hands"
    assert launched("replay.launch.py", bag="b", view="true")["hands_view"].arguments == ["--host", "127.0.0.1"]  # all of them
    recorded = launched("record.launch.py", view="true")
    assert set(recorded) == {"hands_recorder", "hands_view"} and recorded["hands_view"].arguments == ["--host", "127.0.0.1"]
    followed = launched("teleop.launch.py", view="true", namespace="right_arm", hands="/hands", view_estop="true")
    assert followed["hands_view"].arguments == ["/hands", "--host", "127.0.0.1", "--estop"]
    assert "hands_view" not in launched("teleop.launch.py")


def test_the_page_has_the_hand_model_of_the_node(launched, tmp_path):
    """Of the file of parameters too; another one where it is given, and where nodes are not of this launch."""
    file = tmp_path / "p.yaml"
    file.write_text("hands: {ros__parameters: {hand_model: r.npz, hand_model_left: l.npz}}")
    ends = {"hands.launch.py": ["--hand-model", "r.npz", "--hand-model-left", "l.npz"], "replay.launch.py": []}
    for name, given in (("hands.launch.py", {"params_file": str(file)}), ("replay.launch.py", {"bag": "b"})):
        (page,) = [node for node in launched(name, view="true", all_nodes=True, **given) if node.executable == "hands_view"]
        assert page.arguments[page.arguments.index("127.0.0.1") + 1 :] == ends[name]
        for model in ("hand_model", "hand_model_left"):
            (page,) = [
                node
                for node in launched(name, **{"view": "true", f"view_{model}": "m.npz"}, all_nodes=True, **given)
                if node.executable == "hands_view"
            ]
            assert page.arguments[-2:] == [f"--{model.replace('_', '-')}", "m.npz"] and "r.npz" not in page.arguments


def test_every_argument_of_hands_arrives_as_the_parameter_it_is(launched):
    given = dict(
        cameras="[left, right]",
        fusion="true",
        fixed_frame="cell",
        camera_poses="rig.yaml",
        image_transport="compressed",
        image_reliability="reliable",
        model="image",
        weights="7",
        device="cuda",
        precision="float16",
        search="fast",
        hand_model="r.npz",
        hand_model_left="l.npz",
        tf="joints",
        frame_prefix="1",
        depth="true",
        depth_transport="compressedDepth",
        mirrored="true",
        rectified="true",
    )
    _, parameters = launched("hands.launch.py", **given)["hands_node"].parameters
    typed = dict.fromkeys(("fusion", "depth", "mirrored", "rectified"), True)
    assert parameters == {**given, **typed, "cameras": ["left", "right"]}
    Parameters(**{**parameters, "cameras": ("left", "right")})


def test_a_video_a_recording_and_rviz_beside_the_node(launched, monkeypatch, tmp_path):
    nodes = launched(
        "hands.launch.py",
        video="clip.mp4",
        fov="60",
        record="true",
        bag=str(tmp_path / "b"),
        rviz="true",
        namespace="front",
        image="camera/image",
        fixed_frame="camera",
    )
    assert set(nodes) == {"hands_node", "hands_camera", "hands_recorder", "rviz2"}
    assert nodes["hands_camera"].namespace == nodes["hands_node"].namespace == "front"
    assert topics_of(nodes["hands_camera"]) == topics_of(nodes["hands_node"])
    assert (REPOSITORY / "config" / "hands.rviz").is_file()
    assert nodes["hands_recorder"].arguments == [str(tmp_path / "b")]
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "")  # or it is read for good, and by the tests that follow
    assert camera.main(nodes["hands_camera"].arguments) == 2  # every argument is taken; the video is not there


def test_a_video_is_the_camera_of_each_namespace(launched):
    """Also RViz shows the first of them."""
    nodes = launched(
        "hands.launch.py", video="clip.mp4", cameras="[left, /robot/wrist]", namespace="front", rviz="true", all_nodes=True
    )
    assert [node.namespace for node in nodes if node.executable == "hands_camera"] == ["front/left", "/robot/wrist"]
    assert ("/image_raw", "left/image_raw") in nodes[-1].remappings


def test_rviz_shows_fused_hands_in_their_frame(launched, tmp_path):
    nodes = launched("hands.launch.py", cameras="[left, right]", fusion="true", fixed_frame="cell", rviz="true", all_nodes=True)
    assert ("/hands/markers", "hands/markers") in nodes[-1].remappings
    assert nodes[-1].arguments[-2:] == ["-f", "cell"]
    save_rig(tmp_path / "rig.yaml", Rig("bench", {"left": Rigid(), "right": Rigid(np.eye(3), np.ones(3))}))
    given = {"cameras": "[left, right]", "fusion": "true", "camera_poses": str(tmp_path / "rig.yaml"), "rviz": "true"}
    assert launched("hands.launch.py", **given, all_nodes=True)[-1].arguments[-2:] == ["-f", "bench"]


def topics_of(node, camera="") -> set[str]:
    """Images and CameraInfo, by whole names, of a camera in the node, or of a program that plays one."""
    names, found = dict(node.remappings), []
    for name in ("image_raw", "camera_info"):
        name = f"{camera}/{name}" if camera else name
        given = names.get(name)
        if given is None and name.endswith("camera_info") and node.executable == "hands_node":
            given = info_topics(found[0])[1]  # not remapped, so that the node looks around the image
        given = given or name
        found.append(given if given.startswith("/") else f"/{node.namespace.strip('/')}/{given}".replace("//", "/"))
    return set(found)


@pytest.mark.parametrize(
    "given, expected",
    [
        (dict(), [{"/image_raw", "/camera_info"}]),
        (dict(image="/camera/color/image_raw"), [{"/camera/color/image_raw", "/camera/color/camera_info"}]),
        (dict(image="/camera/color/image_raw", camera_info="/lens"), [{"/camera/color/image_raw", "/lens"}]),
        (dict(image="color/image_rect", namespace="front"), [{"/front/color/image_rect", "/front/color/camera_info"}]),
        (dict(image="[/c/image]"), [{"/c/image", "/c/camera_info"}]),
        (dict(cameras="[left, right]"), [{"/left/image_raw", "/left/camera_info"}, {"/right/image_raw", "/right/camera_info"}]),
        (
            dict(cameras="[left, /robot/wrist]", namespace="front", image="camera/color/image_raw"),
            [
                {"/front/left/camera/color/image_raw", "/front/left/camera/color/camera_info"},
                {"/robot/wrist/camera/color/image_raw", "/robot/wrist/camera/color/camera_info"},
            ],
        ),
        (
            dict(cameras="[left, right]", camera_info="lens"),
            [{"/left/image_raw", "/left/lens"}, {"/right/image_raw", "/right/lens"}],
        ),
        (
            dict(cameras="[left, right]", namespace="front", image="[/a/color/image_raw, b/image_raw]"),
            [{"/a/color/image_raw", "/a/color/camera_info"}, {"/front/b/image_raw", "/front/b/camera_info"}],
        ),
        (dict(cameras="[left, right]", image="[a, b]", camera_info="[c, d]"), [{"/a", "/c"}, {"/b", "/d"}]),
    ],
)
def test_topics_of_each_camera(launched, given, expected):
    """What is given holds for one camera and for several, CameraInfo is beside the image, and a video is all of that."""
    node, *players = launched("hands.launch.py", **given, video="clip.mp4", all_nodes=True)
    assert [topics_of(node, camera) for camera in node.parameters[1].get("cameras", [""])] == expected
    assert [topics_of(player) for player in players] == expected


def test_depth_topics_of_several_cameras(launched):
    (node,) = launched(
        "hands.launch.py", cameras="[left, right]", depth="true", depth_image="aligned/image_raw", all_nodes=True
    )
    assert [pair for pair in node.remappings if pair[0].endswith("/depth/image_raw")] == [
        ("left/depth/image_raw", "left/aligned/image_raw"),
        ("right/depth/image_raw", "right/aligned/image_raw"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        dict(image="/camera/image_raw"),
        dict(image="[/a/image_raw]"),
        dict(image="[a, b, c]"),
        dict(image="[a, [b]]"),
        dict(image="[a, b"),
        dict(image="~/image"),
        dict(camera_info="/lens"),
        dict(depth_image="/camera/depth"),
        dict(depth_image="[/camera/depth]"),
    ],
)
def test_topics_that_do_not_suit_several_cameras(launched, given):
    """One topic for two cameras was passed over without a word."""
    (name,) = given
    with pytest.raises(InputError, match=rf"{name}:=.* (one topic for the 2 cameras|is not a list of 2 topics)"):
        launched("hands.launch.py", cameras="[left, right]", **given)


def test_cameras_of_the_file_of_parameters(launched, tmp_path):
    """They count for the other arguments as those that are given to launch."""
    file = tmp_path / "mine.yaml"
    for key in ("/**", "hands", "/hands", "/front/hands", "/*/hands", "/**/hands"):
        file.write_text(
            f"{key}:\n  ros__parameters:\n    cameras: [left, right]\nother: {{ros__parameters: {{cameras: [c]}}}}\n"
        )
        node = launched("hands.launch.py", params_file=str(file), image="color/image_raw", namespace="front")["hands_node"]
        assert ("right/image_raw", "right/color/image_raw") in node.remappings
    file.write_text("front:\n  hands:\n    ros__parameters: {cameras: [left]}\n")
    assert ("left/image_raw", "left/a") in launched("hands.launch.py", params_file=str(file), image="a", namespace="front")[
        "hands_node"
    ].remappings
    file.write_text("hands:\n  ros__parameters: null\n")
    assert launched("hands.launch.py", params_file=str(file), image="a")["hands_node"].remappings == [("image_raw", "a")]


def test_a_file_of_parameters_that_is_none(launched, tmp_path):
    """ros2 launch passes over one that is missing."""
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    for file, words in (
        ("none.yaml", "No such file"),
        (".", "directory"),
        ("broken.yaml", "is no YAML"),
        ("binary.yaml", "no text"),
    ):
        with pytest.raises(InputError, match=f"params_file:=.*{words}"):
            launched("hands.launch.py", params_file=str(tmp_path / file))


def test_the_time_of_a_simulation(launched):
    """An argument of launch, for every program; without it what the file of parameters says."""
    given = dict(video="clip.mp4", record="true", rviz="true", all_nodes=True)
    nodes = launched("hands.launch.py", use_sim_time="true", **given)
    assert len(nodes) == 4 and all({"use_sim_time": True} in node.parameters for node in nodes)
    assert not any("use_sim_time" in entry for node in launched("hands.launch.py", **given) for entry in node.parameters)
    assert launched("record.launch.py", use_sim_time="true")["hands_recorder"].parameters == [{"use_sim_time": True}]


def test_arguments_that_launch_would_pass_over(launched, monkeypatch):
    """A hand's length of a name that is nearly right was none, without a word. What includes this file has arguments of its
    own, and may be called as it is."""
    file = str(REPOSITORY / "launch" / "hands.launch.py")
    for words in (["fourdhands_ros", "hands.launch.py"], [file]):
        monkeypatch.setattr("sys.argv", ["ros2", "launch", *words, "hand_lenght:=0.19", "tf:=joints"])
        with pytest.raises(InputError, match="hand_lenght:= is no argument of hands.launch.py; hand_length:= is; --show-args"):
            launched("hands.launch.py")
        monkeypatch.setattr("sys.argv", ["ros2", "launch", *words, "hand_length:=0.19"])
        assert launched("hands.launch.py", hand_length="0.19")["hands_node"].parameters[1] == {"hand_length": 0.19}
    for words in (["my_robot", "hands.launch.py"], ["my_robot", "all.launch.py"], ["fourdhands_ros", "teleop.launch.py"]):
        monkeypatch.setattr("sys.argv", ["ros2", "launch", *words, "hand_lenght:=0.19"])
        launched("hands.launch.py")
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "fourdhands_ros", "teleop.launch.py", "max_sped:=0.05"])
    with pytest.raises(InputError, match="max_sped:= is no argument of teleop.launch.py; max_speed:= is"):
        launched("teleop.launch.py")


def test_a_program_that_ends_ends_the_launch(launched):
    """With the reason, and as a failure where it failed, after Ctrl-C too, as a recorder does to which nothing came: that was
    exit code 0. RViz may be closed, and a bag come to its end, by themselves."""
    nodes = launched("hands.launch.py", video="clip.mp4", record="true", rviz="true")
    nodes.update(launched("record.launch.py"), player=launched("replay.launch.py", bag="b")["hands_player"])
    shut_down, running = types.SimpleNamespace(is_shutdown=True), types.SimpleNamespace(is_shutdown=False)
    for name, node in nodes.items():
        if name == "rviz2":
            assert not hasattr(node, "on_exit")
            continue
        event = types.SimpleNamespace(process_name="hands_node-1", returncode=1)
        for context in (shut_down, running):
            with pytest.raises(InputError, match="hands_node-1 ended with exit code 1"):
                node.on_exit(event, context)
        event.returncode = 0
        assert node.on_exit(event, shut_down) is None
        done = node.on_exit(event, running)
        assert done is None if name == "player" else done[0].reason == "hands_node-1 ended with exit code 0"


@pytest.mark.parametrize("given", ["left", "left,right", "{a: b}", "[1, 2]"])
def test_cameras_that_are_no_list(launched, given):
    with pytest.raises(InputError, match=r"is not a list of namespaces; give cameras:='\[left, right\]'"):
        launched("hands.launch.py", cameras=given)


@pytest.mark.parametrize("file, given", [("hands.launch.py", {}), ("replay.launch.py", {"bag": "b"})])
def test_without_rviz_that_is_said_and_the_rest_starts(launched, monkeypatch, file, given):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("ament_index_python.packages.get_package_prefix", missing)
    first, told = launched(file, rviz="true", **given)
    assert first in ("hands_node", "hands_player") and "rviz2 is not installed" in told


def test_recording(launched, monkeypatch, tmp_path):
    arguments = launched(
        "record.launch.py",
        bag=str(tmp_path / "b"),
        images="compressed",
        markers="false",
        topics="/joint_states /(left|right)_arm/.*",
    )["hands_recorder"].arguments
    assert arguments == [
        str(tmp_path / "b"),
        "--images",
        "compressed",
        "--no-markers",
        "--topic",
        "/joint_states",
        "--topic",
        "/(left|right)_arm/.*",
    ]
    assert launched("record.launch.py")["hands_recorder"].arguments == ["--images", "none"]
    assert launched("record.launch.py", rosbag2="true")["hands_recorder"].arguments == ["--images", "none", "--rosbag2"]
    with pytest.raises(SystemExit):  # the arguments are read; the expression is what is wrong
        recorder.main([*arguments, "--topic", "("])
    (tmp_path / "file").write_text("")
    given = {"episodes": str(tmp_path / "file"), "task": "put the cup on the shelf", "countdown": "1.5"}
    arguments = launched("record.launch.py", **given)["hands_recorder"].arguments
    assert arguments == ["--images", "none", *(word for name, value in given.items() for word in (f"--{name}", value))]
    assert recorder.main(arguments) == 2  # every argument is taken; the folder is a file


def test_paths_from_the_home_directory_and_frames_with_a_slash(launched, monkeypatch, tmp_path, capfd):
    """A shell leaves ~ as it is in NAME:=~/FILE, and tf2 takes no slash before a frame's name. Topics may begin so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cups").write_text("")
    for launch, argument, program in (("record", "episodes", recorder), ("replay", "bag", player)):
        (node,) = launched(f"{launch}.launch.py", **{argument: "~/cups"}).values()
        assert program.main(node.arguments) == 2 and str(tmp_path / "cups") in capfd.readouterr().err
    assert ("hands", "~/hands") in launched("teleop.launch.py", hands="~/hands")["hands_teleop"].remappings
    monkeypatch.setenv("HOME", "/home/me")
    given = Parameters(hand_model="~/mano.npz", target_frame="/base_link")
    assert (given.hand_model, given.target_frame) == ("/home/me/mano.npz", "base_link")


def test_replaying(launched, tmp_path):
    nodes = launched("replay.launch.py", bag=str(tmp_path / "none"), what="images", rate="2.0", loop="true")
    assert set(nodes) == {"hands_player"}
    assert nodes["hands_player"].arguments == [str(tmp_path / "none"), "--what", "images", "--rate", "2.0", "--loop", "--clock"]
    assert player.main(nodes["hands_player"].arguments) == 2  # there is no such bag
    assert launched("replay.launch.py", bag="b", episode="3")["hands_player"].arguments[-3:] == ["--episode", "3", "--clock"]
    assert set(launched("replay.launch.py", bag="b", rviz="true")) == {"hands_player", "rviz2"}
