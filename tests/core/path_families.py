"""
HubSpot's path families, row by row as its facts have them (section: paths, 5.1 to 5.3).

Each line: method, path, query, template, class, object type. What names a person is made of
`zqx`, so that it is found wherever it should not be.
"""

from __future__ import annotations

from typing import Final

Row = tuple[str, str, str, str, str, "str | None"]

MAIL: Final = "zqx%40example.com"
UUID: Final = "0c0ffee0-1111-4222-8333-444455556666"

# 5.1, where the version stands: a line of the table is a line or more here.
MOVED: Final[tuple[Row, ...]] = (
    # records
    ("GET", "/crm/v3/objects/contacts", "", "/crm/v3/objects/contacts", "read", "contacts"),
    ("GET", "/crm/v3/objects/0-3/7", "", "/crm/v3/objects/0-3/7", "read", "deals"),
    ("GET", "/crm/objects/2026-09/p123_car/7", "", "/crm/objects/2026-09/p123_car/7", "read", "p123_car"),
    ("PATCH", "/crm/objects/2026-09/2-51/7", "", "/crm/objects/2026-09/2-51/7", "write", "2-51"),
    # associations
    *(
        (method, f"{path}/associations/deals{more}", "", f"{path}/associations/deals{more}", does, "contacts")
        for path in ("/crm/v4/objects/contacts/7", "/crm/objects/2026-09/contacts/7")
        for method, more, does in (("GET", "", "read"), ("PUT", "/8", "write"), ("DELETE", "/8", "delete"))
    ),
    *(
        ("POST", f"{path}/batch/{what}", "", f"{path}/batch/{what}", does, "contacts")
        for path in ("/crm/v4/associations/contacts/deals", "/crm/v3/associations/contacts/deals",
                     "/crm/associations/2026-09/contacts/deals")
        for what, does in (("read", "read"), ("create", "write"), ("archive", "delete"))
    ),
    # properties
    *(
        (method, f"{path}/deals{more}", "", f"{path}/deals{shown}", does, "deals")
        for path in ("/crm/v3/properties", "/crm/properties/2026-09")
        for method, more, shown, does in (
            ("GET", "", "", "read"),
            ("GET", "/zqx", "/{name}", "read"),
            ("PATCH", "/zqx", "/{name}", "write"),
            ("GET", "/groups", "/groups", "read"),
            ("DELETE", "/groups/zqx", "/groups/{name}", "delete"),
            ("POST", "/batch/create", "/batch/create", "write"),
            ("POST", "/batch/read", "/batch/read", "read"),
            ("POST", "/batch/archive", "/batch/archive", "delete"),
        )
    ),
    # pipelines
    *(
        (method, f"{path}/deals{more}", "", f"{path}/deals{more}", does, "deals")
        for path in ("/crm/v3/pipelines", "/crm/pipelines/2026-09")
        for method, more, does in (
            ("GET", "", "read"),
            ("PATCH", "/7", "write"),
            ("GET", "/7/audit", "read"),
            ("POST", "/7/stages", "write"),
            ("DELETE", f"/7/stages/{UUID}", "delete"),
        )
    ),
    # schemas
    *(
        (method, f"{path}{more}", "", f"{path}{more}", does, kind)
        for path, kind in (("/crm-object-schemas/v3/schemas", None), ("/crm-object-schemas/2026-09/schemas", None))
        for method, more, does in (("GET", "", "read"), ("POST", "/batch/read", "read"))
    ),
    ("GET", "/crm/v3/schemas/2-51", "", "/crm/v3/schemas/2-51", "read", "2-51"),
    ("DELETE", "/crm-object-schemas/2026-09/schemas/2-51", "archived=true", "/crm-object-schemas/2026-09/schemas/2-51", "delete", "2-51"),
    ("DELETE", "/crm-object-schemas/v3/schemas/2-51/associations/9", "", "/crm-object-schemas/v3/schemas/2-51/associations/9", "delete", "2-51"),
    # lists
    ("GET", "/crm/v3/lists/7", "", "/crm/v3/lists/7", "read", "lists"),
    ("GET", "/crm/lists/2026-09/7/memberships", "", "/crm/lists/2026-09/7/memberships", "read", "lists"),
    # owners, users, teams
    ("GET", "/crm/v3/owners/", "", "/crm/v3/owners", "read", "owners"),
    ("GET", "/crm/owners/2026-09", "", "/crm/owners/2026-09", "read", "owners"),
    ("GET", "/settings/v3/users/7", "", "/settings/v3/users/7", "read", None),
    ("GET", "/settings/users/v3/7", "", "/settings/users/v3/7", "read", None),
    ("POST", "/settings/users/2026-03", "", "/settings/users/2026-03", "admin", None),
    ("GET", "/settings/teams/2026-09-beta", "", "/settings/teams/2026-09-beta", "read", None),
    # forms
    ("GET", f"/marketing/v3/forms/{UUID}", "", f"/marketing/v3/forms/{UUID}", "read", None),
    ("GET", "/marketing/forms/2026-09-beta", "", "/marketing/forms/2026-09-beta", "read", None),
    ("DELETE", f"/marketing/forms/2027-03-beta/{UUID}", "", f"/marketing/forms/2027-03-beta/{UUID}", "delete", None),
    # workflows
    ("GET", "/automation/v4/flows/7", "", "/automation/v4/flows/7", "read", None),
    ("POST", "/automation/v4/flows/batch/read", "", "/automation/v4/flows/batch/read", "read", None),
    ("GET", "/automation/2026-09-beta/flows", "", "/automation/2026-09-beta/flows", "read", None),
    # marketing e-mail, campaigns, events
    *(
        ("GET", path, "", path, "read", None)
        for what in ("emails", "campaigns", "marketing-events")
        for path in (f"/marketing/v3/{what}", f"/marketing/{what}/2026-09")
    ),
    ("PATCH", f"/marketing/campaigns/2026-09/{UUID}", "", f"/marketing/campaigns/2026-09/{UUID}", "write", None),
    ("DELETE", "/marketing/emails/2026-09/7", "", "/marketing/emails/2026-09/7", "delete", None),
    # subscriptions
    *(
        ("GET", f"/communication-preferences/{version}/definitions", "", f"/communication-preferences/{version}/definitions", "read", None)
        for version in ("v3", "v4", "2026-09")
    ),
    # content
    *(
        ("GET", path, "", path, "read", None)
        for path in (
            "/cms/v3/pages/site-pages", "/cms/pages/v3/landing-pages", "/cms/pages/2026-03/site-pages",
            "/cms/v3/blogs/posts", "/cms/blogs/v3/tags", "/cms/blogs/2026-09/authors",
            "/cms/v3/hubdb/tables", "/cms/hubdb/2026-03/tables/7/rows/8",
            "/cms/v3/domains", "/cms/domains/2026-09/7",
            "/cms/v3/site-search/search", "/cms/site-search/2026-09/indexed-data/7",
            "/cms/v3/url-redirects", "/cms/url-redirects/2026-09/7",
            "/cms/v3/blog-settings/settings", "/cms/blog-settings/2026-09/settings/7",
        )
    ),
    ("GET", "/cms/hubdb/2026-03/tables/7/export", "", "/cms/hubdb/2026-03/tables/7/export", "export", None),
    # files
    ("GET", "/files/v3/files/7", "", "/files/v3/files/7", "read", None),
    ("PATCH", "/files/2026-09/folders/7", "", "/files/2026-09/folders/7", "write", None),
    # account, limits, OAuth
    ("GET", "/account-info/v3/details", "", "/account-info/v3/details", "read", None),
    ("GET", "/account-info/2026-09/api-usage/daily", "", "/account-info/2026-09/api-usage/daily", "read", None),
    ("GET", "/crm/v3/limits/records", "", "/crm/v3/limits/records", "read", "limits"),
    ("GET", "/crm/limits/2026-09/custom-object-types", "", "/crm/limits/2026-09/custom-object-types", "read", "limits"),
    *(("POST", f"/oauth/{one}/token", "", f"/oauth/{one}/token", "admin", None) for one in ("v1", "v3", "2026-09")),
    # what is taken in and given out
    ("POST", "/crm/v3/imports", "", "/crm/v3/imports", "write", "imports"),
    ("GET", "/crm/imports/2026-09/7/errors", "", "/crm/imports/2026-09/7/errors", "read", "imports"),
    # webhooks
    ("GET", "/webhooks/v3/7/subscriptions", "", "/webhooks/v3/7/subscriptions", "read", None),
    ("PUT", "/webhooks/2026-03/7/settings", "", "/webhooks/2026-03/7/settings", "admin", None),
    ("DELETE", "/app-webhooks/2026-09/7/subscriptions/8", "", "/app-webhooks/2026-09/7/subscriptions/8", "admin", None),
    *(
        ("GET", f"/webhooks-journal/{what}/2026-03/earliest", "", f"/webhooks-journal/{what}/2026-03/earliest", "export", None)
        for what in ("journal", "journal-local")
    ),
    ("POST", "/webhooks-journal/subscriptions/2026-03", "", "/webhooks-journal/subscriptions/2026-03", "admin", None),
    ("POST", "/webhooks-journal/snapshots/2026-03/crm", "", "/webhooks-journal/snapshots/2026-03/crm", "export", None),
    # the version as the third and as the second of several
    ("GET", "/automation/actions/2026-09/7", "", "/automation/actions/2026-09/7", "read", None),
    ("GET", "/data-studio/data-source/2026-09", "", "/data-studio/data-source/2026-09", "read", None),
)  # fmt: skip

