"""The report: one page about a deployment, from what AWS says. Ask, draw, and lay out; nothing here changes anything."""
