"""A result as LaTeX: numbers with their intervals, text, and what a methods paragraph says."""

import math
import re
from itertools import accumulate
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from homodyne_bayes.results import diagnostics, store
from homodyne_bayes.results.diagnostics import group

UNITS = {
    "s": r"\second",
    "1/s": r"\per\second",
    "degree": r"\degree",
    "Å²/s": r"\angstrom\squared\per\second",
}
ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
} | {mark: "\\" + mark for mark in "&%$#_"}
SAID = {
    "σ": r"\(\sigma\)",
    "φ": r"\(\phi\)",
    "α": r"\(\alpha\)",
    "γ": r"\(\gamma\)",
    "β": r"\(\beta\)",
    "η": r"\(\eta\)",
    "χ": r"\(\chi\)",
    "√": r"\(\surd\)",
    "∞": r"\(\infty\)",
    "⁻": r"\(^-\)",
    "⁶": r"\(^6\)",
    "₀": r"\(_0\)",
    "₁": r"\(_1\)",
    "–": "--",
    "±": r"\(\pm\)",
    "×": r"\(\times\)",
    "−": "--",
    "Å": r"\AA{}",
    "²": r"\(^2\)",
    "°": r"\(^\circ\)",
    "’": "'",
}
FORMULAS = {"c2": r"\(c_2\)", "t1": r"\(t_1\)", "D(t)": r"\(D(t)\)"}  # of captions
GREEK = "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi "
GREEK += "chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega varphi varepsilon"
COMMANDS = frozenset(  # of formulas that a result may have: they set type and do nothing else
    f"{GREEK} frac tfrac sqrt exp log ln sin cos tan sinh cosh tanh int sum prod partial infty "
    "cdot times pm langle rangle left right mathrm mathbf mathit overline bar hat tilde vec dot "
    "ddot quad qquad textstyle displaystyle ell nabla prime , ; : ! |".split()
)
COMMAND = r"\\([A-Za-z]+|.)"


def asymmetric(lower: float, median: float, upper: float) -> str:
    r"""Return a median with its interval in LaTeX, to the second digit of the smaller side.

    >>> asymmetric(9.61, 9.8372, 10.1)
    '\\num{9.84}^{+0.26}_{-0.23}'
    >>> asymmetric(9610.0, 9837.2, 10100.0)
    '\\num{9.84}^{+0.26}_{-0.23} \\times 10^{3}'
    """
    least = min(median - lower, upper - median)
    if not (math.isfinite(least) and least > 0):
        return rf"\num{{{median:.4g}}}"
    exponent = math.floor(math.log10(max(abs(median), least)))
    exponent = 0 if -2 <= exponent <= 2 else exponent
    decimals = max(1 - math.floor(math.log10(least)) + exponent, 0)
    centre, below, above = (
        f"{value / 10.0**exponent:.{decimals}f}"
        for value in (median, median - lower, upper - median)
    )
    power = rf" \times 10^{{{exponent}}}" if exponent else ""
    return rf"\num{{{centre}}}^{{+{above}}}_{{-{below}}}{power}"


def escaped(text: object) -> str:
    r"""Return text as LaTeX shows it: no character of it commands.

    >>> escaped("50 % of σ, ∮"), escaped("\\input{x}")
    ('50 \\% of \\(\\sigma\\), U+222E', '\\textbackslash{}input\\{x\\}')
    """
    return r"\(\dot\gamma\)".join("".join(map(_spelled, part)) for part in str(text).split("γ̇"))


def _spelled(character: str) -> str:
    """Return a character as LaTeX shows it, its code point where no spelling is listed."""
    plain = character if character.isascii() else f"U+{ord(character):04X}"
    return (ESCAPED | SAID).get(character, plain)


def in_formulas(text: str) -> str:
    r"""Return a caption as LaTeX, its symbols as formulas.

    >>> in_formulas("c2 at 90 %")
    '\\(c_2\\) at 90 \\%'
    """
    plain = "|".join(re.escape(symbol) for symbol in FORMULAS)
    return re.sub(rf"\b({plain})(?!\w)", lambda match: FORMULAS[match[1]], escaped(text))


def measured(tree: xr.DataTree) -> dict[str, str]:
    """Return what was measured as LaTeX: maps, frames, pairs, q, dt, gap and hash."""
    fixed = group(tree, "constant_data")
    gap = float(fixed["gap"])
    q = ";".join(f"{value:.6g}" for value in np.unique(fixed["q"]))
    return {
        "maps": f"{fixed.sizes['phi']}",
        "frames": f"{fixed.sizes['frame']}",
        "pairs": rf"\num{{{int(tree.attrs['num_pairs'])}}}",
        "q": rf"\qtylist{{{q}}}{{\per\angstrom}}",
        "dt": rf"\qty{{{float(fixed['dt']):.6g}}}{{\second}}",
        "gap": rf"\qty{{{gap:.7g}}}{{\angstrom}}" if math.isfinite(gap) else "not given",
        "hash": tree.attrs["data_sha256"][:12],
    }


def formula(text: str) -> str | None:
    r"""Return a formula that came with a result, or None where it is more than a formula.

    >>> formula(r"\dot\gamma_0"), formula(r"\input{file}"), formula("x$ & y")
    ('\\dot\\gamma_0', None, None)
    """
    commands, rest = re.findall(COMMAND, text), re.sub(COMMAND, "", text)
    depths = list(accumulate((mark == "{") - (mark == "}") for mark in rest))
    harmless = (
        all(command in COMMANDS for command in commands)
        and re.fullmatch(r"[A-Za-z0-9 {}()\[\]^_+\-*/=.,|']*", rest)
        and "^^" not in text  # by which TeX spells any character
        and min(depths, default=0) >= 0 == (depths or [0])[-1]
    )
    return text if text and harmless else None


def symbol(latex: str, name: str) -> str:
    """Return the formula of a symbol, or its name set upright where it has none."""
    return formula(latex) or rf"\mathrm{{{escaped(name)}}}"


def formulas(tree: xr.DataTree) -> list[str]:
    """Return the rates and g1 of a result as formulas, none for a model that has none."""
    return [text for text in map(formula, store.words(tree, "model")["latex"]) if text]


def terms(tree: xr.DataTree) -> list[str]:
    """Return clauses on the symbols of these formulas, between dollars in what a result holds."""
    return [
        "".join(
            rf"\({symbol(part, part)}\)" if i % 2 else escaped(part)
            for i, part in enumerate(clause.split("$"))
        )
        for clause in store.words(tree, "model")["terms"]
    ]


def cited(tree: xr.DataTree) -> list[str]:
    """Return the keys in references.bib of what a result rests on."""
    sharded = "sub_posteriors" in tree.children
    keys = {
        "He2024": True,
        "Hoffman2014": sharded or diagnostics.all_by_nuts(tree),
        "Scott2016": sharded,
        "Canizares2015": diagnostics.compressed(tree),
        "Vehtari2024": True,
        "Phan2019": True,
        "Bradbury2018": True,
        "DeepMind2020": True,
        "Kumar2019": True,
    }
    return [key for key, used in keys.items() if used]


def filled(template: str, values: dict[str, Any]) -> str:
    """Return a LaTeX template with values filled in, ``<< >>`` and ``<% %>`` being its marks."""
    environment = Environment(
        loader=PackageLoader("homodyne_bayes.results"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        keep_trailing_newline=True,
    )
    environment.filters["tex"] = escaped
    return environment.get_template(template).render(values)
