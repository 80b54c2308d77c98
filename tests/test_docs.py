"""The pages tell the truth: their code runs, their names exist, their links lead somewhere."""

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import jax
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
COMING = DOCS / "coming-from-homodyne.md"  # runs as a program of its own
PAGE = COMING.read_text(encoding="utf-8")
FENCE = re.compile(r'^```(python|sh|text)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.M)


def test_the_code_runs_from_top_to_bottom(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
    assert "hb.setup()" in code[:100]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "all derivatives agree" in run.stdout
    written = {path.name for path in (tmp_path / "simulated").iterdir()}
    maps = {f"c2_simulated_phi_{angle}deg.png" for angle in (0, 45, 90)}
    assert written == {"c2_simulated_data.npz", *maps}


def test_every_name_of_ours_exists():
    named = set(re.findall(r"`((?:compat|likelihood)\.\w+\.\w+)`", PAGE))
    assert len(named) > 40
    for name in named:
        module, _, attribute = f"homodyne_bayes.{name}".rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_every_scaling_is_a_setting():
    from homodyne_bayes import FitConfig

    named = re.findall(r"`--scaling ([\w:]+)`", PAGE)
    assert len(named) == 7
    for scaling in named:
        FitConfig(scaling=scaling.replace("K", "2"))


def name_of(page):
    return page.relative_to(DOCS).with_suffix("").as_posix()


def call(command):
    """Run one line of shell, all of which are ours, through the command line in this process."""
    from homodyne_bayes.cli.main import commands

    program, *arguments = shlex.split(command)
    assert program == "homodyne-bayes", command
    devices = ["--cpu-devices", str(jax.local_device_count())]
    commands.main([*devices, *arguments], standalone_mode=False)


def words(text):
    return set(re.findall(r"[^\W\d_]{3,}", text))


def run(page):
    """Run the blocks of a page from top to bottom in the working folder, and see what they print.

    A block with a title is a file; a block of text must hold words that the last block printed.
    """
    namespace, printed = {"__name__": "__main__"}, ""
    for language, title, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if title:
            Path(title).write_text(block, encoding="utf-8")
        elif language == "text":
            assert words(block) <= words(printed), words(block) - words(printed)
        else:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                if language == "python":
                    exec(compile(block, str(page), "exec"), namespace)
                else:
                    list(map(call, block.splitlines()))
            printed = output.getvalue()


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """A folder in which the tutorial was followed."""
    folder = tmp_path_factory.mktemp("tutorial")
    with contextlib.chdir(folder):
        run(DOCS / "tutorial.md")
    return folder


def test_the_tutorial(tutorial):
    written = {path.name for path in tutorial.iterdir()}
    figures = {"rates.png", "lag_cuts.png", "whitened.png"}
    assert written == {"flow.h5", "flow.nc", "flow.html"} | figures


OTHERS = [page for page in PAGES if page != COMING and page.stem != "tutorial"]
RUN = [page for page in OTHERS if re.search("^```(python|sh)", page.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_of_a_page_run(page, tutorial, tmp_path, monkeypatch):
    """In a folder that holds the data and the result of the tutorial."""
    from homodyne_bayes.data.formats.table import FORMATS
    from homodyne_bayes.inference.merges import RULES
    from homodyne_bayes.likelihood.noises import NOISES
    from homodyne_bayes.model_files import MODELS
    from homodyne_bayes.physics.rate_laws import RATE_LAWS
    from homodyne_bayes.results.tables import TABLES

    for name in ("flow.h5", "flow.nc"):
        shutil.copy(tutorial / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as restored:  # pages add rows
        for table in (FORMATS, MODELS, NOISES, RATE_LAWS, RULES, TABLES):
            restored.enter_context(mock.patch.dict(table))
        run(page)


def test_no_block_escapes():
    """Every block that is said to be code is one that `run` finds."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"```[ ]*(?:py|sh|bash|console|shell)", text)
        assert len(code) == sum(kind != "text" for kind, _, _ in FENCE.findall(text)), page


def test_the_site_builds_without_warnings_and_without_a_network(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install 'homodyne-bayes[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    made = subprocess.run(
        [*build, str(tmp_path / "site")], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    site = list((tmp_path / "site").rglob("*.html"))
    assert {path.stem for path in site} > {page.stem for page in PAGES}
    for path in site:
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]+https?://[^>]*>", path.read_text())
        assert [tag for tag in loaded if 'rel="canonical"' not in tag] == [], path.name


def test_every_page_is_in_the_navigation():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert f" {page.relative_to(DOCS)}\n" in settings, page


def test_the_citation_is_complete():
    """What CFF 1.2.0 requires, the version of the package, and the papers of its methods."""
    import tomllib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    for paper in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(paper)
    first = {paper["authors"][0]["family-names"] for paper in citation["references"]}
    assert first == {"He", "Hoffman", "Phan", "Scott", "Vehtari", "Kumar", "Bradbury"}


def test_the_changelog_begins_with_this_version():
    from importlib.metadata import version

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## ([\d.]+)", text, re.MULTILINE).group(1) == version("homodyne-bayes")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (ROOT / path).exists(), path
