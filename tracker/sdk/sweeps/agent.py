"""An agent runs the trials of a sweep one after the other, in this process or in child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tracker.door.environment import redirect_wandb
from tracker.errors import UnsupportedError, UsageError
from tracker.ground.settings import Settings
from tracker.ground.terminal import say
from tracker.ground.values import dumps
from tracker.sdk.process import active_runs
from tracker.sdk.process.exit_status import last_line
from tracker.sdk.start import setup
from tracker.sdk.start.sweep_trial import PARAMETERS, RUN_ID, SWEEP_ID
from tracker.sdk.sweeps.early_stop import EVERY, Stopped, Watch
from tracker.sdk.sweeps.trial_command import command_of
from tracker.store.objects.atomic_files import make_folder
from tracker.sweeps.early_stop import EarlyStopper
from tracker.sweeps.files import Sweep, Trial
from tracker.sweeps.hyperband import read_brackets
from tracker.sweeps.results import Results, outcome_of
from tracker.sweeps.search import next_trial

# When an agent stops after failures. The limits are those of wandb (wandb: ``agents/pyagent.py``).
FLAPPING_SECONDS, FLAPPING_FAILURES = 60.0, 3
FIRST_FAILURES = 5
KILL_SECONDS = 30.0
# Seconds between two checks of a program, and of a paused sweep.
_LOOK = 0.1
_PAUSED = 1.0
# Variables that would override the sweep's entity, project, run id or sweep id.
_OVERRULED = ("TRACKER_ENTITY", "TRACKER_PROJECT", "TRACKER_RUN_ID", "TRACKER_SWEEP_ID")


class Agent:
    """Runs the trials of a sweep.

    Args:
        sweep: The sweep.
        settings: Select the store or server for the runs.
        function: The function to call for each trial. With None, the sweep's program is run.
        count: The largest number of trials.
        term_timeout: Seconds until a program that ignores SIGTERM is killed.
        most_failures: The number of consecutive failed trials after which the agent stops.

    Raises:
        UnsupportedError: The sweep stops trials early, but histories cannot be read here. Or the sweep uses
            ``bayes``, but scikit-learn is not installed.
    """

    def __init__(
        self,
        sweep: Sweep,
        settings: Settings,
        function: Callable[[], Any] | None,
        count: int | None,
        term_timeout: float | None = None,
        most_failures: int | None = None,
    ) -> None:
        self._sweep, self._settings, self._function, self._count = sweep, settings, function, count
        self._patience = KILL_SECONDS if term_timeout is None else term_timeout
        self._most_failures = most_failures
        self._results = Results(settings, sweep.entity, sweep.project)
        self._random = Random()  # private: a function that seeds `random` would give all agents equal numbers
        self._failures: list[bool] = []
        if read_brackets(sweep.config) is not None and not self._results.can_read:
            raise UnsupportedError(
                "early_terminate without SQLAlchemy, Alembic and pyarrow, which reading histories needs",
                "remove early_terminate, or run: pip install airgap-tracker",
            )
        if sweep.config["method"] == "bayes":
            from tracker.sweeps.bayes import require_sklearn

            require_sklearn()

    def run(self) -> None:
        """Run trials until none are left, ``count`` is reached, or too many fail."""
        begun = time.monotonic()
        while self._count is None or len(self._failures) < self._count:
            if not self._may_continue():
                return
            trial = next_trial(self._sweep, self._outcome, self._random)
            if trial is None:
                self._say("no trials are left")
                return
            self._announce(trial)
            try:
                failed = self._call(trial) if self._function is not None else self._run_program(trial)
            except KeyboardInterrupt:
                self._say("Ctrl + C detected. Stopping sweep.")
                return
            self._failures.append(failed)
            if failed and self._gives_up(time.monotonic() - begun):
                return

    def _may_continue(self) -> bool:
        said = False
        while (state := self._sweep.requested_state) == "PAUSED":
            if not said:
                self._say("the sweep is paused: waiting")
                said = True
            time.sleep(_PAUSED)
        if state != "RUNNING":
            self._say(f"the sweep is {state.lower()}")
        return state == "RUNNING"

    def _outcome(self, trial: Trial) -> tuple[float | None, bool]:
        return outcome_of(self._sweep.config, self._results.read(trial.run_id))

    def _stopper(self, trial: Trial) -> EarlyStopper:
        return EarlyStopper(self._sweep, trial, self._results)

    # A function

    def _call(self, trial: Trial) -> bool:
        assert self._function is not None
        # A run from before the trial must not receive its rows (wandb: ``agents/pyagent.py``).
        setup.teardown()
        with _environment(self._variables(trial)):
            watch = Watch(self._stopper(trial))
            try:
                try:
                    watch.begin()
                    self._function()
                finally:
                    watch.end()
            except Stopped as why:
                self._say(f"run {trial.run_id} was stopped: {why}")
                _end_runs(str(why))
                return False
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                if isinstance(error, SystemExit) and not error.code:
                    _end_runs(None)
                    return False
                _end_runs(last_line(error))
                if isinstance(error, KeyboardInterrupt):
                    raise
                traceback.print_exception(error)
                self._say(f"ERROR Run {trial.run_id} errored: {error}")
                return True
            _end_runs(None)
        return False

    # A program

    def _run_program(self, trial: Trial) -> bool:
        variables = self._variables(trial)
        environment = {name: value for name, value in os.environ.items() if name not in _OVERRULED}
        environment.update({name: value for name, value in variables.items() if value is not None})
        environment.update(redirect_wandb(environment))
        file = str(Path(environment[PARAMETERS]).with_suffix(".json"))
        Path(file).write_text(dumps(trial.parameters))
        command = command_of(self._sweep.config, trial.parameters, file, environment)
        self._say("running " + " ".join(f'"{word}"' if " " in word else word for word in command))
        try:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise UsageError(f"cannot run {command[0]}: {error.strerror}") from None
        with _forwarding_sigterm(process):
            try:
                self._wait(process, self._stopper(trial), trial)
            except BaseException:
                self._terminate(process)
                raise
        if process.returncode > 0:
            self._say(f"ERROR run {trial.run_id} ended with status {process.returncode}")
        return process.returncode > 0

    def _wait(self, process: subprocess.Popen[bytes], stopper: EarlyStopper, trial: Trial) -> None:
        looked = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK)
                return
            if time.monotonic() - looked < EVERY:
                continue
            why = stopper.reason_to_stop()
            looked = time.monotonic()
            if why is not None:
                self._say(f"run {trial.run_id} is stopped: {why}")
                self._terminate(process)
                return

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(self._patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # Both

    def _variables(self, trial: Trial) -> dict[str, str | None]:
        folder = self._settings.run_root / "wandb" / f"sweep-{self._sweep.id}"
        make_folder(folder)
        file = folder / f"config-{trial.run_id}.yaml"
        file.write_text(_as_yaml(trial.parameters))
        return {
            **dict.fromkeys(_OVERRULED),
            "WANDB_ENTITY": self._sweep.entity,
            "WANDB_PROJECT": self._sweep.project,
            SWEEP_ID: self._sweep.id,
            RUN_ID: trial.run_id,
            PARAMETERS: str(file),
        }

    def _gives_up(self, seconds: float) -> bool:
        failed = sum(self._failures)
        row = 0
        for each in reversed(self._failures):
            if not each:
                break
            row += 1
        if self._most_failures is not None and row >= self._most_failures:
            self._say(f"ERROR Detected {row} consecutive failed runs, shutting down.")
            return True
        checked = os.environ.get("WANDB_AGENT_DISABLE_FLAPPING") != "true"
        if checked and seconds < FLAPPING_SECONDS and failed >= FLAPPING_FAILURES:
            self._say(
                f"ERROR Detected {failed} failed runs in the first {FLAPPING_SECONDS:g} seconds, shutting "
                "down. To disable this check set WANDB_AGENT_DISABLE_FLAPPING=true"
            )
            return True
        limit = int(os.environ.get("WANDB_AGENT_MAX_INITIAL_FAILURES") or FIRST_FAILURES)
        if failed == len(self._failures) >= limit:
            self._say(
                f"ERROR Detected {failed} failed runs in a row at start, shutting down. To change this value "
                "set WANDB_AGENT_MAX_INITIAL_FAILURES"
            )
            return True
        return False

    def _announce(self, trial: Trial) -> None:
        self._say(f"Agent Starting Run: {trial.run_id} with config:")
        for name, value in trial.parameters.items():
            self._say(f"\t{name}: {value}")

    def _say(self, text: str) -> None:
        say(text, silent=self._settings.silent)


def _end_runs(error: str | None) -> None:
    for run in active_runs.open_runs():
        if error is None:
            run.finish()
        else:
            run.fail(error)


def _as_yaml(parameters: dict[str, Any]) -> str:
    """Return the parameters as a file of wandb's form: YAML, or JSON (which is valid YAML) without PyYAML."""
    found = {"wandb_version": 1, **{name: {"value": value} for name, value in parameters.items()}}
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return dumps(found, indent=1)
    text: str = yaml.safe_dump(found, sort_keys=False)
    return text


@contextmanager
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """Set variables (None: unset), and restore them at the end."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _forwarding_sigterm(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """On SIGTERM, terminate the program and then the agent."""

    def handle(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)  # the exception handling above terminates the program

    try:
        before = signal.signal(signal.SIGTERM, handle)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
