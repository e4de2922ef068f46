"""Several processes on one port: started, watched, and asked through one socket."""
