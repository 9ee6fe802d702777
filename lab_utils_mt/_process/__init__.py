"""What makes a program one well-behaved process: its PID file and its signals."""
