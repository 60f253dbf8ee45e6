"""No spelling of an address leads a call elsewhere, or hides from the record where it went."""

from __future__ import annotations

import httpx
import pytest

from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure

ANYTHING = {"purpose": "attack", "allow_unclassified": True}


def to(name: str, address: str, ending: Ending = Ending.REFUSED) -> Way:
    """Ask for an address in which OWN, OTHER, PORT and THEIRS stand for hosts and ports."""

    def attack(on: Scene) -> httpx.Response:
        given = address.replace("OWN", on.netloc).replace("PORT", on.port)
        other = on.other.url.removeprefix("http://")
        given = given.replace("OTHER", other).replace("THEIRS", str(on.other.port))
        return on.a.get(given, extensions=ANYTHING, follow_redirects=True)

    return Way(name, attack, ending)


def url_object(on: Scene) -> httpx.Response:
    return on.a.get(httpx.URL(on.other.url).join(PATH))


def joined_parameters(on: Scene) -> httpx.Response:
    return on.a.get(PATH, params={"after": f"@{on.other.url}/", "limit": "1#@x"})


def set_after_the_build(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    request.url = httpx.URL(f"{on.other.url}{PATH}")
    return on.a.send(request)


def token_in_fragment(on: Scene) -> httpx.Response:
    return on.a.get(f"{PATH}#{on.portal_b.token}")


def token_in_path(on: Scene) -> httpx.Response:
    return on.a.get(f"{PATH}/{on.portal_b.token}")


def token_in_query(on: Scene) -> httpx.Response:
    return on.a.get(PATH, params={"after": on.portal_b.token})


def token_in_host(on: Scene) -> httpx.Response:
    return on.a.get(f"http://{on.portal_b.token}.example.com{PATH}")


def token_as_user(on: Scene) -> httpx.Response:
    return on.a.get(f"http://{on.portal_b.token}@{on.netloc}{PATH}")


NO = Ending.NONE
HOSTS = [
    to("an absolute address", f"http://OTHER{PATH}"),
    to("an address without a scheme", f"//OTHER{PATH}"),
    to("three slashes", f"///OTHER{PATH}"),
    to("one slash after the scheme", f"http:/OTHER{PATH}", Ending.HOME),
    to("no slash after the scheme", f"http:OTHER{PATH}", Ending.HOME),
    to("backslashes for slashes", f"\\\\OTHER{PATH}"),
    to("a backslash after a slash", f"/\\OTHER{PATH}"),
    to("the own host as a user", f"http://OWN@OTHER{PATH}"),
    to("a user and a password", f"http://user:pass@OWN{PATH}"),
    to("a user without a password", f"http://user@OWN{PATH}"),
    to("the own host behind a fragment", f"http://OTHER#@OWN{PATH}"),
    to("the own host behind a query", f"http://OTHER?@OWN{PATH}"),
    to("the own host behind a backslash", f"http://OTHER\\@OWN{PATH}"),
    to("the own host behind a slash", f"http://OTHER/@OWN{PATH}"),
    to("an @ where the host ends", "/@OTHER/crm"),
    to("TLS where there is none", f"https://OWN{PATH}"),
    to("no TLS at HubSpot", f"http://api.hubapi.com{PATH}"),
    to("HubSpot itself from a sandbox", f"https://api.hubapi.com{PATH}"),
    to("another data centre", f"https://api-eu1.hubapi.com{PATH}"),
    to("a scheme in capitals", f"HTTPS://OWN{PATH}"),
    to("another protocol", f"ftp://OWN{PATH}"),
    to("a file", "file:///etc/hostname", Ending.HOME),
    to("a web socket", f"ws://OWN{PATH}"),
    to("a socket of this machine", "http+unix://%2Frun%2Fx.sock/crm"),
    to("the name of this machine", f"http://localhost:PORT{PATH}"),
    to("a short form of the address", f"http://127.1:PORT{PATH}"),
    to("the address as one number", f"http://2130706433:PORT{PATH}"),
    to("the address in octal", f"http://0177.0.0.1:PORT{PATH}", NO),
    to("the address in hexadecimal", f"http://0x7f000001:PORT{PATH}"),
    to("the address as IPv6", f"http://[::1]:PORT{PATH}"),
    to("the address inside IPv6", f"http://[::ffff:127.0.0.1]:PORT{PATH}"),
    to("any address", f"http://0.0.0.0:PORT{PATH}"),
    to("no port", f"http://127.0.0.1{PATH}"),
    to("port zero", f"http://127.0.0.1:0{PATH}"),
    to("the port of another", f"http://127.0.0.1:THEIRS{PATH}"),
    to("a port beyond all", f"http://127.0.0.1:99999{PATH}"),
    to("a port with a zero before it", f"http://127.0.0.1:0PORT{PATH}", Ending.HOME),
    to("two ports", f"http://127.0.0.1:PORT:THEIRS{PATH}", NO),
    to("a full stop after the host", f"http://127.0.0.1.:PORT{PATH}"),
    to("a host that begins with ours", f"http://127.0.0.1.example.com:PORT{PATH}"),
    to("full-width digits", f"http://\uff11\uff12\uff17.0.0.1:THEIRS{PATH}", NO),
    to("full-width letters", f"https://\uff41\uff50\uff49.hubapi.com{PATH}", NO),
    to("a letter of another alphabet", f"https://api.hub\u0430pi.com{PATH}"),
    to("its punycode", f"https://api.xn--hubpi-3ve.com{PATH}"),
    to("a hyphen that is not seen", f"https://api.hub\u00adapi.com{PATH}", NO),
    to("an ideographic full stop", f"http://127\u30020\u30020\u30021:THEIRS{PATH}"),
    to("an encoded host", f"http://%31%32%37.0.0.1:THEIRS{PATH}"),
    to("a slash encoded in the host", f"http://OWN%2f.example.com{PATH}", NO),
    to("a line break in the host", f"http://OTHER\r\n{PATH}", NO),
    to("a tab in the scheme", f"ht\ttp://OTHER{PATH}", NO),
    Way("an address as an object", url_object),
    Way("an address set after the request was built", set_after_the_build),
    Way("an address in the parameters", joined_parameters, Ending.HOME),
]

PATHS = [
    to("an encoded slash", f"{PATH}/..%2fdeals"),
    to("encoded dots", f"{PATH}/%2e%2e/deals"),
    to("dots half encoded", f"{PATH}/.%2e/deals"),
    to("dots encoded twice", f"{PATH}/%252e%252e/deals"),
    to("plain dots", f"{PATH}/../deals", Ending.HOME),  # httpx resolves them: recorded as deals
    to("an empty segment", "/crm/v3/objects//contacts"),
    to("parameters of a segment", f"{PATH}/1;portalId=2"),
    to("dots with parameters", f"{PATH}/..;/deals"),
    to("encoded backslashes", f"{PATH}/%5c..%5cdeals"),
    to("dots in overlong UTF-8", f"{PATH}/%c0%ae%c0%ae/deals"),
    to("an encoded null", f"{PATH}/1%00"),
    to("an encoded line break", f"{PATH}/1%0d%0aHost:%20OTHER"),
    to("a line break", f"{PATH}/1\r\nHost: OTHER", NO),
    to("a request within the path", f"{PATH} HTTP/1.1%0d%0a%0d%0aGET /crm"),
    to("an encoded question mark", f"{PATH}%3fportalId=2", Ending.HOME),
    to("a fragment", f"{PATH}#//OTHER/", Ending.HOME),
    to("an API key in the query", f"{PATH}?hapikey=00000000"),
    to("an API key in capitals", f"{PATH}?HAPIKEY=00000000"),
    to("an access token in the query", f"{PATH}?access_token=x"),
    to("a portal id in the query", f"{PATH}?portalId=1", Ending.HOME),
    to("an endpoint with a token in its path", "/oauth/v1/access-tokens/abc"),
    Way("the token of another portal in the path", token_in_path, own_token=True),
    Way("the token of another portal in the query", token_in_query, own_token=True),
    Way("the token of another portal in a host", token_in_host, own_token=True),
    Way("the token of another portal as a user", token_as_user, own_token=True),
    Way(
        "the token of another portal in a fragment", token_in_fragment, Ending.HOME, own_token=True
    ),
]

WAYS = [*HOSTS, *PATHS]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_address_leads_a_call_astray(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)


def test_what_dots_lead_to_is_what_is_recorded(scene: Scene) -> None:
    scene.a.get(f"{PATH}/../deals")
    assert scene.sandbox.arrivals[-1].path == DEALS
    assert scene.calls(scene.slug_a)[-1]["path"] == DEALS
