"""
How much of a portal's quota was used, and is used now: calls and standings in, frames out.

`calls` counts the calls in the log by day and policy; `fleet` puts together what each portal
told of its day, the newest answer first.
"""

from __future__ import annotations

from hsagency.quota.calls import calls_per_day, headline, percent, refusals_by_policy

__all__ = ["calls_per_day", "headline", "percent", "refusals_by_policy"]
