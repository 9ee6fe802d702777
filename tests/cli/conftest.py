"""What every test of the command line gets."""

from programs import world

__all__ = ["world"]
