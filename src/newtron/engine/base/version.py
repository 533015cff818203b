"""The version of newtron, for all rooms: files that are written name it."""

__version__ = "0.1.0"
