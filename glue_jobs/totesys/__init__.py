"""What the three Glue jobs share: contracts, the lake's layout and manifests, and one package per job."""
