"""What the pipeline costs on AWS: prices and usage are data, the sums are pure functions; nothing here calls AWS."""
