"""From a resolved configuration to a finished run: the rooms put together. Only entry points use this one."""
