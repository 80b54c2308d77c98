"""Where chains run and maps are worked at, and for how long."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from homodyne_bayes.inference.certify import Evaluate, evaluator
from homodyne_bayes.inference.chains import Lane, Lanes, Run, StageProgress, run_here
from homodyne_bayes.inference.density import Model, Shard
from homodyne_bayes.inference.each import Each, each_here


class Workplace(NamedTuple):
    """Where work is done.

    Attributes
    ----------
    run : callable
        Runs chains, as `chains.run_here`.
    each : callable
        Does something of every part of the data, as `each.each_here`.
    """

    run: Run
    each: Each

    def evaluator(self, model: Model, parts: Shard, *, progress: StageProgress) -> Evaluate:
        """Return the function that evaluates all the data, as `certify.evaluator`."""
        return evaluator(model, parts, progress, self.each)


HERE = Workplace(run_here, each_here)


class TimeUpError(Exception):
    """The time for chains has passed."""


def within(limit: float, place: Workplace) -> Workplace:
    """Return a place where no chains are run once ``limit`` seconds from now have passed.

    What has been finished is kept on the shelf, and the best that can be certified without the
    rest is the result.
    """
    end = time.monotonic() + limit

    def run(lanes: Lanes, todo: np.ndarray, progress: StageProgress) -> Iterator[tuple[int, Lane]]:
        def look(done: int, total: int) -> None:
            progress(done, total)
            if time.monotonic() > end and done < total:
                raise TimeUpError

        if time.monotonic() > end and len(todo):
            raise TimeUpError
        yield from place.run(lanes, todo, look)

    return place._replace(run=run)
