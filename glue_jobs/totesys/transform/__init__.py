"""The transform job: merge pending batches into the mirror of the source, and remodel the changes into the three stars."""
