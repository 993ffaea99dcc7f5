"""ONNX: fitted models compiled to graphs (``compile``), and graphs run without scikit-learn (``session``)."""
