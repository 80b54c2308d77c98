"""Tables of a result: a row of `TABLES` each, which the page, the terminal and LaTeX loop over."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from homodyne_bayes.results import budget, compared, diagnostics, sentences
from homodyne_bayes.results import rows as made
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.levels import KIND, in_percent, levels, suffixes
from homodyne_bayes.results.rows import MAX_SHARDS, Row
from homodyne_bayes.text import number


class Cell(NamedTuple):
    """One entry: its text, a remark after it, whether either is an alarm, and its name in code."""

    text: str
    remark: str = ""
    alarm: bool = False
    code: str = ""


class Column(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    head : str
        Heading; where it may be broken it has a line break.
    cell : callable
        Makes the entry of a row.
    kind : {"number", "wide", "text", "prose"}
        How it is set.
    narrow : bool
        Whether it is shown where there is less room than on the page.
    """

    head: str
    cell: Callable[[Row], Cell]
    kind: str = "number"
    narrow: bool = True


class Table(NamedTuple):
    """One table, shown where it has rows.

    Attributes
    ----------
    title : str
        Heading.
    rows : callable
        Makes the rows of a result, as text by name; none where the table does not apply.
    columns : callable
        Makes the columns for a result and its rows.
    before, after : callable
        Make the sentences around the table.
    style : str
        Class of the table on the page.
    media : tuple of str
        Where it is shown: "page", "terminal", "paper".
    part : str
        In which of `homodyne_bayes.results.parts.PARTS` of the page it stands.
    """

    title: str
    rows: Callable[[Numbers], list[Row]]
    columns: Callable[[Numbers, list[Row]], list[Column]]
    before: Callable[[Numbers], list[str]] = lambda _: []
    after: Callable[[Numbers], list[str]] = lambda _: []
    style: str = "plain"
    media: tuple[str, ...] = ("page",)
    part: str = "found"


class Shown(NamedTuple):
    """A table of a result, ready to be set: ``columns`` as they apply, ``cells`` row by row."""

    name: str
    title: str
    style: str
    columns: list[Column]
    cells: list[list[Cell]]
    before: list[str]
    after: list[str]
    part: str


def shown(numbers: Numbers, medium: str = "page") -> list[Shown]:
    """Return the tables that a result has in a medium."""
    tables = []
    for name, table in TABLES.items():
        rows = table.rows(numbers) if medium in table.media else []
        if rows:
            columns = [c for c in table.columns(numbers, rows) if c.narrow or medium == "page"]
            cells = [[column.cell(row) for column in columns] for row in rows]
            around = (table.before(numbers), table.after(numbers))
            tables.append(
                Shown(name, table.title, table.style, columns, cells, *around, table.part)
            )
    return tables


def under(key: str) -> Callable[[Row], Cell]:
    """Return what makes an entry of the text under a key of a row."""
    return lambda row: Cell(row[key])


def named(row: Row) -> Cell:
    """Return the entry of a parameter: its symbol and, where that does not hold it, its name."""
    name, _, where = row["label"].partition(" [")
    code = "" if row["name"] in name else row["name"] + (f"[{where}" if where else "")
    return Cell(row["label"], code=code)


def _parameter_columns(numbers: Numbers, rows: list[Row]) -> list[Column]:
    head = sentences.interval_label(numbers).replace(", ", ",\n")
    compared = numbers.words("noise").get("compared", "least squares at the mode")
    columns = [
        Column("parameter", named, "text"),
        Column("mean", under("mean")),
        Column("sd", under("sd")),
        Column("median", under("median")),
        *(
            Column(f"{in_percent(level)} % interval", under(f"interval{which}"), "wide")
            for which, level in suffixes(levels(numbers.tree)).items()
            if which
        ),
        Column(head, under("interval"), "wide"),
    ]
    if any(row["unit"] for row in rows):
        columns.append(Column("unit", under("unit"), "text"))
    if any(row["truth"] for row in rows):
        columns.append(Column("true value", _true, "text"))
    if "noise" in numbers.tree.children:
        columns.append(Column("times\nuncorrected", under("of_uncorrected")))
    chains = diagnostics.all_by_nuts(numbers.tree)
    return [
        *columns,
        Column(compared, under("warm_start"), "wide", narrow=False),
        *([Column("R-hat", under("r_hat"))] if chains else []),
        Column("bulk ESS" if chains else "ESS", under("ess")),
        Column("Monte Carlo\nerror (sd)", under("mcse")),
        Column(
            "of prior’s width",
            lambda row: Cell(row["of_prior"], row["driven"], alarm=bool(row["driven"])),
            narrow=False,
        ),
    ]


