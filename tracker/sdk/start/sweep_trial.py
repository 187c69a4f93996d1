"""``init`` in a trial of a sweep: the agent sets the run and its parameters in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracker.ground.terminal import say
from tracker.ground.values import loads

if TYPE_CHECKING:
    from tracker.sdk.run.config import Config

SWEEP_ID, RUN_ID, PARAMETERS = "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"
_OWNER = "sweep"


class Trial:
    """The trial that this process runs.

    Args:
        parameters: Parameters of the trial.
        belongs: Whether the environment also contains the id of the sweep.
    """

    def __init__(self, parameters: dict[str, Any], *, belongs: bool) -> None:
        self._parameters = parameters
        self._belongs = belongs

    def place_of_run(
        self, entity: str | None, project: str | None, run_id: str | None, extra: dict[str, Any]
    ) -> tuple[str | None, str | None, str | None]:
        """Return the entity, project and run id that ``init`` uses.

        In a sweep, those of the script are ignored with a warning, as in wandb
        (wandb: ``sdk/wandb_init.py``).

        Args:
            entity: Entity that the script gave.
            project: Project that the script gave.
            run_id: Run id that the script gave.
            extra: Settings of the script. The three names are removed from it.
        """
        if not self._belongs:
            return entity, project, run_id
        for name, value in (("entity", entity), ("project", project), ("run_id", run_id)):
            given = extra.pop(name, None)
            given = given if value is None else value
            if given is not None:
                say(f"WARNING Ignoring {name} {given!r} when running a sweep.")
        return None, None, None

    def apply_to(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the run's initial config: the script's config, overridden by the trial's parameters.

        Print one warning with the keys whose values are overridden.
        """
        overridden = [
            key for key, value in self._parameters.items() if key in config and config[key] != value
        ]
        if overridden:
            say(
                f"WARNING Config items {', '.join(map(repr, overridden))} were locked by '{_OWNER}' "
                "(ignored what init was given)."
            )
        merged: dict[str, Any] = _merged(config, self._parameters)
        return merged

    def lock(self, config: Config) -> None:
        """Lock the parameters in the run's config, so that the script cannot change them."""
        config.merge_locked(self._parameters, user=_OWNER, _allow_val_change=True)


def find_trial(environment: Mapping[str, str]) -> Trial | None:
    """Return the trial that an environment describes; None when there is no trial.

    Raises:
        ConfigError: The file of its parameters cannot be read.
    """
    sweep, path = environment.get(SWEEP_ID), environment.get(PARAMETERS)
    if not sweep and not path:
        return None
    return Trial(_read(path) if path else {}, belongs=bool(sweep))


def _read(path: str) -> dict[str, Any]:
    from tracker.sdk.run.config_sources import read_config_file

    try:  # tracker's own agent writes JSON, which needs no package
        with open(path, "rb") as file:
            found = loads(file.read())
        return {key: item["value"] for key, item in found.items() if key != "wandb_version"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return read_config_file(path)


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
