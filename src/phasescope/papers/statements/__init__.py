"""Statements of papers, computed: one file for each subject of the catalogue, named as it is (``-`` becomes ``_``).

Each is a small function that computes numbers through the package's public interface alone, and compares them with what
the paper says. A room that serves a paper of the catalogue adds its statements here.
"""
