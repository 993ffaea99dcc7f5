"""The retraining room: evidence gives a decision. Pure."""