# 5.2, where the method alone misleads.
VERBS: Final[tuple[Row, ...]] = tuple(
    (method, path, "", path, does, kind)
    for method, path, does, kind in (
        # reads by POST
        ("POST", "/crm/objects/2026-09/tickets/search", "read", "tickets"),
        ("POST", "/crm/v3/objects/0-2/batch/read", "read", "companies"),
        ("POST", "/crm/v3/lists/search", "read", "lists"),
        ("POST", "/crm/lists/2026-09/search", "read", "lists"),
        ("POST", "/crm/v3/lists/idmapping", "read", "lists"),
        ("POST", "/crm/lists/2026-09/records/memberships/batch/read", "read", "lists"),
        ("POST", "/automation/v4/workflow-id-mappings/batch/read", "read", None),
        ("POST", "/communication-preferences/v4/statuses/batch/read", "read", None),
        (
            "POST",
            "/communication-preferences/2026-09/statuses/batch/unsubscribe-all/read",
            "read",
            None,
        ),
        ("POST", "/oauth/2026-09/token/introspect", "read", None),
        ("POST", "/oauth/v2/private-apps/get/access-token-info", "read", None),
        ("POST", "/communication-preferences/2026-09/links/generate", "read", None),
        # deletes by POST
        ("POST", "/crm/v3/objects/contacts/batch/archive", "delete", "contacts"),
        ("POST", "/crm/v4/associations/contacts/deals/batch/labels/archive", "delete", "contacts"),
        ("POST", "/crm/objects/2026-09/contacts/batch/purge", "delete", "contacts"),
        ("POST", "/crm/v3/objects/contacts/gdpr-delete", "delete", "contacts"),
        ("POST", "/crm/objects/2026-09/deals/gdpr-delete", "delete", "deals"),
        ("POST", "/marketing/v3/marketing-events/events/delete", "delete", None),
        ("POST", "/marketing/marketing-events/2026-09/batch/archive", "delete", None),
        ("POST", "/crm/v3/objects/contacts/merge", "delete", "contacts"),
        # changes by PUT and DELETE of what belongs to a list
        ("PUT", "/crm/v3/lists/7/memberships/remove", "delete", "lists"),
        ("DELETE", "/crm/lists/2026-09/7/memberships", "delete", "lists"),
        ("DELETE", "/crm/lists/2026-09/7/schedule-conversion", "delete", "lists"),
        ("PUT", "/crm/v3/lists/7/restore", "write", "lists"),
        # replaces all stages of a pipeline
        ("PUT", "/crm/v3/pipelines/deals/7", "delete", "deals"),
        ("PUT", "/crm/v3/pipelines/deals/7/stages/8", "write", "deals"),
        # exports
        ("POST", "/crm/v3/exports/export/async", "export", "exports"),
        ("GET", "/crm/exports/2026-09/export/async/tasks/7/status", "export", "exports"),
        # writes that reach people
        ("POST", "/marketing/v3/transactional/single-email/send", "send", None),
        ("POST", "/communication-preferences/v3/subscribe", "send", None),
        ("POST", "/communication-preferences/v3/unsubscribe", "send", None),
        ("POST", "/communication-preferences/v4/statuses/batch/unsubscribe-all", "send", None),
        ("POST", "/automation/v4/sequences/enrollments", "send", None),
        ("POST", "/conversations/v3/conversations/threads/7/messages", "send", None),
        ("PUT", "/automation/v4/flows/7", "send", None),
        ("POST", "/automation/v4/flows", "send", None),
        ("POST", "/cms/v3/blogs/posts/schedule", "send", None),
        ("POST", "/cms/v3/blogs/posts/7/draft/push-live", "send", None),
        ("POST", "/events/v3/send", "send", None),
        ("POST", "/marketing/emails/2026-09/7/publish", "send", None),
        # permanent
        ("DELETE", "/files/v3/files/7/gdpr-delete", "delete", None),
    )
)

