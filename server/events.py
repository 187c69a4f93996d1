"""Changes of runs as server-sent events. All streams at the same revision share one query.

A stream has no queue. It reads the changes since its own revision when the client has taken the last event.
So a slow client gets fewer and larger events, and costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from server.accounts.callers import Accounts
from server.watcher import Watcher
from tracker.ground import values
from tracker.ground.live_changes import ChangeBatch
from tracker.ground.people import ProjectPath
from tracker.store.queries.changes import change_batch
from tracker.store.queries.people import people_revision
from tracker.store.queries.visible import Visible
from tracker.store.store import Store

# Longest time without a byte: proxies close connections that are idle for longer.
HEARTBEAT_SECONDS = 15.0
# A browser waits for this time before it connects again.
RETRY_MS = 1000

# The revision that a client knows, the only project of its stream, and the projects that it sees.
_Question = tuple[int | None, ProjectPath | None, Visible]
# The changes, and the number of changes of users, roles and keys.
_Answer = tuple[ChangeBatch, int]


class ChangeFeed:
    """Streams of changes for the clients of a server.

    A stream contains only projects that the caller sees. The rights of the caller are looked up again when
    users, roles or keys have changed, and with each heartbeat, because a browser session can end.

    Args:
        store: The store.
        watcher: The watcher of the server, which announces new revisions.
        accounts: The users, keys and sessions of the server.
    """

    def __init__(self, store: Store, watcher: Watcher, accounts: Accounts) -> None:
        self._store = store
        self._watcher = watcher
        self._accounts = accounts
        self._queries: dict[_Question, asyncio.Task[_Answer]] = {}

    async def stream(
        self, request: HTTPConnection, since: int | None, project: ProjectPath | None, timeout: float
    ) -> AsyncIterator[bytes]:
        """Yield events until the server ends, or until ``timeout``. The first event comes immediately.

        Args:
            request: The request of the client.
            since: The revision that the client knows; None to begin with the current revision.
            project: Yield only changes of this project; None for all projects.
            timeout: Longest time of the stream in seconds.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        yield f"retry: {RETRY_MS}\n\n".encode()
        sent, is_first = loop.time(), True
        visible = Visible(request.scope["tracker.caller"].rights)
        people, checked = None, loop.time()
        while not self._watcher.is_ending:
            batch, now = await self._read((since, project, visible))
            if now != people or loop.time() - checked >= HEARTBEAT_SECONDS:
                caller = await run_in_threadpool(self._accounts.find, request)
                if caller is None:
                    return
                people, checked = now, loop.time()
                if (found := Visible(caller.rights)) != visible:
                    visible = found
                    continue
            is_ahead = since is not None and since > batch.revision
            if is_first or is_ahead or batch.runs or batch.removed:
                yield _event("reset" if is_ahead else "changes", batch)
                sent, is_first = loop.time(), False
            since = batch.revision
            await self._watcher.wait_for_revision(since, min(end, sent + HEARTBEAT_SECONDS) - loop.time())
            if loop.time() >= end:
                return
            if loop.time() - sent >= HEARTBEAT_SECONDS:
                yield b": heartbeat\n\n"
                sent = loop.time()

    async def _read(self, question: _Question) -> _Answer:
        query = self._queries.get(question)
        if query is None:
            query = self._queries[question] = asyncio.create_task(run_in_threadpool(self._ask, *question))
            query.add_done_callback(lambda _: self._queries.pop(question))
        return await asyncio.shield(query)  # other streams may wait for the query when this one ends

    def _ask(self, since: int | None, project: ProjectPath | None, visible: Visible) -> _Answer:
        with self._store.reading() as session:
            return change_batch(session, since, project, visible), people_revision(session)


def _event(kind: str, batch: ChangeBatch) -> bytes:
    data = values.dumps(msgspec.to_builtins(batch))
    return f"event: {kind}\nid: {batch.revision}\ndata: {data}\n\n".encode("utf-8", "replace")
