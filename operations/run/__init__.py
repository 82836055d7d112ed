"""One tick through both workflows, shown as it goes."""
