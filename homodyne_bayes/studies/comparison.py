"""Which model do the data prefer: its evidence, and how it predicts an angle that was left out.

Evidence comes from the weights that certify a posterior. Entries that share a frame are
correlated, so that leaving out single ones would flatter every model; angles are other pixels.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import ArrayLike

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.plan import check_needs
from homodyne_bayes.fitting.sample import estimate_noise, sample_posterior
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.inference.infer import Certificate, Progress, silent
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.estimate import Estimate
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.model_files import model_name
from homodyne_bayes.studies.widths import WIDTHS, log_evidence_ratios
from homodyne_bayes.thresholds import MAX_K_HAT

METHOD = "laplace"  # the cheapest; NUTS on all the data follows where its weights fail
FINITE_VARIANCE = 0.5  # k-hat of weights below which their standard error means something
CANDIDATES = ("static", "laminar_flow")
BAYES_FACTORS = ("log_bayes_factor_narrower", "log_bayes_factor_wider")  # of `WIDTHS`
STRENGTH = {"not worth more than a bare mention": 1.0, "positive": 3.0, "strong": 5.0}


class Evidence(NamedTuple):
    """Evidence of a model, one number each or an array of many.

    Attributes
    ----------
    log_evidence, error : float
        Logarithm of ∫ prior × likelihood and its standard error; NaN unless k_hat < 0.7.
    k_hat : float
        Shape of the tail of the weights that gave it.
    certified : bool
        Whether the posterior is certified.
    """

    log_evidence: float | np.ndarray
    error: float | np.ndarray
    k_hat: float | np.ndarray
    certified: bool | np.ndarray


class Comparison(NamedTuple):
    """Models against the one of highest evidence.

    Attributes
    ----------
    models : pandas.DataFrame
        One row a model, highest evidence first, with all its numbers against the first: evidence
        as in `Evidence`, log_bayes_factor and its error, the same with priors of the fluid that
        are narrower and wider (`BAYES_FACTORS`); prior odds, and the probability of the model
        given that one of them is true, and its error; the leave-one-angle-out score loao
        = Σ log p(angle | other angles), loao_difference and its error. NaN where not known.
    angles : pandas.DataFrame
        log p(angle | other angles), one row an azimuth in degree, one column a model.
    k_hat : pandas.DataFrame
        k-hat of the evidence without an angle, likewise.
    noise : str
        As in `homodyne_bayes.config.FitConfig`.
    data_sha256 : str
        Of the data that were compared.
    """

    models: pd.DataFrame
    angles: pd.DataFrame
    k_hat: pd.DataFrame
    noise: str
    data_sha256: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """The models, highest evidence first, and what `sentences` says of them."""
        return {
            "noise": self.noise,
            "data_sha256": self.data_sha256,
            "models": self.models.rename_axis("model").reset_index().to_dict("records"),
            "sentences": sentences(self),
        }


def candidates(models: Sequence[Any], settings: Mapping[str, Any]) -> dict[str, FitConfig]:
    """Return how to fit each of some models, by its name, all else alike.

    Parameters
    ----------
    models : sequence
        Names, functions or records.
    settings : mapping of str to object
        Other fields of `FitConfig`; the method is laplace unless it is among them. Uncertainties of
        q and the like, which change no evidence and that not all models follow, are left out.

    Raises
    ------
    InputError
        If two models have the same name, or a setting is invalid.
    """
    names = [model_name(model) for model in models]
    if len(set(names)) < len(names):
        raise InputError(f"models must differ by name, found {', '.join(names)}")
    shared = {"method": METHOD} | dict(settings) | {"uncertainty": {}}
    return {
        name: make(FitConfig, shared | {"model": model})
        for name, model in zip(names, models, strict=True)
    }


def compare(
    data: TwoTimeData,
    configs: Mapping[str, FitConfig] | None = None,
    progress: Progress = silent,
    odds: Sequence[float] | None = None,
) -> Comparison:
    """Fit every model to all angles and to all but one, and compare.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps; of a single angle none is left out.
    configs : mapping of str to FitConfig
        How to fit, by the name to report, as `candidates` returns; by default a fluid at rest and
        one that flows.
    progress : callable
        Called as ``progress(stage, done, total)``.
    odds : sequence of float, optional
        How probable each model is before the data, beside the others; all alike by default.

    Raises
    ------
    InputError
        If there are fewer than two models, or they are fitted under different noises, or odds are
        not a positive number of each, and as `homodyne_bayes.fitting.pipeline.fit`.
    """
    configs = candidates(CANDIDATES, {}) if configs is None else configs
    if len(configs) < 2:
        raise InputError(
            f"a comparison needs two models or more, found {', '.join(configs) or 'none'}"
        )
    _check_odds(odds, configs)
    for config in configs.values():  # all before the first is fitted
        check_needs(data, config.record, model_name(config.model))
    kinds = {config.noise for config in configs.values()}
    if len(kinds) > 1:
        raise InputError(f"models are compared under one noise, found {', '.join(sorted(kinds))}")
    noise, P = best_noise(data, configs, progress), data.num_angles
    everything = np.arange(P)
    subsets = [everything, *(np.delete(everything, p) for p in range(P if P > 1 else 0))]
    total = len(configs) * len(subsets)
    fits: list[Evidence] = []
    ratios = []
    for config in configs.values():
        for kept in subsets:
            progress("comparing", len(fits), total)
            own = None if noise is None else jax.tree.map(lambda leaf, kept=kept: leaf[kept], noise)
            made = sample_posterior(data.take(kept), config, noise=own)
            fits.append(evidence(made.inference.certificate))
            if kept is everything:
                ratios.append(log_evidence_ratios(made))
    progress("comparing", total, total)
    stacked = Evidence(*(np.reshape(leaf, (len(configs), -1)) for leaf in zip(*fits, strict=True)))
    phi = data.phi[: len(subsets) - 1]
    compared = tabulate(list(configs), phi, stacked, kinds.pop(), odds, ratios)
    return compared._replace(data_sha256=data.sha256())


def _check_odds(odds: Sequence[float] | None, names: Collection[str]) -> None:
    if odds is None or (len(odds) == len(names) and all(0 < value < np.inf for value in odds)):
        return
    raise InputError(
        f"odds must be a positive number of each of {', '.join(names)}, as 2,1, found "
        f"{','.join(f'{value:g}' for value in odds)}"
    )


def best_noise(
    data: TwoTimeData, configs: Mapping[str, FitConfig], progress: Progress = silent
) -> WorkingCovariance | None:
    """Return the noise that the best of several models finds in the data; None if independent.

    Evidence can only be compared under one noise. The best model is that of the highest likelihood
    with its own noise, what it cannot explain included.
    """
    estimates: list[Estimate] = []
    for config in configs.values():
        if NOISES[config.noise].estimate is None:
            return None
        progress("noise", len(estimates), len(configs))
        estimates.append(estimate_noise(data, config))
    progress("noise", len(estimates), len(configs))
    return max(estimates, key=lambda estimate: estimate.log_likelihood).noise


def evidence(certificate: Certificate) -> Evidence:
    """Return the evidence, NaN where k-hat says that its error is not known."""
    k_hat = certificate.evidence_k_hat
    trusted = 1.0 if k_hat < MAX_K_HAT else np.nan
    return Evidence(
        trusted * certificate.log_evidence,
        trusted * certificate.log_evidence_error,
        k_hat,
        certificate.certified,
    )


def tabulate(
    names: list[str],
    phi: np.ndarray,
    fits: Evidence,
    noise: str = "independent",
    odds: Sequence[float] | None = None,
    ratios: ArrayLike | None = None,
) -> Comparison:
    """Return the comparison of M models by evidences (M, 1 + P): of all angles, then without each.

    The error of a difference of scores is √P times the sd of its terms, which are independent,
    and the Monte Carlo errors of all evidences in it.

    Parameters
    ----------
    names : list of str
        Of the models.
    phi : numpy.ndarray
        (P,) azimuths left out, degree; none where there was only one.
    fits : Evidence
        Arrays (M, 1 + P).
    noise : str
        Under which all were made.
    odds : sequence of float, optional
        (M,) before the data; all alike by default.
    ratios : array_like, optional
        (M, 2) as of `log_evidence_ratios`; NaN by default.
    """
    order = np.argsort(-np.asarray(fits.log_evidence)[:, 0])  # NaN last
    log_evidence, error, k_hat, certified = (np.asarray(leaf)[order] for leaf in fits)
    scores, P = held_out(log_evidence), len(phi)
    difference = scores - scores[0]
    monte_carlo = np.hypot(P * error[:, 0], np.linalg.norm(error[:, 1:], axis=1))
    scored = 1.0 if P > 1 else np.nan
    spread = np.sqrt(P) * difference.std(axis=1, ddof=1) if P > 1 else np.nan
    other = np.where(np.arange(len(order)) > 0, 1.0, 0.0)  # the first is not against itself
    weight = np.ones(len(order)) if odds is None else np.asarray(odds, float)[order]
    share, share_error = probabilities(log_evidence[:, 0], error[:, 0], weight)
    no_ratios = np.full((len(order), len(WIDTHS)), np.nan)
    changed = no_ratios if ratios is None else np.asarray(ratios, float)[order]
    changed = changed + log_evidence[:, :1]
    index = pd.Index([names[i] for i in order], name="model")
    models = pd.DataFrame(
        {
            "log_evidence": log_evidence[:, 0],
            "log_evidence_error": error[:, 0],
            "k_hat": k_hat[:, 0],
            "certified": certified[:, 0],
            "log_bayes_factor": log_evidence[:, 0] - log_evidence[0, 0],
            "log_bayes_factor_error": other * np.hypot(error[:, 0], error[0, 0]),
            **dict(zip(BAYES_FACTORS, (changed - changed[0]).T, strict=True)),
            "odds": weight,
            "probability": share,
            "probability_error": share_error,
            "loao": scored * scores.sum(axis=1),
            "loao_difference": scored * difference.sum(axis=1),
            "loao_difference_error": np.hypot(
                spread, other * np.hypot(monte_carlo, monte_carlo[0])
            ),
        },
        index,
    )
    rows = pd.Index(phi, name="phi")
    angles, without = (pd.DataFrame(leaf.T, rows, index) for leaf in (scores, k_hat[:, 1:]))
    return Comparison(models, angles, without, noise)


def probabilities(
    log_evidence: np.ndarray, error: np.ndarray, odds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of models, one of which is true, and their errors; all (M,).

    NaN where the evidence of any is not known.
    """
    share = scipy.special.softmax(log_evidence + np.log(odds))
    slopes = np.diag(share) - np.outer(share, share)
    return share, np.sqrt((slopes * error) ** 2 @ np.ones(len(share)))