# 5.3, personal data in the address: none of it in the template.
PERSONAL: Final[tuple[Row, ...]] = (
    ("GET", f"/crm/v3/objects/contacts/{MAIL}", "idProperty=email", "/crm/v3/objects/contacts/{id}", "read", "contacts"),
    ("PATCH", "/crm/objects/2026-09/contacts/15550001111", "idProperty=phone", "/crm/objects/2026-09/contacts/{id}", "write", "contacts"),
    ("GET", f"/crm/objects/2026-09/companies/{UUID}", "idProperty=tax_number", "/crm/objects/2026-09/companies/{id}", "read", "companies"),
    ("GET", f"/settings/users/2026-03/{MAIL}", "idProperty=EMAIL", "/settings/users/2026-03/{id}", "read", None),
    ("GET", f"/communication-preferences/v4/statuses/{MAIL}", "channel=EMAIL", "/communication-preferences/v4/statuses/{subscriber}", "read", None),
    ("POST", f"/communication-preferences/2026-09/statuses/{MAIL}/unsubscribe-all", "", "/communication-preferences/2026-09/statuses/{subscriber}/unsubscribe-all", "send", None),
    ("GET", "/communication-preferences/2026-09/statuses/15550001111", "", "/communication-preferences/2026-09/statuses/{subscriber}", "read", None),
    ("GET", f"/communication-preferences/v3/status/email/{MAIL}", "", "/communication-preferences/v3/status/email/{email}", "read", None),
    ("GET", "/crm/owners/2026-09", f"email={MAIL}&limit=1", "/crm/owners/2026-09", "read", "owners"),
    ("GET", f"/marketing/marketing-events/2026-09/participations/contacts/{MAIL}/breakdown", "", "/marketing/marketing-events/2026-09/participations/contacts/{id}/breakdown", "read", None),
    ("GET", "/marketing/v3/marketing-events/participations/7/8/breakdown", f"contactIdentifier={MAIL}", "/marketing/v3/marketing-events/participations/7/8/breakdown", "read", None),
    ("GET", f"/contacts/v1/contact/email/{MAIL}/profile", "", "/contacts/v1/contact/email/{email}/profile", "read", "contacts"),
    ("POST", f"/contacts/v1/contact/createOrUpdate/email/{MAIL}", "", "/contacts/v1/contact/createOrUpdate/email/{email}", "write", "contacts"),
    ("GET", f"/email/public/v1/subscriptions/{MAIL}", "", "/email/public/v1/subscriptions/{email}", "read", None),
    ("PUT", f"/email/public/v1/subscriptions/{MAIL}", "", "/email/public/v1/subscriptions/{email}", "send", None),
    ("GET", "/contacts/v1/search/query", "q=zqx%20doe", "/contacts/v1/search/query", "read", "contacts"),
    *(
        ("GET", "/files/v3/files/search", f"{name}=zqx", "/files/v3/files/search", "read", None)
        for name in ("query", "searchString", "name", "filter")
    ),
    ("GET", "/crm/v3/lists/object-type-id/0-1/name/zqx%20vip", "", "/crm/v3/lists/object-type-id/0-1/name/{name}", "read", "contacts"),
    ("GET", "/crm/v3/lists/object-type-id/0-1/name/15550001111", "", "/crm/v3/lists/object-type-id/0-1/name/{name}", "read", "contacts"),
    *(
        ("GET", "/events/v3/events", f"{name}=zqx&occurredAfter=1", "/events/v3/events", "read", None)
        for name in ("property.email", "objectProperty.email")
    ),
    ("GET", "/files/v3/files/stat/people/zqx.png", "", "/files/v3/files/stat/{path}", "read", None),
    ("GET", "/files/v3/folders/people/zqx", "", "/files/v3/folders/{path}", "read", None),
    ("PUT", "/cms/source-code/2026-09/draft/content/people/zqx.html", "", "/cms/source-code/2026-09/draft/content/{path}", "write", None),
    ("GET", "/conversations/v3/conversations/actors/E-zqx", "", "/conversations/v3/conversations/actors/{actor}", "read", None),
)  # fmt: skip

