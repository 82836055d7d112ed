"""How a deployment stands, from AWS and from the warehouse if it can be reached. Nothing is changed.

`gather` collects the facts. `attention` says in words what needs a person; `run`, `deadletters` and `report` use the same words.
"""
