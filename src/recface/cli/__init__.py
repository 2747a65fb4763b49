"""The one command, `recface`: a declaration and a body for each of its subcommands. Imports nothing heavy."""
