"""How does a message become a call, and a call a reply? No sockets."""
