"""
What a person's yes is worth: traded for tokens, asked about, judged; or given back.

It is given back only where that cannot cut a connection that works: HubSpot may hand out the
refresh token again that it gave to an earlier connection of the same account (facts 1.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.auth import Authorisation, Introspected, Issued, TokenDesk
from hsagency.connecting.preflight import Preflight
from hsagency.connecting.replacing import Connected, refuse_bad, stored
from hsagency.connecting.slugs import proposed_slug
from hsagency.durable import locked
from hsagency.errors import ConnectingError, HsAgencyError, UsageError, VerificationError
from hsagency.index import Snapshot
from hsagency.onboarding import Judgement, Plan, Row
from hsagency.onboarding.rows import client_slug
from hsagency.portals import (
    ClientSlug,
    Connection,
    CredentialKind,
    Fact,
    PortalId,
)
from hsagency.scopes import absent_scopes, missing_scopes
from hsagency.secret import Secret
from hsagency.words import counted, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    Whose account it is, as HubSpot reports it; nothing of it is stored yet.

    `slug` is what it would be kept under: the one that was asked for, else a proposal.
    """

    slug: ClientSlug
    portal_id: PortalId
    name: str | None
    domain: str | None
    scopes: tuple[str, ...]
    notes: tuple[str, ...]
    connection: Connection

    def said(self) -> str:
        """Say whose account it is, for a person to confirm."""
        facts = self.connection.facts
        name = self.name or self.domain or "an account without a name"
        more = [f"portal {self.portal_id}", *(_told(facts.get(one)) for one in _SHOWN)]
        more.append(self.domain if self.name and self.domain else "")
        return f"{name} ({', '.join(one for one in more if one)})"


_SHOWN = ("account_type", "tier", "hosting")


def _told(fact: Fact | None) -> str:
    return str(fact.value).replace("_", " ").lower() if fact else ""


