"""``PaginatedList``: the lists that ``Api`` and artifacts return, with the methods of wandb's paginators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class PaginatedList(list[T]):
    """A complete list with the methods of wandb's paginators. There are no further pages to fetch.

    Attributes:
        per_page: The given page size. It has no effect.
    """

    def __init__(self, items: Iterable[T] = (), per_page: int = 50) -> None:
        super().__init__(items)
        self.per_page = per_page
        self._at = 0

    @property
    def objects(self) -> list[T]:
        """The list itself: all items are fetched."""
        return self

    @property
    def more(self) -> bool:
        """Whether there are more pages to fetch. Always False."""
        return False

    @property
    def cursor(self) -> None:
        """The start of the next page. Always None."""
        return None

    @property
    def length(self) -> int:
        """The number of items."""
        return len(self)

    def __next__(self) -> T:
        if self._at >= len(self):
            raise StopIteration
        self._at += 1
        return self[self._at - 1]

    def next(self) -> T:
        """Return the next item, as ``next(...)`` does.

        Raises:
            StopIteration: All items have been returned.
        """
        return self.__next__()
