"""What goes wrong on request: rules, the refusals and the damage they cause, and files of rules."""