class Trade:
    """One code, traded; what it gave is stored, or given back."""

    def __init__(
        self, agency: Agency, asked: Preflight, *, api: str, portal: PortalId | None
    ) -> None:
        self._agency, self._asked, self._api, self._portal = agency, asked, api, portal
        self._given: Authorisation | None = None
        self._of: PortalId | None = None
        self._plan: Plan | None = None
        self._row: Row | None = None

    def trade(self, code: Secret, *, verifier: Secret) -> Found:
        """Trade a code and judge what it gave; raises `ConnectingError`, or as the desk does."""
        issued = self._desk().exchange(code, verifier=verifier)
        given = self._given = Authorisation.of(issued, now=datetime.now(UTC))
        self._of = issued.portal_id
        told = self._introspected(given.access)
        self._of = told.portal_id or issued.portal_id
        known = self._agency.index.read()
        self._refuse_another(issued, told, known)
        scopes = told.scopes if told.scopes is not None else issued.scopes
        self._refuse_scopes(scopes)
        slug = self._asked.client or self._proposal(known, name=None, domain=told.hub_domain)
        judged = self._judge(slug)
        connection = judged.connection
        assert connection is not None  # noqa: S101  (a row that is taken has one)
        name = connection.portal.name
        if self._asked.client is None:
            slug = self._proposal(known, name=name, domain=told.hub_domain)
        return Found(
            slug=slug,
            portal_id=connection.portal_id,
            name=name,
            domain=told.hub_domain,
            scopes=scopes or (),
            notes=(*self._scope_notes(scopes), *judged.warnings),
            connection=connection,
        )

    def store(self, found: Found, slug: str | None = None) -> Connected:
        """Keep it, under another slug if one is named; raises as `trade` does, or `Conflict`."""
        name, before = ClientSlug(slug or found.slug), self._asked.before
        if self._row is None or self._row.slug != name:
            self._judge(name)
        assert self._plan is not None  # noqa: S101  (there is one once it was judged)
        judged = stored(self._agency, self._plan)
        notes = tuple(dict.fromkeys((*found.notes, *judged.warnings)))
        return Connected(connection=self._agency.connection(name), before=before, notes=notes)

    def check_slug(self, slug: str | None) -> None:
        """Raise `UsageError` for a slug under which this cannot be kept; nothing is given back."""
        if slug is None:
            return
        name, before = client_slug(slug), self._asked.before
        if before is not None and name != before.client_slug:
            raise UsageError(
                f"{before.client_slug} is what is connected again, not {name}.",
                hint="Leave the slug as it is.",
            )
        there = self._agency.index.read().connections.get(name)
        if before is None and there is not None:
            raise UsageError(
                f"{name} is connected already, to portal {there.portal_id}.",
                hint="Choose another slug.",
            )

    def kept(self) -> Connection | None:
        """Return the connection that holds what was given, if it was stored."""
        if self._given is None:
            return None
        fingerprint = self._given.key.fingerprint
        connections = self._agency.index.read().connections.values()
        return next((one for one in connections if one.fingerprint == fingerprint), None)

    def give_back(self) -> str:
        """End what was given, unless a connection lives by it; return what became of it."""
        given, self._given = self._given, None
        if given is None:
            return ""
        # Under the lock of whoever stores: nobody comes to live by it between look and deed.
        with locked(self._agency.workspace.state / "onboarding.lock"):
            whose = self._lives()
            if whose is not None:
                return f"What {whose} is connected with was left as it is."
            try:
                self._desk().revoke(given.refresh)
            except HsAgencyError as error:
                return (
                    f"What was authorised could not be given back ({error.message.rstrip('.')}): "
                    f"uninstall the app in that account, under {_APPS}, or connect it after all."
                )
        return (
            "What was authorised was revoked; the app stays listed in that account until somebody "
            f"uninstalls it under {_APPS}."
        )

    def _lives(self) -> ClientSlug | None:
        """Return who may be connected with the same refresh token."""
        for slug, one in self._agency.index.read().connections.items():
            is_ours = one.kind is CredentialKind.OAUTH and one.api_base == self._api
            if is_ours and self._of in (None, one.portal_id):
                return slug
        return None

    def _desk(self) -> TokenDesk:
        return self._agency.desk(self._api, candidate=self._asked.client)

    def _introspected(self, access: Secret) -> Introspected:
        try:
            return self._desk().introspect(access)
        except VerificationError:  # no answer is no verdict: the trade told most of it
            return Introspected(active=False)

    def _refuse_another(self, issued: Issued, told: Introspected, known: Snapshot) -> None:
        got = self._of
        if issued.portal_id and told.portal_id and issued.portal_id != told.portal_id:
            raise ConnectingError(
                f"HubSpot names portal {issued.portal_id} and then {told.portal_id} for what was "
                "authorised. Nothing was connected.",
                hint="Something between here and HubSpot mixes answers: do not use this network.",
            )
        wanted = self._portal
        if wanted is not None and got is not None and got != wanted:
            whose = f" ({told.hub_domain})" if told.hub_domain else ""
            meant = f"portal {wanted}"
            if self._asked.before is not None:
                meant = f"that of {self._asked.before.portal}"
            raise ConnectingError(
                f"On HubSpot's page portal {got}{whose} was picked, not {meant}. "
                "Nothing was connected.",
                hint=f"Begin again, and pick portal {wanted} there.",
            )
        slug = known.owners().get(got) if got is not None else None
        if slug is not None and self._asked.before is None:
            raise ConnectingError(
                f"On HubSpot's page portal {got} was picked, which is connected already, as "
                f"{slug}. Nothing was connected.",
                hint=f"Pick another account; to connect this one again: hsagency reconnect {slug}",
            )

    def _refuse_scopes(self, scopes: tuple[str, ...] | None) -> None:
        missing = missing_scopes(self._asked.connection_type, scopes) if scopes is not None else {}
        if missing:
            each = listed([f"{name} ({why})" for name, why in missing.items()])
            kind = self._asked.connection_type
            raise ConnectingError(
                f"HubSpot granted less than {kind} needs; missing: {each}. Nothing was connected.",
                hint="The account lacks what they are for, or who agreed may not grant them: have "
                "a Super Admin agree, or connect it with another --type.",
            )

    def _scope_notes(self, scopes: tuple[str, ...] | None) -> tuple[str, ...]:
        if scopes is None:
            return ()  # onboarding says that they were not told
        kind = self._asked.connection_type
        absent = [one for one in absent_scopes(kind, scopes) if not one.required]
        if not absent:
            return ()
        each = listed([f"{one.name} ({one.why})" for one in absent])
        return (f"HubSpot left out {counted(len(absent), 'optional scope')}: {each}",)

    def _proposal(self, known: Snapshot, *, name: str | None, domain: str | None) -> ClientSlug:
        """Return a slug; the one of before, for an account that was removed."""
        for slug, stone in known.tombstones.items():
            if (stone.portal_id, stone.api_base) == (self._of, self._api):
                return slug
        return proposed_slug(
            name=name,
            domain=domain,
            portal_id=self._of or 0,
            taken={*known.connections, *known.tombstones},
        )

    def _judge(self, slug: ClientSlug) -> Judgement:
        """Ask HubSpot whose it is, as for every credential, and compare with what is stored."""
        asked, given = self._asked, self._given
        assert given is not None  # noqa: S101  (nothing is judged before it was traded)
        again = asked.before is not None
        self._row = Row(
            line=1,
            slug=slug,
            token=given.access,
            expected=self._portal or self._of,
            kind=CredentialKind.OAUTH,
            connection_type=asked.connection_type,
            authorisation=given,
            retype=again,
        )
        self._plan = onboarding.plan(
            self._agency,
            [self._row],
            api=self._api,
            trust_first_contact=self._of is None and self._portal is None,
            replace_tokens=again,
        )
        (judged,) = self._plan.judgements
        refuse_bad(judged)
        return judged


_APPS = "Settings > Integrations > Connected apps"
