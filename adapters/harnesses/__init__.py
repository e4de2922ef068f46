"""CAB within other harnesses: the plugin of pytest."""
