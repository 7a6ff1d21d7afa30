"""Storms are scripts: ``make storm`` runs them, ``make test`` does not even import them."""

collect_ignore_glob = ["*.py"]
