"""What ``init`` asks a server: whether it knows a run, and whether it would take this one."""

from __future__ import annotations

import threading

from tracker.errors import Error, NotFoundError
from tracker.ground.terminal import say
from tracker.reading.known import KnownRun, KnownSegment
from tracker.recorder.remote import Remote

# Only a run whose id the script gave is asked for; longer than this, training goes on without an answer.
PATIENCE = 10.0


def greet(remote: Remote, *, silent: bool) -> None:
    """Ask the server, on a thread of its own, whether it would take this run; say so when not."""
    threading.Thread(target=_ask, args=(remote, silent), name="tracker-greeting", daemon=True).start()


def ask_for_run(remote: Remote, entity: str, project: str, run_id: str) -> KnownRun | None:
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
    segments = {
        each["id"]: KnownSegment(
            each["rank"],
            each["attempt"],
            each["start_step"],
            each["last_step"],
            0.0,
            run["duration"],
            each["state"] != "running",
        )
        for each in run["segments"]
    }
    shown = {name: run.get(name) for name in ("tags", "notes", "group", "job_type")}
    return KnownRun(segments, run["config"], run["summary"], run["name"], shown)


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
