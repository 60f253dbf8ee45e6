"""Invented names that make a seeded portal look like one; none belongs to anybody."""

from __future__ import annotations

# Fifty stems and twenty-five suffixes: the same stem comes back with another suffix, so that
# 250 clients have 250 names and the first ones are the same for every seed.
STEMS = (
    "Acme", "Beta", "Gamma", "Delta", "Northwind", "Bluebird", "Cedar", "Copperfield", "Juniper",
    "Harbor", "Lumen", "Maple", "Meridian", "Orchard", "Pinecrest", "Quartz", "Riverstone",
    "Saffron", "Summit", "Tidewater", "Umbra", "Velvet", "Willow", "Yarrow", "Zephyr", "Alder",
    "Bramble", "Cobalt", "Dovetail", "Ember", "Foxglove", "Granite", "Hazel", "Indigo", "Jasper",
    "Kestrel", "Lantern", "Magnolia", "Nimbus", "Opal", "Pebble", "Quill", "Rowan", "Sable",
    "Thistle", "Upland", "Vista", "Wren", "Yonder", "Zinnia",
)  # fmt: skip
SUFFIXES = (
    "Corp", "Inc", "Labs", "Foods", "Traders", "Travel", "Health", "Press", "Robotics",
    "Logistics", "Optics", "Dental", "Energy", "Gardens", "Homes", "Watches", "Partners",
    "Kitchens", "Fitness", "Marine", "Studio", "Textiles", "Software", "Seeds", "Cycles",
)  # fmt: skip

FIRST_NAMES = (
    "Ada", "Amir", "Anneke", "Bao", "Carmen", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hana",
    "Ines", "Jonas", "Kaya", "Leila", "Mateo", "Nadia", "Oskar", "Priya", "Quinn", "Rosa", "Sven",
    "Tomas", "Uma", "Vera", "Wen", "Ximena", "Yusuf", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Brandt", "Castillo", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ivanova",
    "Jansen", "Kowalski", "Lindqvist", "Moreau", "Nakamura", "Okafor", "Petrov", "Quispe", "Rossi",
    "Singh", "Tanaka", "Ueda", "Varga", "Weber", "Xu", "Yilmaz", "Zhang",
)  # fmt: skip

LIFECYCLE_STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer",
    "evangelist", "other",
)  # fmt: skip
TICKET_WORDS = ("Parcel is late", "Invoice is wrong", "Cannot log in", "Return", "Question")
DEAL_STAGES = (
    "appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "contractsent", "closedwon",
    "closedlost",
)  # fmt: skip
DEAL_WORDS = ("renewal", "pilot", "expansion", "annual plan", "onboarding package")
INDUSTRIES = ("RETAIL", "HOSPITAL_HEALTH_CARE", "CONSUMER_GOODS", "LOGISTICS_AND_SUPPLY_CHAIN")


def client_name(index: int) -> str:
    """Return the invented name of the client with this number, 0 to 249."""
    stem, round_ = index % len(STEMS), index // len(STEMS)
    return f"{STEMS[stem]} {SUFFIXES[(stem + 5 * round_) % len(SUFFIXES)]}"
