"""The pages tell the truth: their code runs, their names exist, their links lead somewhere."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "coming-from-homodyne.md").read_text(encoding="utf-8")


def test_the_code_runs_from_top_to_bottom(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    assert "jax_enable_x64" in code[:200]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "all derivatives agree" in run.stdout
    written = {path.name for path in (tmp_path / "simulated").iterdir()}
    maps = {f"c2_simulated_phi_{angle}deg.png" for angle in (0, 45, 90)}
    assert written == {"c2_simulated_data.npz", *maps}


def test_every_name_of_ours_exists():
    named = set(re.findall(r"`((?:theory\.\w+|parameters|kernels)\.\w+)`", PAGE))
    assert len(named) > 40
    for name in named:
        module, _, attribute = f"homodyne_bayes.{name}".rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_every_scaling_is_a_setting():
    from homodyne_bayes import FitConfig

    named = re.findall(r"`--scaling ([\w:]+)`", PAGE)
    assert len(named) == 6
    for scaling in named:
        FitConfig(scaling=scaling.replace("K", "2"))


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (DOCS / target).exists(), target
    for path in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (DOCS.parent / path).exists(), path
