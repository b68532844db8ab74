"""`python -m strainscope`."""

from strainscope.cli import main

main()
