"""The house holds: imports flow one way, files stay small, heavy packages stay where they belong."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"cavsync": "cavsync", "kernels": "cavsync.kernels", "export": "cavsync.export", "deploy": "cavsync.deploy"}
MAX_LINES = 320
RECORDS = {"annotated_types", "pydantic", "pydantic_core"}
TORCH = {"torch", "torchaudio", "torchvision", "lightning_fabric", "triton", "xformers"}

# What each part may import of this project in addition to itself; DECISIONS.md explains the shared leaves.
LEAVES = {
    *("cavsync.file_names", "cavsync.errors", "cavsync.atomic", "cavsync.records", "cavsync.ranking"),
    "cavsync.worker_process",
}
ALLOWED = {
    "cavsync.file_names": set(),
    "cavsync.errors": {"cavsync.file_names"},
    "cavsync.atomic": {"cavsync.errors"},
    "cavsync.run": LEAVES,
    "cavsync.records": set(),
    "cavsync.ranking": set(),
    "cavsync.worker_process": set(),
    "cavsync.manifest": LEAVES,
    "cavsync.media": LEAVES,
    "cavsync.kernels": LEAVES,
    "cavsync.model": LEAVES | {"cavsync.run", "cavsync.kernels", "cavsync.media"},
    "cavsync.data": LEAVES | {"cavsync.media", "cavsync.kernels"},
    "cavsync.train": LEAVES | {"cavsync.run", "cavsync.media", "cavsync.kernels", "cavsync.model", "cavsync.data"},
    "cavsync.evaluate": LEAVES
    | {"cavsync.run"}
    | {"cavsync.manifest", "cavsync.media", "cavsync.kernels", "cavsync.model", "cavsync.data", "cavsync.deploy"},
    "cavsync.deploy": LEAVES | {"cavsync.manifest", "cavsync.media"},
    "cavsync.export": LEAVES
    | {"cavsync.run"}
    | {"cavsync.manifest", "cavsync.media", "cavsync.kernels", "cavsync.model", "cavsync.data", "cavsync.deploy"}
    | {"cavsync.evaluate"},
}
# Rooms of a package from the lowest to the highest: a room imports only those before it. Rooms of one set are equals
# and import none of each other.
ROOMS: dict[str, tuple[set[str], ...]] = {
    "cavsync.deploy": (
        {"verdict"},
        {"runtime"},
        {"faces"},
        {"stream"},
        {"native_structures"},
        {"files", "repair", "native"},
        {"sinks", "metrics"},
        {"archive", "live"},
        {"server"},
    ),
    "cavsync.evaluate": ({"results"}, {"inputs"}, {"sync", "retrieval", "classify", "localize", "inpaint"}),
    "cavsync.data": ({"augment", "labels"}, {"faces"}, {"synth", "shards"}, {"sources"}),
    "cavsync.train": ({"recipes"}, {"tasks"}, {"graphs"}),
    "cavsync.cli": ({"data", "eval", "media"},),
}
MAX_MODULES = 25
TORCH_FREE = {*LEAVES, "cavsync.run", "cavsync.manifest", "cavsync.media", "cavsync.deploy", "cavsync.data.synth"}


def sources() -> dict[str, Path]:
    """Module name -> file, for all four packages."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


SOURCES = sources()


def imported(tree: ast.AST) -> set[str]:
    """Absolute names of the modules that the nodes below `tree` import."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def at_module_level(path: Path) -> set[str]:
    """Imports that happen when the module is imported: not those in functions, nor those for type checkers only."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kept = [
        node
        for node in body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    return imported(ast.Module(kept, []))


def within(name: str, packages: set[str] | tuple[str, ...]) -> bool:
    """Whether the name is one of the packages or lies inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_flow_one_way(part: str) -> None:
    """No part imports one that it may not, anywhere in its files."""
    for module, path in SOURCES.items():
        if within(module, (part,)):
            ours = {name for name in imported(ast.parse(path.read_text("utf-8"))) if within(name, ("cavsync",))}
            wrong = {name for name in ours if not within(name, ALLOWED[part] | {part, "cavsync.__version__"})}
            assert not wrong, f"{module} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_are_in_order(package: str) -> None:
    """Within a package, imports between rooms point from higher to lower ones, also those inside functions."""
    floors = {room: floor for floor, rooms in enumerate(ROOMS[package]) for room in rooms}
    for module, path in SOURCES.items():
        room = _room(module, package)
        if room not in floors:
            continue
        others = {_room(name, package) for name in imported(ast.parse(path.read_text("utf-8")))} & set(floors) - {room}
        wrong = {other for other in others if floors[other] >= floors[room]}
        assert not wrong, f"{module} imports from {sorted(wrong)}"


@pytest.mark.parametrize("package", ["cavsync.deploy", "cavsync.evaluate"])
def test_rooms_import_modules_and_not_the_package(package: str) -> None:
    """`from cavsync.deploy import X` inside a room would name no room, and hide where X comes from."""
    modules = {name for name in SOURCES if within(name, (package,))} - {package}
    for module, path in SOURCES.items():
        if _room(module, package) in set().union(*ROOMS[package]):
            wrong = {name for name in imported(ast.parse(path.read_text("utf-8"))) if _is_of_package(name, package)}
            wrong -= modules
            assert not wrong, f"{module} imports {sorted(wrong)} from the package itself"


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_every_folder_is_a_room_in_order(package: str) -> None:
    """A new folder of such a package needs its place above."""
    packages = {_room(name, package) for name, path in SOURCES.items() if path.name == "__init__.py"}
    assert packages - {None} <= set().union(*ROOMS[package])


def test_no_folder_is_crowded() -> None:
    """A folder with more modules than a reader can hold in mind needs rooms."""
    for folder in {path.parent for path in SOURCES.values()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"


def _room(module: str, package: str) -> str | None:
    """First part of `module`'s name inside `package`; None outside it and for the package itself."""
    inside = module.removeprefix(package + ".")
    return inside.partition(".")[0] if inside != module else None


