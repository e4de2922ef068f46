"""Profiles: named, versioned ways of turning axes into one number."""
