"""Computing the digests of logged artifacts in a thread, so that other runs do not wait for them."""

from __future__ import annotations

import threading

from tracker.store.blobs.finalize import FinalizedDraft, read_finalized
from tracker.store.ingest.artifacts import finalize_now
from tracker.store.store import Store

# A round waits this long for an artifact. A large artifact is completed in the background of later rounds.
WAIT_SECONDS = 0.1


class Finalizer:
    """Turns drafts into blobs in a thread, one at a time. It is the ``finalize`` of ``apply_journal``."""

    def __init__(self) -> None:
        self._token = ""
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def __call__(self, store: Store, token: str) -> FinalizedDraft | None:
        """Return the result for a draft; None while it is in progress or waits for another draft.

        Raises:
            Exception: The draft could not be completed. The next call tries again.
        """
        found = read_finalized(store.layout, token)
        if found is not None:
            return found
        if self._thread is None:
            self._token, self._error = token, None
            self._thread = threading.Thread(
                target=self._finalize, args=(store, token), name="tracker-finalize", daemon=True
            )
            self._thread.start()
        self._thread.join(WAIT_SECONDS if self._token == token else 0)
        if self._thread.is_alive():
            return None
        self._thread = None
        if self._token == token and self._error is not None:
            raise self._error
        return read_finalized(store.layout, token)

    def _finalize(self, store: Store, token: str) -> None:
        try:
            finalize_now(store, token)
        except Exception as error:  # raised in the thread that calls this object
            self._error = error
