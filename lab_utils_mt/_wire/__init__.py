"""How do bytes become messages, and messages bytes? No sockets, threads, clocks or logging."""
