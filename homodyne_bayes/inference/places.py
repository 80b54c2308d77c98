"""Where chains run and densities are evaluated, and for how long."""

import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from homodyne_bayes.inference.certify import Evaluate, evaluator
from homodyne_bayes.inference.chains import Lane, Lanes, Run, StageProgress, run_here
from homodyne_bayes.inference.density import Model, Shard


class Evaluator(Protocol):
    """Makes a function that evaluates all the data, as `certify.evaluator`."""

    def __call__(self, model: Model, parts: Shard, *, progress: StageProgress) -> Evaluate:
        """Return log prior and log likelihood as a function of many theta."""


class Workplace(NamedTuple):
    """Where work is done.

    Attributes
    ----------
    run : callable
        Runs chains, as `chains.run_here`.
    evaluator : callable
        Makes the function that evaluates all the data, as `certify.evaluator`.
    """

    run: Run
    evaluator: Evaluator


HERE = Workplace(run_here, evaluator)


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
