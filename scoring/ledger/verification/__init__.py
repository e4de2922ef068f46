"""Parts of a verification: what was found, and whether calls are whole."""
