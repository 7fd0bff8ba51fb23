"""Public functions say what they take and return, so that who uses the packages gets types checked (py.typed)."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = "fourdhands_core", "fourdhands_ros"


def public_functions(body, prefix="", in_class=False):
    """(name, function, whether its first parameter is self or cls) of what is reached by names without underscores."""
    for node in body:
        public = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_")
        if public or (in_class and getattr(node, "name", "") == "__init__"):  # a class is called by its name
            if isinstance(node, ast.ClassDef):
                yield from public_functions(node.body, f"{prefix}{node.name}.", True)
            else:
                static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)
                yield prefix + node.name, node, in_class and not static


def missing(source):
    """What lacks an annotation: `function: parameter ...`, with -> for what it returns."""
    result = []
    for name, function, bound in public_functions(ast.parse(source).body):
        given = function.args
        parameters = [*given.posonlyargs, *given.args][bound:] + given.kwonlyargs
        parameters += [one for one in (given.vararg, given.kwarg) if one is not None]
        returns = function.returns is None and function.name != "__init__"
        lacking = [one.arg for one in parameters if one.annotation is None] + ["->"] * returns
        if lacking:
            result.append(f"{name}: {' '.join(lacking)}")
    return result


@pytest.mark.parametrize(
    "source, found",
    [
        ("def f(a: int, *b: int, c: int = 1, **d: int) -> None: ...", []),
        ("def f(a, *b, c=1, **d): ...", ["f: a c b d ->"]),
        ("def _f(a): ...\nclass _C:\n    def f(self, a): ...", []),
        ("class C:\n    def f(self, a: int): ...", ["C.f: ->"]),
        ("class C:\n    def __init__(self, a, b: int): ...", ["C.__init__: a"]),
        ("class _C:\n    def __init__(self, a): ...", []),
        ("class C:\n    @staticmethod\n    def f(a) -> None: ...", ["C.f: a"]),
        ("class C:\n    class D:\n        async def f(self, a) -> None: ...", ["C.D.f: a"]),
    ],
)
def test_what_is_missing(source, found):
    assert missing(source) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_are_annotated(package):
    lacking = {
        str(path.relative_to(REPOSITORY)): found
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if (found := missing(path.read_text(encoding="utf-8")))
    }
    assert not lacking


def test_the_types_are_installed():
    """py.typed in both packages, and in what pip installs; a workspace installs every file of theirs."""
    declared = (REPOSITORY / "setup.py").read_text()
    for package in PACKAGES:
        assert (REPOSITORY / package / "py.typed").is_file()
        assert f'"{package}": ["py.typed"' in declared
