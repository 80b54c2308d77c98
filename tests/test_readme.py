"""Everything that README tells a newcomer to type works, and its commands exist."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def environment():
    """The shell a reader has after activating the virtual environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MPLBACKEND": "agg"}


@pytest.fixture
def settings_file(tmp_path):
    (settings,) = blocks("yaml")
    (tmp_path / "settings.yaml").write_text(settings)
    return tmp_path / "settings.yaml"


def test_the_python_example(tmp_path):
    (code,) = blocks("python")
    assert len(re.findall(r"^\S.*$", code, flags=re.MULTILINE)) <= 15
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "gamma_dot_t0" in run.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"result.nc", "result.html"}


def test_the_shell_example(tmp_path):
    (commands,) = [block for block in blocks("sh") if "simulate" in block]
    assert len(commands.splitlines()) == 5
    run = subprocess.run(
        ["sh", "-euc", commands],
        check=False,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"flow.h5", "flow.nc", "flow.html"}


def test_the_settings_example(settings_file):
    from homodyne_bayes.config import read_settings
    from homodyne_bayes.fitting.settings import SECTIONS, make

    sections = read_settings(settings_file)
    for name, kind in SECTIONS.items():
        assert make(kind, sections[name]) != kind()


def test_make_targets_exist_and_ci_calls_the_test_command():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named <= targets
    assert {"demo", "test", "lint", "test-slow"} <= named
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", flags=re.MULTILINE)
FACES = {"__init__", "face"}


def imports(folder):
    """Return which rooms and ground files the files of a folder import."""
    trees = [ast.parse(path.read_text()) for path in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = [
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    named += [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
    parts = [name.replace("model_files", "models").split(".") for name in named]
    return {part[1] for part in parts if part[0] == "homodyne_bayes"}


def test_rooms_are_the_tree():
    """The table has a row for every folder, which imports what the row says and ground files."""
    package = ROOT / "homodyne_bayes"
    folders = {path.parent.name: path.parent for path in package.glob("*/__init__.py")}
    folders["models"] = ROOT / "models"
    del folders["compat"]  # stands apart, in a sentence
    rows = ROW.findall(README)
    rooms = [room for room, _ in rows]
    assert len(rooms) == 9
    assert set(rooms) == set(folders)
    ground = {path.stem for path in package.glob("*.py")} - FACES
    assert ground == set(
        re.findall(r"`(\w+)`", README.split("the ground files: ")[1].split(".")[0])
    )
    for i, (room, allowed) in enumerate(rows):
        above = rooms[:i] if allowed.strip() == "all above" else re.findall(r"`(\w+)`", allowed)
        assert set(above) <= set(rooms[:i])
        apart = {"compat"} if room == "cli" else set()  # as the sentence says
        assert imports(folders[room]) <= {room, *above} | ground | apart, room


def test_readme_is_short_and_begins_with_a_result():
    lines = README.splitlines()
    assert len(lines) <= 200
    assert any(line.startswith("![") for line in lines[:5])
    assert {"make demo", "make test"} <= set(lines[:12])


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
