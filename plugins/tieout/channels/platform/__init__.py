"""The files of the acquirer's own platform."""