def held_out(log_evidence: np.ndarray) -> np.ndarray:
    """Return log p(part | rest), (..., P), of evidences of all data and without each part."""
    return log_evidence[..., :1] - log_evidence[..., 1:]


def sentences(compared: Comparison) -> list[str]:
    """Return what a comparison says, and what it cannot say, one sentence each."""
    best, others = compared.models.index[0], compared.models.iloc[1:]
    said = []
    for name, row in others[others["log_bayes_factor"].notna()].iterrows():
        ratio, difference = -row["log_bayes_factor"], -row["loao_difference"]
        narrow, wide = -row[list(BAYES_FACTORS)]
        said.append(
            f"The data prefer {best} over {name} by a log Bayes factor of {ratio:.2f} ± "
            f"{row['log_bayes_factor_error']:.2f}: {strength(ratio)} (Kass & Raftery 1995)."
        )
        if np.isfinite([narrow, wide]).all():
            said.append(
                f"With priors of the fluid two thirds as wide it is {narrow:.2f}, one and a half "
                f"times as wide {wide:.2f}"
                + (", so that priors decide." if narrow * wide < 0 else ".")
            )
        if np.isfinite(difference):
            said.append(
                f"Angles left out are predicted {'better' if difference > 0 else 'worse'} by "
                f"{best} than by {name}: log score {difference:+.1f} ± "
                f"{row['loao_difference_error']:.1f}, by the spread over {len(compared.angles)} "
                "angles."
            )
    shares = compared.models["probability"]
    if shares.notna().all():
        odds = ":".join(f"{value:g}" for value in compared.models["odds"])
        listed = ", ".join(f"{name} {_percent(value)}" for name, value in shares.items())
        said.append(f"If one of them is true, at prior odds {odds}: {listed}.")
    for name, k_hat in compared.models["k_hat"][compared.models["log_evidence"].isna()].items():
        said.append(f"The evidence of {name} cannot be trusted: {_why(k_hat)}.")
    unsure = compared.models["k_hat"].between(FINITE_VARIANCE, MAX_K_HAT, inclusive="left")
    if unsure.any():
        said.append(
            f"The evidence of {' and '.join(compared.models.index[unsure])} is less certain than "
            f"its error says, k-hat not being below {FINITE_VARIANCE}: method full is more exact."
        )
    for name, column in compared.k_hat.items():
        untrusted = column[~(column < MAX_K_HAT)]
        if len(untrusted) and np.isfinite(compared.models["log_evidence"][str(name)]):
            said.append(
                f"No leave-one-angle-out score of {name}: without φ = {untrusted.index[0]:.6g}° "
                f"{_why(untrusted.iloc[0])}."
            )
    if compared.angles.empty:
        said.append("With a single angle there is none to leave out.")
    return [*said, NOISES[compared.noise].words.caveat]


def strength(log_bayes_factor: float) -> str:
    """Return a log Bayes factor in words (Kass & Raftery, J. Am. Stat. Assoc. 90:773, 1995)."""
    weaker = (words for words, below in STRENGTH.items() if log_bayes_factor < below)
    return next(weaker, "very strong") + " evidence"


def _percent(share: float) -> str:
    """Return a probability in per cent, without rounding it to none or all."""
    if 1e-3 < share < 1 - 1e-3:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.1g} %" if share < 0.5 else "over 99.9 %"


def _why(k_hat: float) -> str:
    return f"k-hat is {k_hat:.2f}, not below {MAX_K_HAT}"
