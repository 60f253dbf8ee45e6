"""What goes wrong on request: rules, and the refusals and the damage they cause."""
