"""What ``init`` asks a server: whether it knows a run, and whether it would take this one."""

from __future__ import annotations

import threading

from tracker.errors import Error, NotFoundError
from tracker.ground.terminal import say
from tracker.reading.known import KnownRun, as_one_segment
from tracker.recorder.remote import Remote
from tracker.store.objects.layout import Layout

# Only a run whose id the script gave is asked for; longer than this, training goes on without an answer.
PATIENCE = 10.0


def greet(remote: Remote, *, silent: bool) -> None:
    """Ask the server, on a thread of its own, whether it would take this run; say so when not."""
    threading.Thread(target=_ask, args=(remote, silent), name="tracker-greeting", daemon=True).start()


def ask_for_run(remote: Remote, layout: Layout, entity: str, project: str, run_id: str) -> KnownRun | None:
    """Return what the server knows of a run; None when it does not know it.

    Raises:
        CommError: It cannot be reached, or refuses the key.
    """
    from tracker.ground.http import Client

    client = Client(remote.url, remote.key, timeout=PATIENCE)
    try:
        run = client.get("projects", entity, project, "runs", run_id)
    except NotFoundError:
        return None
    finally:
        client.close()
    from tracker.runstate.fold import SegmentState
    from tracker.runstate.view import SegmentView

    segments = {
        each["id"]: SegmentView(
            each["id"],
            each["rank"],
            each["attempt"],
            each["started_at"],
            each["start_step"],
            each["state"] if each["state"] != "running" else None,
            SegmentState(last_step=each["last_step"], runtime=run["duration"]),
        )
        for each in run["segments"]
    }
    place = (entity, project, run_id)
    return KnownRun(place, segments, {}, set(), as_one_segment(place, run, segments.values()), layout)


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
