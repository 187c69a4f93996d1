"""The runs that a command line names: by path, id, display name, beginning of these, query or Slurm job."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.cli.server import add_store
from tracker.errors import ApiUsageError, NotFoundError, UsageError
from tracker.ground.settings import Settings

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.api.run import Run
    from tracker.api.runs import Runs

# The exit code of a command that names a run which does not exist, or which several runs match.
NO_RUN = 4
RUN_HELP = "[[ENTITY/]PROJECT/]ID, a unique name, or a unique beginning of an id or a name"
NEWEST_FIRST = "-created_at"
STATES = ("running", "preempting", "finished", "failed", "crashed", "killed", "preempted")
_SHORT = ("config.", "summary.")
_ALSO_ARCHIVED = {"archived": {"$in": [True, False]}}
# The project of settings that name none.
_NO_PROJECT = Settings(store=Path()).project
# Options whose values can begin with a minus sign.
_SIGNED = {
    **dict.fromkeys(("-s", "--sort"), "--sort"),
    **dict.fromkeys(("-q", "--query"), "--query"),
    **dict.fromkeys(("-u", "--until"), "--until"),
}
# The beginning of a query such as -state:failed or -lr>0.1, and not of an option with one letter.
_NEGATED = re.compile(r"-[A-Za-z_][\w./]+(:|[<>]|!?=)")
# The number of matching runs that an error lists.
_LISTED = 5


class NoRunError(NotFoundError):
    """A named run does not exist."""

    exit_code = NO_RUN


class AmbiguousRunError(UsageError):
    """Several runs match a name."""

    exit_code = NO_RUN


def add_place(parser: argparse.ArgumentParser, *, short: bool = True) -> None:
    """Add the options that name a store, an entity and a project.

    Args:
        parser: The parser of a command.
        short: Whether the options also have a form with one letter.
    """
    parser.add_argument(
        *(("-p", "--project") if short else ("--project",)),
        help="[ENTITY/]PROJECT to search (default: the project of the settings, else all projects)",
    )
    parser.add_argument(
        *(("-e", "--entity") if short else ("--entity",)), help="entity (default: from the settings)"
    )
    add_store(parser)


def add_order(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--sort``."""
    parser.add_argument(
        *("-s", "--sort"),
        default=NEWEST_FIRST,
        metavar="KEYS",
        help="such as: val/loss,name; -val/acc puts the largest first (default: newest first)",
    )


def accept_minus_signs(parser: argparse.ArgumentParser, *, positional: bool = False) -> None:
    """Let values of ``--sort`` and queries begin with a minus sign, which marks options elsewhere.

    Args:
        parser: The parser of a command.
        positional: Whether a query needs no option. One such as ``-state:failed`` is then recognized by its
            comparison.
    """
    parse = parser.parse_known_args

    def parse_with_minus_signs(arguments: Sequence[str], namespace: Any = None) -> Any:
        joined: list[str] = []
        queries: list[str] = []
        for at, each in enumerate(arguments):
            if each == "--":
                queries += arguments[at + 1 :]
                break
            if joined and joined[-1] in _SIGNED and each.startswith("-"):
                joined[-1] = f"{_SIGNED[joined[-1]]}={each}"
            elif positional and _NEGATED.match(each):
                queries.append(each)
            else:
                joined.append(each)
        return parse([*joined, "--", *queries] if queries else joined, namespace)

    parser.parse_known_args = parse_with_minus_signs  # type: ignore[method-assign,assignment]


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name runs: names, a query, a Slurm job, and the options of ``add_place``."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help=RUN_HELP)
    add_query(parser)
    add_job(parser)
    add_place(parser)


