"""How to fit: settings, checked against the tables of choices when they are made."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from homodyne_bayes.config import STRICT, Count, DataConfig, OneOf, Priors, settings, stating
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.statements import check_statements
from homodyne_bayes.fitting.uncertainty import Uncertainty, check_followed
from homodyne_bayes.inference.merges import RULES
from homodyne_bayes.inference.methods import METHODS, Sampling
from homodyne_bayes.inference.nuts import CHAIN_METHODS, NutsSettings
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.likelihood.scaling import SCALINGS, Scaling, scaling_of
from homodyne_bayes.model_files import load_model, model_name
from homodyne_bayes.parameters import Parameter, Prior, Statement, priors_of
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.integration import INTEGRATIONS
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import Physics


def _scaling(value: str) -> str:
    """Check a scaling and write out how many harmonics "fourier" has."""
    try:
        scaling = scaling_of(value)
    except (KeyError, ValueError):
        names = ", ".join(SCALINGS).replace("fourier", "fourier:K (K harmonics)")
        raise ValueError(f"must be one of {names}") from None
    return f"fourier:{scaling.order}" if value.partition(":")[0] == "fourier" else value


@settings("fit", stating)
@dataclass(frozen=True, config=STRICT)
class FitConfig:
    """How to fit; the text of every field is its command line help.

    Parts of ``priors`` have keywords of their own, which map names of parameters: ``fix`` to the
    value, ``bounds`` to the lower and upper one, ``start`` to where the search for the mode starts.
    """

    model: Any = "laminar_flow"
    """As `models` lists them, NAME:D=constant for another law, or file.py:function of your own."""
    convention: Annotated[str, AfterValidator(OneOf(CONVENTIONS))] = "upstream"
    """Shear phase as homodyne 2.x has it, or averaged over the gap."""
    integration: Annotated[str, AfterValidator(OneOf(INTEGRATIONS))] = "exact"
    """Integrals of the rates over time: exact, or trapezoids on the frames as homodyne 2.x has."""
    priors: Priors = Field(default_factory=dict)
    """What is known of a parameter: LOC,SCALE, e.g. phi0=0,10, or e.g. D0=lognormal(9,1)."""
    uncertainty: Uncertainty = Field(default_factory=dict)
    """Relative sd of q, gap and dt, and that of the azimuth's zero in degree: gap=0.03,phi=0.5."""
    scaling: Annotated[str, AfterValidator(_scaling)] = "shared"
    """Of contrast and offset: shared, individual, averaged, constant, fourier:K or integrated."""
    method: Annotated[str, AfterValidator(OneOf(METHODS))] = "consensus"
    """NUTS on shards and a merge, the fit at the mode alone (both reweighted), or NUTS on all."""
    noise: Annotated[str, AfterValidator(OneOf(NOISES))] = "speckle"
    """Speckle's own correlations; least squares, its intervals corrected for them; or neither."""
    bin_frames: Count = 1
    """Frames averaged together in residuals, for more than 1000; short lags are lost."""
    compress: bool = True
    """Sample maps at a hundred of their pairs, judged by all the data; no takes all, slowly."""
    num_shards: Annotated[int, Field(ge=2)] = 4
    """Shards of method consensus: of whole angles, at most one each."""
    merge: Annotated[str, AfterValidator(OneOf(RULES))] = "cavity"
    """How shards are merged; cavity samples each within the rest as a Gaussian, and is exactest."""
    rescue_pairs: Annotated[int, Field(ge=0)] = 100_000
    """Where certification fails, run full NUTS on at most this many pairs; 0 for never."""
    num_warmup: Count = 100
    """Warm-up transitions of a chain."""
    num_samples: Annotated[int, Field(ge=4)] = 1500
    """Kept draws of a chain."""
    num_chains: Count = 4
    """Chains of a shard."""
    target_accept_prob: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Raise it where transitions diverge."""
    max_tree_depth: Annotated[int, Field(ge=1, le=15)] = 10
    """At most 2^depth leapfrog steps a draw."""
    chain_method: Annotated[str, AfterValidator(OneOf(CHAIN_METHODS))] = "parallel"
    """Chains over devices, or in lockstep on one, which pays on a GPU."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all randomness."""

    def __post_init__(self) -> None:
        """Refuse choices that do not go together, and priors of what cannot have one."""
        check_statements(self.stated, self.record, self.parameters, self.scale)
        check_followed(self.uncertainty, self.record, model_name(self.model))
        if self.scale.integrated and NOISES[self.noise].gram is None:
            raise InputError(
                f"scaling {self.scaling!r} integrates contrast and offset, which noise "
                f"{self.noise!r} does not allow: choose scaling individual"
            )

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults."""
        return f"FitConfig({', '.join(f'{k}={v!r}' for k, v in self._chosen().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in self.recorded().items())
        return f"<table><caption>FitConfig</caption>{rows}</table>"

    def _chosen(self) -> dict[str, Any]:
        fields = type(self).__dataclass_fields__
        values = {name: getattr(self, name) for name in fields}
        return {k: v for k, v in values.items() if v != fields[k].default and v != {}}

    @property
    def physics(self) -> Physics:
        """How the formula is read."""
        return Physics(self.convention, self.integration)

    @property
    def record(self) -> Model:
        """The model."""
        return load_model(self.model)

    @property
    def scale(self) -> Scaling:
        """How contrast and offset vary."""
        return scaling_of(self.scaling)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of all parameters, in the order in which results show them."""
        table, noise = self.record.table, NOISES[self.noise]
        coordinates = tuple(row for row in table if row.role == "coordinate")
        physical = tuple(row for row in table if row.role != "coordinate")
        return (*physical, *self.scale.parameters, *noise.parameters, *coordinates)

    @property
    def stated(self) -> dict[str, Statement]:
        """What the user says of parameters, by name."""
        return {name: Statement.of(said) for name, said in self.priors.items()}

    @property
    def known(self) -> frozenset[str]:
        """Names of the parameters of which the user says more than where to start."""
        return frozenset(name for name, said in self.stated.items() if said.of_prior)

    def prior_table(self, model: Model | None = None) -> dict[str, Prior]:
        """Return the priors of all that is sampled or held, with the user's in place.

        Those of the rates are those of the ``model``, where it is given.
        """
        of_model = {row.name: row for row in (model or self.record).sampled(self.known)}
        own = (*self.scale.parameters, *NOISES[self.noise].parameters)
        rows = of_model | {row.name: row for row in own}
        priors = priors_of(rows[row.name] for row in self.parameters if row.name in rows)
        stated = self.stated
        return {n: stated[n].prior(p) if n in stated else p for n, p in priors.items()}

    @property
    def sampling(self) -> Sampling:
        """How a posterior is sampled, whatever it is the posterior of."""
        names = (name for name in NutsSettings._fields if hasattr(self, name))
        nuts = NutsSettings(**{name: getattr(self, name) for name in names})
        return Sampling(self.method, self.merge, self.rescue_pairs, nuts)

    def recorded(self) -> dict[str, Any]:
        """Return the settings as a result keeps them: JSON can hold them."""
        return {**asdict(self), "model": model_name(self.model)}


SECTIONS: dict[str, type[DataConfig] | type[FitConfig]] = {"data": DataConfig, "fit": FitConfig}


def make[T: (DataConfig, FitConfig)](kind: type[T], values: Mapping[str, Any]) -> T:
    """Return checked settings of one section, e.g. of a settings file.

    Raises
    ------
    InputError
        Naming the first key that is unknown or invalid, what was found and what is allowed.
    """
    return kind(**{str(name): value for name, value in values.items()})
