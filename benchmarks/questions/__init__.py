"""What is asked? One file a question; adding one is adding a file."""
