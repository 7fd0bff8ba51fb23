"""A robot's model and description that are wrong: what `fourdhands retarget --check` says of them, and what is refused."""

import cv2
import numpy as np
import pytest

from fourdhands_core.cli import main
from fourdhands_core.errors import InputError
from fourdhands_core.retargeting import load_retargeter

pytest.importorskip("mujoco")

FINGERS = {"index": 0.03, "middle": 0.01, "ring": -0.012, "little": -0.033}
YAML = """model: hand.urdf
side: right
palm: {body: palm, fingers: [0, 0, 1], back: [-1, 0, 0]}
fingers:
""" + "".join(
    f"  {name}: {{base: {name}_1, middle: {name}_2, tip: {name}_tip, radius: 0.007}}\n" for name in ("thumb", *FINGERS)
)
BOX = '<collision><geometry><box size="0.01 0.01 0.03"/></geometry></collision>'


def joint(name, kind, parent, child, place, more):
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin {place}/>'
        f'<axis xyz="0 1 0"/>{more}</joint>'
    )


def finger(name, base, place, shape, kind, limit):
    follows = f'<mimic joint="{name}_b" multiplier="0.9"/>'
    return (
        "".join(f'<link name="{name}_{one}">{shape}</link>' for one in "123")
        + f'<link name="{name}_tip"/>'
        + joint(f"{name}_a", kind, base, f"{name}_1", place, limit)
        + joint(f"{name}_b", kind, f"{name}_1", f"{name}_2", 'xyz="0 0 0.045"', limit)
        + joint(f"{name}_c", kind, f"{name}_2", f"{name}_3", 'xyz="0 0 0.03"', limit + follows)
        + joint(f"{name}_end", "fixed", f"{name}_3", f"{name}_tip", 'xyz="0 0 0.025"', "")
    )


def urdf(shape=BOX, kind="revolute", upper="1.57", velocity="3"):
    """A right hand of 11 joints that move and 5 that follow, as a user writes one."""
    limit = f'<limit lower="0" upper="{upper}" effort="1" velocity="{velocity}"/>'
    parts = [finger(name, "palm", f'xyz="0 {y} 0.095"', shape, kind, limit) for name, y in FINGERS.items()]
    parts.append(finger("thumb", "thumb_0", 'xyz="0 0 0" rpy="-0.7 0 0"', shape, kind, limit))
    turn = '<limit lower="-0.5" upper="1.5" effort="1" velocity="3"/>'
    parts.append(joint("turn", "revolute", "palm", "thumb_0", 'xyz="0.01 0.03 0.02"', turn).replace("0 1 0", "0 0 1"))
    box = '<collision><origin xyz="0 0 0.045"/><geometry><box size="0.02 0.08 0.09"/></geometry></collision>'
    return f'<robot name="hand"><link name="palm">{box}</link><link name="thumb_0"/>{"".join(parts)}</robot>'


def described(folder, text=YAML, model=None, name="hand.urdf"):
    """Writes both files; the description's path."""
    (folder / name).write_text(model or urdf())
    (folder / "hand.yaml").write_text(text)
    return folder / "hand.yaml"


def check(folder, capsys, model=None, text=YAML, name="hand.urdf"):
    """What is said of it, and its picture; both after a check that ends well."""
    path, picture = described(folder, text, model, name), folder / "check.png"
    assert main(["retarget", "--check", str(path), "--out", str(picture)]) == 0
    return capsys.readouterr().out, cv2.imread(str(picture))


def test_a_users_hand_has_nothing_wrong_with_its_model(tmp_path, capsys):
    said, _ = check(tmp_path, capsys)
    assert "11 joints" in said and not any(word in said for word in ("palm:", "limits", "shapes", "metres", "slide"))


@pytest.mark.parametrize(
    "name, change",
    [
        ("hand.xml", ("", "")),  # its joints went at 6 rad/s
        ("hand.URDF", ("", "")),
        ("hand.urdf", ("</robot>", '<mujoco><compiler meshdir="meshes"/></mujoco></robot>')),  # it was refused
        ("hand.urdf", ('lower="0" upper', "upper")),  # they went half a turn either way
    ],
)
def test_a_urdf_has_the_limits_that_it_says(tmp_path, name, change):
    path = described(tmp_path, YAML.replace("hand.urdf", name), urdf().replace(*change), name)
    robot, plain = load_retargeter(path), load_retargeter(described(tmp_path))
    assert robot.names == plain.names and max(robot.velocity) < 6.0
    for limits in ("lower", "upper", "velocity"):
        np.testing.assert_allclose(getattr(robot, limits), getattr(plain, limits))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_joint_that_is_held_at_one_place_is_no_division_by_zero(tmp_path, capsys):
    said, _ = check(tmp_path, capsys, text=YAML + "\nlimits: {index_a: [1.57, 3.0]}\n")
    assert "11 joints" in said and "that no pose moves" not in said


