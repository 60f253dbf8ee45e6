"""Twenty thousand calls at once over many portals, of which none comes to the wrong one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.isolation.interleaving import CONTACTS, Field, interleave, laid_out, reconcile

CALLS = 20_000
PORTALS = 80  # so many that none of them is asked for more than its limits let through at once


def test_interleaved_calls_and_what_arrived_are_the_same_calls(tmp_path: Path) -> None:
    with laid_out(tmp_path, portals=PORTALS) as field:
        told = interleave(field, calls=CALLS, processes=2, threads=5, seed=5, pause=0.2)
    found = reconcile(field)
    assert found.contaminations == []
    assert found.unknown == 0
    assert told["WRONG PORTAL"] == 0
    assert sum(told.values()) == CALLS
    answered = sum(count for status, count in told.items() if status.isdigit())
    assert answered > 0.99 * CALLS, told
    # Besides them there are the calls of onboarding and of each rotation, which are recorded too.
    assert answered < found.calls
    # Generations changed while calls were under way, and calls went on in the new ones.
    assert field.changed >= 5
    assert len(found.generations) > PORTALS


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Three portals that were called in two generations, and what arrived there."""
    with laid_out(tmp_path_factory.mktemp("field"), portals=3) as field:
        field.rotate(next(iter(field.slugs)))
        for slug in field.slugs:
            assert field.agency.client(slug).get(CONTACTS).status_code == 200
    assert reconcile(field).contaminations == []
    return field


@pytest.fixture
def done(called: Field, tmp_path: Path) -> Field:
    """The same, with books of one's own to spoil."""
    books = shutil.copytree(called.books, tmp_path / "books")
    return replace(called, books=books, generations=dict(called.generations))


def book_of(field: Field, number: int) -> Path:
    return field.books / f"{list(field.slugs.values())[number]}.jsonl"


def another_portal(field: Field) -> None:
    """A call of one client arrives at the portal of another."""
    *rest, last = book_of(field, 1).read_text().splitlines(keepends=True)
    book_of(field, 1).write_text("".join(rest))
    with book_of(field, 0).open("a") as book:
        book.write(last)


def no_record(field: Field) -> None:
    """A call arrives of which there is no record."""
    line = json.loads(book_of(field, 0).read_text().splitlines()[-1])
    with book_of(field, 0).open("a") as book:
        book.write(json.dumps(line | {"correlation_id": "unheard-of"}) + "\n")


def no_arrival(field: Field) -> None:
    """A call is recorded that never arrived."""
    lines = book_of(field, 2).read_text().splitlines(keepends=True)
    book_of(field, 2).write_text("".join(lines[:-1]))


def edited(**changes: object) -> Callable[[Field], None]:
    def edit(field: Field) -> None:
        *rest, last = book_of(field, 0).read_text().splitlines()
        book_of(field, 0).write_text(
            "\n".join([*rest, json.dumps(json.loads(last) | changes)]) + "\n"
        )

    return edit


def another_generation(field: Field) -> None:
    slug = next(iter(field.slugs))
    old, new = field.generations[slug, 1], field.generations[slug, 2]
    field.generations |= {(slug, 1): new, (slug, 2): old}


def nobodys(field: Field) -> None:
    (field.books / "None.jsonl").write_text("{}\n")


@pytest.mark.parametrize(
    "spoil",
    [
        *(another_portal, no_record, no_arrival, another_generation, nobodys),
        *(edited(fingerprint="0" * 16), edited(method="DELETE"), edited(path="/crm/v3/lists")),
        *(edited(sent=500), edited(portal_id=1)),
    ],
)
def test_whatever_does_not_fit_is_a_contamination(
    done: Field, spoil: Callable[[Field], None]
) -> None:
    spoil(done)
    assert reconcile(done).contaminations != []
