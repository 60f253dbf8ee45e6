"""The sandbox's own API under /_sandbox/, and what its calls ask for."""
