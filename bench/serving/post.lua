-- wrk -s post.lua URL -- BODIES: posts the lines of BODIES in turn, and prints what it found as JSON.
local asked, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local headers = {["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"]}
    asked[#asked + 1] = wrk.format("POST", wrk.path, headers, line)
  end
end

function request()
  at = at % #asked + 1
  return asked[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
