// An Express application that tells what it reads: `node main.mjs`, which prints its port.
import { createRequire } from 'node:module';
import cookieParser from 'cookie-parser';
import express from 'express';

// The version whose names are trimmed of every blank of Unicode. It is CommonJS, under another name.
const trimming = createRequire(import.meta.url)('cookie-trimming');

const app = express();
// As Express 4 has it by default: `qs`, which reads brackets.
app.set('query parser', 'extended');
app.use(cookieParser());
app.use((request, response) => {
    response.json({
        cookie: [request.cookies.session ?? null, trimming.parse(request.headers.cookie ?? '').session ?? null],
        parameter: [
            request.query.access_token ?? null,
            new URLSearchParams(request.url.split('?')[1]).get('access_token'),
        ],
        field: request.get('x-token') ?? null,
        authorization: request.get('authorization') ?? null,
    });
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
