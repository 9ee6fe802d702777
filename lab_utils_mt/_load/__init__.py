"""How does a server bear many clients, and how long do they wait? No screen, no files."""
