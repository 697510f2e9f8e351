"""`python -m gainsight_destination` is the command `gainsight-destination`."""

from gainsight_destination.cli.app import main

main()
