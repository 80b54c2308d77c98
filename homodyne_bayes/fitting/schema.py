"""What ArviZ's schema of results asks for beside draws: who made them, with what, for how long.

What differs from one run to the next, ``created_at`` and ``sampling_time``, is on the root alone,
so that groups of the same draws are identical.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from homodyne_bayes.inference.infer import Inference

MADE_BY = ("posterior", "sample_stats")  # groups that say so, too
SAMPLING = ("sampling", "full NUTS")  # stages in which draws are made


def making(inference: Inference, num_warmup: int) -> dict[str, Any]:
    """Return by what draws were made; chains had so many transitions before those kept."""
    chains = inference.nuts is not None or inference.approximation.shards is not None
    library = "numpyro" if chains else "homodyne-bayes"
    return {
        "creation_library": "homodyne-bayes",
        "creation_library_version": version("homodyne-bayes"),
        "creation_library_language": "Python",
        "inference_library": library,
        "inference_library_version": version(library),
        **({"tuning_steps": num_warmup} if chains else {}),
    }


def of_this_run(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return when a result was made and how long sampling took, in s."""
    return {
        "created_at": datetime.now(UTC).isoformat(),
        "sampling_time": sum(seconds.get(stage, 0.0) for stage in SAMPLING),
    }
