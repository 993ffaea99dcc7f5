"""The validation room: a table against its contract gives a verdict. Pandera has its one way in here."""
