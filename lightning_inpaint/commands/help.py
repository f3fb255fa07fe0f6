"""``--help`` of every command, from the source of what it is made of: in a blink, our options first."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..configs import preset_names
from ..errors import UserError, did_you_mean
from .jobs import JOBS, TRAINER, Job
from .names import COMMANDS, program
from .signatures import REQUIRED, Described, Option, described, literal, table

__all__ = ["described_options", "shown"]

INDENT = 30
TOPICS = {
    "data": "where masked pictures come from",
    "sampler": "how latents walk",
    "trainer": "devices, precision, loggers",
    "checkpoint": "when and where the state is kept",
}


def shown(command: str, words: Sequence[str]) -> bool:
    """Print the help that the words ask for; False if they ask for none.

    Raises:
        UserError: there is no such topic.
    """
    asked = _asked(words)
    if asked is None:
        return False
    job = JOBS.get(command)
    text = _function(command) if job is None else _job(command, job, *asked)
    sys.stdout.write(text)
    return True


def _asked(words: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """The topic, and the classes that are chosen beside; None if no help is wanted."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", nargs="?", const="", dest="topic")
    for option in ("data", "model.sampler"):
        parser.add_argument(f"--{option}", nargs="?", dest=option)
        parser.add_argument(f"--{option}.help", nargs="?", const="?", dest=f"{option}.help")
    given = vars(parser.parse_known_args(list(words))[0])
    chosen = {name: given[name] for name in ("data", "model.sampler") if given[name]}
    topic = given["topic"]
    for name in ("data", "model.sampler"):
        value = given[f"{name}.help"]
        if value == "?":
            topic = name.rpartition(".")[2]
        elif value is not None:
            topic, chosen[name] = topic or "", value
    return None if topic is None else (topic, chosen)


def _job(command: str, job: Job, topic: str, chosen: Mapping[str, str]) -> str:
    names = {option: _choices(job, option) for option in job.choices}
    topics = [t for t in TOPICS if t == "trainer" or t in job.callbacks or _choice(job, t)]
    if topic == "trainer":
        trainer = described(TRAINER)
        options = [*_with(trainer.options, job.trainer)]
        seed = Option("seed_everything", "N", job.seed, "Seed of all other random numbers.")
        about = replace(trainer, summary="Lightning's Trainer.")
        return f"{_section('trainer', about, options)}\n{_rows('', [seed])}"
    if topic in job.callbacks:
        return _part(job, topic, job.callbacks[topic])
    if topic and _choice(job, topic):
        return _overview(command, _choice(job, topic), names[_choice(job, topic)])
    for option in job.choices:
        if topic in names[option]:
            chosen = {**chosen, option: topic}
            topic = ""
    if topic:
        known = [*topics, *(name for each in names.values() for name in each)]
        hint = did_you_mean(topic, known, f"there is {', '.join(topics)}.")
        raise UserError(f"--help {topic}: there is no such topic; {hint}")
    chosen = {option: name for option, name in chosen.items() if option in names}
    if chosen:
        return "\n".join(_chosen(job, option, name) for option, name in chosen.items())
    return _everything(command, job, topics)


def _everything(command: str, job: Job, topics: Sequence[str]) -> str:
    text = COMMANDS[command]
    parts = [f"usage: {program()} {command} [OPTIONS]\n", f"{text[0].upper()}{text[1:]}.\n"]
    config = f"YAML file, or a preset: {', '.join(_presets(command))}."
    general = [Option("config", "FILE", None, config)]
    general += [*described(job.own).options]
    general.append(Option("print_config", "", None, "Print all settings as YAML, and stop."))
    parts.append(_rows("", general))
    for name, path in job.parts.items():
        parts.append(_part(job, name, path))
    for option in job.choices:
        if option in job.unchosen:
            about = described(f"{job.defaults[option]}")
            parts.append(_section(option, about, about.options))
            for declared in map(literal, job.unchosen[option]):
                own = declared.get("init_args", {})
                parts.append(_chosen(job, option, declared["class_path"], True, own))
        else:
            parts.append(_chosen(job, option, _short(job, option), brief=True))
    for name, path in job.callbacks.items():
        if name not in topics:
            parts.append(_part(job, name, path, brief=True))
    parts.append("More:\n" + "".join(f"  {_more(command, topic)}\n" for topic in topics))
    return "\n".join(parts)


def _presets(command: str) -> list[str]:
    return [name for name in preset_names() if name.startswith("train_") == (command == "fit")]


def _more(command: str, topic: str) -> str:
    return f"{f'{program()} {command} --help {topic}':<50} {TOPICS[topic]}"


def _choice(job: Job, topic: str) -> str:
    """The option whose last name is the topic."""
    return next((option for option in job.choices if option.rpartition(".")[2] == topic), "")


def _choices(job: Job, option: str) -> dict[str, str]:
    """The import paths of the classes that there are, by what to write."""
    choices = job.choices[option]
    return table(choices) if isinstance(choices, str) else dict(choices)


