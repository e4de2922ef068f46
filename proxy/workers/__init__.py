"""Several processes on one port: started, supervised, and joined by one socket."""