def _true(row: Row) -> Cell:
    return Cell(row["truth"], row["inside"], alarm=row["inside"] == "outside")


def _budget_columns(numbers: Numbers, _rows: list[Row]) -> list[Column]:
    parts, level = ("statistical", "systematic", "combined"), in_percent(levels(numbers.tree)[-1])
    return [
        Column("quantity", named, "text"),
        Column("median", under("median")),
        *(Column(f"{part}\n{level} % interval", under(part), "wide") for part in parts),
        Column("unit", under("unit"), "text"),
        Column("dominated by,\nof variance", under("dominating"), "text"),
    ]


def _budget_after(_numbers: Numbers) -> list[str]:
    return [
        "Systematic is what the stated uncertainties alone make about the median, common to all "
        "angles and wavevectors and propagated after the fit: the priors are of what is inferred "
        "with q, dt, the gap and azimuths as stated. Contrast, offset and noise do not follow them."
    ]


def _statistical(numbers: Numbers) -> list[str]:
    """Return of what kind intervals are, and what those of the first table leave out."""
    kind = f"Intervals are {KIND}: as much of the posterior lies below as above."
    if budget.stated(numbers.tree):
        return [
            kind,
            "These intervals are statistical; the next table adds what was stated of q, dt, "
            "the gap and azimuths.",
        ]
    return [kind, *budget.sentences(numbers)]


def _misfit_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("kind", under("kind"), "text"),
        Column("χ²", under("chi2")),
        Column("degrees of freedom", under("dof")),
        Column("p", lambda row: Cell(row["p"], alarm=bool(row["departs"]))),
        Column("what a departure would tell", under("meaning"), "prose"),
    ]


def _misfit_after(numbers: Numbers) -> list[str]:
    return [
        "Each test asks whether the residuals move along changes of the map that the model cannot "
        "make, by Rao’s score with the covariance that it has under the noise of this result. A "
        "kind departs where p, times the number of tests, is at most "
        f"{numbers.limits['misfit']:g}."
    ]


def _comparison_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("model", under("model"), "text"),
        Column("log evidence", under("evidence")),
        Column("log Bayes factor,\nagainst the first", under("factor")),
        Column("probability", under("probability")),
        Column("log score of angles\nleft out, less the first’s", under("angles")),
    ]


def _noise_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("symbol", under("symbol"), "text"),
        Column("value", under("value"), "prose"),
        Column("meaning", under("meaning"), "prose"),
    ]


def _detector_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("q (1/Å)", under("q"), "text"),
        Column("", under("name"), "text"),
        Column("detector", under("told")),
        Column("maps", under("seen")),
        Column("error", under("error")),
        Column("p", lambda row: Cell(row["p"], alarm=bool(row["departs"]))),
    ]


def _shards_before(numbers: Numbers) -> list[str]:
    checks = group(numbers.tree, "shard_checks")
    test, total = checks.attrs, checks.sizes["shard"]
    agree = min(test["p_value"], test["worst_p"]) >= numbers.limits["min_agreement_p"]
    said = [
        f"The shards {'agree within their spread' if agree else 'disagree'}: "
        f"χ² = {test['chi2']:.1f} on {test['dof']} degrees of freedom, p = {test['p_value']:.2g}; "
        "of the shard that deviates most, corrected for their number, "
        f"p = {test['worst_p']:.2g}. The score is the deviation of the shard’s mean, in the "
        "coordinate where it is largest, in units of its expected spread."
    ]
    if total > MAX_SHARDS:
        said.append(f"The {MAX_SHARDS} of {total} shards that deviate most are shown.")
    return said


def _shards_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("shard", under("shard"), "text"),
        Column("R-hat", under("r_hat")),
        Column("bulk ESS", under("ess")),
        Column("divergences", under("diverging")),
        Column("largest score", under("score")),
        Column("coordinate", under("coordinate"), "text"),
    ]