def add_query(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--query``."""
    parser.add_argument("-q", "--query", default="", help="all runs that match, such as: state:failed lr>0.1")
    accept_minus_signs(parser)


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--job``."""
    parser.add_argument("--job", metavar="SLURM_JOB_ID", help="all runs of a Slurm job, array or array task")


class Selection:
    """The store or server of a command line, and the projects that it names.

    Args:
        api: Reads the store or the server.
        preferred: The named project, or that of the settings, as entity and project; None without one.
        only: Whether the command line names the project, so that no other project is searched.
    """

    def __init__(self, api: Api, preferred: tuple[str, str] | None, only: bool) -> None:
        self.api = api
        self.preferred = preferred
        self._only = only

    def again(self) -> Selection:
        """Return the same selection, which reads the projects again."""
        return Selection(self.api, self.preferred, self._only)

    @cached_property
    def projects(self) -> list[tuple[str, str]]:
        """The preferred project, or else all projects of the entity, the most recently changed first."""
        return [self.preferred] if self.preferred else self.all_projects

    @cached_property
    def all_projects(self) -> list[tuple[str, str]]:
        """All projects of the entity."""
        return [(each.entity, each.name) for each in self.api.projects()]

    def find(self, text: str) -> Run:
        """Return the run that a text names.

        Raises:
            NoRunError: No run matches.
            AmbiguousRunError: Several runs match.
        """
        if re.search(r"[/:]", text):
            with suppress(NotFoundError, ApiUsageError):
                return self.api.run(text)
        for name, places in self._scopes(text):
            found = [run for place in places for run in self._matches(place, name)]
            if found:
                return _best(name, found)
        hint = (
            "Select several runs with: -q QUERY"
            if set(text) & set("*?[]:<>=")
            else "List the runs with: tracker ls"
        )
        raise NoRunError(f"No run matches {text!r}. {hint}")

    def _scopes(self, text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield names with the projects to search: the first that have a match are used."""
        *path, name = text.strip("/").split("/")
        if path and all(path) and name and len(path) < 3:
            entity = path[0] if len(path) == 2 else self.api.default_entity
            yield name, [(entity, path[-1])]
        if self.preferred is not None:
            yield text, [self.preferred]
        if not self._only:
            yield text, self.all_projects

    def _matches(self, place: tuple[str, str], name: str) -> list[Run]:
        beginning = {"$regex": f"^{re.escape(name)}"}
        same = [{"name": name}, {"display_name": name}]
        # The other queries only if needed: they read the names of all runs.
        for tests in (same, [{"name": beginning}], [{"display_name": beginning}]):
            filters = {**_ALSO_ARCHIVED, "$or": tests}
            if found := list(self.api.runs("/".join(place), filters, NEWEST_FIRST, 1000)):
                return found
        return []

    def search(self, query: str = "", job: str | None = None, order: str = NEWEST_FIRST) -> list[Runs]:
        """Return the matching runs of each project. The runs are fetched when they are read.

        Args:
            query: A query, in which ``config.`` and ``summary.`` can be left out.
            job: The id of a Slurm job, of an array, or of one of its tasks (``123_4``).
            order: See ``Api.runs``.

        Raises:
            UsageError: The query is invalid.
        """
        from tracker.store.queries.query_language import parse_query

        asked = parse_query(query, _SHORT)
        filters = [asked.filter] if asked.filter else []
        if job is not None:
            from tracker.capture.facts import SLURM_JOBS

            filters += [{f"config._wandb.{SLURM_JOBS}.{job}": {"$exists": True}}, _ALSO_ARCHIVED]
        paths = ["/".join(place) for place in self.projects]
        for key in asked.short_keys:
            self.fields_of(key)
        for field, value in _compared(asked.filter):
            if field == "state" and value not in STATES:
                raise UsageError(f"Unknown state {value!r}. The states are {', '.join(STATES)}.")
            key = field.partition(".")[2]
            if key in asked.short_keys:
                self.values_of(key)
        joined: dict[str, Any] = {"$and": filters} if filters else {}
        return [self.api.runs(path, joined, order, 200) for path in paths]

    def fields_of(self, key: str, others: Iterable[str] = ()) -> list[str]:
        """Return ``config.KEY``, ``summary.KEY`` or both: those that a run has.

        Args:
            key: The key.
            others: The names that can be used in place of a key; by default those of queries.

        Raises:
            UsageError: No run has the key. A wrong name is not taken for a key.
        """
        found = [f"{prefix}{key}" for prefix in _SHORT if self._has(f"{prefix}{key}")]
        if not found:
            from tracker.store.queries.query_language import FIELDS

            others = others or FIELDS
            known = {each.partition(".")[2] or each for each in self._known_fields()} | set(others)
            close = get_close_matches(key, sorted(known), cutoff=0.7)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise UsageError(
                f"Unknown field {key!r}: no run has it in its config or summary.{hint} "
                f"Fields of all runs are {', '.join(others)}."
            )
        return found

    def values_of(self, key: str) -> list[str]:
        """Return the same as ``fields_of``, for a comparison of the values.

        Raises:
            UsageError: No run has the key, or its value is a dict in all runs, which has no order.
        """
        found = self.fields_of(key)
        known = self._known_fields(key)
        prefixes = tuple(f"{name}." for name in found)
        parts = sorted({each.partition(".")[2] for each in known if each.startswith(prefixes)})
        if parts and not known & set(found):
            raise UsageError(f"The values of {key!r} have parts. Name a part: {', '.join(parts[:10])}.")
        return found

    def _known_fields(self, search: str = "") -> set[str]:
        """Return the names of fields that hold values and contain a text."""
        reader = self.api._reader
        lists = (reader.fields(*place, search=search, values=0, limit=5000) for place in self.projects)
        return {each.field for found in lists for each in found.fields if each.numbers or each.texts}

    def _has(self, field: str) -> bool:
        filters = {**_ALSO_ARCHIVED, field: {"$exists": True}}
        return any(self.api.runs("/".join(place), filters, per_page=1)[:1] for place in self.projects)

    def select(self, options: argparse.Namespace) -> Iterator[Run]:
        """Yield the runs that the arguments of ``add_selection`` name, each once.

        Raises:
            NoRunError: A named run does not exist.
            AmbiguousRunError: Several runs match a name.
            UsageError: No run is named.
        """
        if not (options.runs or options.query or options.job):
            raise UsageError("No run is named. Name runs, or use --query QUERY or --job SLURM_JOB_ID.")
        seen: set[tuple[str, ...]] = set()
        for run in self._named(options):
            if (path := tuple(run.path)) not in seen:
                seen.add(path)
                yield run

    def _named(self, options: argparse.Namespace) -> Iterator[Run]:
        yield from [self.find(text) for text in options.runs]  # all names are checked first
        if options.query or options.job:
            for runs in self.search(options.query, options.job):
                yield from runs


def open_selection(options: argparse.Namespace) -> Selection:
    """Return the store or server, and the projects, that the options of ``add_place`` name.

    The option ``--store`` names a folder, which is then read even if the settings name a server.
    """
    from tracker.api.api import Api

    given: dict[str, Any] = {"entity": options.entity}
    if options.store:
        given.update(store=options.store.absolute(), mode="offline")
    if options.project:
        entity, _, given["project"] = options.project.rpartition("/")
        given["entity"] = entity or options.entity
    api = Api(given)
    entity, project = api.settings["entity"], api.settings["project"]
    named = bool(options.project)
    everything = getattr(options, "all_projects", False) or (not named and project == _NO_PROJECT)
    return Selection(api, None if everything else (entity, project), named)


def _compared(tests: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a filter with each value that they are compared with."""
    for field, test in tests.items():
        if field.startswith("$"):
            for each in [test] if isinstance(test, dict) else test:
                yield from _compared(each)
            continue
        for operator, value in test.items():
            if operator not in ("$exists", "$regex"):
                yield from ((field, each) for each in (value if isinstance(value, list) else [value]))


def _best(name: str, found: Sequence[Run]) -> Run:
    ids = [run for run in found if run.id == name]
    names = [run for run in found if run.name == name]
    chosen = ids or names or found
    if len(chosen) == 1:
        return chosen[0]
    listed = [f"{'/'.join(run.path)} ({run.name})" for run in chosen[:_LISTED]]
    more = f" and {len(chosen) - _LISTED} more" if len(chosen) > _LISTED else ""
    raise AmbiguousRunError(
        f"{len(chosen)} runs match {name!r}: {', '.join(listed)}{more}. Give ENTITY/PROJECT/ID."
    )
