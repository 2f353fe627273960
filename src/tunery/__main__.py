"""`python -m tunery` is the command `tunery`."""

from tunery.cli.main import main

main()
