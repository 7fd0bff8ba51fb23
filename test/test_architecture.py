"""The map of imports and the way of an image in docs/architecture.md are those of the code."""

import ast
import collections
import re
from pathlib import Path

import import_map
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()


def test_no_package_imports_what_stands_above_it():
    assert import_map.upwards(import_map.package_graph()) == []


def test_every_package_has_a_row():
    assert import_map.unplaced() == []


def test_no_modules_import_each_other_in_a_circle():
    assert import_map.circle() == []


def test_an_arrow_upwards_and_a_circle_are_found(tmp_path, monkeypatch, capsys):
    for name, text in {
        "geometry/camera": "from ..pipeline.tracker import A",
        "pipeline/tracker": "from .stages import B",
        "pipeline/stages": "from . import tracker",
        "perception/lazy": "def f():\n    from ..commands import track",
        "commands/track": "import fourdhands_core.perception.lazy",
        "newcomer/__init__": "",
    }.items():
        path = tmp_path / "fourdhands_core" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    monkeypatch.setattr(import_map, "ROOT", tmp_path)
    assert import_map.main([]) == 1
    said = capsys.readouterr().err
    assert "geometry imports pipeline, which stands above it: fourdhands_core.geometry.camera" in said
    assert "newcomer has no row in ORDER" in said
    assert "perception imports commands" in said and said.count("in a circle") == 1
    assert "fourdhands_core.pipeline.stages -> fourdhands_core.pipeline.tracker" in said


def test_the_picture_is_of_this_code(tmp_path):
    assert import_map.main([str(tmp_path / "map.svg")]) == 0
    assert (tmp_path / "map.svg").read_text() == (REPOSITORY / "docs" / "import_map.svg").read_text(), (
        "python tools/import_map.py docs/import_map.svg"
    )


def members(body) -> dict:
    return {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(fourdhands_(?:core|ros)\.[\w.]+)`", PAGE))))
def test_what_the_page_names_exists(name):
    modules = import_map.modules()
    module = next(name[:end] for end in range(len(name), 0, -1) if name[:end] in modules)
    body = ast.parse(modules[module].read_text()).body
    for part in filter(None, name[len(module) + 1 :].split(".")):
        found = members(body)
        assert part in found, f"{name}: {module} has no {part}"
        body = found[part].body


def test_the_threads_that_the_page_names_exist():
    named = set(re.findall(r'[Tt]hread "(\w[\w ]*)"', PAGE)) | {"debug image"}
    assert named == {"observe", "estimate", "debug image"}
    code = "".join(
        (REPOSITORY / "fourdhands_ros" / "node" / f"{file}.py").read_text() for file in ("processing", "debug_image")
    )
    assert all(f'"{name}"' in code for name in named)


def places_to_change() -> list[tuple[str, str]]:
    """The rows of CONTRIBUTING's table: what to change, and where."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"(?m)^\| (.+?) \| (.+) \|$", text)
    return [row for row in rows if "`" in row[1]]


def test_contributing_tells_of_enough_in_few_words():
    """What a change needs beside the first place stands there, in a docstring."""
    assert len(places_to_change()) >= 15
    assert not [what for what, where in places_to_change() if len(what) + len(where) > 293], "rows of more than 300 letters"


def test_docstrings_name_files_that_exist():
    """By their paths from the root or from a package."""
    roots = REPOSITORY, REPOSITORY / "fourdhands_core", REPOSITORY / "fourdhands_ros"
    for module in import_map.modules().values():
        for name in re.findall(r"`([\w/]+/\w+\.(?:py|md|yaml))`", module.read_text()):
            assert any((root / name).exists() for root in (*roots, module.parent)), f"{module} names {name}, which is not there"


@pytest.mark.parametrize("where", [where for _, where in places_to_change()], ids=[what for what, _ in places_to_change()])
def test_where_contributing_sends_to_exists(where):
    """Files by their path from the root or beside the file before; other names are in the code of the row's files."""
    folder, files = REPOSITORY, []
    for name in re.findall(r"`([^`]+)`", where):
        if re.search(r"/|\.(py|txt|xml|yaml|md|msg|npz)$", name):
            path = next((path for path in (REPOSITORY / name, folder / name) if path.exists()), None)
            assert path, f"{name} is not there"
            folder = path if path.is_dir() else path.parent
            files.append(path)
        elif not name.startswith(("fourdhands ", "-p ")):
            code = "".join(path.read_text() for path in files if path.is_file())
            for part in name.split("."):
                assert re.search(rf"\b{part}\b", code), f"{name} is in none of {files}"


def test_contributing_writes_names_of_several_files_in_full():
    """There are six settings.py: which one is meant is not for a reader to find out."""
    count = collections.Counter(path.name for path in import_map.modules().values())
    names = {name for _, where in places_to_change() for name in re.findall(r"`(\w+\.py)`", where)}
    assert not [name for name in names if count[name] > 1]


def test_the_page_tells_of_every_package():
    """The table has a row for whatever has one in the map of imports, and for nothing that is not there."""
    first = "".join(re.findall(r"(?m)^\| (`.+?) \|", PAGE))
    told = set(re.findall(r"`(fourdhands_(?:core|ros)/\w+)(?:\.py)?`", first))
    names = {name for row in import_map.ORDER for name in row}
    assert told == {f"fourdhands_{name.replace('.', '/') if name.startswith('ros.') else f'core/{name}'}" for name in names}
