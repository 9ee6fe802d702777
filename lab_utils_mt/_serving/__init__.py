"""Who is connected, and which thread serves whom? Sockets and threads."""
