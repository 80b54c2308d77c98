"""Data and files in a few words: a line at the prompt, a small table in a notebook."""

import html
import textwrap
from collections.abc import Iterable, Mapping

UNITS = {
    "q": "1/Å",
    "phi": "degree",
    "angles": "degree",
    "dt": "s",
    "gap": "Å",
    "age": "s",
    "num_pixels": "pixels of a bin",
    "photons": "photons of a pixel in a frame",
}
MAX_LISTED = 8
WIDTH = 100


def listed(values: Iterable[float | None], name: str) -> str:
    """Return different numbers and their unit as text, of many only the ends.

    Parameters
    ----------
    values : iterable of float or None
        None for what is not given.
    name : str
        Key of `UNITS`.
    """
    told = list(dict.fromkeys(values))
    given = [value for value in told if value is not None]
    if len(given) < len(told):
        return "not given" if not given else "not given for some"
    if len(given) > MAX_LISTED:
        return f"{min(given):.6g} to {max(given):.6g} {UNITS[name]} ({len(given)} values)"
    return f"{', '.join(f'{value:.6g}' for value in given)} {UNITS[name]}"


def in_brief(title: str, facts: Mapping[str, str]) -> str:
    """Return facts by name as text of one line, or a few, none of which breaks a fact."""
    whole = [f"{name}: {fact}".replace(" ", "\xa0") for name, fact in facts.items()]
    lines = textwrap.fill(
        f"{title}({'; '.join(whole)})",
        WIDTH,
        subsequent_indent=" " * (len(title) + 1),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\xa0", " ")


def as_table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return facts by name as an HTML table; whatever they say is escaped."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(fact)}</td></tr>" for name, fact in facts
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"
