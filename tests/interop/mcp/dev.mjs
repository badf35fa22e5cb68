// A stock MCP client and an MCP server, with `scopegate dev` and the file of the documentation between them: its embedded
// issuer is the authorization server.
//
//   dev.mjs SCOPEGATE PAGE          the binary, and the page with the file

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { Checks, Gateway, expect, freePorts, until } from '../oidc/cast.mjs';
import { Person, claims, connect, greet } from './client.mjs';
import { startMcpServer } from './server.mjs';

const [, , program, page] = process.argv;
const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const PAGE = 'http://localhost:6274'; // the origin of a client in a browser

const [file] = /(?<=```toml\n)[^]*?(?=```)/.exec(readFileSync(page, 'utf8'));
const [port] = await freePorts(1);
const issuer = `http://127.0.0.1:${port}`;
const upstream = await startMcpServer();
const gateway = await Gateway.start(program, () => file, (listen, admin) => [
  'dev',
  '--listen', `127.0.0.1:${listen}`,
  '--admin', `127.0.0.1:${admin}`,
  '--issuer-listen', `127.0.0.1:${port}`,
  '--upstream', `mcp=http://127.0.0.1:${upstream.address().port}`,
]);

const token = (...options) => execFileSync(program, ['token', '--url', issuer, ...options]).toString().trim();
const scopes = (person) => claims(person.saved.access_token).scope;

const checks = new Checks();
const check = checks.check.bind(checks);

await check('the resource is the URL that the client asked, and the embedded issuer its authorization server', async () => {
  for (const [path, expected] of [['/mcp', ['mcp.use']], ['/admin', ['mcp.admin', 'mcp.use']]]) {
    const { status, headers } = await gateway.ask(path, { method: 'POST' });
    expect.equal(status, 401);
    const url = /resource_metadata="([^"]+)"/.exec(headers.get('www-authenticate'))?.[1];
    expect.equal(url, `${gateway.url}${WELL_KNOWN}${path}`);
    const metadata = await (await fetch(url)).json();
    expect.deepEqual(metadata, {
      resource: gateway.url + path,
      authorization_servers: [`${issuer}/idp`],
      scopes_supported: expected,
      bearer_methods_supported: ['header'],
    });
  }
});

await check('a client that knows the URL alone walks from the 401 to the tool', async () => {
  const person = new Person();
  const client = await connect(`${gateway.url}/mcp`, person);
  expect.ok(client.transport.sessionId, 'it has a session');
  const { aud, iss, sub, client_id } = claims(person.saved.access_token);
  expect.equal(aud, 'https://mcp.example.com/mcp', 'the audience of the file');
  expect.equal(iss, 'https://idp.example.com/', 'the issuer of the file');
  expect.equal(sub, 'dev-user');
  expect.equal(scopes(person), 'mcp.use');
  expect.equal(person.asked, 1);
  expect.deepEqual(await greet(client), { text: `good day, ${client_id}`, progress: 1 });
  await client.close();
});

await check('a message of the server arrives on the event stream of its own', async () => {
  let changes = 0;
  const client = await connect(`${gateway.url}/mcp`, new Person(), (fresh) => {
    fresh.setNotificationHandler(ToolListChangedNotificationSchema, () => { changes += 1; });
  });
  await until('the message has arrived', async () => {
    await client.callTool({ name: 'announce', arguments: {} });
    return changes > 0;
  });
  await client.transport.terminateSession();
  await client.close();
});

await check('a server without sessions is served as well', async () => {
  const client = await connect(`${gateway.url}/admin/stateless`, new Person());
  expect.equal(client.transport.sessionId, undefined);
  expect.equal((await greet(client)).progress, 1);
  await client.close();
});

await check('both scopes are asked for at once', async () => {
  const person = new Person();
  await (await connect(`${gateway.url}/admin`, person)).close();
  expect.equal(person.asked, 1);
  expect.equal(scopes(person), 'mcp.use mcp.admin');
});

await check('a client steps up by one more token, which has what it had', async () => {
  const person = new Person();
  await (await connect(`${gateway.url}/mcp`, person)).close();
  await (await connect(`${gateway.url}/admin`, person)).close();
  expect.equal(person.asked, 2);
  expect.equal(scopes(person), 'mcp.use mcp.admin');
  await (await connect(`${gateway.url}/mcp`, person)).close();
  expect.equal(person.asked, 2, 'the token is good for both');
});

await check('a client whose token has ended gets another', async () => {
  const person = new Person();
  person.saved = { access_token: token('--expired'), token_type: 'Bearer' };
  const client = await connect(`${gateway.url}/mcp`, person);
  expect.equal(person.asked, 1);
  expect.equal((await greet(client)).progress, 1);
  await client.close();
});

await check('an audience counts with its final slash', async () => {
  const ask = async (audience) => {
    const answer = await gateway.ask('/mcp', { method: 'POST', token: token('--aud', audience) });
    return [answer.status, answer.status === 401 ? await gateway.reason(answer) : undefined];
  };
  expect.deepEqual(await ask('https://mcp.example.com/mcp/'), [401, 'wrong_audience']);
  expect.deepEqual(await ask('https://other.example.com/mcp'), [401, 'wrong_audience']);
  expect.notEqual((await ask('https://mcp.example.com/mcp'))[0], 401);
});

await check('a client in a browser may ask', async () => {
  const preflight = (path, method, headers) => fetch(gateway.url + path, {
    method: 'OPTIONS',
    headers: {
      origin: PAGE,
      'access-control-request-method': method,
      'access-control-request-headers': headers,
    },
  });
  const fields = 'authorization,content-type,mcp-protocol-version,mcp-session-id';
  for (const answer of [await preflight('/mcp', 'POST', fields), await preflight(`${WELL_KNOWN}/mcp`, 'GET', fields)]) {
    expect.equal(answer.status, 204);
    expect.equal(answer.headers.get('access-control-allow-origin'), '*');
  }
  const refused = await fetch(`${gateway.url}/mcp`, { method: 'POST', headers: { origin: PAGE } });
  expect.match(refused.headers.get('access-control-expose-headers'), /www-authenticate/);
  const metadata = await fetch(`${issuer}/.well-known/oauth-authorization-server/idp`, { headers: { origin: PAGE } });
  expect.equal(metadata.headers.get('access-control-allow-origin'), '*');
  expect.equal((await metadata.json()).issuer, `${issuer}/idp`);
});

// Event streams of clients that have gone are still open: a second signal ends the drain.
const stopped = gateway.stop();
await until('the gateway drains', () => gateway.said.includes('draining'));
gateway.process.kill('SIGTERM');
await stopped;
checks.close(gateway);
