"""How HTTP is framed, by a server that must not be talked round; nothing here is HubSpot's."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from threading import Event

import pytest

from hsagency.sandbox import Reply
from hsagency.sandbox.serving.conversation import Conversation
from tests.sandbox.conftest import NOON
from tests.sandbox.patience import patience


def spoken(answer: Reply, *said: bytes, idle: float = 75.0, silent: bool = False) -> bytes:
    """Return what one conversation answers, whoever is asked always giving the same reply."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for part in said:
            ours.sendall(part)
        if not silent:
            ours.shutdown(socket.SHUT_WR)
        talk = Conversation(
            theirs, answer=lambda _: answer, now=lambda: NOON, closing=Event(), idle=idle
        )
        give_up = partial(ours.shutdown, socket.SHUT_RDWR)
        with patience(give_up), suppress(OSError):  # as the server does
            talk.hold()
        ours.settimeout(30)
        return b"".join(iter(lambda: ours.recv(65_536), b""))


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_a_conversation_writes_no_body_where_none_may_be(status: int, framing) -> None:
    answer = Reply(status, body=b"lost", framing=framing)
    head, _, body = spoken(answer, b"GET / HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]
)
def test_who_says_nothing_more_is_left_alone(said: bytes) -> None:
    """The other side stays open, and the server does not wait for ever."""
    answer = spoken(Reply(200), said, idle=0.05, silent=True)
    assert answer.startswith(b"HTTP/1.1 400 " if said else b"")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n",
        b"GET\x0b/ HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(nonsense: bytes) -> None:
    assert spoken(Reply(200), nonsense).startswith(b"HTTP/1.1 400 ")


def test_trailers_have_an_end() -> None:
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert spoken(Reply(200), start, b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert spoken(Reply(200), start, b"A: b\r\n" * 300).startswith(b"HTTP/1.1 431 ")


def test_a_client_says_close_among_other_words_and_an_old_one_is_not_told_to_go_on() -> None:
    twice = b"GET / HTTP/1.1\r\nConnection: Close, TE\r\n\r\n" * 2
    assert spoken(Reply(200), twice).count(b"HTTP/1.1 200") == 1
    old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"
    assert spoken(Reply(200), old).startswith(b"HTTP/1.1 200 ")
