"""Draws which package imports which, and fails where one imports what stands above it, or where imports go in a circle.

python tools/import_map.py [FILE.svg]
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    ("errors", "streams", "extras", "files"),
    ("signals", "outputs"),
    ("remote", "copies", "progress"),
    ("cluster_notes", "cluster", "engine"),
    ("geometry",),
    ("hand_model",),
    ("retargeting", "teleop"),
    ("simulation",),
    ("network",),
    ("runtime",),
    ("perception",),
    ("pipeline",),
    ("fusion",),
    ("media",),
    ("episodes",),
    ("view",),
    ("learning",),
    ("benchmark",),
    ("commands",),
    ("cli",),
    ("ros.executable", "ros.process", "ros.lifecycle"),
    ("ros.pypi",),
    ("ros.convert",),
    ("ros.node",),
    ("ros.bags",),
    ("ros.teleop",),
    ("ros.episodes",),
    ("ros.view",),
    ("ros.tools",),
)
"""From the bottom to the top: a package imports only from its own row and from those before it."""
_ROW = {name: number for number, row in enumerate(ORDER) for name in row}


def package_of(module: str) -> str:
    """The package that a module belongs to, by ORDER's names: `fourdhands_core.pipeline.detect` is "pipeline"."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else ""
    return f"ros.{name}" if parts[0] == "fourdhands_ros" else name


def modules() -> dict[str, Path]:
    """The files of both packages by the names of their modules."""
    found = {}
    for path in sorted(ROOT.glob("fourdhands_*/**/*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.AST, module: str, known: dict[str, Path]) -> set[str]:
    """The modules of both packages that the code of a module, or a part of it, imports."""
    found = set()
    inside = module.split(".") if known[module].name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" if f"{name}.{alias.name}" in known else name for alias in node.names}
    return {name for name in found if name in known and name != module}


def package_graph() -> dict[str, dict[str, set[str]]]:
    """By package, the packages it imports, and by which of its modules."""
    known = modules()
    graph: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, path in known.items():
        for name in imports(ast.parse(path.read_text()), module, known):
            source, target = package_of(module), package_of(name)
            if source in _ROW and target in _ROW and source != target:
                graph[source][target].add(module)
    return graph


def upwards(graph: dict[str, dict[str, set[str]]]) -> list[str]:
    """What stands against ORDER, in words."""
    return [
        f"{source} imports {target}, which stands above it: {', '.join(sorted(by))}"
        for source, targets in sorted(graph.items())
        for target, by in sorted(targets.items())
        if _ROW[target] > _ROW[source]
    ]


def unplaced() -> list[str]:
    """Packages that ORDER has no row for, in words: nothing would be known of their imports."""
    packages = {package_of(module) for module, path in modules().items() if module.count(".") and path.name == "__init__.py"}
    return [f"{name} has no row in ORDER" for name in sorted(packages - _ROW.keys())]


def circle() -> list[str]:
    """Modules whose imports at the top of the file come back to the first; those inside functions are not counted."""
    known = modules()
    graph = {}
    for module, path in known.items():
        tree = ast.parse(path.read_text())
        for function in [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]:
            function.body = [ast.Pass()]
        guards = [node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
        tree.body = [node for node in tree.body if node not in guards]
        graph[module] = imports(tree, module, known)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def drawing(graph: dict[str, dict[str, set[str]]]) -> str:
    """The map as SVG: a row of ORDER above the other, an arrow from who imports to what is imported, but for the bottom row."""
    width, step, left = 720, 44, 60
    height = step * len(ORDER) + 30
    place = {}
    for row, names in enumerate(ORDER):
        for k, name in enumerate(names):
            place[name] = left + 90 + 150 * k, height - step * row - 36
    shapes = []
    for source, targets in sorted(graph.items()):
        for target in sorted(targets):
            if not _ROW[target]:
                continue  # which anything may import
            (x0, y0), (x1, y1) = place[source], place[target]
            bend = 70 + 22 * abs(_ROW[source] - _ROW[target])
            shapes.append(
                f'<path d="M{x0 + 60} {y0} C{x0 + bend + 60} {y0} {x1 + bend + 60} {y1} {x1 + 62} {y1}" '
                'fill="none" stroke="#7a8aa0" stroke-width="1" marker-end="url(#arrow)" opacity="0.55"/>'
            )
    for name, (x, y) in place.items():
        colour = "#f6d9bd" if name.startswith("ros.") else "#cfe3f7"
        words = name.replace("ros.", "fourdhands_ros.") if name.startswith("ros.") else name
        size = 9 if len(words) > 18 else 11
        shapes.append(
            f'<rect x="{x - 62}" y="{y - 13}" width="124" height="26" rx="4" fill="{colour}" stroke="#44546a"/>'
            f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-family="sans-serif" font-size="{size}">{words}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#7a8aa0"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="white"/>' + "".join(shapes) + "</svg>\n"
    )


def main(arguments: list[str]) -> int:
    """Print the map, draw it where a file is named; 1 where it is not as ORDER says."""
    graph = package_graph()
    for source, targets in sorted(graph.items(), key=lambda item: _ROW[item[0]]):
        print(f"{source}: {', '.join(sorted(targets, key=_ROW.__getitem__))}")
    wrong = unplaced() + upwards(graph)
    if found := circle():
        wrong.append(f"in a circle: {' -> '.join(found)}")
    for words in wrong:
        print(words, file=sys.stderr)
    if arguments:
        Path(arguments[0]).write_text(drawing(graph))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
