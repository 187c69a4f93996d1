"""Telling a person early that a server cannot be reached or refuses the key; training never waits for it."""

from __future__ import annotations

import threading

from tracker.recorder.remote import Remote
from tracker.terminal import say


def greet(remote: Remote, *, silent: bool) -> None:
    """Ask the server, on a thread of its own, whether it would take this run; say so when not."""
    threading.Thread(target=_ask, args=(remote, silent), name="tracker-greeting", daemon=True).start()


def _ask(remote: Remote, silent: bool) -> None:
    from tracker.errors import Error
    from tracker.http import Client

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
