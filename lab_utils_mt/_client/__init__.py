"""How does a program use a server: one request, many, or all readings of a poller?"""
