"""Phase maps: which places of a plane are asked for, the search for boundaries, and what it found."""
