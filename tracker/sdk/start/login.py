"""``login``: sets the server and its API key. Without a server, it prints that no login is needed."""

from __future__ import annotations

from typing import Any

import msgspec

from tracker.errors import AuthenticationError, CommError
from tracker.ground import config_files
from tracker.ground.parsed_types import SessionInfo
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
    """Set the server and the API key of this process. It never prompts for a key.

    Args:
        key: API key; it is saved in ``.netrc`` for the server. Default: ``WANDB_API_KEY``, else ``.netrc``.
        relogin: Accepted for compatibility and ignored.
        host: Address of the server. Default: ``WANDB_BASE_URL``, else the address that
            ``tracker login --host`` saved.
        force: Accepted for compatibility and ignored.
        timeout: Accepted for compatibility and ignored.
        verify: Ask the server whether it accepts the key. If the server cannot be reached, print a warning.
        referrer: Accepted for compatibility and ignored.
        prompt: Accepted for compatibility and ignored.
        anonymous: Accepted for compatibility and ignored.

    Returns:
        Whether runs can be logged. This is also True without a server: runs are then kept on this machine.
        False with ``mode="offline"`` or ``"disabled"``, and while a run is active, as in wandb
        (wandb: ``sdk/wandb_login.py``).

    Raises:
        AuthenticationError: The server refuses the key.
        UsageError: ``host`` is not an address, or ``key`` does not have the form of a key.
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
        kept = " The key was not saved, because a key belongs to a server." if key else ""
        termlog(
            f"no server is set, so no login is needed. Runs are kept in {settings.store}.{kept} "
            "To send them to a tracker server, pass host= or set TRACKER_BASE_URL",
            repeat=False,
        )
        return True
    url = check_url(url)
    found = key.strip() if key is not None else setup.effective_settings().api_key or config_files.key_of(url)
    if verify:
        _verify(url, found)
    if key is not None:
        config_files.write_key(url, key.strip())
    setup.setup({"base_url": url, **({"api_key": found} if found else {})})
    return True


def _verify(url: str, key: str | None) -> None:
    from tracker.ground.http import Client
    from tracker.sdk.start.server_probe import ANSWER_TIMEOUT_SECONDS

    client = Client(url, key, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        answer = client.get("session")
    except AuthenticationError:
        raise
    except CommError as error:
        termwarn(f"{error.message}. Runs are kept here until the server answers", repeat=False)
    else:
        session = msgspec.convert(answer, SessionInfo)
        if session.key_required and not session.signed_in:
            wrong = "refuses the given API key" if key else "requires an API key"
            raise AuthenticationError(f"{url} {wrong}. Run `tracker key` on the server to create one")
    finally:
        client.close()
