"""What is added to the package is one file and one row: counted, and used.

The code is that of docs/contributing.md. In a copy of the package each piece becomes the file that
the page names, and the table that it joins gets its row; then a program uses all of them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
MAX_TOUCHED = 2  # files
ADDITIONS = {  # by section: the file, which is its first block, and that of the table, its second
    "A model": ("model_files/two_kinds.py", "model_files/__init__.py"),
    "A rate law": ("physics/rate_laws/relaxation.py", "physics/rate_laws/__init__.py"),
    "A noise": ("likelihood/outliers.py", "likelihood/noises.py"),
    "A file format": ("data/formats/lab.py", "data/formats/table.py"),
    "A table": ("results/rows.py", "results/tables.py"),
}
USE = """
import h5py
import numpy as np
import homodyne_bayes as hb
from homodyne_bayes.physics import kit
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.tables import shown

hb.setup()
RELAXATION = hb.rates["relaxation"]


def relaxing(points, D):
    return kit.field_correlation(points, D)


RELAXING = kit.Model(
    relaxing,
    rates=((kit.D, RELAXATION),),
    example=(("D_start", 2e4), ("D_end", 5e3), ("D_tau", 1.0)),
)


def used(model, folder):
    data = hb.simulate(model, phi=(0.0,), num_frames=16, num_pixels=1000)
    result = hb.fit(data, model=model, method="laplace", num_samples=100)
    (legend,) = result.plot.rates().legends
    assert "truth" in {text.get_text() for text in legend.get_texts()}
    covered = hb.coverage(result, 1, model=model)
    assert hb.rerun(result, model=model).same
    assert np.isfinite(covered.lower).all() and np.isfinite(covered.truth).all()
    result.paper(folder, latex=True)
    return data, result


data, result = used("two_kinds", "two_kinds")
used(RELAXING, "relaxing")
with h5py.File("lab.h5", "w") as file:
    file["twotime/c2"], file["twotime/phi"] = data.c2, data.phi
    file["twotime/q"], file["twotime/dt"] = data.q, data.dt
assert hb.inspect("lab.h5").format == "lab"
read = hb.read("lab.h5")
assert np.array_equal(read.c2, data.c2, equal_nan=True)
noisy = hb.fit(read, model="static", noise="outliers", method="laplace", num_samples=100)
assert any("entries as independent" in sentence for sentence in noisy.warnings())
assert "Relaxation times" in {table.title for table in shown(Numbers(noisy.tree))}
"""


def module_of(path):
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"homodyne_bayes.{name}"


def blocks(section):
    """The Python blocks of a section, and those before it."""
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = [
        re.findall(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE) for part in parts
    ]
    (which,) = [i for i, part in enumerate(parts) if part.startswith(f"{section}\n")]
    return found[which], [block for earlier in found[:which] for block in earlier]


def imports(code):
    """The imports of code by the name that they make, as (module or nothing, statement)."""
    found = {}
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Import):
            found |= {a.asname or a.name: ("", f"import {ast.unparse(a)}") for a in statement.names}
        if isinstance(statement, ast.ImportFrom):
            source = statement.module
            for alias in statement.names:
                text = f"from {source} import {ast.unparse(alias)}"
                found[alias.asname or alias.name] = (source, text)
    return found


def as_module(code, known, here):
    """Code with those known imports that it uses, but for what its own file holds."""
    tree = ast.parse(code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    needed = [text for name, (source, text) in known.items() if name in used and source != here]
    kept = [s for s in tree.body if not isinstance(s, ast.Import | ast.ImportFrom)]
    return "\n".join([*needed, *map(ast.unparse, kept), ""])


def made(code):
    """Names that the statements of code make."""
    tree = ast.parse(code)
    functions = [s.name for s in tree.body if isinstance(s, ast.FunctionDef)]
    assigned = [t.id for s in tree.body if isinstance(s, ast.Assign) for t in s.targets]
    return [*functions, *assigned]


def append(path, text):
    path.write_text((path.read_text() if path.exists() else "") + "\n" + text)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "model_files")
    shutil.copytree(ROOT / "homodyne_bayes", folder / "homodyne_bayes", ignore=ignored)
    shutil.copytree(ROOT / "models", folder / "homodyne_bayes" / "model_files", ignore=ignored)
    return folder


@pytest.mark.parametrize("section", ADDITIONS)
def test_an_addition_touches_its_file_and_the_table(section, copy):
    package = copy / "homodyne_bayes"
    file, table = ADDITIONS[section]
    here, there = (module_of(path) for path in (file, table))
    (piece, row, *_), earlier = blocks(section)
    known = imports("\n".join([*earlier, piece, row]))
    before = contents(package)
    append(package / file, as_module(piece, known, here))
    own = {name: (here, f"from {here} import {name}") for name in made(piece)}
    append(package / table, as_module(row, known | own, there))
    after = contents(package)
    touched = [path for path in after if before.get(path) != after[path]]
    assert len(touched) == MAX_TOUCHED


def test_what_was_added_is_fitted_simulated_covered_drawn_read_and_set(copy):
    done = subprocess.run(
        [sys.executable, "-c", USE],
        check=False,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for model, symbol in (("two_kinds", r"\(D_\mathrm{slow}"), ("relaxing", r"\(\tau_{D}\)")):
        assert symbol in (copy / model / "table.tex").read_text()
    assert r"D_\mathrm{start} - D_\mathrm{end}" in (copy / "relaxing" / "methods.tex").read_text()
