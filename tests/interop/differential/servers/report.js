// Answers with what nginx read of a request.
function answer(r) {
    const fields = r.rawHeadersIn.map((field) => [encode(field[0]), encode(field[1])]);
    const report = {
        id64: encode(r.variables.http_x_request_id), case64: encode(r.variables.http_x_case), method64: encode(r.method),
        target64: encode(r.variables.request_uri), path64: encode(r.uri), fields64: fields,
        body: r.requestBuffer ? r.requestBuffer.toString("base64") : "",
    };
    r.headersOut["Content-Type"] = "application/json";
    r.return(200, JSON.stringify(report));
}

// A string of bytes that are not UTF-8 cannot stand in JSON.
function encode(text) {
    return text === undefined ? "" : Buffer.from(text).toString("base64");
}

export default { answer };
