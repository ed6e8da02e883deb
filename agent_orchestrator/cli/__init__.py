"""The command line. Importing it costs nothing; each command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """The console script `persevere`; ends the process with the exit code of the command."""
    import sys

    from agent_orchestrator.cli.entry import run

    sys.exit(run(sys.argv[1:]))
