"""The transform job: merges pending batches into the mirror of the source, and remodels what changed into the three stars."""
