"""What ``init`` asks a server: whether it knows a run, and whether it would take this one."""

from __future__ import annotations

import threading

from tracker.errors import CommError, Error, NotFoundError
from tracker.ground.terminal import say
from tracker.reading.resume_state import ResumeState
from tracker.recorder.outbox import Remote
from tracker.store.objects.layout import Layout

# Only a run whose id the script gave is asked for; longer than this, training goes on without an answer.
PATIENCE = 10.0


def probe_server(remote: Remote, *, silent: bool) -> None:
    """Ask the server, on a thread of its own, whether it would take this run; say so when not."""
    threading.Thread(target=_ask, args=(remote, silent), name="tracker-greeting", daemon=True).start()


def fetch_resume_state(
    remote: Remote, layout: Layout, entity: str, project: str, run_id: str
) -> ResumeState | None:
    """Return what the server knows of a run; None when it does not know it.

    Raises:
        CommError: It cannot be reached, refuses the key, or is of another version.
    """
    from tracker.ground.http import Client

    client = Client(remote.url, remote.key, timeout=PATIENCE)
    try:
        data = b"".join(client.stream("projects", entity, project, "runs", run_id, "segments"))
    except NotFoundError as error:
        if "there is no run" in error.message:
            return None
        raise CommError(f"{remote.url} cannot say what a run is: install this version there too") from error
    finally:
        client.close()
    from tracker.runstate.merge import unpack_segments

    try:
        segments, edits = unpack_segments(data)
    except ValueError as error:
        raise CommError(f"{remote.url} says of run {run_id} what cannot be read: {error}") from error
    known = {each.segment: each for each in segments}
    return ResumeState((entity, project, run_id), known, edits, set(), None, layout)


def _ask(remote: Remote, silent: bool) -> None:
    from tracker.ground.http import Client

    client = Client(remote.url, remote.key)
    try:
        session = client.get("session")
    except Error as error:
        say(
            f"{error.message}. Nothing is lost: the run is kept here and sent when the server answers, "
            "or later by `tracker sync`",
            silent=silent,
        )
    else:
        if session["key_required"] and not session["signed_in"]:
            wrong = "refuses the API key that was given" if remote.key else "asks for an API key"
            say(
                f"{remote.url} {wrong}. Nothing is lost: the run is kept here; set TRACKER_API_KEY to "
                "a valid key and run `tracker sync` (`tracker key` on the server makes one)",
                silent=silent,
            )
    finally:
        client.close()
