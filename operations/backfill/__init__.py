"""The lake and the warehouse made anew from landed batches, while both stay in use."""
