"""``compare``: which model the data prefer."""

from functools import partial
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, for_machines, numbers
from homodyne_bayes.cli.settings import chosen_settings, read_data, settings_options
from homodyne_bayes.config import DataConfig
from homodyne_bayes.fitting.settings import make
from homodyne_bayes.inference.methods import METHODS
from homodyne_bayes.studies import comparison


@click.command()
@click.argument("file")
@click.option(
    "--models",
    default=",".join(comparison.CANDIDATES),
    show_default=True,
    help="Two or more, separated by commas.",
)
@click.option(
    "--odds",
    metavar="NUMBER,NUMBER",
    help="How probable each model is before the data, beside the others.  [default: all alike]",
)
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    help="As of fit; the evidence comes "
    f"from weights whichever it is.  [default: {comparison.METHOD}]",
)
@for_machines
@partial(settings_options, without=("model", "method", "uncertainty"))
@computes
def compare(
    file: str, models: str, odds: str | None, settings: str | None, as_json: bool, **flags: Any
) -> None:
    """Say which model the data in FILE prefer, by evidence and by leaving out angles.

    Every model is fitted to all angles and to all but each one.
    """
    chosen = chosen_settings(settings, flags)
    names = [name.strip() for name in models.split(",") if name.strip()]
    configs = comparison.candidates(names, chosen["fit"])
    weights = numbers("--odds", odds) if odds else None
    data = read_data(file, make(DataConfig, chosen["data"]))
    with screen.progress_bar(f"fitting {screen.described(data)}") as progress:
        compared = comparison.compare(data, configs, progress, weights)
    if as_json:
        screen.print_json(compared.record)
    else:
        print_comparison(compared)


def print_comparison(compared: comparison.Comparison) -> None:
    """Print models, highest evidence first, and what their comparison says."""
    heads = ("model", "log evidence", "k-hat", "log Bayes factor", "log p(angle | others)")
    table = Table(*heads, "minus the first's", box=SIMPLE_HEAD)
    for name, row in compared.models.iterrows():
        table.add_row(
            str(name),
            f"{row['log_evidence']:.2f} ± {row['log_evidence_error']:.2f}",
            f"{row['k_hat']:.2f}",
            f"{row['log_bayes_factor']:.2f} ± {row['log_bayes_factor_error']:.2f}",
            f"{row['loao']:.1f}",
            f"{row['loao_difference']:.1f} ± {row['loao_difference_error']:.1f}",
        )
    screen.show(table)
    for sentence in comparison.sentences(compared):
        screen.say(sentence)
