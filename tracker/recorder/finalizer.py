"""Computing the digests of logged artifacts beside the recorder's rounds, so that no other run waits."""

from __future__ import annotations

import threading

from tracker.store.blobs.finalize import FinalizedDraft, read_finalized
from tracker.store.ingest.artifacts import finalize_now
from tracker.store.store import Store

# A small artifact is settled while its round waits; a checkpoint of gigabytes is asked for by later rounds.
WAIT_SECONDS = 0.1


class Finalizer:
    """Settles drafts, one at a time, in a thread. What ``apply_journal`` takes as ``finalize``."""

    def __init__(self) -> None:
        self._token = ""
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def __call__(self, store: Store, token: str) -> FinalizedDraft | None:
        """Return what became of a draft; None: it is being settled, or waits for its turn.

        Raises:
            Exception: What kept it from being settled; it is tried again when asked the next time.
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
        except Exception as error:  # raised where it is asked for
            self._error = error
