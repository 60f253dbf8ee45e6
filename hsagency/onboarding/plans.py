"""What was judged, and what was done: values that are shown, compared and written down."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import polars as pl

from hsagency.index import as_json
from hsagency.onboarding.judging import Decision, Judgement
from hsagency.onboarding.storing import STORED
from hsagency.portals import ClientSlug

RESULT: Final[Mapping[str, pl.DataType]] = {
    "line": pl.Int64(),
    "client_slug": pl.String(),
    "portal_id": pl.Int64(),
    "account_name": pl.String(),
    "outcome": pl.String(),
    "cause": pl.String(),
    "hint": pl.String(),
    "warnings": pl.String(),
}
"""Columns and types of the frame of an onboarding; outcome is a word for a person."""

_WORDS: Final = {
    Decision.NEW: "new",
    Decision.REPLACE: "newer credential",
    Decision.CURRENT: "unchanged",
    Decision.CANDIDATE: "candidate for --replace",
    Decision.BAD: "refused",
}


Basis = tuple[int, str, int, str, str]
"""What a judgement rests on: portal, fingerprint, generation, type and address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every row, judged, and what is stored of the connections it names."""

    judgements: tuple[Judgement, ...]
    basis: Mapping[ClientSlug, Basis]

    @property
    def digest(self) -> str:
        """Names this very plan; `apply` wants it back."""
        seen = [
            (one.line, one.slug, one.decision, one.cause, as_json(one.connection))
            if one.connection
            else (one.line, one.slug, one.decision, one.cause)
            for one in self.judgements
        ]
        return hashlib.sha256(orjson.dumps([sorted(self.basis.items()), seen])).hexdigest()[:16]

    @property
    def counts(self) -> Mapping[Decision, int]:
        """How many rows got each verdict."""
        return Counter(one.decision for one in self.judgements)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """The rows that are not taken, with cause and hint."""
        return tuple(one for one in self.judgements if one.decision is Decision.BAD)

    @property
    def stores(self) -> bool:
        """Whether applying it would store anything."""
        return any(one.decision in STORED for one in self.judgements)

    def frame(self) -> pl.DataFrame:
        """
        Return one row a line of the list.

        Columns: line, client_slug, portal_id, account_name, outcome, cause, hint, warnings
        (types: `RESULT`).
        """
        return _frame(self.judgements, _WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was done with every row."""

    judgements: tuple[Judgement, ...]

    @property
    def onboarded(self) -> tuple[Judgement, ...]:
        """The rows that were stored now."""
        return tuple(one for one in self.judgements if one.decision in STORED)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """The rows that were not taken, with cause and hint."""
        return tuple(one for one in self.judgements if one.decision is Decision.BAD)

    @property
    def complete(self) -> bool:
        """Whether every row of the list is connected with the token the list holds."""
        done = (*STORED, Decision.CURRENT)
        return bool(self.judgements) and all(one.decision in done for one in self.judgements)

    def frame(self) -> pl.DataFrame:
        """
        Return one row a line of the list.

        Columns: line, client_slug, portal_id, account_name, outcome, cause, hint, warnings
        (types: `RESULT`).
        """
        return _frame(
            self.judgements, {**_WORDS, Decision.NEW: "onboarded", Decision.REPLACE: "replaced"}
        )


def _frame(judgements: tuple[Judgement, ...], words: Mapping[Decision, str]) -> pl.DataFrame:
    rows = [
        {
            "line": one.line,
            "client_slug": one.slug,
            "portal_id": one.connection.portal_id if one.connection else None,
            "account_name": one.connection.portal.name if one.connection else None,
            "outcome": words[one.decision],
            "cause": one.cause or None,
            "hint": one.hint or None,
            "warnings": "; ".join(one.warnings) or None,
        }
        for one in judgements
    ]
    return pl.DataFrame(rows, schema=RESULT)
