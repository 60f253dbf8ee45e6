"""`python -m hsagency.cli` is `hsagency`."""

from hsagency.cli import main

main()
