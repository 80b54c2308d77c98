"""``init``: a settings file to fill in, and the schema by which an editor checks it."""

import json
import textwrap
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import TypeAdapter

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import overwrite
from homodyne_bayes.cli.settings import choices
from homodyne_bayes.config import SHORTHANDS, descriptions
from homodyne_bayes.files import atomic_path
from homodyne_bayes.fitting.settings import SECTIONS, FitConfig
from homodyne_bayes.results.places import SETTINGS, writable

TITLES = {"data": "What to read of a file.", "fit": "How to fit."}
TYPED = {"type": ["string", "number"]}  # what else may stand for a list or a mapping


@click.command()
@click.option("--out", default="settings.yaml", show_default=True, help="Settings file to write.")
@overwrite
def init(out: str, overwrite: bool) -> None:
    """Write a settings file with every setting explained, and its JSON schema."""
    path = writable(out, SETTINGS, replace=overwrite)
    beside = writable(path.with_suffix(".schema.json"), SETTINGS, replace=overwrite)
    for target, text in ((path, as_yaml(beside)), (beside, as_schema())):
        with atomic_path(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        screen.say(f"wrote {target}")
    screen.say(f"take the # from what you set, then: homodyne-bayes fit FILE --settings {path}")


def as_yaml(schema: Path) -> str:
    """Return every setting with its text and its default, commented out."""
    lines = [
        f"# yaml-language-server: $schema={schema.name}",
        "# Settings of homodyne-bayes. Flags win over them; what is commented out has its default.",
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"# {TITLES[section]}", f"{section}:"]
        for name, setting in descriptions(kind).items():
            default = setting.get_default(call_default_factory=True)
            lines += _entry(name, setting.description or "", default, choices(setting))
            if name == "priors":
                for word, shorthand in SHORTHANDS.items():
                    lines += _entry(word, shorthand.text, {}, ())
    return "\n".join(lines) + "\n"


def _entry(name: str, text: str, default: Any, choose: tuple[str, ...]) -> list[str]:
    said = f"{text} One of {', '.join(choose)}." if choose else text
    value = list(default) if isinstance(default, tuple) else default
    written = yaml.safe_dump({name: value}, default_flow_style=True).strip()[1:-1]
    written = f"{name}:" if value is None else written
    return [*(f"  ## {line}" for line in textwrap.wrap(said, 96)), f"  # {written}"]


def as_schema() -> str:
    """Return the JSON schema of a settings file."""
    sections = {name: _schema_of(kind) for name, kind in SECTIONS.items()}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "settings of homodyne-bayes",
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _schema_of(kind: type) -> dict[str, Any]:
    """Return the schema of a section: what pydantic knows, choices, and what may be typed."""
    made = TypeAdapter(kind).json_schema()
    for name, setting in descriptions(kind).items():
        own = made["properties"][name]
        if choices(setting):
            own["enum"] = [*choices(setting)]
        elif {"anyOf", "items", "additionalProperties"} & own.keys():
            kept = {key: own.pop(key) for key in ("description", "default") if key in own}
            made["properties"][name] = {**kept, "anyOf": [own, TYPED]}
            if own.get("type") == "object":
                own["additionalProperties"] = True
    if kind is FitConfig:
        made["properties"] |= {
            word: {"type": "object", "description": shorthand.text}
            for word, shorthand in SHORTHANDS.items()
        }
    return {"type": ["object", "null"]} | {k: v for k, v in made.items() if k != "type"}
