"""The office of ``everloop serve``: runs the workers, keeps the records, answers all but predictions."""
