"""Our own HTTP: what is ordinary is read as aiohttp reads it, and everything else is not read here."""
