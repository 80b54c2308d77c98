"""What is said of a result in words: what it rests on, faults, misfit, flow and warnings."""

import json
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.results import diagnostics
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.flow import Flow, below
from homodyne_bayes.results.levels import in_percent, levels
from homodyne_bayes.results.quantities import derived
from homodyne_bayes.text import azimuth, number, percent
from homodyne_bayes.thresholds import MILLION, REWEIGHTED, Fault

CLEAR = math.log(MILLION)  # log Bayes factors above which no error of theirs matters
COMMON = 0.05  # of the speckle of two maps, from which on it is told
TINY_P = 1e-6  # below this a χ² is no longer exact enough to tell how small
MORE_TIME = "Give it more time: the same command with --resume goes on from where it stopped."
MORE_DRAWS = "Draw more: raise --num-warmup and --num-samples."
SMALLER_STEPS = "Raise --target-accept-prob towards 1, so that transitions diverge less."
OTHER_OPTIMA = (  # chains do not cross from one to another
    "Fit with another --seed, which start elsewhere, and see in which parameter the optima differ; "
    "more draws do not help, as chains do not cross from one optimum to another.",
    "Give that parameter a tighter prior, if you know more of it than the prior says.",
    "Split the data, by angles or frames, to see whether its parts ask for different optima.",
)


def interval_label(numbers: Numbers) -> str:
    """Return what to call the widest interval: level, and how far it takes noise as correlated."""
    note = numbers.words("noise").get("interval", "")
    return f"{in_percent(levels(numbers.tree)[-1])} % interval" + (f", {note}" if note else "")


def method(numbers: Numbers) -> str:
    """Return which approximation was weighed, in a few words."""
    return numbers.words("method").get("summary", "not told")


def growth(numbers: Numbers) -> str:
    """Return how much wider the intervals are than under independent noise, in one sentence.

    Empty where noise is taken as independent.
    """
    ratio = numbers.lines(numbers.reported)["of_uncorrected"].dropna()
    if ratio.empty:
        return ""
    return (
        f"The intervals are {ratio.median():.1f} times as wide as those of the same model under "
        f"independent noise (median over {len(ratio)} parameters, from {ratio.min():.1f} to "
        f"{ratio.max():.1f})."
    )


def misfit(numbers: Numbers) -> list[str]:
    """Return whether the model fits and what follows, one sentence each.

    None where noise is taken as independent: it does not tell misfit from correlated noise.
    """
    tests, kinds = numbers.misfit_tests, numbers.departures
    tested = ", ".join(str(name) for name in tests.index if name != "all")
    if tests.empty:
        return []
    if not kinds:
        return [
            f"No departure from the model was found: of {len(tests)} tests ({tested}, and all "
            f"together) the smallest p is {tests['p'].min():.2g}, and "
            f"{tests['p_adjusted'].min():.2g} once corrected for their number. Departures of other "
            "kinds, and ones too small for these data, are not excluded.",
        ]
    meanings, residuals = numbers.words("misfit"), numbers.words("noise").get("residuals")
    said = "; ".join(_departure(tests, kind, meanings) for kind in kinds)
    frames = ",".join(map(str, numbers.frames))
    return [
        f"The data depart from the model: {said}.",
        *([f"Leave out what stands out: --exclude-frames {frames}."] if frames else []),
        "The parameters are then effective values of the nearest model: their intervals hold "
        "these, and not a constant of the physical system.",
        f"See in the maps of {residuals or 'residuals'} where it happens, and try another model, "
        "fewer frames or other angles.",
    ]


def _departure(tests: pd.DataFrame, kind: str, meanings: dict[str, str]) -> str:
    chi2, dof, p = (float(tests[name][kind]) for name in ("chi2", "dof", "p"))
    meaning = meanings.get(kind, "no kind departs alone, all together do")
    return f"{meaning} ({kind}: χ² = {chi2:.1f} on {dof:.0f}, {p_value(p)})"


def baseline(numbers: Numbers) -> list[str]:
    """Return what a baseline far from its prior means, in a clause; none where it is not."""
    if "offset" not in numbers.conflicts:
        return []
    level = float(numbers.tree["posterior"]["offset"].mean())
    return [
        f"the baseline is {level:.3f}, far from where its prior expects it: the intensity is "
        "uneven in the bin, pixels are hot, maps are not normalised, or part of the scattering "
        "does not move"
    ]


def p_value(p: float) -> str:
    """Return a p-value as text.

    >>> p_value(0.0312), p_value(3e-20)
    ('p = 0.031', 'p < 10⁻⁶')
    """
    return f"p = {p:.2g}" if p >= TINY_P else "p < 10⁻⁶"


