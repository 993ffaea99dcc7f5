"""A bound: reads the body and answers always the same, as much as a V2 answer of one row."""

ANSWER = b'{"model_name":"m","model_version":"1.0.0","id":"' + b"0" * 32 + b'","outputs":[' + (
    b'{"name":"label","datatype":"BYTES","shape":[1],"data":["setosa"]},'
    b'{"name":"probabilities","datatype":"FP32","shape":[1,3],"data":[0.98,0.01,0.01]}]}'
)  # fmt: skip
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
