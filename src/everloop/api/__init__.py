"""The HTTP door: workers that predict (``front``) and the office behind them (``office``)."""
