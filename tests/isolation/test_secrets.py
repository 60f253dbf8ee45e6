"""
What a caller holds shows no token, by whatever means it is shown.

Nothing that a call hands out holds a token openly, and no chain of attributes, containers,
frames and closures leads to one but through a `Secret`, which has to be asked. That code of the
same user can ask it is not denied: see test_admitted.py.
"""

from __future__ import annotations

import gc
import inspect
import json
import logging
import pickle
import pprint
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict

import httpx
import pytest

from hsagency.errors import CallRefused, HsAgencyError
from hsagency.secret import Secret
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure
from tests.support import needles, tokens_of

HOME, NONE = Ending.HOME, Ending.NONE

# Types and modules lead to everything there is; a Secret has to be asked.
OPAQUE = (type, types.ModuleType, types.BuiltinFunctionType, Secret)


def within(one: object) -> list[object]:
    """Return what an object holds: its attributes, items, closure, or the locals of its frame."""
    if isinstance(one, types.FunctionType):
        return [one.__closure__, one.__defaults__, one.__kwdefaults__]
    if isinstance(one, types.FrameType):
        return list(one.f_locals.values())
    if isinstance(one, types.GeneratorType):
        return [one.gi_frame, one.gi_yieldfrom]
    if isinstance(one, types.TracebackType):
        return [one.tb_next]
    return gc.get_referents(one)


def lies_open(start: object, tokens: list[str]) -> bool:
    """Walk everything that can be reached without asking a secret, and look for a token."""
    sought = [needle for token in tokens for needle in needles(token)]
    todo, known = [start], {id(start): start}
    while todo:
        one = todo.pop()
        text = one.encode("utf-8", "replace") if isinstance(one, str) else one
        if isinstance(text, bytes) and any(needle in text for needle in sought):
            return True
        for other in within(one):
            # What the test itself holds has the sandbox's tokens, as no caller does.
            if id(other) not in known and not isinstance(other, (*OPAQUE, Scene)):
                known[id(other)] = other
                todo.append(other)
    return False


