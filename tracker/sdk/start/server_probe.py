"""Questions of ``init`` to a server: does it know a run, and does it accept this process's runs?"""

from __future__ import annotations

import threading

import msgspec

from tracker.errors import CommError, Error, NotFoundError
from tracker.ground.names import RunPath
from tracker.ground.parsed_types import SessionInfo
from tracker.ground.terminal import say
from tracker.reading.resume_state import ResumeState
from tracker.recorder.outbox import Remote
from tracker.store.objects.layout import Layout

# How long `init` waits for the state of a run, in seconds; then training starts without an answer. Only a
# run whose id the script gave is looked up.
ANSWER_TIMEOUT_SECONDS = 10.0


def probe_server(remote: Remote, *, silent: bool) -> None:
    """Ask the server in a background thread whether it accepts runs, and print a line if it does not."""
    threading.Thread(target=_ask, args=(remote, silent), name="tracker-greeting", daemon=True).start()


def fetch_resume_state(
    remote: Remote, layout: Layout, entity: str, project: str, run_id: str
) -> ResumeState | None:
    """Return the server's state of a run; None when the server does not have the run.

    Args:
        remote: The server.
        layout: The outbox; the returned state reads rows from it.
        entity: Owner of the project.
        project: Name of the project.
        run_id: The run's id.

    Raises:
        CommError: The server cannot be reached, refuses the key, or runs another version.
    """
    from tracker.ground.http import Client

    client = Client(remote.url, remote.key, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        data = b"".join(client.stream("projects", entity, project, "runs", run_id, "segments"))
    except NotFoundError as error:
        if "there is no run" in error.message:
            return None
        raise CommError(
            f"{remote.url} cannot return the state of a run. Install this version of airgap-tracker there too"
        ) from error
    finally:
        client.close()
    from tracker.runstate.merge import unpack_segments

    try:
        segments, edits = unpack_segments(data)
    except ValueError as error:
        raise CommError(f"{remote.url} sent an invalid state of run {run_id}: {error}") from error
    known = {each.segment: each for each in segments}
    return ResumeState((entity, project, run_id), known, edits, set(), None, layout)


def fetch_moved_place(remote: Remote, run: RunPath) -> RunPath | None:
    """Return where the server has a run that was moved from a project; None if it has no such run.

    Args:
        remote: The server.
        run: Entity, project and id that the run had before.

    Raises:
        CommError: The server cannot be reached, or refuses the key.
    """
    from tracker.ground.http import Client

    entity, project, run_id = run
    client = Client(remote.url, remote.key, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        found = client.get("projects", entity, project, "moved-runs", run_id)
    except NotFoundError:
        return None
    finally:
        client.close()
    return found["entity"], found["project"], found["id"]


def _ask(remote: Remote, silent: bool) -> None:
    from tracker.ground.http import Client

    client = Client(remote.url, remote.key)
    try:
        answer = client.get("session")
    except Error as error:
        say(
            f"{error.message}. No data is lost: the run is kept here and sent when the server answers, "
            "or later by `tracker sync`",
            silent=silent,
        )
    else:
        session = msgspec.convert(answer, SessionInfo)
        if session.key_required and not session.signed_in:
            wrong = "refuses the given API key" if remote.key else "requires an API key"
            say(
                f"{remote.url} {wrong}. No data is lost: the run is kept here. Set TRACKER_API_KEY to "
                "a valid key and run `tracker sync`. To create a key, run `tracker key` on the server",
                silent=silent,
            )
    finally:
        client.close()
