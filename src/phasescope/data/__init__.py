"""What is in a data set: near copies, wrong labels, what a model memorizes; tools for data of one's own."""

from phasescope.data.corpus import Corpus, read_corpus
from phasescope.data.crops import Crops, crops
from phasescope.data.dedup import dedup
from phasescope.data.dedup_result import Dedup
from phasescope.data.discoveries import chance_pairs, false_discovery, ranking_error
from phasescope.data.embed import shingles, states, tfidf
from phasescope.data.generated import Quality, quality
from phasescope.data.gradients import row_gradients
from phasescope.data.influence import Influence, influence
from phasescope.data.long_tail import LongTail, long_tail
from phasescope.data.missed import Missed
from phasescope.data.pictures import pixels
from phasescope.data.scores import scores
from phasescope.data.scores_result import Scores, found_area, rank_agreement
from phasescope.data.structural import Similarity, ssim

__all__ = [
    "Corpus",
    "Crops",
    "Dedup",
    "Influence",
    "LongTail",
    "Missed",
    "Quality",
    "Scores",
    "Similarity",
    "chance_pairs",
    "crops",
    "dedup",
    "false_discovery",
    "found_area",
    "influence",
    "long_tail",
    "pixels",
    "quality",
    "rank_agreement",
    "ranking_error",
    "read_corpus",
    "row_gradients",
    "scores",
    "shingles",
    "ssim",
    "states",
    "tfidf",
]
