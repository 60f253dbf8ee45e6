"""OAuth apps at the simulated HubSpot: registration, consent, codes and tokens."""
