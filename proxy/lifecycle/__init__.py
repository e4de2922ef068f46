"""What connects the proxy with what runs it: a service manager's sockets and messages, and reloads."""
