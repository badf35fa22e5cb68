// Answers each request with what Node read of it, and appends a line to a log: node.mjs PORT LOG
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const [port, log] = process.argv.slice(2);

// The path as applications read it that use the URL class.
function pathOf(target) {
    try {
        return decodeURIComponent(new URL(target, "http://base.test").pathname);
    } catch {
        return target;
    }
}

function answer(request, response) {
    const body = [];
    request.on("data", (piece) => body.push(piece));
    request.on("end", () => {
        const { method, url: target, rawHeaders, headers } = request;
        const fields = [];
        for (let at = 0; at < rawHeaders.length; at += 2) fields.push([rawHeaders[at], rawHeaders[at + 1]]);
        const seen = { id: headers["x-request-id"] ?? "", case: headers["x-case"] ?? "", method, target };
        appendFileSync(log, JSON.stringify(seen) + "\n");
        const report = { ...seen, path: pathOf(target), fields, body: Buffer.concat(body).toString("base64") };
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(report));
    });
}

createServer({ keepAliveTimeout: 600_000 }, answer).listen(Number(port), "127.0.0.1");
