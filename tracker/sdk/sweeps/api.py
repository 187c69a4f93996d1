"""``sweep`` and ``agent``: searching for parameters, with agents that need nothing but the store's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from tracker.errors import ConfigError, UnsupportedError, UsageError
from tracker.ground.settings import Settings, load_settings

if TYPE_CHECKING:
    from tracker.sweeps.files import Sweep, Trial

# Where the sweeps are that this process made: agent(ID) finds them, whatever the settings say.
_made: dict[str, tuple[str, str]] = {}


def sweep(
    sweep: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    entity: str | None = None,
    project: str | None = None,
    prior_runs: list[str] | None = None,
) -> str:
    """Make a sweep; return its id. Like ``wandb.sweep``; needs no server: it lies in the local store.

    Args:
        sweep: Its config, or what returns that: ``method``, ``parameters``, ``metric``, ``early_terminate``,
            ``run_cap``, ``program``, ``command``, ``name``; docs/sweeps.md has them all.
        entity: Whose project; that of the config, else that of the settings.
        project: That of the config, else that of the settings.
        prior_runs: Ids of runs that are there and belong to it; grid passes their points over, bayes learns
            from them.

    Raises:
        UsageError: The config cannot work; says what is wrong.
        UnsupportedError: ``bayes`` without scikit-learn, or what is of wandb's job queues.
    """
    made = create(sweep() if callable(sweep) else sweep, entity, project, prior_runs)
    print("Create sweep with ID:", made.id)  # noqa: T201 - scripts read it, as they read wandb's
    return made.id


def create(
    given: Any, entity: str | None = None, project: str | None = None, prior_runs: list[str] | None = None
) -> Sweep:
    """Make a sweep; see ``sweep``."""
    from tracker.store.objects.layout import Layout
    from tracker.store.objects.store_file import make_folders, require_writable
    from tracker.sweeps.config import check_sweep
    from tracker.sweeps.files import Sweep

    config = check_sweep(given)
    settings = load_settings(entity=entity or config.get("entity"), project=project or config.get("project"))
    layout = Layout(settings.store)
    require_writable(layout)
    make_folders(layout)
    prior = _prior(settings, config, prior_runs or [])
    made = Sweep.create(layout, settings.entity, settings.project, config, prior)
    _made[made.id] = made.entity, made.project
    return made


def _prior(settings: Settings, config: dict[str, Any], run_ids: list[str]) -> list[Trial]:
    from tracker.sweeps.config import parameters_of
    from tracker.sweeps.files import Trial
    from tracker.sweeps.results import Results
    from tracker.sweeps.space import nested, pick

    results = Results(settings, settings.entity, settings.project)
    parameters = parameters_of(config)
    found: list[Trial] = []
    for run_id in run_ids:
        seen = results.read(run_id)
        if seen is None:
            raise UsageError(f"prior run {settings.entity}/{settings.project}/{run_id} is not there")
        values = pick(parameters, seen.config)
        known = {} if values is None else nested(parameters, values)
        found.append(Trial(len(found), run_id, known, prior=True))
    return found


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    forward_signals: bool = False,
    term_timeout: int | None = None,
    max_consecutive_failed_runs: int | None = None,
) -> None:
    """Do trials of a sweep, one after the other, until it has no more; like ``wandb.agent``.

    Any number of agents may do so at once, on all hosts that see the store's folder. A function runs in this
    process, in this thread (wandb: in a thread of its own); the sweep's program runs in a process.

    Args:
        sweep_id: ``[[entity/]project/]id``.
        function: Called for each trial, without arguments; ``init`` in it begins the trial's run. Without it
            the sweep's ``program`` or ``command`` is run.
        entity: Whose project, where ``sweep_id`` does not say.
        project: Likewise.
        count: How many trials to do at most.
        forward_signals: Accepted for compatibility: SIGTERM and SIGINT always reach the program.
        term_timeout: Seconds after which a program that was told to end is killed; 30 unless given.
        max_consecutive_failed_runs: Give up after so many failed trials in a row.

    Raises:
        NotFoundError: There is no such sweep in the store.
        UsageError: It names no program and no function is given.
    """
    from tracker.sdk.sweeps.agent import Agent

    if function is not None and not callable(function):
        raise TypeError("function parameter must be callable!")
    settings = load_settings(entity=entity, project=project)
    Agent(
        find(sweep_id, settings),
        settings,
        function,
        count,
        term_timeout,
        max_consecutive_failed_runs,
    ).run()


def find(sweep_id: str, settings: Settings) -> Sweep:
    """Return a sweep by ``[[entity/]project/]id``.

    Raises:
        NotFoundError: There is none.
        UsageError: That names none.
    """
    from tracker.store.objects.layout import Layout
    from tracker.sweeps.files import Sweep

    if not isinstance(sweep_id, str) or not sweep_id:
        raise UsageError("Expected string sweep_id")
    parts = sweep_id.strip("/").split("/")
    if len(parts) > 3:
        raise UsageError("Expected sweep_id in form of sweep, project/sweep, or entity/project/sweep")
    known = (settings.entity, settings.project)
    place = list(_made.get(parts[-1], known)) if len(parts) == 1 else list(known)
    entity, project = (
        given or usual for given, usual in zip([*place[: 3 - len(parts)], *parts[:-1]], place, strict=True)
    )
    return Sweep(Layout(settings.store), entity, project, parts[-1])


def read_sweep_file(path: str) -> dict[str, Any]:
    """Return the config in a YAML or JSON file.

    Raises:
        ConfigError: It is not there, or is neither.
        UsageError: It is YAML, and PyYAML is not installed.
    """
    from tracker.ground.values import loads

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise ConfigError(f"Couldn't read sweep file {path}: {error.strerror}") from None
    try:
        found = loads(text)
    except ValueError:
        try:
            import yaml  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise UsageError(f"to read {path}, write it as JSON or: pip install PyYAML") from None
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} must hold a sweep: method, parameters, ...")
    return found


def controller(
    sweep_id_or_config: str | Mapping[str, Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
) -> NoReturn:
    """Raise UnsupportedError: wandb returns what decides the next runs of a sweep."""
    raise UnsupportedError("controller()", "agents decide by themselves: sweep(...) and agent(...)")
