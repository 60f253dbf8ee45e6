"""A call becomes a class, a family and words that may be written down; never its free text."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency import routes
from hsagency.portals import ConnectionType
from hsagency.routes import (
    OperationClass,
    identifying,
    names_somebody,
    refusal,
    secret_in_url,
    touched,
)
from tests.core.path_families import MOVED, PERSONAL, SECRET, UUID, VERBS, Row
from tests.support import TOKEN

ROWS = [
    (method, "/" + "/".join(segments), does, family)
    for (method, segments), (does, family) in routes.rows().items()
]
VERSIONS = ("v3", "v4", "2026-03", "2026-09", "2026-09-beta")
FILLED = {
    "{type}": "contacts",
    "{other}": "companies",
    "{id}": "4711",
    "{label}": "279",
    "{email}": "zqx@example.com",
    "{subscriber}": "zqx@example.com",
    "{actor}": "E-zqx",
    "{name}": "zqx_name",
    "{path}": "zqx/page.html",
    "{token}": "zqx",
}


def filled(path: str, **changes: str) -> str:
    for place, value in {**FILLED, **{f"{{{name}}}": one for name, one in changes.items()}}.items():
        path = path.replace(place, value)
    return path


def versioned(path: str, version: str, position: int) -> str:
    segments = path.split("/")
    return "/".join([*segments[: position + 1], version, *segments[position + 1 :]])


@pytest.mark.parametrize(("method", "path", "does", "family"), ROWS)
def test_every_row_of_the_table_is_reached(method: str, path: str, does: str, family: str) -> None:
    for made in [filled(path), *(versioned(filled(path), one, 1) for one in VERSIONS)]:
        call = touched(method, made)
        assert (call.operation_class, call.family) == (does, family)
        assert "zqx" not in call.template


@pytest.mark.parametrize(("method", "path", "does", "family"), ROWS)
def test_where_the_version_stands_makes_no_difference(
    method: str, path: str, does: str, family: str
) -> None:
    bare = touched(method, filled(path))
    for version in VERSIONS:
        for position in range(1, path.count("/") + 1):
            call = touched(method, versioned(filled(path), version, position))
            assert (call.operation_class, call.family) == (does, family)
            assert (call.object_type, call.object_id) == (bare.object_type, bare.object_id)
            assert version in call.template.split("/")


@pytest.mark.parametrize(
    ("old", "dated"),
    [
        ("/crm/v3/objects/contacts/1", "/crm/objects/2026-09/contacts/1"),
        ("/crm/v4/objects/0-1/1/associations/0-2", "/crm/objects/2026-09/0-1/1/associations/0-2"),
        ("/crm/v3/properties/deals/amount", "/crm/properties/2026-09/deals/amount"),
        ("/crm/v3/pipelines/deals/1/stages/2", "/crm/pipelines/2026-09/deals/1/stages/2"),
        ("/crm-object-schemas/v3/schemas/2-1", "/crm-object-schemas/2026-09/schemas/2-1"),
        ("/crm/v3/lists/1", "/crm/lists/2026-09/1"),
        ("/crm/v3/owners", "/crm/owners/2026-09"),
        ("/settings/v3/users/1", "/settings/users/2026-03/1"),
        ("/marketing/v3/forms/1", "/marketing/forms/2027-03-beta/1"),
        ("/automation/v4/flows", "/automation/2026-09-beta/flows"),
        ("/marketing/v3/emails/1", "/marketing/emails/2026-09/1"),
        ("/cms/v3/pages/site-pages/1", "/cms/pages/2026-03/site-pages/1"),
        ("/files/v3/files/1", "/files/2026-09/files/1"),
        ("/account-info/v3/details", "/account-info/2026-09/details"),
        ("/crm/v3/imports/1", "/crm/imports/2026-09/1"),
    ],
)
def test_old_and_dated_addresses_are_the_same_call(old: str, dated: str) -> None:
    first, second = touched("GET", old), touched("GET", dated)
    assert first.operation_class is not OperationClass.UNCLASSIFIED
    assert (first.operation_class, first.family) == (second.operation_class, second.family)
    assert (first.object_type, first.object_id) == (second.object_type, second.object_id)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *(("0-1", "contacts"), ("contacts", "contacts"), ("contact", "contacts")),
        *(("0-3", "deals"), ("deal", "deals"), ("0-5", "tickets"), ("0-8", "line_items")),
        *(("0-2", "companies"), ("company", "companies"), ("0-136", "leads")),
        *(("2-3453932", "2-3453932"), ("p_car", "p_car"), ("p123_car", "p123_car")),
        *(("jane@example.com", "custom"), ("Jane Doe", "custom"), (TOKEN, "custom")),
    ],
)
def test_an_object_type_has_one_name(given: str, name: str) -> None:
    assert touched("GET", f"/crm/v3/objects/{quote(given)}/1").object_type == name


WORDS = routes._words()
SAFE = re.compile(
    r"v\d{1,2}|20\d\d-\d\d(-beta)?|\d{1,20}|[0-2]-\d{1,9}|p\d*_[a-z0-9_]+|\{[a-z]*\}"
    r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    re.ASCII,
)


def is_plain(template: str) -> bool:
    return all(one in WORDS or SAFE.fullmatch(one) for one in template.split("/")[1:])


private = st.one_of(
    st.builds("zqx{}@example.com".format, st.text("abc.+-_", max_size=8)),
    st.builds("zqx {}".format, st.text("abc äß漢\U0001f600'\"<>&=?#", max_size=12)),
    st.builds("ZQX{}".format, st.text("ABC0123456789-", max_size=12)),
    st.just(TOKEN + "zqx"),
    st.builds("+1-555-{}zqx".format, st.text("0123456789-", max_size=6)),
)
encoded = st.builds(
    lambda text, every: (
        "".join(f"%{one:02X}" for one in text.encode()) if every else quote(text, safe="@")
    ),
    private,
    st.booleans(),
)
row_paths = st.sampled_from([path for _, path, _, _ in ROWS])
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])


@given(methods, row_paths, encoded, st.data())
def test_no_private_text_survives_in_any_place_of_any_path(
    method: str, path: str, secret: str, data: st.DataObject
) -> None:
    segments = filled(path).split("/")
    place = data.draw(st.integers(1, len(segments) - 1))
    if data.draw(st.booleans()):
        segments[place] = secret
    else:
        segments.insert(place, secret)
    query = data.draw(
        st.sampled_from(["", f"q={secret}", "idProperty=email", f"idProperty={secret}"])
    )
    version = data.draw(st.sampled_from(VERSIONS))
    for made in ("/".join(segments), versioned("/".join(segments), version, 1)):
        call = touched(method, made, query)
        said = f"{call.template} {call.object_type} {call.object_id} {call.family}"
        assert "zqx" not in unquote(said).lower()
        assert "@" not in said
        assert is_plain(call.template)


@given(
    methods,
    st.lists(st.text("abz019@%2.-_{}/ä v", max_size=12), max_size=16),
    st.text("idProperty=&%50", max_size=20),
)
@example("GET", ["crm", "v3", "objects", "contacts", "555-1234567"], "")
@example("GET", ["crm", "v3", "objects", "555-1234567", "1"], "")
@example("GET", ["555-1234567", "p_jane_doe", "v15551234567", "1999-12"], "")
@example("GET", ["crm", "٣٤", "v٣"], "")
@example("GET", ["{id}", "{jane}", "{}"], "")
def test_whatever_the_path_its_template_is_made_of_known_words(
    method: str, segments: list[str], query: str
) -> None:
    call = touched(method, "/" + "/".join(segments), query)
    assert is_plain(call.template)
    assert call.object_id is None or re.fullmatch(r"\d{1,20}", call.object_id, re.ASCII)
    assert len(call.template) < 1000


@pytest.mark.parametrize("query", ["idProperty=phone", "a=1&id%50roperty=phone", "idProperty="])
def test_a_number_that_is_looked_up_by_a_property_is_no_record_id(query: str) -> None:
    call = touched("GET", "/crm/v3/objects/contacts/15550001111", query)
    assert call.template == "/crm/v3/objects/contacts/{id}"
    assert call.object_id is None


def test_a_record_id_is_kept() -> None:
    call = touched("PATCH", "/crm/objects/2026-09/0-1/4711")
    assert call.template == "/crm/objects/2026-09/0-1/4711"
    assert (call.object_type, call.object_id) == ("contacts", "4711")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/"), ("GET", "/crm"), ("GET", ""), ("HEAD", "/crm/v3/objects/contacts")),
        *(("OPTIONS", "/crm/v3/objects/contacts"), ("GET", "//crm/v3/objects/contacts")),
        *(("POST", "/crm/v3/objects/contacts/1/search"), ("get", "/crm/v3/objects/contacts")),
        *(("GET", "/CRM/v3/objects/contacts"), ("DELETE", "/crm/v3/objects/contacts")),
        *(("POST", "/crm/v3/objects/contacts/search;x"), ("GET", "/crm/v3/objects/contacts/1/2")),
    ],
)
def test_what_no_row_describes_is_unclassified_and_never_a_read(method: str, path: str) -> None:
    call = touched(method, path)
    assert call.operation_class is OperationClass.UNCLASSIFIED
    for connection_type in ConnectionType:
        assert refusal(connection_type, call) is not None


def test_an_encoded_word_is_the_word() -> None:
    assert touched("POST", "/crm/v3/objects/contacts/%73earch").operation_class == "read"
    assert touched("POST", "/crm/v3/objects/contacts/batch/%61rchive").operation_class == "delete"


def test_an_endless_path_makes_a_short_record() -> None:
    call = touched("GET", "/a" * 30_000)
    assert call.template == "/{}" * 12


def test_queries_do_not_fill_the_cache() -> None:
    before = routes._touched.cache_info()
    for page in range(100):
        touched("GET", "/crm/v3/objects/contacts", f"after={page}&q=zqx")
    after = routes._touched.cache_info()
    assert after.misses - before.misses <= 1
    assert after.maxsize is not None


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/oauth/v1/access-tokens/x", ""),
        ("/oauth/access-tokens/x", ""),
        ("/oauth/v1/%41ccess-tokens/x", ""),
        ("/OAuth/v1/Refresh-Tokens/x", ""),
        ("/crm/v3/objects/contacts", "hapikey=1"),
        ("/crm/v3/objects/contacts", "HAPIKEY="),
        ("/crm/v3/objects/contacts", "a=1&client%5Fsecret=1"),
        ("/oauth/v1/token", "refresh_token=x"),
        ("/oauth/v1/token", "grant_type=a&Client_Assertion=x"),
        ("/oauth/2026-09/token", "code_verifier=x"),
        ("/oauth/2026-09/token/revoke", "token=x"),
        ("/oauth/v2/private-apps/get/access-token-info", "tokenKey=x"),
    ],
)
def test_an_address_that_carries_a_secret_is_known(path: str, query: str) -> None:
    assert secret_in_url(path, query)


def test_an_ordinary_address_carries_none() -> None:
    assert not secret_in_url("/crm/v3/objects/contacts", "limit=10&after=code")
    assert not secret_in_url("/oauth/2026-09/token/introspect", "")


@pytest.mark.parametrize(
    ("method", "path", "query", "template", "does", "kind"), [*MOVED, *VERBS, *PERSONAL]
)
def test_every_family_has_its_template_class_and_type(
    method: str, path: str, query: str, template: str, does: str, kind: str | None
) -> None:
    call = touched(method, path, query)
    assert (call.template, call.operation_class, call.object_type) == (template, does, kind)


@pytest.mark.parametrize("row", PERSONAL)
def test_what_names_a_person_is_left_out_and_told_for_hashing_only(row: Row) -> None:
    method, path, query, *_ = row
    call = touched(method, path, query)
    private = [one for one in identifying(method, path, query) if one]
    assert len(private) == 1
    assert private[0] not in repr(call)
    assert private[0] in unquote(f"{path}?{query}")
    assert call.hides or names_somebody(query)
    assert call.object_id is None or call.object_id in ("7", "8")


@pytest.mark.parametrize(("method", "path", "query", "template"), SECRET)
def test_nothing_of_a_secret_in_an_address_is_kept_in_any_form(
    method: str, path: str, query: str, template: str
) -> None:
    assert secret_in_url(path, query)
    assert touched(method, path, query).template == template
    assert identifying(method, path, query) == []


def test_a_uuid_is_an_id_unless_a_property_is_named() -> None:
    path = f"/marketing/v3/forms/{UUID}"
    assert touched("GET", path).object_id == UUID
    assert not touched("GET", path).hides
    assert identifying("GET", path) == []
    assert touched("GET", path, "idproperty=x").template == "/marketing/v3/forms/{id}"
    assert identifying("GET", path, "idProperty=x") == [UUID]


def test_of_an_unknown_path_known_words_stay_alone() -> None:
    path = f"/crm/v3/objects/contacts/4711/zqx/{UUID}/search"
    call = touched("POST", path)
    assert call.operation_class is OperationClass.UNCLASSIFIED
    assert call.template == "/crm/v3/objects/contacts/{}/{}/{}/search"
    assert identifying("POST", path) == ["4711", "zqx", UUID]


def test_an_ordinary_call_names_nobody() -> None:
    for path, query in [
        ("/crm/objects/2026-09/contacts", "limit=10&after=20&properties=email,phone"),
        ("/crm/v3/objects/contacts/4711", "associations=deals"),
        ("/crm/v3/owners", "archived=false"),
    ]:
        assert not touched("GET", path, query).hides
        assert not names_somebody(query)
        assert identifying("GET", path, query) == []


parts = st.one_of(
    st.sampled_from([*sorted(WORDS), "v3", "2026-09", "4711", UUID, "2-51", "p_car"]),
    st.text("abz019@.-_{}/ä v%", max_size=12),
)


@given(
    methods,
    st.lists(parts, max_size=9),
    st.lists(
        st.tuples(
            st.sampled_from(["idProperty", "IDPROPERTY", "limit", "email", "Q", "property.x"]),
            st.text("abz019@.-_&=+%ä ", max_size=9),
        ),
        max_size=3,
    ),
)
def test_whatever_is_not_known_to_be_safe_is_hidden_and_nothing_else_is(
    method: str, segments: list[str], query: list[tuple[str, str]]
) -> None:
    path = "/" + "/".join(quote(one, safe="@{}") for one in segments)
    asked = urlencode(query)
    call, hidden = touched(method, path, asked), identifying(method, path, asked)
    known = call.operation_class is not OperationClass.UNCLASSIFIED
    for one in call.template.split("/")[1:]:
        assert one in WORDS or SAFE.fullmatch(one)
    by_property = any(name.lower() == "idproperty" for name, _ in query)
    if by_property or not known:
        assert not any(
            re.fullmatch(r"\d{3,}|[0-9a-f-]{36}", one) for one in call.template.split("/")
        )
    for value in hidden:
        assert value in unquote(path) or value in [given for _, given in query]
    named = [value for name, value in query if name in ("email", "Q", "property.x") and value]
    if not secret_in_url(path, ""):
        assert hidden[len(hidden) - len(named) :] == named
        assert bool(hidden) == (call.hides or bool(named))
