"""
What one question finds, page after page, in the order HubSpot gives.

A page is asked for when the loop needs it. What came before an error stays with whoever took
it; nothing is skipped, and a loop that would never end is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import polars as pl

from hsagency.errors import HsAgencyError, UnusableAnswer
from hsagency.objects.asking import JsonObject, name_portal
from hsagency.objects.frames import plain_frame, records_frame
from hsagency.progress import Progress, Step, silent
from hsagency.verifier import Sender


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: what it holds, where the next one begins, and how many there are in all."""

    results: Sequence[JsonObject]
    after: str | None
    total: int | None = None


class Results:
    """
    What one question finds: loop over it, or take it as a `frame()`. Each loop asks anew.

    After or within a loop, `came` says how many came, `calls` how many calls that took,
    `total` how many there are where HubSpot says so, and `after` is the cursor of the page
    that comes next: where an error ended the loop, the same question goes on there.
    """

    def __init__(
        self,
        page: Callable[[str | None], Page],
        *,
        sender: Sender,
        what: str,
        records: bool,
        properties: Sequence[str] | None = None,
        start: str | None = None,
        progress: Progress = silent,
    ) -> None:
        self._page, self._sender, self._what, self._records = page, sender, what, records
        self._properties, self._start, self._progress = properties, start, progress
        self._held: list[JsonObject] = []
        self._begin()

    def __iter__(self) -> Iterator[JsonObject]:
        """Yield each result; an error says how many came before it."""
        self._begin()
        with ExitStack() as shown:
            step: Step | None = None
            while True:
                page = self._next()
                if step is None and page.after is not None:
                    step = shown.enter_context(self._progress(self._counted, page.total or 0))
                yield from page.results
                if step is not None:
                    step(len(page.results))
                if page.after is None:
                    return
                self._go_on(page.after)

    def frame(
        self, *, columns: Sequence[str] | None = None, dates: Collection[str] = ()
    ) -> pl.DataFrame:
        """
        Return all of it as a polars frame.

        Of records: `id`, a column of text for each property, `createdAt` and `updatedAt`
        (moments in UTC) and `archived` (true or false); absent is null. The properties are
        those that were asked for, or `columns`, also where nothing was found. Other things:
        a column of text for each field. `dates` names columns that are read as moments in UTC,
        whichever way HubSpot wrote them. Where an error ends it, `so_far()` has what came.
        """
        self._held = []
        for one in self:
            self._held.append(one)  # held, should the next one fail
        return self.so_far(columns=columns, dates=dates)

    def so_far(
        self, *, columns: Sequence[str] | None = None, dates: Collection[str] = ()
    ) -> pl.DataFrame:
        """Return what the last `frame()` received, also where an error ended it."""
        if not self._records:
            return plain_frame(self._held, columns=columns, dates=dates)
        names = self._properties if columns is None else columns
        return records_frame(self._held, properties=names, dates=dates)

    def _begin(self) -> None:
        self.came = self.calls = 0
        self.total: int | None = None
        self.after = self._start
        self._seen: set[str] = set()

    def _next(self) -> Page:
        self.calls += 1
        try:
            page = self._page(self.after)
        except (HsAgencyError, httpx.HTTPError) as error:
            self._explain(error)
            raise
        self.came += len(page.results)
        self.total = page.total if self.calls == 1 else self.total
        return page

    def _go_on(self, after: str) -> None:
        self._seen.add(self.after or "")
        if after in self._seen:
            error = UnusableAnswer(
                f"HubSpot gave the same cursor a second time, so that {self._what} would never end."
            )
            self._explain(error)
            raise error
        self.after = after

    def _explain(self, error: HsAgencyError | httpx.HTTPError) -> None:
        """Add to an error whose it is, and how far this came before it."""
        if isinstance(error, UnusableAnswer):
            name_portal(error, self._sender)
        # a cursor may hold what it stands for, and is for no message
        before = f"; {self.came:,} came before that, in order" if self.came else ""
        where = f"This was page {self.calls:,} of {self._what}{before}."
        if isinstance(error, HsAgencyError):
            error.message = f"{error.message} {where}"
        else:
            error.add_note(where)

    @property
    def _counted(self) -> str:
        return f"{'records' if self._records else 'results'} of {self._what}"

    def __repr__(self) -> str:
        return f"<Results of {self._what}>"


def page_of(content: Mapping[str, Any], *, what: str) -> Page:
    """
    Return one answer as a page; of what it says about the next one, the cursor alone counts.

    Raises `UnusableAnswer` where there is more and no cursor that leads to it.
    """
    found = content.get("results")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnusableAnswer(
            f"The answer to {what} has no list of results.",
            hint="Read it with client.get(...): it may come in another shape, or in one piece.",
        )
    total = content.get("total")
    return Page(found, _cursor(content, what), total if type(total) is int else None)


def _cursor(content: Mapping[str, Any], what: str) -> str | None:
    paging = content.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    if isinstance(following, dict):
        after = following.get("after")
        if after is None and isinstance(following.get("link"), str):
            # only what it says about the cursor: where it leads to is not followed
            with suppress(httpx.InvalidURL):
                after = httpx.URL(following["link"]).params.get("after")
        if (isinstance(after, str) and after) or type(after) is int:
            return str(after)
    elif not content.get("hasMore"):
        return None
    raise UnusableAnswer(
        f"The answer to {what} says that there is more, and no cursor that leads to it.",
        hint="It pages in another way (offset): read it with client.get(...) or client.post(...).",
    )
