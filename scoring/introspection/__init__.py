"""What a newcomer sees of a package: its names, loaded on first use, and the texts of fields in its help."""