def _corrections_before(numbers: Numbers) -> list[str]:
    approximation, table = numbers.words("method")["approximation"], numbers.corrections
    scales = [row for name, row in numbers.parameters.items() if row.role == "noise"]
    said = [
        f"The {approximation} before it was corrected, against the result: the difference of the "
        "means in units of the posterior’s sd, and the ratio of the sds."
    ]
    return said + [
        f"The noise scale {row.symbol} was off by {number(float(table['shift'][row.name]))} sd in "
        f"the mean, and {number(float(table['sd_ratio'][row.name]))} times as wide."
        for row in scales
        if row.name in table.index
    ]


def _corrections_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("parameter", under("label"), "text"),
        Column("shift (sd)", under("shift")),
        Column("ratio of sds", under("sd_ratio")),
    ]


def _sensitivity_before(numbers: Numbers) -> list[str]:
    return [
        "How much the posterior of a coordinate changes where prior or likelihood is raised to a "
        f"power close to 1; above {numbers.limits['sensitive']:g} it is sensitive. A coordinate "
        "sensitive to the prior and to the likelihood tells of a prior-data conflict, one "
        "sensitive to the prior alone of a strong prior or a weak likelihood (Kallioinen et al., "
        "Stat. Comput. 34:57, 2024)."
    ]


def _sensitivity_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("parameter", named, "text"),
        Column("prior", under("prior")),
        Column("likelihood", under("likelihood")),
        Column("diagnosis", lambda row: Cell(row["diagnosis"], alarm=True), "text"),
    ]


def _priors_columns(_numbers: Numbers, _rows: list[Row]) -> list[Column]:
    return [
        Column("parameter", named, "text"),
        Column("prior", under("prior"), "text"),
        Column("unit", under("unit"), "text"),
        Column("meaning", under("meaning"), "prose"),
        Column("because", under("reason"), "prose"),
    ]


def _noise_before(numbers: Numbers) -> list[str]:
    return [
        sentence
        for sentence in (numbers.words("noise").get("explanation"), sentences.growth(numbers))
        if sentence
    ]


def _of_parameters(title: str, roles: tuple[str, ...], media: tuple[str, ...]) -> Table:
    """Return the table of the parameters of some roles."""
    rows = partial(made.of_role, roles=roles)
    return Table(title, rows, _parameter_columns, style="posterior", media=media)


BOTH = ("page", "terminal")


TABLES: dict[str, Table] = {
    "parameters": _of_parameters("Parameters", ("physical", "noise"), BOTH)._replace(
        after=_statistical
    ),
    "budget": Table(
        "Budget of uncertainty",
        made.budget,
        _budget_columns,
        budget.sentences,
        _budget_after,
        style="posterior",
        media=(*BOTH, "paper"),
    ),
    "scaling": _of_parameters("Contrast and offset of every angle", ("scaling",), BOTH)._replace(
        part="draws"
    ),
    "coordinates": _of_parameters(
        "Coordinates in which the rates were sampled", ("coordinate",), ("page",)
    )._replace(part="draws"),
    "misfit": Table(
        "Tests of misfit",
        made.misfit,
        _misfit_columns,
        sentences.misfit,
        _misfit_after,
        media=("page", "paper"),
        part="checks",
    ),
    "comparison": Table(
        "Models compared",
        compared.rows,
        _comparison_columns,
        compared.odds,
        compared.sentences,
        media=("page", "paper"),
        part="checks",
    ),
    "noise": Table("Noise", made.noise, _noise_columns, _noise_before, part="noise"),
    "detector": Table(
        "What the detector tells, and what the scatter of the maps says",
        made.detector,
        _detector_columns,
        lambda _: ["Of pixels, how many scatter so where a pixel counts what the detector tells."],
        part="noise",
    ),
    "shards": Table("Shards", made.shards, _shards_columns, _shards_before, part="computing"),
    "corrections": Table(
        "How far the approximation was off",
        made.corrections,
        _corrections_columns,
        _corrections_before,
        part="computing",
    ),
    "sensitivity": Table(
        "Sensitivity to the prior",
        made.sensitivity,
        _sensitivity_columns,
        _sensitivity_before,
        media=("page", "paper"),
        part="priors",
    ),
    "priors": Table("Priors", made.priors, _priors_columns, media=("page", "paper"), part="priors"),
}
