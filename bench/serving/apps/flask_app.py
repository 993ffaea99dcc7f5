from flask import Flask, jsonify, request
from loaded import Loaded

app = Flask(__name__)
served = Loaded()


@app.post("/predict")
def predict():
    return jsonify(served.predict(request.get_json()["rows"]))