# 5.3, secrets in the address: refused, and nothing of it is written down.
SECRET: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("GET", f"/oauth/v1/access-tokens/{UUID}", "", "/oauth/v1/access-tokens/{token}"),
    ("GET", f"/oauth/v1/refresh-tokens/{UUID}", "", "/oauth/v1/refresh-tokens/{token}"),
    ("DELETE", f"/oauth/v1/v2/refresh-tokens/{UUID}", "", "/oauth/v1/refresh-tokens/{token}"),
    ("GET", "/crm/v3/objects/contacts", f"hapikey={UUID}", "/crm/v3/objects/contacts"),
    ("POST", "/oauth/v1/token", f"client_secret={UUID}", "/oauth/v1/token"),
    ("POST", "/oauth/v1/token", f"refresh_token={UUID}", "/oauth/v1/token"),
    ("POST", "/oauth/v1/token", f"code={UUID}&state=zqx", "/oauth/v1/token"),
    ("POST", f"/automation/v4/webhook-triggers/7/{UUID}", "", "/automation/v4/webhook-triggers/{id}/{token}"),
    (
        *("PATCH", f"/conversations/v3/custom-channels/7/channel-account-staging-tokens/{UUID}"),
        *("", "/conversations/v3/custom-channels/{id}/channel-account-staging-tokens/{token}"),
    ),
)  # fmt: skip
