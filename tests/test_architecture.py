"""The house: imports point one way, packaging matches the tree, importing changes nothing."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "homodyne_bayes"
ROOMS = (
    "errors",
    "parameters",
    "config",
    "axes",
    "limits",
    "maps",
    "data",
    "points",
    "hdf5",
    "legacy",
    "chx",
    "nxxpcs",
    "esrf",
    "layouts",
    "formats",
    "shelf",
    "covariance",
    "shards",
    "kernels",
    "marginal",
    "simulate",
    "models",
    "density",
    "nuts",
    "information",
    "warmstart",
    "rescale",
    "misfit",
    "pixels",
    "noise",
    "predictive",
    "consensus",
    "merges",
    "convergence",
    "certify",
    "place",
    "inference",
    "diagnostics",
    "results",
    "tables",
    "map_plots",
    "plots",
    "report",
    "latex",
    "publication",
    "theory",
    "suitability",
    "pipeline",
    "comparison",
    "calibration",
    "coverage",
    "reproduce",
    "doctor",
    "cluster",
    "options",
    "terminal",
    "studies",
    "cli",
)
FOLDERS = {"models": ROOT / "models", "theory": PACKAGE / "theory"}
NO_JAX = (
    "errors",
    "parameters",
    "config",
    "axes",
    "limits",
    "maps",
    "data",
    "points",
    "hdf5",
    "legacy",
    "chx",
    "nxxpcs",
    "esrf",
    "layouts",
    "formats",
)
MAX_FILE, MAX_FUNCTION, MAX_SETTINGS = 400, 60, 25


def rooms(path):
    """Return the rooms of the package that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] + [base]
        else:
            continue
        parts = [name.split(".") for name in names]
        found |= {p[1] for p in parts if p[0] == "homodyne_bayes" and p[1:] and p[1] in ROOMS}
    return found


def files_of(room):
    folder = FOLDERS.get(room)
    return sorted(folder.glob("*.py")) if folder else [PACKAGE / f"{room}.py"]


def test_every_file_is_a_room():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(ROOMS) - set(FOLDERS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_up_the_list(room):
    above = set(ROOMS[: ROOMS.index(room)]) | ({room} & set(FOLDERS))
    for path in files_of(room):
        assert rooms(path) <= above, path.name


@pytest.mark.parametrize("room", NO_JAX)
def test_data_and_settings_need_no_jax(room):
    for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("jax") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("jax")


def test_ceilings():
    for path in [*PACKAGE.glob("**/*.py"), *FOLDERS["models"].glob("*.py")]:
        source = path.read_text()
        assert len(source.splitlines()) <= MAX_FILE, path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines <= MAX_FUNCTION, f"{path.name}: {node.name}"


def test_settings_stay_few():
    from homodyne_bayes.config import SECTIONS, descriptions

    assert sum(len(descriptions(kind)) for kind in SECTIONS.values()) <= MAX_SETTINGS


def test_packages_match_the_tree():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tree = {"homodyne_bayes": PACKAGE}
    tree |= {f"homodyne_bayes.{name}": folder for name, folder in FOLDERS.items()}
    assert set(settings["packages"]) == set(tree)
    for name, folder in tree.items():
        assert ROOT / settings["package-dir"][name] == folder
        inside = {sub for sub in folder.iterdir() if (sub / "__init__.py").exists()}
        assert inside <= set(tree.values())


def test_the_wheel_holds_the_models_and_the_template(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            tmp_path,
            "--disable-pip-version-check",
            ROOT,
        ],
        check=True,
        capture_output=True,
    )
    import zipfile

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for inside in ("models/laminar_flow.py", "cli.py", "templates/report.html", "py.typed"):
        assert f"homodyne_bayes/{inside}" in names
    assert not any(name.startswith(("models/", "tests/")) for name in names)


def test_importing_changes_no_setting():
    code = (
        "import os, logging, jax; before = dict(os.environ), list(logging.root.handlers);"
        "import homodyne_bayes.cli.main;"
        "assert (dict(os.environ), logging.root.handlers) == before;"
        "assert not jax.config.jax_enable_x64;"
        "from homodyne_bayes import *; import homodyne_bayes as hb;"
        "assert all(hasattr(hb, name) for name in hb.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_float32_says_so():
    code = (
        "import numpy as np; from homodyne_bayes import TwoTimeData, FitConfig, fit;"
        "data = TwoTimeData(np.ones((1, 5, 5)), np.zeros(1), 0.1, 0.0054); fit(data)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "MissingPrecisionError: homodyne_bayes computes in float64" in run.stderr
