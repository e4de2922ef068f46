"""The progress of a sweep: what is done and left, as lines or on a screen of the terminal."""