def _overview(command: str, option: str, names: Mapping[str, str]) -> str:
    lines = [f"--{option} takes one of these, or the import path of a class of your own.\n\n"]
    for name, path in names.items():
        lines.append(_row(f"  {name}", described(path).summary))
    lines.append(f"\nOptions of one: {program()} {command} --{option} {next(iter(names))} --help\n")
    return "".join(lines)


def _chosen(
    job: Job, option: str, name: str, brief: bool = False, own: Mapping[str, Any] | None = None
) -> str:
    """The section of a class that an option has chosen, with its ``own`` defaults in place of the class's."""
    names = _choices(job, option)
    cls = next((key for key, path in names.items() if path.rpartition(".")[2] == name), name)
    path = names.get(cls, name)
    if "." not in path:
        hint = did_you_mean(name, names, f"give {', '.join(names)}, or an import path.")
        raise UserError(f"--{option} {name}: there is no such class; {hint}")
    about = described(path)
    known = {names[key].rpartition(".")[2]: key for key in names}
    title = f"--{option} {known.get(about.name, name)}"
    options = _with(_visible(job, option, about.options), own or {})
    return _section(option, about, options, title, brief)


def _part(job: Job, name: str, path: str, brief: bool = False) -> str:
    about = described(path)
    return _section(name, about, _visible(job, name, about.options), brief=brief)


def _visible(job: Job, name: str, options: Iterable[Option]) -> list[Option]:
    """Without what other options fill, and with the job's own defaults."""
    own = {
        key.rpartition(".")[2]: v for key, v in job.defaults.items() if key.startswith(f"{name}.")
    }
    kept = [option for option in options if f"{name}.{option.name}" not in job.linked]
    return _with([o for o in kept if f"{name}.{o.name}" not in job.choices], own) + [
        o if option in job.unchosen else replace(o, default=_short(job, option))
        for o in kept
        if (option := f"{name}.{o.name}") in job.choices
    ]


def _short(job: Job, option: str) -> str:
    """What to write for the default of a choice."""
    name = described(job.defaults[option]).name
    paths = _choices(job, option)
    return next(key for key, path in paths.items() if path.rpartition(".")[2] == name)


def _with(options: Iterable[Option], defaults: Mapping[str, Any]) -> list[Option]:
    return [replace(o, default=defaults.get(o.name, o.default)) for o in options]


def described_options(job: Job) -> dict[str, Option]:
    """Every option that help explains, by its flag without dashes: for comparison with the parser."""
    found = {option.name: option for option in described(job.own).options}
    paths = {**job.parts, **job.callbacks}
    for name, path in paths.items():
        for option in _visible(job, name, described(path).options):
            found[f"{name}.{option.name}"] = option
    for option in _with(described(TRAINER).options, job.trainer):
        found[f"trainer.{option.name}"] = option
    return found


def _function(command: str) -> str:
    about = described(f"lightning_inpaint.commands.{command}.{command}")
    words = [o for o in about.options if o.positional]
    shown = " ".join(o.name if o.default is REQUIRED else f"[{o.name}]" for o in words)
    options = [o for o in about.options if not o.positional]
    usage = f"usage: {program()} {command} {shown} {'[OPTIONS]' if options else ''}"
    rows = [_row(f"  {o.name}", _text(o)) for o in words]
    parts = [
        f"{' '.join(usage.split())}\n",
        f"{about.summary}\n",
        "".join(rows),
        _rows("", options),
    ]
    return "\n".join(part for part in parts if part)


def _section(
    name: str, about: Described, options: Iterable[Option], title: str = "", brief: bool = False
) -> str:
    heading = f"{title}: {about.summary}" if title else f"{name}: {about.summary}"
    details = "" if brief or not title or not about.details else f"\n{about.details}\n\n"
    prefix = f"{name}."
    return f"{textwrap.fill(heading, _width())}\n{details}{_rows(prefix, options)}"


def _rows(prefix: str, options: Iterable[Option]) -> str:
    return "".join(_row(f"  --{prefix}{o.name} {_written(o)}", _text(o)) for o in options)


def _written(option: Option) -> str:
    return "" if option.kind == "BOOL" and option.default is False else option.kind


def _text(option: Option) -> str:
    if option.default is REQUIRED:
        return f"{option.text} (needed)"
    if option.default is None or (option.default is False and option.kind == "BOOL"):
        return option.text
    text = re.sub(r" Defaults?:? \S+$", "", option.text)  # as Lightning says it
    return f"{text} (default: {_literal(option.default)})"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(_literal, value))
    return '""' if value == "" else str(value)


def _row(left: str, text: str) -> str:
    lines = textwrap.wrap(text, max(_width() - INDENT, 30)) or [""]
    left = left.rstrip()
    first = [] if len(left) < INDENT - 1 else [left]
    start = left if not first else ""
    body = [
        f"{start:<{INDENT}}{lines[0]}".rstrip(),
        *(f"{'':<{INDENT}}{line}" for line in lines[1:]),
    ]
    return "\n".join([*first, *body]) + "\n"


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 110)
