"""What the files of a series say together: a mean of each quantity and how far files scatter.

Random effects: the truth of a file is Normal about a mean that all share, with a spread; its
posterior mean is Normal about its truth with its posterior sd. The spread is that of Paule and
Mandel (J. Res. NBS 87:377, 1982), the mean weighs every file by both. Priors count once a file,
so that what priors set and not the data agrees too well.
"""

from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats

ENOUGH = 3  # files


def together(table: pd.DataFrame) -> pd.DataFrame:
    """Return means and spreads over the files that were computed right.

    Parameters
    ----------
    table : pandas.DataFrame
        As `homodyne_bayes.studies.series.series` returns.

    Returns
    -------
    pandas.DataFrame
        One row a quantity that is not of one angle and has an interval in 3 files or more. Columns
        are name, unit, t (s), q (1/Å); num_files; mean, its standard error, and spread, the sd
        from file to file beyond what posteriors allow, all in the unit; p_alike, how often files
        that are alike would scatter as much.
    """
    sound = table["computed_right"].eq("yes") & table["kind"].eq("interval")
    rows = table[sound & table["phi"].isna() & (table["sd"] > 0)]
    groups = rows.groupby(["name", "unit", "t", "q"], dropna=False, sort=False)
    made: list[dict[str, Any]] = [
        {**dict(zip(("name", "unit", "t", "q"), key, strict=True)), **_pooled(group)}
        for key, group in groups
        if len(group) >= ENOUGH
    ]
    columns = ("name", "unit", "t", "q", "num_files", "mean", "error", "spread", "p_alike")
    return pd.DataFrame(made, columns=list(columns))


def _pooled(group: pd.DataFrame) -> dict[str, float]:
    """Return mean, error, spread and p of one quantity of files."""
    means, sds = (group[name].to_numpy(float) for name in ("mean", "sd"))
    spread = spread_of(means, sds)
    weights = 1 / (sds**2 + spread**2)
    p_alike = scipy.stats.chi2.sf(_scatter(0.0, means, sds), len(means) - 1)
    return {
        "num_files": len(means),
        "mean": float(np.average(means, weights=weights)),
        "error": float(weights.sum() ** -0.5),
        "spread": spread,
        "p_alike": float(p_alike),
    }


def spread_of(means: np.ndarray, sds: np.ndarray) -> float:
    """Return the spread at which means (n,) with sds (n,) scatter as they should; 0 if less.

    >>> round(spread_of(np.array([1.0, 2.0, 3.0]), np.full(3, 1e-9)), 6)
    1.0
    """
    dof = len(means) - 1
    if _scatter(0.0, means, sds) <= dof:
        return 0.0
    most = 2 * float(np.ptp(means))
    root = scipy.optimize.brentq(lambda s: _scatter(s, means, sds) - dof, 0.0, most, xtol=1e-300)
    return float(root)


def _scatter(spread: float, means: np.ndarray, sds: np.ndarray) -> float:
    """Return the sum of squares of means about their weighted mean, each over its variance."""
    weights = 1 / (sds**2 + spread**2)
    return float(weights @ (means - np.average(means, weights=weights)) ** 2)
