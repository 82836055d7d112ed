"""The transform job: merges waiting batches into the mirror of the source, and remodels what changed into the three stars."""
