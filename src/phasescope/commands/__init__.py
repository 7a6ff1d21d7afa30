"""The command line, one file per command. Nothing imports from here but ``phasescope.__main__``."""
