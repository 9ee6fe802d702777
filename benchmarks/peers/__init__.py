"""Who is compared? One file a contestant: its server and, if it has one of its own, its client."""
