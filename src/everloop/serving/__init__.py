"""Release + request -> Prediction: inputs checked, models run, answers written. Arrays and JSON, no I/O."""
