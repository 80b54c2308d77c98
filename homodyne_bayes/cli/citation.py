"""How to cite the package, as CITATION.cff says, which installations hold beside the licence."""

from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from homodyne_bayes.errors import InputError

NAME = "CITATION.cff"


def citation() -> dict[str, Any]:
    """Return what CITATION.cff says.

    Raises
    ------
    InputError
        If the installation lacks it.
    """
    beside = Path(__file__).parents[2] / NAME  # in a clone
    installed = [file for file in metadata.files("homodyne-bayes") or () if file.name == NAME]
    paths = [beside, *(Path(str(file.locate())) for file in installed)]
    for path in paths:
        if path.is_file():
            return yaml.safe_load(path.read_text(encoding="utf-8"))
    raise InputError(f"expected {NAME} beside the licence, found none: install the package again")


def told() -> str:
    """Return how to cite the package and what it rests on, as text and as BibTeX."""
    said = citation()
    who = _names(said["authors"])
    lines = [f"{who}. {said['title']}. Version {said['version']}."]
    lines += [
        "",
        "@software{homodyne_bayes,",
        f"  author  = {{{{{who}}}}},",
        f"  title   = {{{said['title']}}},",
        f"  version = {{{said['version']}}},",
        "}",
        "",
        "What it rests on:",
    ]
    return "\n".join(lines + [_reference(one) for one in said["references"]])


def _reference(one: dict[str, Any]) -> str:
    place = [one.get("journal", one.get("url", ""))]
    place += [f"{one['volume']}"] if "volume" in one else []
    place += [f"{one['start']}"] if "start" in one else []
    doi = f", doi:{one['doi']}" if "doi" in one else ""
    where = f"{' '.join(filter(None, map(str, place)))} ({one['year']}){doi}"
    return f"- {one['notes']}: {_names(one['authors'])}, {one['title']}, {where}"


def _names(authors: list[dict[str, str]]) -> str:
    names = [author.get("name") or _family(author) for author in authors]
    return f"{names[0]} et al." if len(names) > 3 else " and ".join(names)


def _family(author: dict[str, str]) -> str:
    particle = f"{author['name-particle']} " if "name-particle" in author else ""
    return particle + author["family-names"]
