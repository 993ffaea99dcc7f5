"""Decision quality of the loop on real streams: when to retrain, and on what."""
