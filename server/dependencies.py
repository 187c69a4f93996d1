"""Dependencies of routes: the store, a reader of it, and the settings. ``server.rights`` has the rules."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from server.accounts.callers import Accounts, Caller
from server.settings import ServerSettings
from tracker.reading.local import LocalReader
from tracker.store.queries.visible import Visible
from tracker.store.store import Store


async def get_store(request: Request) -> Store:
    """Return the store of this server."""
    store: Store = request.app.state.store
    return store


async def get_reader(request: Request) -> LocalReader:
    """Return a reader of what the caller sees. It does not apply journals, because the watcher does."""
    caller: Caller = request.scope["tracker.caller"]
    return LocalReader(request.app.state.store, follows=False, visible=Visible(caller.rights))


async def get_settings(request: Request) -> ServerSettings:
    """Return the settings of this server."""
    settings: ServerSettings = request.app.state.settings
    return settings


async def get_accounts(request: Request) -> Accounts:
    """Return the users, keys and sessions of this server."""
    accounts: Accounts = request.app.state.accounts
    return accounts


StoreDep = Annotated[Store, Depends(get_store)]
ReaderDep = Annotated[LocalReader, Depends(get_reader)]
SettingsDep = Annotated[ServerSettings, Depends(get_settings)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
