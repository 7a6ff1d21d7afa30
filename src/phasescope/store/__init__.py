"""What is known: content-addressed records, an append-only journal, whole or absent after any crash.

One run is one directory::

    store.json                         {"format": 1}: the format of everything below
    store.lock                         held by the one process that writes (advisory; empty or its process id)
    records/<2 hex>/<hash>.safetensors finished members; ``<hash>`` is the SHA-256 of the canonical identity
    checkpoints/<hash>.safetensors     unfinished members
    corrupt/                           damaged files, moved aside when met, never deleted
    journal.jsonl                      one JSON line per record; an index that can be rebuilt from the records
    results.safetensors, results.json  the data set with verdicts and provenance; the latter two for the eye

Every file is an ordinary safetensors or JSON file; nothing is pickled. ``canonical`` says how an identity
becomes a hash, ``sealed`` what is in a safetensors file, ``journal`` what is in a line, ``atomic`` how a file
is written.
"""

from phasescope.store.atomic import append_line, make_folder
from phasescope.store.canonical import address, canonical
from phasescope.store.finished import Finished
from phasescope.store.folder import FORMAT
from phasescope.store.store import Store

__all__ = ["FORMAT", "Finished", "Store", "address", "append_line", "canonical", "make_folder"]
