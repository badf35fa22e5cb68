-- wrk script: GET with bearer tokens taken in turn from a file.
--   wrk ... -s load.lua URL -- FILE [LEAST MOST ROUTES CLOSE]
-- FILE has one token a line ("-": no Authorization header at all). LEAST and MOST are a think time in milliseconds, drawn
-- at random before every request; 0 0 for none. ROUTES: ask for /r0/items/1 up to that many routes in turn. CLOSE: 1 for
-- a new connection for every request. The result is one line of JSON after the word RESULT.

local calls, n, at = {}, 0, 0

local function tokens(file)
    local found = {}
    if file == nil or file == "-" then
        return { false }
    end
    for token in io.lines(file) do
        found[#found + 1] = token
    end
    return found
end

local function call(path, token, close)
    local fields = {}
    if token then
        fields["Authorization"] = "Bearer " .. token
    end
    if close then
        fields["Connection"] = "close"
    end
    n = n + 1
    calls[n] = wrk.format("GET", path, fields)
end

function init(args)
    local routes, close = tonumber(args[4] or 0), args[5] == "1"
    for _, token in ipairs(tokens(args[1])) do
        if routes == 0 then
            call(nil, token, close)
        end
        for route = 0, routes - 1 do
            call(string.format("/r%d/items/1", route), token, close)
        end
    end
    local least, most = tonumber(args[2] or 0), tonumber(args[3] or 0)
    if most > 0 then
        function delay()
            return math.random(least, most)
        end
    end
end

function request()
    at = at + 1
    if at > n then
        at = 1
    end
    return calls[at]
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"refused":%d,"socket_errors":%d,' ..
        '"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, e.status,
        e.connect + e.read + e.write + e.timeout,
        latency:percentile(50), latency:percentile(90), latency:percentile(99),
        latency:percentile(99.9), latency.max))
end
