"""Processes that are kept running together on one machine: started, started again, ended in order."""
