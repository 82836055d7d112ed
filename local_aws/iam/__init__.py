"""IAM: the resources and condition keys of each call, roles that services assume, and refusals as AWS words them.

ministack might take upstream: `requests`, `permissions`, `roles`.
"""
