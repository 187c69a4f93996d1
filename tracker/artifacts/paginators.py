"""Lists as ``Api`` and artifacts give them: real lists that also answer what wandb's paginators do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class PaginatedList(list[T]):
    """A list with the names of wandb's paginators: all of it is there, so there are no further pages.

    Attributes:
        per_page: As it was given; everything comes at once.
    """

    def __init__(self, items: Iterable[T] = (), per_page: int = 50) -> None:
        super().__init__(items)
        self.per_page = per_page
        self._at = 0

    @property
    def objects(self) -> list[T]:
        """What was fetched: all."""
        return self

    @property
    def more(self) -> bool:
        """Whether there are pages to fetch: never."""
        return False

    @property
    def cursor(self) -> None:
        """Where the next page begins: there is none."""
        return None

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self)

    def __next__(self) -> T:
        if self._at >= len(self):
            raise StopIteration
        self._at += 1
        return self[self._at - 1]

    def next(self) -> T:
        """Return the next one, as ``next(...)`` does.

        Raises:
            StopIteration: There is none left.
        """
        return self.__next__()
