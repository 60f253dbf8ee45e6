"""What one simulated portal holds: records, their links, definitions, lists, forms and more."""
