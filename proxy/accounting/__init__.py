"""Who may call now: the state of each cell, and the limits of its key."""
