-- wrk's requests, from a file with a path, a token and perhaps a JSON body a line, in turn; and its figures as one line
-- of JSON. usage: wrk … -s load.lua URL -- FILE [CONNECTIONS SECONDS]
-- With the latter two each connection's first request waits its turn, so that all have begun after so many seconds.

local requests, turn, begun = {}, 0, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, token, body = line:match("^(%S+) (%S+) ?(.*)$")
    local headers = { ["Authorization"] = "Bearer " .. token }
    if body == "" then
      requests[#requests + 1] = wrk.format("GET", path, headers)
    else
      headers["Content-Type"] = "application/json"
      requests[#requests + 1] = wrk.format("POST", path, headers, body)
    end
  end
  local connections, spread = tonumber(arguments[2]), tonumber(arguments[3])
  if connections then
    function delay() -- milliseconds; wrk asks before each request, of a script that has it when this returns
      begun = begun + 1
      return begun <= connections and math.floor(begun / connections * spread * 1000) or 0
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "seconds": %.6f, "p50": %.4f, "p95": %.4f, "p99": %.4f, "not_2xx": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
