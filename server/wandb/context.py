"""The request that a function of the protocol answers: its caller, the store, and addresses for answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.accounts.callers import Caller
from server.known_projects import KnownProjects
from server.rights import require_existing
from server.wandb.addresses import Addresses
from server.wandb.artifact_drafts import ArtifactDrafts
from server.wandb.segments import Segments
from tracker.errors import NotFoundError
from tracker.ground.names import RunPath, check_entity, check_project, check_run_id
from tracker.ground.people import Role
from tracker.ground.read_models import RunDetail
from tracker.reading.local import LocalReader
from tracker.store.ingest.people import Actor
from tracker.store.store import Store

# The project of runs that do not name one.
NO_PROJECT = "uncategorized"
# The entity of runs that name none, as in ``tracker.init``.
LOCAL = "local"


@dataclass(frozen=True)
class Context:
    """One request.

    Attributes:
        store: The store.
        reader: Reads what the caller sees.
        caller: The caller.
        segments: The segments of this server's clients.
        drafts: The artifacts that clients are sending.
        addresses: Makes signed addresses.
        base: Address of this server as the client has used it, without a slash at the end.
        client: Id of the client if several write to one run (shared mode); else empty.
        known: The projects that exist.
        is_core: Whether the client's core sends the request, which logs a run, and not ``wandb.Api``.
        actor: The caller for the audit log.
    """

    store: Store
    reader: LocalReader
    caller: Caller
    segments: Segments
    drafts: ArtifactDrafts
    addresses: Addresses
    base: str
    client: str
    known: KnownProjects
    is_core: bool
    actor: Actor

    @property
    def default_entity(self) -> str:
        """The entity of runs that do not name one."""
        rights = self.caller.rights
        if rights.only is not None:
            return rights.only[0]
        entities = sorted(entity for entity, project in rights.roles if not project)
        if rights.everything or not entities:
            return LOCAL
        own = self.caller.user.name if self.caller.user is not None else ""
        return own if own in entities else entities[0]

    def place(self, entity: Any, project: Any, run: Any) -> RunPath:
        """Return the path of a run from the names that the client has sent.

        Args:
            entity: The entity; empty for the caller's default entity.
            project: The project; empty for ``NO_PROJECT``.
            run: The id of the run.

        Raises:
            UsageError: A name is invalid.
        """
        return (
            check_entity(str(entity or self.default_entity)),
            check_project(str(project or NO_PROJECT)),
            check_run_id(str(run)),
        )

    def require(self, role: Role, place: RunPath) -> None:
        """Check that the caller has a role in the project of a run.

        A caller who could not create the project must not learn whether there is a private one of that name.

        Raises:
            ForbiddenError: It has not.
            NotFoundError: It cannot read the project.
        """
        creates = self.caller.rights.may("writer", place[0], place[1])
        require_existing(self.caller, self.known, role, place[0], place[1], creates=creates)

    def find(self, place: RunPath) -> RunDetail | None:
        """Return a run that the caller sees; None if there is none."""
        try:
            return self.reader.run(*place)
        except NotFoundError:
            return None

    def address(self, kind: str, **values: Any) -> str:
        """Return an absolute signed address on this server."""
        return f"{self.base}/wandb/{kind}/{self.addresses.sign(kind, **values)}"
