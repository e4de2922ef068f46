-- The least that a meter in nginx does: what the request asked for and its hash, the usage of the answer, one line.
-- No chain, no START, no sync, no limits: it is what the proxy is compared with, not a ledger.
local cjson, ffi = require "cjson.safe", require "ffi"
ffi.cdef "unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);"
local meter, digest = {}, ffi.new("unsigned char[32]")
local file = assert(io.open(ngx.config.prefix() .. "meter.log", "a"))
file:setvbuf("full", 65536)

function meter.request()
    ngx.req.read_body()
    local body = ngx.req.get_body_data() or ""
    ffi.C.SHA256(body, #body, digest)
    local asked, call = cjson.decode(body) or {}, ngx.ctx
    call.hash, call.model, call.stream = ffi.string(digest, 32), asked.model, asked.stream
end

function meter.response()
    local call, piece = ngx.ctx, ngx.arg[1]
    if not call.stream then
        call.whole = (call.whole or "") .. piece
        if ngx.arg[2] then
            local answer = cjson.decode(call.whole) or {}
            call.usage, call.id = answer.usage, answer.id
        end
        return
    end
    for data in piece:gmatch("data: ({[^\n]*)\n") do
        local event = cjson.decode(data) or {}
        call.id = event.id or call.id
        if event.usage and event.usage ~= cjson.null then call.usage = event.usage end
    end
end

function meter.log()
    local call = ngx.ctx
    local usage = type(call.usage) == "table" and call.usage or {}
    file:write(cjson.encode {
        ended_at = ngx.now(), seconds = ngx.now() - ngx.req.start_time(), id = call.id, model = call.model,
        stream = call.stream, status = ngx.status, request_hash = ngx.encode_base64(call.hash or ""),
        prompt_tokens = usage.prompt_tokens, completion_tokens = usage.completion_tokens,
        total_tokens = usage.total_tokens,
    }, "\n")
end

return meter
