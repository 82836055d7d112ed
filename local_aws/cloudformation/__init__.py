"""CloudFormation: resource types and properties that ministack's templates lack, such as workflows, saved queries and lifecycle rules.

ministack might take upstream: `resources`.
"""
