"""
What a portal client can do with many objects: `hsagency.objects`, as its methods.

The functions are loaded when one is called: they bring polars, which a client can do without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hsagency.waiting import Waits

if TYPE_CHECKING:
    import httpx
    import polars as pl

    from hsagency.objects import Made, Results
    from hsagency.objects.inputs import Rows
    from hsagency.objects.searching import Filter


class Host(Protocol):
    """Whatever sends requests to one portal, and waits where it must."""

    _waits: Waits

    def request(self, method: str, url: str, *, json: Any = None) -> httpx.Response:
        """Send a request and return the answer, or raise the error that it is."""


class ObjectCalls:
    """Reads and writes many objects in few calls; each method is a function of `objects`."""

    def pages(
        self: Host,
        path: str,
        *,
        properties: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        limit: int | None = 100,
    ) -> Results:
        """
        Read every page of a list; `path` is one of HubSpot's, or an object type: "deals".

        Loop over it, or take its `frame()`. An error says how many came before it.
        """
        from hsagency import objects

        return objects.pages(
            self, path, properties=properties, params=params, limit=limit,
            progress=self._waits.progress,
        )  # fmt: skip

    def search(
        self: Host,
        object_type: str,
        *,
        filters: Iterable[Filter] = (),
        any_of: Iterable[Iterable[Filter]] = (),
        query: str = "",
        properties: Sequence[str] = (),
    ) -> Results:
        """
        Find records that fit, past 10,000 too: each once, in the order of ids.

        A filter is ("amount", "GT", 100), ("city", "IN", ["Ulm"]) or ("email",
        "HAS_PROPERTY"). All of `filters` must fit and, of the groups in `any_of`, all of one.
        """
        from hsagency import objects

        return objects.search(
            self, object_type, filters=filters, any_of=any_of, query=query,
            properties=properties, progress=self._waits.progress,
        )  # fmt: skip

    def batch_read(
        self: Host,
        object_type: str,
        ids: Iterable[object],
        *,
        properties: Sequence[str] = (),
        unique: str | None = None,
        dates: Collection[str] = (),
        stop_on_error: bool = False,
    ) -> pl.DataFrame:
        """
        Read records by id, or by the property `unique`, 100 in a call.

        Returns a line for each id, in their order: `input`, `id`, `outcome`, `status`,
        `category`, `subcategory`, `correlation_id`, `new`, and the properties as text, those in
        `dates` as moments in UTC. An outcome is done, failed, unknown (the answer does not say
        which of its records it is: read it alone) or skipped (never sent). `id` is that of the
        record that came, also where the one asked for was merged into it.
        """
        from hsagency import objects

        return objects.batch_read(
            self, object_type, ids, properties=properties, unique=unique, dates=dates,
            stop_on_error=stop_on_error, progress=self._waits.progress,
        )  # fmt: skip

    def batch_create(
        self: Host, object_type: str, rows: Rows, *, stop_on_error: bool = False
    ) -> pl.DataFrame:
        """
        Create a record for each row, 100 in a call.

        Returns a line for each row, in their order: `input`, `id`, `outcome`, `status`,
        `category`, `subcategory`, `correlation_id`, `new`. An outcome is done, failed, unknown
        (the answer was lost: look before it is sent again) or skipped (never sent).
        """
        from hsagency import objects

        return objects.batch_create(
            self, object_type, rows, stop_on_error=stop_on_error, progress=self._waits.progress
        )

    def batch_update(
        self: Host,
        object_type: str,
        rows: Rows,
        *,
        unique: str | None = None,
        stop_on_error: bool = False,
    ) -> pl.DataFrame:
        """Change what the column `id`, or `unique`, names; returns as `batch_create` does."""
        from hsagency import objects

        return objects.batch_update(
            self, object_type, rows, unique=unique, stop_on_error=stop_on_error,
            progress=self._waits.progress,
        )  # fmt: skip

    def batch_upsert(
        self: Host, object_type: str, rows: Rows, *, unique: str, stop_on_error: bool = False
    ) -> pl.DataFrame:
        """Change what `unique` names, and create what it does not: then `new` is true."""
        from hsagency import objects

        return objects.batch_upsert(
            self, object_type, rows, unique=unique, stop_on_error=stop_on_error,
            progress=self._waits.progress,
        )  # fmt: skip

    def batch_archive(
        self: Host, object_type: str, ids: Iterable[object], *, stop_on_error: bool = False
    ) -> pl.DataFrame:
        """Move records to the recycling bin; returns as `batch_create` does."""
        from hsagency import objects

        return objects.batch_archive(
            self, object_type, ids, stop_on_error=stop_on_error, progress=self._waits.progress
        )

    def create_once(
        self: Host,
        object_type: str,
        properties: Mapping[str, Any],
        *,
        unique: str | None = None,
        associations: Sequence[Mapping[str, Any]] = (),
    ) -> Made:
        """
        Return the record with this value of `unique` (of contacts: email); else create it.

        The result says how: found, created, or created though the answer was lost. Raises
        `OutcomeUnknown` where that cannot be told. Nothing is created twice.
        """
        from hsagency import objects

        return objects.create_once(
            self, object_type, properties, unique=unique, associations=associations,
            waits=self._waits,
        )  # fmt: skip

    def batch_associated(
        self: Host, object_type: str, other_type: str, ids: Iterable[object]
    ) -> pl.DataFrame:
        """
        Read what records are linked to, 1,000 in a call: a line for each type of each link.

        Columns: `id`, `to_id`, `type_id`, `category`, `label`.
        """
        from hsagency import objects

        return objects.batch_associated(
            self, object_type, other_type, ids, progress=self._waits.progress
        )

    def batch_associate(
        self: Host,
        object_type: str,
        other_type: str,
        pairs: Iterable[Sequence[object]],
        *,
        type_id: int | None = None,
        category: str = "HUBSPOT_DEFINED",
        stop_on_error: bool = False,
    ) -> pl.DataFrame:
        """
        Link pairs of ids, 2,000 in a call, without a label or with the type of one.

        Returns as `batch_create` does; `id` is the first of each pair.
        """
        from hsagency import objects

        return objects.batch_associate(
            self, object_type, other_type, pairs, type_id=type_id, category=category,
            stop_on_error=stop_on_error, progress=self._waits.progress,
        )  # fmt: skip
