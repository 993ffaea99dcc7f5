"""The prediction log: JSON lines in files that one worker writes and the office reads into the database."""
