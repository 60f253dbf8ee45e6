"""HubSpot's object types that are not simulated: names in plural and singular, and ids."""

from __future__ import annotations

# From HubSpot's documents; nothing in a portal is kept under these.
_TYPES = """
0-14 quotes quote, 0-18 communications communication, 0-19 feedback_submissions feedback_submission,
0-27 tasks task, 0-46 notes note, 0-47 meetings meeting, 0-48 calls call, 0-49 emails email,
0-53 invoices invoice, 0-54 marketing_events marketing_event, 0-69 subscriptions subscription,
0-74 goal_targets goal_target, 0-84 discounts discount, 0-85 fees fee, 0-86 taxes tax,
0-101 commerce_payments commerce_payment, 0-115 users user, 0-116 postal_mail postal_mail,
0-123 orders order, 0-136 leads lead, 0-142 carts cart, 0-162 services service,
0-410 courses course, 0-420 listings listing, 0-421 appointments appointment
"""

NOT_SIMULATED = frozenset(_TYPES.replace(",", " ").split())
