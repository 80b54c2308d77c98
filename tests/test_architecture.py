"""The house: what each room may import, how large files may be, what importing costs."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "homodyne_bayes"
GROUND = ("errors", "parameters", "text", "thresholds", "environment", "config", "files")
MAY_IMPORT = {  # beside the ground files
    "data": (),
    "inference": (),
    "physics": ("data",),
    "model_files": ("physics",),
    "likelihood": ("data", "inference", "physics"),
    "fitting": ("data", "inference", "physics", "model_files", "likelihood"),
    "results": (),
    "studies": (
        *("data", "inference", "physics", "model_files", "likelihood", "fitting", "results"),
    ),
    "compat": ("data", "physics", "model_files", "likelihood", "results"),
    "face": (
        *("data", "inference", "physics", "model_files", "likelihood", "fitting", "results"),
        "studies",
    ),
    "cli": (
        *("data", "inference", "physics", "model_files", "likelihood", "fitting", "results"),
        *("studies", "compat"),
    ),
}
BOXES = (*GROUND, *MAY_IMPORT)
MAX_BOXES, MAX_FLOORS = 20, 9
MAX_FILE, MAX_FUNCTION, MAX_SETTINGS, MAX_MODEL = 400, 60, 30, 40


def files_of(box):
    if box == "model_files":
        return sorted((ROOT / "models").glob("*.py"))
    file = PACKAGE / f"{box}.py"
    return [file] if file.exists() else sorted((PACKAGE / box).rglob("*.py"))


def imported(path):
    """Names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def boxes_under(box):
    """Boxes of the package that a box imports."""
    names = {name for path in files_of(box) for name in imported(path)}
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "homodyne_bayes" and p[1:] and p[1] in BOXES} - {box}


def run(code):
    alone = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    python = [sys.executable, "-c", code]
    done = subprocess.run(python, check=False, capture_output=True, text=True, cwd=ROOT, env=alone)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_and_folder_is_a_box():
    here = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    here |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert here | {"model_files"} == set(BOXES)
    assert len(BOXES) <= MAX_BOXES


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_it_may(room):
    assert boxes_under(room) <= {*GROUND, *MAY_IMPORT[room]}


@pytest.mark.parametrize("file", GROUND)
def test_ground_files_import_those_before_them(file):
    assert boxes_under(file) <= set(GROUND[: GROUND.index(file)])


def test_there_are_few_floors_and_no_circle():
    def floor(box, above=()):
        assert box not in above, f"a circle: {above}"
        return 1 + max((floor(under, (*above, box)) for under in boxes_under(box)), default=0)

    assert max(map(floor, BOXES)) <= MAX_FLOORS


def test_no_files_import_each_other():
    """Neither for types: a reader of one need not know the other."""

    def module(path):
        inside = path.relative_to(ROOT).with_suffix("")
        parts = ("homodyne_bayes", "model_files", *inside.parts[1:])
        parts = parts if inside.parts[0] == "models" else inside.parts
        return ".".join(parts).removesuffix(".__init__")

    files = {module(path): path for box in BOXES for path in files_of(box)}
    names = {name: set(imported(path)) for name, path in files.items()}
    graph = {
        name: {
            end for end in files if end in used or any(u.rpartition(".")[0] == end for u in used)
        }
        - {u.rpartition(".")[0] for u in used if u in files}  # of a package its file, not itself
        for name, used in names.items()
    }
    assert sum(map(len, graph.values())) > 300
    tuple(TopologicalSorter(graph).static_order())


def test_nothing_imports_commands_studies_and_compat():
    for box in set(BOXES) - {"cli", "face"}:
        assert not boxes_under(box) & {"cli", "studies", "compat", "face"}, box


@pytest.mark.parametrize("room", ["data", "results"])
def test_data_and_results_name_no_jax(room):
    for path in files_of(room):
        assert not any(name.partition(".")[0] in {"jax", "numpyro"} for name in imported(path))


def test_ceilings():
    for path in (path for box in BOXES for path in files_of(box)):
        source = path.read_text()
        assert len(source.splitlines()) <= MAX_FILE, path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines <= MAX_FUNCTION, f"{path.name}: {node.name}"


def test_a_model_file_is_short():
    """It is a formula and its record; what several models share is in `physics.kit`."""
    files = {path.stem: path for path in files_of("model_files") if path.stem != "__init__"}
    assert len(files) > 5
    for path in files.values():
        assert len(path.read_text().splitlines()) <= MAX_MODEL, path.name


def test_the_formatter_lays_out_everything():
    marked = [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    assert not [path for path in marked if "# fmt" + ": skip" in path.read_text()]


def test_settings_stay_few():
    from homodyne_bayes.config import descriptions
    from homodyne_bayes.fitting.settings import SECTIONS

    assert sum(len(descriptions(kind)) for kind in SECTIONS.values()) <= MAX_SETTINGS


def test_packages_match_the_tree():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(settings["packages"]) == names | {"homodyne_bayes.model_files"}
    assert settings["package-dir"]["homodyne_bayes.model_files"] == "models"


def test_the_wheel_holds_the_models_and_the_template(tmp_path):
    subprocess.run(
        (
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", tmp_path, "--disable-pip-version-check", ROOT),
        ),
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for inside in (
        "model_files/laminar_flow.py",
        "physics/rate_laws/power_law.py",
        "data/formats/table.py",
        "cli/main.py",
        "results/templates/report.html",
        "py.typed",
    ):
        assert f"homodyne_bayes/{inside}" in names
    assert not any(name.startswith(("models/", "tests/")) for name in names)


def test_importing_changes_no_setting():
    run(
        "import os, logging, jax; before = dict(os.environ), list(logging.root.handlers);"
        "import homodyne_bayes.cli.main, homodyne_bayes.face;"
        "assert (dict(os.environ), logging.root.handlers) == before;"
        "assert not jax.config.jax_enable_x64"
    )


def test_importing_the_package_and_reading_load_little():
    heavy = "{'jax', 'jaxlib', 'numpyro', 'matplotlib', 'arviz'} & set(sys.modules)"
    run(
        "import sys, homodyne_bayes as hb;"
        f"assert not ({heavy} | {{'numpy', 'xarray'}} & set(sys.modules));"
        "hb.read, hb.inspect, hb.TwoTimeData;"
        f"assert not {heavy}"
    )


def test_the_face_is_what_dir_shows():
    import homodyne_bayes as hb

    for name in hb.__all__:
        assert getattr(hb, name) is not None
    assert dir(hb) == sorted(hb.__all__)
    assert not {*hb.__all__} & {*BOXES}
    with pytest.raises(AttributeError, match="no attribute 'plot'"):
        _ = hb.plot


def test_float32_says_so():
    code = (
        "import numpy as np, homodyne_bayes as hb;"
        "data = hb.TwoTimeData(np.ones((1, 5, 5)), np.zeros(1), 0.1, 0.0054); hb.fit(data)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "MissingPrecisionError: homodyne_bayes computes in float64" in done.stderr
    assert "call hb.setup()" in done.stderr
