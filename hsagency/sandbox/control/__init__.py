"""The sandbox's own API under /_sandbox/, what its calls ask for, and rules from files."""
