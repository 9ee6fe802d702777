"""What makes a lab daemon a service of the system: systemd, a native one of Windows, its tasks."""
