"""Everything that README tells a newcomer to type works, and its commands exist."""

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
    from homodyne_bayes.config import SECTIONS, make, read_settings

    sections = read_settings(settings_file)
    for name, kind in SECTIONS.items():
        assert make(kind, sections[name]) != kind()


def test_make_targets_exist_and_ci_calls_the_test_command():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named <= targets
    assert {"demo", "test", "lint", "test-slow"} <= named
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


def test_rooms_are_the_tree():
    table = re.findall(r"^\| ((?:`\w+` ?)+)\|", README, flags=re.MULTILINE)
    named = {room for row in table for room in re.findall(r"`(\w+)`", row)}
    files = {path.stem for path in (ROOT / "homodyne_bayes").glob("*.py")} - {"__init__"}
    assert named == files | {"models", "theory"}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
