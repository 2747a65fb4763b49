"""From a resolved configuration to a finished run: the rooms put together."""