def test_what_is_written_beside_the_model_counts(tmp_path, capsys):
    names = [f"{name}_{one}" for name in ("thumb", *FINGERS) for one in "abc"]
    limits = "\nlimits: {" + ", ".join(f"{name}: [0, 1.5]" for name in names) + "}\n"
    for upper in ("0", "-1", "90"):
        assert "limits" not in check(tmp_path, capsys, urdf(upper=upper), YAML + limits)[0]
    (tmp_path / "hand.urdf").write_text(urdf())
    for name in ("index_a", "index_c"):  # one that moves by itself, one that follows
        (tmp_path / "hand.yaml").write_text(YAML + f"\nlimits: {{{name}: [2.0, 3.0]}}\n")
        with pytest.raises(InputError, match=f"limits of {name} leave it nothing"):
            load_retargeter(tmp_path / "hand.yaml")


@pytest.mark.parametrize(
    "model, words",
    [
        ({"upper": "90"}, "limits beyond a turn: index_a (0 to 90), .* and 11 more; a URDF counts in radians"),
        ({"upper": "0"}, "without limits, or with equal or reversed ones: index_a, index_b, .*; half a turn"),
        ({"upper": "-1"}, "without limits, or with equal or reversed ones: index_a, index_b, .*"),
        ({"velocity": "1e9"}, "speeds beyond 50 rad/s, .*, which limit nothing: index_a, index_b, .*; write velocity"),
        ({"kind": "prismatic", "upper": "0.05"}, "most joints slide; .* a gripper is `kind: gripper`"),
    ],
)
def test_joints_that_are_hardly_meant_so(tmp_path, capsys, model, words):
    from re import search

    said, _ = check(tmp_path, capsys, urdf(**model))
    assert search(words.replace("(", r"\(").replace(")", r"\)"), said), said


@pytest.mark.parametrize(
    "change, words",
    [
        (
            ("[0, 0, 1], back: [-1, 0, 0]", "[0, 1, 0], back: [-1, 0, 0]"),
            "along [0, 0, 1] of the body palm, and the back of a right",
        ),
        (("back: [-1, 0, 0]", "back: [0, -1, 0]"), "the back of a right hand along [-1, 0, 0]\n"),
        (("back: [-1, 0, 0]", "back: [1, 0, 0]"), "the back of a right hand along [-1, 0, 0]; or it is a left hand"),
        (("side: right", "side: left"), "the back of a left hand along [1, 0, 0]; or it is a right hand"),
        (("radius: 0.007", "radius: 7"), "radius: a tip's sphere of 7 m is too large"),
    ],
)
def test_a_description_that_its_model_contradicts(tmp_path, capsys, change, words):
    """The palm's axes are told as knuckles and straight fingers show them."""
    said, _ = check(tmp_path, capsys, text=YAML.replace(*change))
    assert words in said


def test_a_model_in_millimetres(tmp_path, capsys):
    """Read as metres: fingers of a hundred of them."""
    said, _ = check(tmp_path, capsys, urdf().replace('xyz="0 0 0.0', 'xyz="0 0 0'))
    assert "m long; a model's lengths are metres" in said


