"""``models``: what there is to choose from."""

from collections.abc import Mapping
from typing import Any

import click

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import for_machines
from homodyne_bayes.data.formats.table import formats
from homodyne_bayes.inference.merges import RULES
from homodyne_bayes.inference.methods import METHODS
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.likelihood.scaling import SCALINGS
from homodyne_bayes.model_files import models as all_models
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.rate_laws import RATE_LAWS


@click.command()
@for_machines
def models(as_json: bool) -> None:
    """List what there is: models, rate laws, noises, scalings, file formats."""
    tables: dict[str, Mapping[str, Any]] = {
        "models": all_models(),
        "rate laws": RATE_LAWS,
        "noises (what the likelihood knows)": NOISES,
        "scalings (contrast and offset)": SCALINGS,
        "conventions": CONVENTIONS,
        "methods": METHODS,
        "merges": RULES,
        "file formats": formats(),
    }
    titles = {
        heading: {name: getattr(record, "title", "") for name, record in table.items()}
        for heading, table in tables.items()
    }
    if as_json:
        screen.print_json(titles)
        return
    width = max(len(name) for rows in titles.values() for name in rows) + 2
    for heading, rows in titles.items():
        screen.say(heading)
        for name, title in rows.items():
            screen.say(f"  {name:{width}}{title}".rstrip())
