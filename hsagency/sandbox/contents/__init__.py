"""What one simulated portal holds: records and their links, definitions, lists, forms and the rest."""
