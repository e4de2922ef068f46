"""What an agent prints: captured, bounded, redacted and recorded."""