def certificate(numbers: Numbers) -> str:
    """Return what the draws of a result are and what they rest on, in one sentence."""
    record, sound = group(numbers.tree, "certificate"), numbers.certified
    judged, data = judgement(numbers.tree), sampled(numbers.tree)
    if diagnostics.all_by_nuts(numbers.tree):
        outcome = "converged" if sound else "did not converge"
        return f"The draws are those of NUTS on {data}, which {outcome}.{judged}"
    if record.attrs["draws_from"] != REWEIGHTED:
        return (
            f"The draws are those of the {record.attrs['draws_from']}, which could not be weighed "
            f"by the posterior of {data}."
        )
    last = record.isel(attempt=-1)
    return (
        f"{int(record['num_evaluations'].sum())} draws of proposals were weighed by the posterior "
        f"of {data}, k-hat {float(last['k_hat']):.2f}, ESS {float(last['ess']):.0f}"
        + ("." if sound else "; but other optima are left out.")
        + judged
    )


def computed(numbers: Numbers) -> str:
    """Return the same in plain words where draws were weighed and can be taken as they are."""
    if not numbers.certified or diagnostics.all_by_nuts(numbers.tree):
        return certificate(numbers)
    last = group(numbers.tree, "certificate").isel(attempt=-1)
    return (
        f"The draws are those of the posterior of all the data: they are worth "
        f"{float(last['ess']):.0f} independent ones, and their weights are even (k-hat "
        f"{float(last['k_hat']):.2f}, below {numbers.limits['max_k_hat']:g})."
    )


def sampled(tree: xr.DataTree) -> str:
    """Return what a posterior is that of, before all the data judge it."""
    return "the compressed data" if diagnostics.compressed(tree) else "all the data"


def judgement(tree: xr.DataTree) -> str:
    """Return how far compressed maps are from the maps; empty where maps themselves were sampled.

    It begins with a space.
    """
    record = group(tree, "certificate").attrs
    if not diagnostics.compressed(tree):
        return ""
    return (
        f" At {record['judged_num_draws']} of them the log density is that of all the data to "
        f"{record['judged_deviation']:.1g}."
    )


def flow(numbers: Numbers) -> str:
    """Return the evidence of no flow in words; empty where there is no such fluid to compare."""
    odds = numbers.flow
    if odds is None:
        return ""
    factor, doubt = odds.log_bayes_factor, ""
    if math.isnan(factor):
        return "The evidence of no flow could not be computed: see whether model static fits."
    if factor >= CLEAR:
        return "A sample at rest is excluded: the data prefer flow by more than a million to one."
    if not odds.trusted:
        doubt = f" k-hat is {odds.k_hat:.2f}, so that this is uncertain: method full is more exact."
    preferred = "flow" if factor >= 0 else "rest"
    ratio = f"{math.exp(min(abs(factor), CLEAR)):.2g}"
    preference = (
        f"the data prefer {preferred} by {ratio} to 1 "
        f"(log Bayes factor of flow {number(factor)} ± {number(odds.error)})"
    )
    if odds.decided:
        return f"A sample at rest is excluded: {preference}.{doubt}"
    return f"A sample at rest is not excluded: {preference}. {_limit(numbers, odds)}{doubt}"


def _limit(numbers: Numbers, odds: Flow) -> str:
    (most,) = (q.limit for q in derived(numbers.tree) if q.name == odds.rate)
    limit = below(most).replace("<", "below").replace(" (", f" {odds.unit} (")
    few = numbers.limits["min_ess_per_chain"]
    doubt = f"; it rests on {odds.ess:.0f} draws only" if odds.ess < few else ""
    flat = str(group(numbers.tree, "still").attrs["level"])
    prior = "a prior flat in it from 0 on" if flat else "the prior that the user gave"
    return f"The {odds.meaning} at t_ref is {limit}, under {prior}{doubt}."


def refused(numbers: Numbers) -> list[str]:
    """Return what was refused on the way to the result and why, one sentence each."""
    return [fault_sentence(fault) for fault in numbers.faults]


def fault_sentence(fault: Fault) -> str:
    """Return a fault in words, also of a kind that this version does not know.

    >>> fault_sentence(Fault("moonlight", "NUTS on all the data", (3.0,)))
    'NUTS on all the data: moonlight (3).'
    """
    try:
        return fault.sentence()
    except LookupError:
        numbers = ", ".join(f"{value:g}" for value in fault.found)
        return f"{fault.where}: {fault.kind}" + (f" ({numbers})." if numbers else ".")


