"""What a comparison of models says, held by a result beside its own posterior."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from homodyne_bayes.errors import InputError
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.rows import Row

KEY = "comparison"
NUMBERS = ("log_evidence", "log_bayes_factor", "loao_difference")
NEEDED = {"data_sha256", "models", "sentences"}
NEEDED_OF_MODELS = {"model", "odds", "probability", *NUMBERS, *(f"{n}_error" for n in NUMBERS)}


def read(path: str | Path) -> dict[str, Any]:
    """Return the record that ``homodyne-bayes compare --json`` printed into a file.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _none_in(path, error) from error
    whole = isinstance(record, dict) and set(record) >= NEEDED and record["models"]
    if not whole or not all(set(row) >= NEEDED_OF_MODELS for row in record["models"]):
        raise _none_in(path, "other content")
    return dict(record)


def _none_in(path: str | Path, found: object) -> InputError:
    return InputError(
        f"{path}: expected a comparison, found {found}: make one by `homodyne-bayes compare DATA "
        f"--json > {path}`"
    )


def with_comparison(tree: xr.DataTree, record: Mapping[str, Any]) -> xr.DataTree:
    """Return a result that holds the record of a comparison, its draws the same.

    Raises
    ------
    InputError
        If the comparison is of other data, or without the model of the result.
    """
    if record["data_sha256"] != tree.attrs["data_sha256"]:
        raise InputError(
            f"expected a comparison of the data of the result, sha256 "
            f"{tree.attrs['data_sha256'][:12]}…, found {str(record['data_sha256'])[:12]}…: compare "
            "with the same --angles, --frames and --q"
        )
    names = [str(row.get("model")) for row in record["models"]]
    if tree.attrs["model"] not in names:
        raise InputError(
            f"expected a comparison with the model of the result, {tree.attrs['model']}, found "
            f"{', '.join(names)}: name it in --models"
        )
    stated = tree.copy(deep=False)
    stated.attrs = {**tree.attrs, KEY: json.dumps(record)}
    return stated


def rows(numbers: Numbers) -> list[Row]:
    """Return one row of text a model, of highest evidence first; none where none is held.

    Keys are model, evidence, factor (its log Bayes factor against the first), probability, and
    angles (its score of angles left out, less that of the first); a dash is what is not known.
    """
    record = _held(numbers)
    return [_row(row, first=not at) for at, row in enumerate(record["models"])] if record else []


def _row(row: Mapping[str, Any], first: bool) -> Row:
    probability = row["probability"]
    return {
        "model": row["model"],
        "evidence": _with_error(row, "log_evidence"),
        "factor": "0" if first else _with_error(row, "log_bayes_factor"),
        "probability": "–" if _unknown(probability) else f"{probability:.3g}",
        "angles": "0" if first else _with_error(row, "loao_difference"),
    }


def _with_error(row: Mapping[str, Any], name: str) -> str:
    value, error = row[name], row[f"{name}_error"]
    return "–" if _unknown(value) else f"{value:.2f} ± {error:.2f}"


def _unknown(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def odds(numbers: Numbers) -> list[str]:
    """Return under what models were compared."""
    record = _held(numbers)
    stated = ", ".join(f"{row['model']} {row['odds']:g}" for row in record["models"])
    return [
        "Evidence is the mean of the likelihood over the prior. Probabilities are those of one of "
        f"these models being true, at prior odds {stated}."
    ]


def sentences(numbers: Numbers) -> list[str]:
    """Return what the comparison says."""
    return list(_held(numbers)["sentences"])


def _held(numbers: Numbers) -> dict[str, Any]:
    try:
        return dict(json.loads(numbers.tree.attrs.get(KEY, "{}")))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected the attribute {KEY} to be a comparison in JSON, found "
            f"{str(numbers.tree.attrs[KEY])[:80]!r}: make one by `homodyne-bayes compare`"
        ) from error
