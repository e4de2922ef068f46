"""The bytes of an answer: decoded, observed, and passed on or held back."""