def advice(numbers: Numbers) -> list[str]:
    """Return what to try where a result is not certified, one sentence each; none where it is."""
    if numbers.certified:
        return []
    kinds, settings = (
        {fault.kind for fault in numbers.faults},
        json.loads(numbers.tree.attrs["settings"]),
    )
    sharded, cavity = settings["method"] == "consensus", settings["merge"] == "cavity"
    far, rival = bool(kinds & {"k_hat", "disagreement"}), "rival_optimum" in kinds
    rescue = (
        "Let NUTS on all the data take over: raise --rescue-pairs, now "
        f"{settings['rescue_pairs']}, well above the {int(numbers.tree.attrs['num_pairs'])} pairs "
        "of the data, or choose --method full."
    )
    steps = {
        MORE_TIME: "stopped" in kinds,
        MORE_DRAWS: bool(kinds & {"r_hat", "shard_r_hat", "ess", "weights_ess"}),
        SMALLER_STEPS: "diverging" in kinds,
        "Merge by --merge cavity, which is exactest.": far and sharded and not cavity,
        "Deal fewer shards: lower --num-shards.": far and sharded and settings["num_shards"] > 2,
        rescue: not diagnostics.all_by_nuts(numbers.tree) and not rival,
        **dict.fromkeys(OTHER_OPTIMA, rival),
    }
    return [sentence for sentence, applies in steps.items() if applies]


def warnings(numbers: Numbers) -> list[str]:
    """Return what a reader must know before using the result, one sentence each."""
    choices = ("noise", "scaling", "convention", "model", "method")
    said = [numbers.words(choice).get("warning", "") for choice in choices]
    return [
        *filter(None, said),
        *(misfit(numbers) if numbers.departures else []),
        *(sentence for source in WARNINGS for sentence in source(numbers)),
    ]


def _of_start(numbers: Numbers) -> list[str]:
    said, warm = [], numbers.tree["warm_start"].attrs
    if warm["outcome"] != "converged":
        said.append(f"The warm start ended with: {warm['outcome']}.")
    if warm["num_agreeing"] < 2:
        said.append("Only one start of the warm start reached the best optimum: try other seeds.")
    return said


def _of_draws(numbers: Numbers) -> list[str]:
    """Return what is left to say about chains that are certified; faults say it of others."""
    if not (numbers.certified and diagnostics.all_by_nuts(numbers.tree)):
        return []
    table, most = numbers.summary, numbers.limits["max_r_hat"]
    needed = numbers.limits["min_ess_per_chain"] * numbers.tree["posterior"].sizes["chain"]
    cases = {
        f"R-hat exceeds {most:g}": table.index[table["r_hat"] > most],
        f"Bulk ESS is below {needed:g}": table.index[table["ess"] < needed],
    }
    return [f"{what} for {', '.join(bad)}: draw more." for what, bad in cases.items() if len(bad)]


def _of_priors(numbers: Numbers) -> list[str]:
    """Return what lies far out in its prior; what priors decide is said with the marks."""
    apart = numbers.conflicts
    if not apart:
        return []
    return [
        f"Prior and data pull apart in {', '.join(apart)}: the posterior mean lies more than "
        f"{numbers.limits['conflict']:g} sd of the prior from its centre; see how another "
        f"prior changes it, --prior {apart[0]}=LOCATION,SCALE."
    ]


def _of_speckle(numbers: Numbers) -> list[str]:
    """Return which maps see the same speckle."""
    if "noise" not in numbers.tree.children:
        return []
    noise = group(numbers.tree, "noise")
    share, names = noise["same_speckle"].values, [azimuth(phi) for phi in noise["phi"]]
    return [
        f"The maps at {names[i]} and {names[j]} have about {percent(share[i, j])} of their speckle "
        "in common, as opposite azimuths and bins that share pixels do; the intervals allow for it."
        for i, j in np.argwhere(np.triu(share) > COMMON)
    ]


def _of_bounds(numbers: Numbers) -> list[str]:
    means, said = numbers.summary["mean"], []
    for label, parameter in diagnostics.outside_bounds(numbers.tree, numbers.summary).items():
        low, high = parameter.bounds
        value = f"{float(means[label]):.4g} {parameter.unit}".rstrip()
        said.append(f"{label} = {value} lies outside the range {low:g} to {high:g} usual for it.")
    return said


def _of_data(numbers: Numbers) -> list[str]:
    said, attrs = [], numbers.tree.attrs
    provenance = json.loads(attrs["provenance"])
    assumed = provenance.get("assumed", [])
    if assumed:
        said.append(f"Assumed, not read from the file: {', '.join(assumed)}.")
    convention = provenance.get("convention", attrs["convention"])
    if convention != attrs["convention"]:
        said.append(
            f"The data were simulated in the {convention} convention and fitted in the "
            f"{attrs['convention']} convention."
        )
    return said


def _of_detector(numbers: Numbers) -> list[str]:
    return [comparison.sentence() for comparison in numbers.unlike]


def _of_time_zero(numbers: Numbers) -> list[str]:
    return [
        f"The integral of {name} from t = 0 is infinite in part of the posterior, as its exponent "
        "comes down to −1: the age of the first frame decides. State it, --age, or leave out the "
        "first frame, --first-frame 1."
        for name in json.loads(numbers.tree.attrs["diverging"])
    ]


WARNINGS: tuple[Callable[[Numbers], list[str]], ...] = (
    _of_start,
    _of_draws,
    _of_priors,
    _of_speckle,
    _of_bounds,
    _of_time_zero,
    _of_data,
    _of_detector,
)