def test_links_whose_files_of_shapes_are_missing_are_drawn_as_sticks(tmp_path, capsys):
    """Their fingers were left out of the picture, and a hand without any shape was a traceback."""
    whole, gone = urdf(), urdf('<visual><geometry><mesh filename="package://mine/gone.stl"/></geometry></visual>')
    bare = gone.replace('<box size="0.02 0.08 0.09"/>', '<mesh filename="palm.dae"/>')
    pictures = []
    for model in (whole, gone, bare):
        said, picture = check(tmp_path, capsys, model)
        pictures.append(picture[: picture.shape[0] // 2, 260:520].astype(int))
        assert ("links without shapes for collisions: " in said) == (model is not whole)
    ground = pictures[0][150, 10]
    drawn = [np.abs(picture - ground).max(axis=-1) > 20 for picture in pictures]
    assert all((one[30:150]).sum() > 500 for one in drawn)  # where the fingers are


def test_an_arm_in_the_hands_model(tmp_path, capsys):
    arm = '<link name="stand"/>' + joint("elbow", "revolute", "stand", "palm", 'xyz="0 0 0.3"', '<limit lower="-1" upper="1"/>')
    said, _ = check(tmp_path, capsys, urdf().replace("</robot>", arm + "</robot>"))
    assert "joints that move the palm: elbow; they follow no finger: give a hand alone" in said


def test_a_joint_that_follows_by_a_curve_is_told(tmp_path, capsys):
    """Two terms of an MJCF's polynomial count: the others were left out without a word."""
    from fourdhands_core.retargeting.config import ROBOTS

    curve = '<equality><joint joint1="index_last_bend" joint2="index_base_bend" polycoef="0 0.8 0.3 0 0"/></equality></mujoco>'
    model = (ROBOTS / "three_fingers.xml").read_text().replace("</mujoco>", curve)
    text = (ROBOTS / "three_fingers.yaml").read_text()
    words = "follow others by a curve, of which a line is taken: index_last_bend; write the line that is nearest as mimic"
    assert words in check(tmp_path, capsys, model, text, "three_fingers.xml")[0]
    told = "\nmimic: {index_last_bend: {joint: index_base_bend, multiplier: 1.1}}\n"
    assert words not in check(tmp_path, capsys, model, text + told, "three_fingers.xml")[0]


GRIPPER = "model: grip.urdf\nkind: gripper\nside: either\njoints: [slide]\nwidth: [0, 0.08]\n"
GRIP = (
    '<robot name="g"><link name="base"/><link name="one"/>'
    + joint("slide", "prismatic", "base", "one", 'xyz="0 0 0"', '<limit lower="0" upper="0.04"/>')
    + joint("turn", "revolute", "one", "two", 'xyz="0 0 0"', '<limit lower="0" upper="1"/>')
    + '<link name="two"/></robot>'
)


@pytest.mark.parametrize(
    "change, words",
    [
        (("", ""), "everything fits"),
        (("joints: [slide]\n", ""), "joints: none is named"),
        (("[slide]", "[slid]"), "joints: the model has no joint 'slid'; it has slide, turn"),
        (("[slide]", "[turn]"), "joints: turn is no slide"),
        (("0.08", "80"), "width: it opens 80 m; it is in metres"),
    ],
)
def test_a_gripper_that_has_no_shapes(tmp_path, capsys, change, words):
    said, _ = check(tmp_path, capsys, GRIP, GRIPPER.replace(*change), "grip.urdf")
    assert words in said and "1 joint: width" in said


@pytest.mark.parametrize(
    "limit, more, width",
    [
        ('velocity="0.05"', "", 0.1),  # both went at 6 m/s, and what was said of a joint was passed over
        ('velocity="0.05"', "velocity: {slide: 0.02}\n", 0.04),
        ("", "velocity: {slide: 0.02}\n", 0.04),
        ('velocity="0.05"', "velocity: {width: 0.03}\n", 0.03),
        ('velocity="0.05"', "velocity: 0.07\n", 0.07),
    ],
)
def test_a_gripper_opens_no_faster_than_its_joints_go(tmp_path, capsys, limit, more, width):
    model = GRIP.replace('upper="0.04"', f'upper="0.04" {limit}')
    said, _ = check(tmp_path, capsys, model, GRIPPER + more, "grip.urdf")
    assert "everything fits" in said
    assert load_retargeter(tmp_path / "hand.yaml").velocity == pytest.approx(width)
    follows = '<limit lower="0" upper="0.04"/><mimic joint="slide"/>'
    other = joint("other", "prismatic", "base", "three", 'xyz="0 0 0"', follows) + '<link name="three"/></robot>'
    text = (GRIPPER + more).replace("[slide]", "[other]")
    path = described(tmp_path, text, model.replace("</robot>", other), "grip.urdf")
    assert load_retargeter(path).velocity == pytest.approx(width)  # named by the joint that follows


def test_a_gripper_whose_follower_goes_the_other_way_cannot_move(tmp_path, capsys):
    """Its limits leave both fingers 0 alone; a mimic of -1 made that -0, and ended in a traceback."""
    follows = '<limit lower="0" upper="0.04"/><mimic joint="slide" multiplier="-1"/>'
    other = joint("other", "prismatic", "base", "three", 'xyz="0 0 0"', follows) + '<link name="three"/></robot>'
    said, _ = check(tmp_path, capsys, GRIP.replace("</robot>", other), GRIPPER, "grip.urdf")
    assert "joints: slide cannot move, by the limits of what follows; check limits and mimic" in said


@pytest.mark.parametrize(
    "given, words",
    [
        ("finger: thumb", "finger is the thumb, which opens a gripper with another one: index, middle, ring, little"),
        ("joints: slide", "joints 'slide' is no list of names"),
    ],
)
def test_a_slip_in_a_grippers_file_is_named(tmp_path, given, words):
    """Of the thumb's distance to itself the width was NaN, in datasets too."""
    with pytest.raises(InputError, match=words):
        load_retargeter(described(tmp_path, GRIPPER.replace("joints: [slide]", given), GRIP, "grip.urdf"))


@pytest.mark.parametrize(
    "change, words",
    [
        (("tip: index_tip", "tip: index_tpi"), "the model has no body 'index_tpi'; is it 'index_tip'\\? it has"),
        (
            ("{base: index_1, middle: index_2, tip: index_tip, radius: 0.007}", "index_tip"),
            "finger index 'index_tip' is no list of keys",
        ),
        (("radius: 0.007", "offset: [0, 0.01], radius: 0.007"), "offset of thumb \\[0, 0.01\\] is not 3 numbers"),
        (
            ("middle: {base: middle_1, middle: middle_2, tip: middle", "middle: {base: index_1, middle: index_2, tip: index"),
            "index, middle have the same tip",
        ),
        (("side: right", "side: right\nlimits: {index_a: 90}"), "limits of index_a 90 is not 2 numbers"),
        (
            ("side: right", "side: right\nlimits: {index_a: [0, 90]}"),
            "limits of index_a, \\(0.0, 90.0\\), is beyond a turn; write it in radians",
        ),
        (("side: right", "side: right\nneutral: {turn: 45}"), "neutral of turn, 45.0, is beyond a turn"),
        (("side: right", "side: right\nneutral: {turn: yes}"), "neutral of turn True is no number"),
        (("side: right", "side: right\npinches: thumb index"), "pinches 'thumb index' is no list of pairs"),
        (("side: right", "side: right\nmimic: {index_a: index_b}"), "mimic of index_a 'index_b' is no list of keys"),
        (("side: right", "side: right\nmimic: {index_b: {joint: index_c}}"), "follows itself"),
        (("side: right", "side: up"), "side 'up' is none of"),
        (("side: right\n", ""), "'side' is missing"),
        (("hand.urdf", "gone.urdf"), "cannot be read"),
        (("thumb:", "toe:"), "'toe' is no finger"),
        (("base: thumb_1", "base: index_1"), "does not hang on index_1"),
        (("side: right", "side: right\nlimits: {index_z: [0, 1]}"), "the model has no joint 'index_z'"),
        (("side: right", "side: right\nlimits: {index_a: [1, 0]}"), "is no range"),
        (("side: right", "side: right\nspeed: 4"), "there is no key speed"),
        (("side: right", "side: right\nscale: 0"), "scale 0 is not a positive number"),
        (("back: [-1, 0, 0]", "back: [0, 0, 1]"), "point the same way"),
        (("model:", "model"), "no YAML|holds no keys"),
    ],
)
def test_a_slip_in_the_file_is_named(tmp_path, change, words):
    assert change[0] in YAML
    with pytest.raises(InputError, match=words):
        load_retargeter(described(tmp_path, YAML.replace(*change, 1)))


@pytest.mark.parametrize(
    "model, words",
    [
        (urdf(kind="prismatic", upper="0"), "the model has no limits of index_a, which slides"),
        (urdf(velocity="0"), "hand.yaml: the model's velocity limit of index_a is 0, which is no speed"),
        (urdf(velocity="three"), "hand.urdf: velocity 'three' of the joint index_a is no number"),
        (urdf().replace('"0.9"', '"nan"', 1), "hand.urdf holds numbers that are none .NaN, or infinite., in eq_data"),
        (
            urdf().replace('"0 0 0.045"', '"0 nan 0.045"', 1),
            "hand.urdf holds numbers that are none .NaN, or infinite., in geom_pos",
        ),
        (urdf().replace("middle_a", "index_a"), "hand.urdf has more than one joint named index_a; rename"),
        (
            urdf().replace('link name="middle_1"', 'link name="index_1"'),
            "hand.urdf has more than one link named index_1; rename",
        ),
        (
            urdf().replace(
                '"hand">', '"hand" xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:include filename="palm.xacro"/>'
            ),
            "hand.urdf is a xacro file; make a URDF of it",
        ),
    ],
)
def test_a_model_that_cannot_be_read_says_why(tmp_path, model, words):
    with pytest.raises(InputError, match=words):
        load_retargeter(described(tmp_path, model=model))
