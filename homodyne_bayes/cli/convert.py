"""``convert``: settings of homodyne as those of this package."""

from pathlib import Path

import click
import yaml

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import overwrite
from homodyne_bayes.compat.settings import Converted, converted
from homodyne_bayes.config import DataConfig, read_yaml
from homodyne_bayes.files import atomic_path
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.results.places import SETTINGS, writable


@click.command()
@click.argument("config")
@click.option("--out", default="settings.yaml", show_default=True, help="Settings file to write.")
@overwrite
def convert(config: str, out: str, overwrite: bool) -> None:
    """Make settings of a CONFIG of homodyne 2.x, and say what was not taken."""
    path = writable(out, SETTINGS, config, replace=overwrite)
    made = converted(read_yaml(config))
    make(DataConfig, made.data)
    make(FitConfig, made.fit)
    with atomic_path(path) as temporary:
        temporary.write_text(as_text(made, config), encoding="utf-8")
    for note in made.notes:
        screen.say(f"note: {note}")
    screen.say(f"wrote {path}: homodyne-bayes fit {made.file or 'FILE'} --settings {path}")


def as_text(made: Converted, source: str) -> str:
    """Return converted settings as YAML, with the notes above."""
    head = [f"From {Path(source).name} of homodyne."]
    head += ["To fit: " + made.file] if made.file else []
    comments = "".join(f"# {line}\n" for line in [*head, *made.notes])
    sections = {"data": made.data, "fit": made.fit}
    return comments + yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)
