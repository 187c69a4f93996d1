"""``login``: which key goes to which server. Without a server it says that there is nothing to do."""

from __future__ import annotations

from typing import Any

from tracker.errors import AuthenticationError, CommError
from tracker.ground import config_files
from tracker.recorder.outbox import check_url
from tracker.sdk.process import active_runs
from tracker.sdk.process.termlog import termlog, termwarn
from tracker.sdk.start import setup


def login(
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,
    timeout: int | None = None,
    verify: bool = True,
    referrer: str | None = None,
    prompt: bool = True,
    anonymous: Any = None,
) -> bool:
    """Set the server and the API key of this process; nobody is asked for one.

    Args:
        key: API key; kept in ``.netrc`` for that server. Else ``WANDB_API_KEY``, else ``.netrc``.
        relogin: Accepted for compatibility.
        host: Address of the server; ``WANDB_BASE_URL``, else what ``tracker login --host`` noted.
        force: Accepted for compatibility.
        timeout: Likewise.
        verify: Ask the server whether it takes the key. One that cannot be reached is only mentioned.
        referrer: Accepted for compatibility.
        prompt: Likewise.
        anonymous: Likewise.

    Returns:
        Whether runs can be logged as asked: also without a server, when they are kept on this machine.
        False with ``mode="offline"`` or ``"disabled"``, and while a run goes on, as in wandb.

    Raises:
        AuthenticationError: The server refuses the key.
        UsageError: ``host`` is no address, or the key cannot be one.
    """
    if active_runs.current_of_this_process() is not None:
        termwarn("Calling wandb.login() after wandb.init() has no effect.", repeat=False)
        return False
    settings = setup.setup().settings
    if settings.mode == "disabled":
        return False
    if settings._offline:
        termwarn("Unable to verify login in offline mode.", repeat=False)
        return False
    url = host or settings.base_url
    if not url:
        kept = " The key is not kept: it belongs to a server." if key else ""
        termlog(
            f"no server is named, so there is nothing to log in to: runs are kept in {settings.store}.{kept} "
            "To send them to a tracker server, give host= or set TRACKER_BASE_URL",
            repeat=False,
        )
        return True
    url = check_url(url)
    found = key.strip() if key is not None else setup.in_force().api_key or config_files.key_of(url)
    if verify:
        _verify(url, found)
    if key is not None:
        config_files.write_key(url, key.strip())
    setup.setup({"base_url": url, **({"api_key": found} if found else {})})
    return True


def _verify(url: str, key: str | None) -> None:
    from tracker.ground.http import Client
    from tracker.sdk.start.server_probe import PATIENCE

    client = Client(url, key, timeout=PATIENCE)
    try:
        session = client.get("session")
    except AuthenticationError:
        raise
    except CommError as error:
        termwarn(f"{error.message}. Runs are kept here until it answers", repeat=False)
    else:
        if session["key_required"] and not session["signed_in"]:
            wrong = "refuses the API key that was given" if key else "asks for an API key"
            raise AuthenticationError(f"{url} {wrong}: `tracker key` on the server makes one")
    finally:
        client.close()
