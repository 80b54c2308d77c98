"""``inspect``: what is in a data file."""

import dataclasses

import click
from rich.table import Table

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import for_machines
from homodyne_bayes.data import reading
from homodyne_bayes.data.choosing import choose
from homodyne_bayes.data.formats.limits import FileContents
from homodyne_bayes.data.words import listed
from homodyne_bayes.errors import InputError


@click.command()
@click.argument("file")
@for_machines
def inspect(file: str, as_json: bool) -> None:
    """Say what is in a data FILE, without reading the maps."""
    contents = reading.contents(file)
    if as_json:
        screen.print_json(dataclasses.asdict(contents))
    else:
        print_contents(contents)


def print_contents(contents: FileContents) -> None:
    """Print what a file holds, its wavevectors and azimuths, and notes on them."""
    for name, value in (
        ("file", contents.path),
        ("format", contents.format),
        ("frames", contents.num_frames),
        ("dt", _with_unit(contents.dt, "s")),
        ("gap", _with_unit(contents.gap, "Å")),
    ):
        screen.say(f"{name:8}{value}")
    for name, values in contents.detector.items():
        screen.say(f"{name.removeprefix('num_'):8}{listed(values, name)}")
    table = Table("q (1/Å)", "angles", "φ (degree)", title="maps")
    for q in dict.fromkeys(q for q, _ in contents.bins):
        angles = [phi for other, phi in contents.bins if other == q]
        azimuths = ", ".join("not given" if phi is None else f"{phi:.6g}" for phi in angles)
        table.add_row("not given" if q is None else f"{q:.6g}", str(len(angles)), azimuths)
    screen.show(table)
    for note in contents.notes:
        screen.say(f"note: {note}")
    screen.say(f"a fit takes: {would_take(contents)}")


def would_take(contents: FileContents) -> str:
    """Return which maps a fit without more flags takes, or what it needs first."""
    try:
        made = choose(contents)
    except InputError as error:
        return f"nothing yet: {error}"
    frames = f"frames 0 to {contents.num_frames - 1}"
    gap = "" if made.gap is not None else "; flow needs --gap, rest is --model static"
    return f"{len(made.maps)} maps at q = {listed(made.q.tolist(), 'q')}, {frames}{gap}"


def _with_unit(value: float | None, unit: str) -> str:
    """Return a value of a file with its unit, or that there is none."""
    return "not in the file" if value is None else f"{value:g} {unit}"
