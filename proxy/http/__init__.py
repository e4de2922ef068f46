"""Rules of HTTP: which headers pass, which requests are safe to forward, error responses."""
