"""JSON bodies of requests of the REST API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tracker.errors import UsageError
from tracker.store.queries.chart_limits import MOST_RUNS
from tracker.store.queries.query_language import LONGEST_QUERY

# More names in one request are refused: the answer would take seconds.
LARGEST_NAMES = 100_000
# Longest text to search for, in characters: SQLite refuses a pattern of 50,000 bytes.
LARGEST_SEARCH = 1000
Names = Annotated[list[str], Field(max_length=LARGEST_NAMES)]
# Each alias is a file that is synced to the disk before the answer.
Aliases = Annotated[list[str], Field(max_length=100)]


def _read_rank(given: object) -> object:
    if isinstance(given, str) and given.isdecimal() and len(given) < 10:
        return int(given)
    if given is None or given == "all" or type(given) is int:
        return given
    raise UsageError(f"Invalid rank {given!r}. Use a number, or 'all'.")


# The rank in a query or in a body. None: the primary writer.
AskedRank = Annotated[int | Literal["all"] | None, BeforeValidator(_read_rank)]


class Body(BaseModel):
    """A JSON object. A field that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self) -> dict[str, Any]:
        """Return the fields that the request contains, and no others."""
        return self.model_dump(exclude_unset=True)


class SenderBody(Body):
    """A JSON object of a sender of journals, which may be newer than the server: other fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class MetricsQuery(Body):
    """The runs whose history keys are wanted: those with the ids ``runs``, or those that match the rest.

    Attributes:
        runs: Ids of runs.
        search: See the list of runs.
        filters: See the list of runs.
        query: See the list of runs.
        order: See the list of runs.
        limit: Only this number of the first runs that match.
    """

    runs: Annotated[list[str], Field(max_length=MOST_RUNS, examples=[["a1b2c3", "d4e5f6"]])] | None = None
    search: Annotated[str, Field(max_length=LARGEST_SEARCH)] = ""
    filters: dict[str, Any] | None = None
    query: Annotated[str, Field(max_length=LONGEST_QUERY, examples=["state:finished tag:best"])] = ""
    order: Annotated[str, Field(max_length=LARGEST_SEARCH)] = "-created_at"
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None


class SignIn(Body):
    """Proof of a browser's user: an API key, or a name and a password."""

    key: str | None = Field(default=None, max_length=1000)
    name: str | None = Field(default=None, max_length=100)
    password: str | None = Field(default=None, max_length=10_000)


class SegmentEnded(SenderBody):
    """A segment whose writer died. Older trackers send no reason and no time (unix seconds)."""

    state: Literal["crashed"]
    reason: str | None = None
    last_seen: float | None = None


class SegmentNames(SenderBody):
    """Ids of segments."""

    segments: Names = []


class BlobNames(SenderBody):
    """SHA-256 of contents, in hex, and full names of the versions that the sender took contents from."""

    sha256: Names = []
    versions: Annotated[list[str], Field(max_length=100)] = []


class Draft(SenderBody):
    """The result of finalizing the draft of an artifact: see ``FinalizedDraft``."""

    manifest: str
    digest: str
    size: int
    file_count: int
    problem: str | None = None
    segment: str = ""
