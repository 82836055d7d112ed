"""EventBridge and deliveries: events of job runs, rules that start workflows, strict input transformers, and policies of what is delivered.

ministack might take upstream: `deliveries`, and the input transformers of `glue_events`.
"""