def holding(take: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """Take something that a caller holds, and walk it."""

    def attack(on: Scene) -> object:
        held = take(on)
        assert not lies_open(held, tokens_of(on.sandbox))
        return type(held)

    return attack


def answer(on: Scene) -> object:
    return on.a.get(PATH)


def answer_of_a_write(on: Scene) -> object:
    return on.a.post(PATH, json={"properties": {}})


def answer_of_an_error(on: Scene) -> object:
    return on.a.get(DEALS, params={"limit": "many"})


def request(on: Scene) -> object:
    return on.a.get(PATH).request


def open_answer(on: Scene) -> object:
    """Walk an answer in the middle of its body, with the generators that read it."""
    with on.a.stream("GET", PATH) as made:
        parts = made.iter_raw(10)
        next(parts)
        assert not lies_open((made, made.stream, parts), tokens_of(on.sandbox))
        parts.close()
    return made


def open_answer_of_a_write(on: Scene) -> object:
    with on.a.stream("POST", PATH, json={"properties": {}}) as made:
        parts = made.iter_raw(10)
        next(parts)
        assert not lies_open((made, made.stream, parts), tokens_of(on.sandbox))
        parts.close()
    return made


def public_attributes(on: Scene) -> object:
    on.a.get(PATH)
    names = ("auth", "base_url", "cookies", "event_hooks", "headers", "params", "portal", "timeout")
    return [getattr(on.a, name) for name in names]


def client_itself(on: Scene) -> object:
    """Even past what is public there is no token in the open while no call is under way."""
    client = on.a
    client.get(PATH)
    return client


def agency_itself(on: Scene) -> object:
    on.a.get(PATH)
    return on.agency


def refusal(on: Scene) -> object:
    on.a.get(PATH)
    with pytest.raises(CallRefused) as caught:
        on.a.get(on.other.url)
    return caught.value.with_traceback(None)


def status_error(on: Scene) -> object:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        on.a.get(DEALS, params={"limit": "many"}).raise_for_status()
    return caught.value.with_traceback(None)


def shown_by(show: Callable[[object], object]) -> Callable[[Scene], object]:
    """Show client, answer, request and agency in one of the ways in which things are shown."""

    def attack(on: Scene) -> object:
        client = on.a
        made = client.get(PATH)
        for one in (client, made, made.request, made.stream, client.portal, on.agency):
            try:
                on.see(show(one))
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                on.see(error, *traceback.format_exception(error))
        return made

    return attack


def members(one: object) -> object:
    return [(name, repr(value)) for name, value in inspect.getmembers(one)]


def as_json(one: object) -> object:
    return json.dumps(
        one, default=lambda other: {**vars(other), "repr": repr(other)}, skipkeys=True
    )


def error_in_a_notebook(on: Scene) -> object:
    from IPython.core.ultratb import VerboseTB

    with pytest.raises(HsAgencyError) as caught:
        on.a.get(on.other.url)
    error = caught.value
    shown = VerboseTB(theme_name="nocolor").text(type(error), error, error.__traceback__)
    on.see(shown)
    raise error


def error_in_a_web_page(on: Scene) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import cgitb

    with pytest.raises(HsAgencyError) as caught:
        on.a.get(on.other.url)
    error = caught.value
    on.see(cgitb.text((type(error), error, error.__traceback__)))
    on.see(cgitb.html((type(error), error, error.__traceback__)))
    raise error


def logged_error(on: Scene) -> object:
    try:
        return on.a.get(on.other.url)
    except CallRefused:
        logging.getLogger("tests").exception("refused: %s", on.a, stack_info=True)
        raise


def debug_of_the_libraries(on: Scene) -> object:
    for name in ("httpx", "httpcore", "h11", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        return on.a.get(PATH)
    finally:
        for name in ("httpx", "httpcore", "h11", "urllib3", "asyncio"):
            logging.getLogger(name).setLevel(logging.NOTSET)


def curl_of_a_request(on: Scene) -> object:
    made = on.a.get(PATH).request
    return " ".join(f"-H '{name}: {value}'" for name, value in made.headers.multi_items())


def stored_facts(on: Scene) -> object:
    on.see(*on.agency.connections().values(), on.agency.portals().rows())
    return (on.root / "connections.json").read_text() + str(on.a.get(PATH))


WAYS: list[Way] = [
    Way("walking an answer", holding(answer), HOME),
    Way("walking the answer of a write", holding(answer_of_a_write), HOME),
    Way("walking an answer that is an error", holding(answer_of_an_error), HOME),
    Way("walking an answer in the middle", holding(open_answer), HOME),
    Way("walking the answer of a write in the middle", holding(open_answer_of_a_write), HOME),
    Way("walking a request", holding(request), HOME),
    Way("walking what is public of a client", holding(public_attributes), HOME),
    Way("walking a client", holding(client_itself), HOME),
    Way("walking an agency", holding(agency_itself), HOME),
    Way("walking a refusal", holding(refusal), HOME),
    Way("walking an error status", holding(status_error), HOME),
    Way("repr", shown_by(repr), HOME),
    Way("vars", shown_by(vars), HOME),
    Way("dir and getattr", shown_by(members), HOME),
    Way("pprint", shown_by(pprint.pformat), HOME),
    Way("asdict", shown_by(asdict), HOME),  # type: ignore[arg-type]
    Way("json", shown_by(as_json), HOME),
    Way("pickle", shown_by(lambda one: pickle.dumps(one).decode("latin-1")), HOME),
    Way("a verbose traceback in a notebook", error_in_a_notebook),
    Way("a traceback as a web page", error_in_a_web_page),
    Way("an error in a log", logged_error),
    Way("libraries at DEBUG", debug_of_the_libraries, HOME),
    Way("a request as a command", curl_of_a_request, HOME),
    Way("the stored facts", stored_facts, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_a_caller_holds_shows_no_token(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)


def test_the_walk_finds_a_token_that_lies_open(scene: Scene) -> None:
    """The walk is not blind: it finds a token in a closure, a frame and an attribute."""
    token = scene.portal_a.token
    sought = [token]

    def frame() -> Iterator[object]:
        held = token
        yield inspect.currentframe()
        del held

    assert lies_open({"a": [token]}, sought)
    assert lies_open(lambda: token, sought)
    assert lies_open(frame(), sought)
    assert lies_open(httpx.Request("GET", "http://x", headers={"A": token}), sought)
    assert not lies_open([Secret(token)], sought)