def _is_of_package(name: str, package: str) -> bool:
    """Whether the imported name is the package, or something directly in it: `package.X`."""
    return name == package or name.rpartition(".")[0] == package


def test_every_module_belongs_to_a_part() -> None:
    """A new folder needs its line above."""
    stray = [name for name in SOURCES if not within(name, {*ALLOWED, "cavsync.cli"}) and name != "cavsync"]
    assert stray == []


def test_torch_stays_out() -> None:
    """Scoring, media, generated clips and the commands' own modules never import torch when they are imported."""
    for module, path in SOURCES.items():
        if within(module, TORCH_FREE):
            roots = {name.partition(".")[0] for name in at_module_level(path)}
            assert not roots & TORCH, module


def test_commands_import_nothing_heavy() -> None:
    """`cavsync --help` costs the standard library and click."""
    allowed = {"click", "cavsync", *sys.stdlib_module_names}
    for module, path in SOURCES.items():
        if within(module, ("cavsync.cli",)):
            names = at_module_level(path)
            assert {name.partition(".")[0] for name in names} <= allowed, module
            ours = {name for name in names if within(name, ("cavsync",))}
            light = ("cavsync.cli", "cavsync.errors", "cavsync.file_names", "cavsync.__version__")
            assert all(within(name, light) for name in ours), module


def test_the_server_alone_needs_its_extra() -> None:
    """Scoring, watching and the commands run without the packages of `serve`."""
    extra = {"fastapi", "starlette", "uvicorn", "websockets", "multipart", "python_multipart"}
    for module, path in SOURCES.items():
        if not within(module, ("cavsync.deploy.server",)):
            tree = ast.parse(path.read_text("utf-8"))
            assert not {name.partition(".")[0] for name in imported(tree)} & extra, module


def test_no_module_needs_ray_to_be_imported() -> None:
    """Archives load the packages of `ray` when they are used."""
    for module, path in SOURCES.items():
        if within(module, ("cavsync.deploy", "cavsync.cli")):
            roots = {name.partition(".")[0] for name in at_module_level(path)}
            assert not roots & {"fsspec", "psutil", "pyarrow", "ray"}, module


def test_errors_and_manifest_can_be_read_anywhere() -> None:
    """Errors need the standard library, the manifest and other records pydantic as well."""
    allowed = {"cavsync", *sys.stdlib_module_names}
    plain, records = ("cavsync.errors", "cavsync.file_names"), ("cavsync.records", "cavsync.manifest")
    for part in (*plain, *records):
        for module in (name for name in SOURCES if within(name, (part,))):
            roots = {name.partition(".")[0] for name in imported(ast.parse(SOURCES[module].read_text("utf-8")))}
            assert roots <= allowed | (RECORDS if part in records else set()), module


def test_pydantic_is_imported_at_the_first_check() -> None:
    """Importing it takes a sixth as long as `cavsync.deploy`."""
    for module, path in SOURCES.items():
        if within(module, ("cavsync.records", "cavsync.manifest", "cavsync.deploy.runtime")):
            roots = {name.partition(".")[0] for name in at_module_level(path)}
            assert not roots & {"pydantic", "pydantic_core"}, module


def test_import_cavsync_costs_nothing() -> None:
    """It defines the version and no more."""
    tree = ast.parse(SOURCES["cavsync"].read_text("utf-8"))
    assert imported(tree) == set()
    assert [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)] == ["__version__"]


def test_files_stay_small_and_handlers_narrow() -> None:
    """No file has outgrown one idea; no `except:` swallows everything."""
    for module, path in SOURCES.items():
        text = path.read_text("utf-8")
        assert text.count("\n") <= MAX_LINES, module
        handlers = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ExceptHandler)]
        assert all(handler.type is not None for handler in handlers), module


def test_test_files_stay_small() -> None:
    """The limit of sources holds for tests and what supports them."""
    lines = {path: path.read_text("utf-8").count("\n") for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MAX_LINES} == {}


def test_type_checkers_see_every_entry() -> None:
    """`.types/cavsync` links to whatever the package holds."""
    links = {path.name for path in (ROOT / ".types" / "cavsync").iterdir()}
    entries = {path.name for path in (ROOT / "cavsync").iterdir() if path.name != "__pycache__"}
    assert links == entries | {"kernels", "export", "deploy"}


def test_tests_are_no_package() -> None:
    """With importlib mode, a test package would hide the installed one."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
