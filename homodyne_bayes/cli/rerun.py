"""``rerun``: a result once more, from what it recorded."""

import click

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, overwrite
from homodyne_bayes.results import store
from homodyne_bayes.results.places import RESULT, writable
from homodyne_bayes.studies.rerun import rerun as repeat


@click.command()
@click.argument("result")
@click.option("--out", metavar="FILE.nc", help="Where to write the new result; nowhere without.")
@overwrite
@computes
def rerun(result: str, out: str | None, overwrite: bool) -> None:
    """Repeat a RESULT file from what it recorded, and say whether the draws are the same."""
    path = None if out is None else writable(out, RESULT, result, replace=overwrite)
    tree = store.read(result)
    with screen.progress_bar(f"repeating {result}") as progress:
        again = repeat(tree, progress)
    screen.say(f"data are those recorded, sha256 {tree.attrs['data_sha256'][:12]}…")
    if again.same:
        screen.say("the draws are the same, bit for bit")
    else:
        screen.say(f"the draws differ: posterior means by at most {again.shift:.2g} sd")
    for sentence in again.changed:
        screen.say(sentence)
    if path is not None:
        store.write(again.tree, path)
        screen.say(f"wrote {path}")
