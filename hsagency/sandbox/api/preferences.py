"""
Communication preferences over HTTP; an e-mail address is a part of most paths.

Version 3 knows two states and never subscribes again who has opted out; from version 4 on there
are three, and answers are those of operations that completed.
"""

from __future__ import annotations

from collections.abc import Callable

from hsagency.sandbox.api.many import answer_each, complete
from hsagency.sandbox.bodies import INPUTS_MAX, demand, inputs, one_of, text, texts
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.preferences import (
    LEGAL_BASES,
    STATES,
    Basis,
    Choice,
    Definition,
    PreferenceBook,
    address,
)
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid

READ = ("communication_preferences.read", "communication_preferences.read_write")
WRITE = ("communication_preferences.read_write",)


def list_definitions(call: Call) -> Outcome:
    """Return the kinds of e-mail that can be subscribed to."""
    return complete(call, [one.shown() for one in _book(call).definitions])


def read_statuses(call: Call) -> Outcome:
    """Return what one address has chosen for each kind of e-mail."""
    _demand_channel(call)
    return complete(call, _statuses(call, call.values["email"]))


def write_status(call: Call) -> Outcome:
    """Set what one address has chosen for one kind of e-mail."""
    return complete(call, [_written(call, call.values["email"], call.content)])


def read_opt_out(call: Call) -> Outcome:
    """Say whether one address is unsubscribed from all; no results: it is not."""
    _demand_channel(call)
    return complete(call, _opt_outs(call, call.values["email"]))


def opt_out(call: Call) -> Outcome:
    """Unsubscribe one address from all; the answer is empty unless `verbose` is asked for."""
    _demand_channel(call)
    return complete(call, _opted_out(call, call.values["email"]))


def read_many_statuses(call: Call) -> Outcome:
    """Return what many addresses have chosen."""
    _demand_channel(call)
    return _each(call, "statuses", lambda email: _statuses(call, email))


def opt_many_out(call: Call) -> Outcome:
    """Unsubscribe many addresses from all."""
    _demand_channel(call)
    return _each(call, "statuses", lambda email: _opted_out(call, email))


def read_many_opt_outs(call: Call) -> Outcome:
    """Say which of many addresses are unsubscribed from all."""
    _demand_channel(call)
    return _each(call, "wideStatuses", lambda email: _opt_outs(call, email))


def write_many_statuses(call: Call) -> Outcome:
    """Set what many addresses have chosen, each for one kind of e-mail."""
    return answer_each(
        call,
        inputs(call.content),
        lambda asked: [_written(call, text(asked, "subscriberIdString"), asked)],
        context=lambda asked: {"subscriberIdString": [str(asked.get("subscriberIdString"))]},
    )


def list_definitions_v3(call: Call) -> Outcome:
    """Return the kinds of e-mail as version 3 does."""
    return 200, {"subscriptionDefinitions": [one.shown() for one in _book(call).definitions]}


def read_statuses_v3(call: Call) -> Outcome:
    """Return what one address has chosen as version 3 does: subscribed or not."""
    email = address(call.values["email"])
    statuses = [_status_v3(call, email, one) for one in _book(call).definitions]
    return 200, {"recipient": email, "subscriptionStatuses": statuses}


def subscribe(call: Call) -> Outcome:
    """Subscribe an address, unless it has opted out before."""
    email, definition = _asked_v3(call)
    if _book(call).choice(email, definition).state == "UNSUBSCRIBED":
        raise invalid(
            f"{email} has opted out of {definition.name!r} and cannot be subscribed again"
        )
    return _chosen_v3(call, email, definition, "SUBSCRIBED")


def unsubscribe(call: Call) -> Outcome:
    """Unsubscribe an address."""
    email, definition = _asked_v3(call)
    return _chosen_v3(call, email, definition, "UNSUBSCRIBED")


def preferences_routes() -> list[Route]:
    """Return the routes of this module."""
    one, many = "/statuses/{email}", "/statuses/batch"
    root = "/communication-preferences"
    v3 = f"{root}/v3"
    status_v3 = {"GET": Endpoint(read_statuses_v3, READ)}
    return [
        *routes_at(
            f"{root}/v4",
            f"{root}/{{dated}}",
            tails={
                "/definitions": {"GET": Endpoint(list_definitions, READ)},
                one: {"GET": Endpoint(read_statuses, READ), "POST": Endpoint(write_status, WRITE)},
                f"{one}/unsubscribe-all": {
                    "GET": Endpoint(read_opt_out, READ),
                    "POST": Endpoint(opt_out, WRITE),
                },
                f"{many}/read": {"POST": Endpoint(read_many_statuses, READ)},
                f"{many}/write": {"POST": Endpoint(write_many_statuses, WRITE)},
                f"{many}/unsubscribe-all": {"POST": Endpoint(opt_many_out, WRITE)},
                f"{many}/unsubscribe-all/read": {"POST": Endpoint(read_many_opt_outs, READ)},
            },
        ),
        Route(f"{v3}/definitions", {"GET": Endpoint(list_definitions_v3, READ)}),
        *routes_at(
            v3, f"{root}/{{dated}}", tails={"/status/email/{email}": status_v3}, dated=("2026-09",)
        ),
        Route(f"{v3}/subscribe", {"POST": Endpoint(subscribe, WRITE)}),
        Route(f"{v3}/unsubscribe", {"POST": Endpoint(unsubscribe, WRITE)}),
    ]


