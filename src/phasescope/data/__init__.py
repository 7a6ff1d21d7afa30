"""What is in a data set: near copies, wrong labels, what a model memorizes; tools for data of one's own."""

from phasescope.data.corpus import Corpus, read_corpus
from phasescope.data.dedup import dedup
from phasescope.data.dedup_result import Dedup
from phasescope.data.embed import pixels, shingles, states, tfidf
from phasescope.data.missed import Missed

__all__ = ["Corpus", "Dedup", "Missed", "dedup", "pixels", "read_corpus", "shingles", "states", "tfidf"]
