"""S3: reads of ministack's objects from inside its process. It changes nothing of S3.

ministack might take upstream: nothing.
"""
