"""``sweep`` and ``agent``: a parameter search with agents that need only the store's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from tracker.errors import ConfigError, UnsupportedError, UsageError
from tracker.ground.settings import Settings, load_settings

if TYPE_CHECKING:
    from tracker.sweeps.files import Sweep, Trial

# Entity and project of the sweeps that this process created. agent(ID) finds them with any settings.
_made: dict[str, tuple[str, str]] = {}


def sweep(
    sweep: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    entity: str | None = None,
    project: str | None = None,
    prior_runs: list[str] | None = None,
) -> str:
    """Create a sweep in the local store, without a server, and return its id.

    Args:
        sweep: The config, or a function that returns it. Its keys include ``method``, ``parameters``,
            ``metric``, ``early_terminate``, ``run_cap``, ``program``, ``command`` and ``name``. See
            docs/sweeps.md for all keys.
        entity: The entity of the project. The default is that of the config, then that of the settings.
        project: The project. The default is that of the config, then that of the settings.
        prior_runs: Ids of existing runs that belong to the sweep. ``grid`` skips their points, and ``bayes``
            learns from them.

    Raises:
        UsageError: The config is invalid. The message contains the problem.
        UnsupportedError: The method is ``bayes`` and scikit-learn is not installed, or the config uses
            wandb's job queues.
    """
    made = create(sweep() if callable(sweep) else sweep, entity, project, prior_runs)
    print("Create sweep with ID:", made.id)  # noqa: T201 - scripts parse this line of wandb's
    return made.id


def create(
    given: Any, entity: str | None = None, project: str | None = None, prior_runs: list[str] | None = None
) -> Sweep:
    """Create a sweep and return it. See ``sweep``."""
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
            raise UsageError(f"Prior run {settings.entity}/{settings.project}/{run_id} does not exist.")
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
    """Run the trials of a sweep, one after the other, until none are left.

    Several agents can work on a sweep at the same time, on all hosts that see the store's folder. A function
    runs in the calling thread of this process; wandb starts a thread for it. A program runs in a child
    process.

    Args:
        sweep_id: ``[[entity/]project/]id``.
        function: The function to call for each trial, without arguments. Its ``init`` starts the trial's run.
            Without it, the sweep's ``program`` or ``command`` is run.
        entity: The entity, if ``sweep_id`` does not contain it.
        project: The project, if ``sweep_id`` does not contain it.
        count: The largest number of trials.
        forward_signals: Accepted for compatibility. SIGTERM and SIGINT always reach the program.
        term_timeout: Seconds until a program that ignores SIGTERM is killed. The default is 30.
        max_consecutive_failed_runs: The number of consecutive failed trials after which the agent stops.

    Raises:
        NotFoundError: The store has no such sweep.
        UsageError: The sweep has no program, and no function is given.
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
        NotFoundError: The sweep does not exist.
        UsageError: ``sweep_id`` does not have this form.
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
    """Return the sweep config in a YAML or JSON file.

    Raises:
        ConfigError: The file does not exist, or is neither YAML nor JSON.
        UsageError: The file is YAML, and PyYAML is not installed.
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
            raise UsageError(f"Cannot read {path}. Write it as JSON, or run: pip install PyYAML") from None
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"Invalid sweep file {path}. Write keys such as method and parameters.")
    return found


def controller(
    sweep_id_or_config: str | Mapping[str, Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
) -> NoReturn:
    """Raise UnsupportedError. wandb returns an object that chooses the next runs of a sweep.

    Args:
        sweep_id_or_config: Ignored.
        entity: Ignored.
        project: Ignored.
    """
    raise UnsupportedError("controller()", "agents choose the next runs; use sweep(...) and agent(...)")
