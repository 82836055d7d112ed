"""The lake in S3: where each object is, what commits it, and the catalog's pointers to it. It knows no source and no warehouse."""