def _book(call: Call) -> PreferenceBook:
    return call.state.part(PreferenceBook)


def _demand_channel(call: Call) -> None:
    if call.request.param("channel") != "EMAIL":
        raise invalid("channel is required and must be EMAIL")


def _statuses(call: Call, email: str) -> list[JsonObject]:
    return [_status(call, email, one) for one in _book(call).definitions]


def _status(call: Call, email: str, definition: Definition) -> JsonObject:
    choice = _book(call).choice(email, definition)
    return {
        "subscriberIdString": address(email),
        "channel": "EMAIL",
        "subscriptionId": definition.number,
        "subscriptionName": definition.name,
        "status": choice.state,
        "source": choice.source,
        "timestamp": choice.at,
        "businessUnitId": 0,
    } | _grounds(choice)


def _written(call: Call, email: str, content: JsonObject) -> JsonObject:
    demand(content, "channel", "statusState", "subscriptionId")
    one_of(content, "channel", ("EMAIL",))
    definition = _book(call).definition(content["subscriptionId"])
    choice = _wish(call, content, one_of(content, "statusState", STATES))
    reason = _book(call).choose(email, definition, choice)
    return _status(call, email, definition) | {"setStatusSuccessReason": reason}


def _opt_outs(call: Call, email: str) -> list[JsonObject]:
    since = _book(call).out_since(email)
    if since is None:
        return []
    return [
        {
            "wideStatusType": "PORTAL_WIDE",
            "subscriberIdString": address(email),
            "channel": "EMAIL",
            "status": "UNSUBSCRIBED",
            "timestamp": since,
            "businessUnitId": 0,
        }
    ]


def _opted_out(call: Call, email: str) -> list[JsonObject]:
    _book(call).unsubscribe_from_all(email, at=call.at, source=_source(call))
    if not call.flag("verbose"):
        return []
    reason = {"setStatusSuccessReason": "UNSUBSCRIBE_FROM_ALL_OCCURRED"}
    return [one | reason for one in _statuses(call, email)]


def _each(call: Call, name: str, answer: Callable[[str], list[JsonObject]]) -> Outcome:
    """Answer for each address of a batch; 207 when some are none."""
    content = call.content
    demand(content, "inputs")
    return answer_each(
        call,
        texts(content, "inputs", most=INPUTS_MAX),
        lambda email: [{"subscriberIdString": address(email), name: answer(email)}],
        context=lambda email: {"subscriberIdString": [email]},
    )


def _wish(call: Call, content: JsonObject, state: str) -> Choice:
    given, explanation = content.get("legalBasis"), content.get("legalBasisExplanation")
    basis = None if given is None else one_of(content, "legalBasis", LEGAL_BASES)
    said = None if explanation is None else text(content, "legalBasisExplanation")
    return Choice(state, call.at, source=_source(call), basis=Basis(basis, said))


def _source(call: Call) -> str:
    return f"Public API, app {call.credential.app_id}"


def _grounds(choice: Choice) -> JsonObject:
    said = {
        "legalBasis": choice.basis.legal_basis,
        "legalBasisExplanation": choice.basis.explanation,
    }
    return {name: value for name, value in said.items() if value is not None}


def _asked_v3(call: Call) -> tuple[str, Definition]:
    content = call.content
    demand(content, "emailAddress", "subscriptionId")
    return address(text(content, "emailAddress")), _book(call).definition(content["subscriptionId"])


def _chosen_v3(call: Call, email: str, definition: Definition, state: str) -> Outcome:
    _book(call).choose(email, definition, _wish(call, call.content, state))
    return 200, _status_v3(call, email, definition)


def _status_v3(call: Call, email: str, definition: Definition) -> JsonObject:
    choice, out = _book(call).choice(email, definition), _book(call).out_since(email)
    return {
        "id": str(definition.number),
        "name": definition.name,
        "description": definition.description,
        "status": "SUBSCRIBED" if choice.state == "SUBSCRIBED" else "NOT_SUBSCRIBED",
        "sourceOfStatus": "SUBSCRIPTION_STATUS" if out is None else "PORTAL_WIDE_STATUS",
        "brandId": 0,
        "preferenceGroupName": definition.purpose,
    } | _grounds(choice)
