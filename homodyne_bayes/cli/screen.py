"""What a terminal shows: tables, progress, warnings, and how a command fails."""

import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from homodyne_bayes.text import plain

if TYPE_CHECKING:
    from homodyne_bayes.data.two_time import TwoTimeData

LOG_EVERY = 10.0  # s between two lines of a stage in a log
MIN_WIDTH = 144  # of tables: where the terminal is narrower, it wraps and nothing is lost


class _Choice:
    """What is shown beside errors, and where a log goes, for the whole command."""

    quiet = False
    verbose = False
    log: Console | None = None


def choose(quiet: bool, verbose: bool, log: str | None) -> None:
    """Say less or more, and add all that is said to a file.

    Raises
    ------
    InputError
        If the file is no log of this package, or cannot be written.
    """
    if _Choice.log is not None:
        _Choice.log.file.close()
    _Choice.quiet, _Choice.verbose, _Choice.log = quiet, verbose, None
    if log is None:
        return
    from homodyne_bayes.results.places import LOG, writable  # noqa: PLC0415 - help needs none

    stream = writable(log, LOG, replace=True).open("a", encoding="utf-8")
    _Choice.log = Console(file=stream, width=MIN_WIDTH, force_terminal=False, color_system=None)
    call = shlex.join(sys.argv[1:])
    written(f"{time.strftime('%Y-%m-%d %H:%M:%S')} homodyne-bayes {call}")


def quiet() -> bool:
    """Return whether less is to be said."""
    return _Choice.quiet


def detail(sentence: str) -> None:
    """Say what only those want to know who asked for more; a log has it always."""
    if _Choice.verbose:
        console().print(sentence, markup=False, highlight=False, soft_wrap=True)
    written(sentence)


def written(sentence: str) -> None:
    """Add a sentence to the log, where there is one."""
    if _Choice.log is not None:
        _Choice.log.print(sentence, markup=False, highlight=False, soft_wrap=True)
        _Choice.log.file.flush()


def show(what: Any, **how: Any) -> None:
    """Print a table or a text with its style, on the screen and into the log."""
    console().print(what, **how)
    if _Choice.log is not None:
        _Choice.log.print(what, **how)
        _Choice.log.file.flush()


def print_json(values: Any) -> None:
    """Print mappings, lists, text and numbers as JSON, which has no NaN: null."""
    print(json.dumps(plain(values), ensure_ascii=False, indent=2))  # noqa: T201


def described(data: "TwoTimeData") -> str:
    """Return the size of the data in words."""
    dead = int(data.excluded.sum())
    several = len(set(data.wavevectors.tolist()))
    bins = f"{several} q, {data.num_angles} bins" if several > 1 else f"{data.num_angles} angles"
    text = f"{bins} × {data.num_frames} frames, {data.num_pairs} distinct pairs"
    text += f", {data.num_missing} not measured" if data.num_missing else ""
    return f"{text}, {dead} unusable frames left out" if dead else text


@contextmanager
def progress_bar(work: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function ``(stage, done, total)`` that shows progress, one bar a stage.

    Where no terminal is there to redraw them, as in a log, it prints a line now and then.
    """
    screen, log = console(stderr=True), _Choice.log
    lines = [log] if log is not None else []
    if not (screen.is_terminal or _Choice.quiet):
        lines.append(screen)
    with ExitStack() as logs:
        written = [logs.enter_context(_lines(one, work)) for one in lines]
        drawn = screen.is_terminal and not _Choice.quiet
        shown = [*written, *([logs.enter_context(_bars(screen, work))] if drawn else [])]

        def update(stage: str, done: int, total: int) -> None:
            for one in shown:
                one(stage, done, total)

        yield update


@contextmanager
def _bars(screen: Console, work: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that draws progress as bars, below one for all that moves as long as any."""
    columns = (TextColumn("{task.description:10}"), BarColumn(20), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"))
    bar = Progress(*columns, *times, console=screen)
    tasks: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if not tasks:
            bar.console.print(work, highlight=False, soft_wrap=True)
            bar.start()
            tasks[""] = bar.add_task("in all", total=None)
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    try:
        yield update
    finally:
        if tasks:
            bar.stop()


@contextmanager
def _lines(screen: Console, work: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that prints progress as lines, and a sign of life where none comes."""
    ended, stages = threading.Event(), [""]
    tell = _logged(screen, work)

    def update(stage: str, done: int, total: int) -> None:
        stages[0] = stage
        tell(stage, done, total)

    def live() -> None:
        began = time.perf_counter()
        while not ended.wait(LOG_EVERY):
            spent = time.perf_counter() - began
            line = f"at work, {spent:.0f} s elapsed in all, last heard of {stages[0] or 'nothing'}"
            screen.print(line, highlight=False, soft_wrap=True)

    threading.Thread(target=live, daemon=True).start()
    try:
        yield update
    finally:
        ended.set()


def _logged(screen: Console, work: str) -> Callable[[str, int, int], None]:
    """Return a function that prints progress as lines, the first and last of a stage among them."""
    began: dict[str, float] = {}
    printed: dict[str, float] = {}

    def update(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not began:
            screen.print(work, highlight=False, soft_wrap=True)
        spent = now - began.setdefault(stage, now)
        if done < total and now - printed.get(stage, -LOG_EVERY) < LOG_EVERY:
            return
        printed[stage] = now
        left = f", {spent * (total - done) / done:.0f} s left" if 0 < done < total else ""
        line = f"{stage} {done}/{total}, {spent:.0f} s elapsed{left}"
        screen.print(line, highlight=False, soft_wrap=True)

    return update


def say(sentence: str) -> None:
    """Print a sentence as it is, however long and whatever brackets it holds."""
    console().print(sentence, markup=False, highlight=False, soft_wrap=True)
    written(sentence)


def console(*, stderr: bool = False) -> Console:
    """Return the screen, or where progress goes; tables get room and wrap where it is narrow."""
    screen = Console(stderr=stderr)
    screen.width = max(screen.width, MIN_WIDTH) if not stderr else screen.width
    return screen


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a Python warning as one line."""
    print(f"warning: {message}", file=sys.stderr)  # noqa: T201
    written(f"warning: {message}")


def fail(sentence: str, code: int) -> NoReturn:
    """Print an error and leave."""
    say_error(sentence)
    sys.exit(code)


def say_error(sentence: str) -> None:
    """Print an error at once."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
    written(f"error: {sentence}")
