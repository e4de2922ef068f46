"""`cab meter`: what a command of the user's own spends, measured as `time` measures what it takes."""
