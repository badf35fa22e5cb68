// A stock MCP client finds its way from a 401 to a tool: through the gateway's protected resource metadata (RFC 9728),
// the authorization server's metadata (RFC 8414), dynamic registration (RFC 7591) and a token for this resource
// (RFC 8707).
//
//   main.mjs SCOPEGATE          the binary

import http from 'node:http';
import { once } from 'node:events';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { AuthorizationServer, makeKeys } from '../oidc/authorization_server.mjs';
import { Checks, Gateway, expect, freePorts } from '../oidc/cast.mjs';
import { Person, claims, connect, greet } from './client.mjs';
import { startMcpServer } from './server.mjs';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const ROBOT = {
  client_id: 'robot',
  client_secret: 'a secret of no worth',
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
};

const [port] = await freePorts(1);
const scopes = ['mcp.use', 'mcp.admin', 'mcp.team'];
const server = new AuthorizationServer(port, { resources: [], scopes, clients: [ROBOT] });
await server.start(makeKeys('only'));
const upstream = await startMcpServer();

const gateway = await Gateway.start(process.argv[2], (listen, admin) => `
[server]
listen     = "127.0.0.1:${listen}"
admin      = "127.0.0.1:${admin}"
public_url = "http://127.0.0.1:${listen}"
drain      = "1s" # the event streams of clients that have gone are still open

[issuers.op]
issuer   = "${server.issuer}"
audience = ["http://127.0.0.1:${listen}", "http://127.0.0.1:${listen}/team"]

[upstreams.mcp]
url = "http://127.0.0.1:${upstream.address().port}"

[defaults]
upstream = "mcp"
forward  = { "x-client-id" = "client_id" }

[[routes]]
path    = "/mcp"
methods = ["GET", "POST", "DELETE"]
scopes  = "mcp.use"

[[routes]]
path    = "/admin/mcp"
methods = ["GET", "POST", "DELETE"]
scopes  = ["mcp.use", "mcp.admin"]

[[groups]]
prefix = "/team"

[[groups.routes]]
path    = "/mcp"
methods = ["GET", "POST", "DELETE"]
scopes  = "mcp.team"
`);
server.resources.push(gateway.url, `${gateway.url}/team`);

const checks = new Checks();
const check = checks.check.bind(checks);

// The gateway is a resource, and each group under its prefix is another (RFC 9728 section 3.1).
for (const [prefix, expected] of [['', ['mcp.admin', 'mcp.use']], ['/team', ['mcp.team']]]) {
  await check(`a request without a token for ${prefix}/mcp is told where the metadata is`, async () => {
    const { status, headers } = await gateway.ask(`${prefix}/mcp`, { method: 'POST' });
    expect.equal(status, 401);
    const challenge = headers.get('www-authenticate');
    const url = /^Bearer .*resource_metadata="([^"]+)"/.exec(challenge)?.[1];
    expect.equal(url, `${gateway.url}${WELL_KNOWN}${prefix}`, challenge);
    const response = await fetch(url);
    expect.equal(response.status, 200);
    expect.match(response.headers.get('content-type'), /^application\/json/);
    expect.deepEqual(await response.json(), {
      resource: gateway.url + prefix,
      authorization_servers: [server.issuer],
      scopes_supported: expected,
      bearer_methods_supported: ['header'],
    });
  });
}

await check('the metadata is the configuration\'s, whatever host is asked for', async () => {
  const request = http.get(gateway.url + WELL_KNOWN, { headers: { host: 'evil.example' } });
  const [response] = await once(request, 'response');
  const text = (await response.toArray()).join('');
  expect.equal(JSON.parse(text).resource, gateway.url);
  expect.ok(!text.includes('evil.example'));
});

for (const [prefix, expected] of [['', 'mcp.use'], ['/team', 'mcp.team']]) {
  await check(`a client that knows the URL of ${prefix}/mcp alone walks from the 401 to the tool`, async () => {
    const person = new Person();
    const client = await connect(`${gateway.url}${prefix}/mcp`, person);
    const { client_id, aud, scope } = claims(person.saved.access_token);
    expect.equal(client_id, person.information.client_id);
    expect.equal(aud, gateway.url + prefix);
    expect.equal(scope, expected);
    const { tools } = await client.listTools();
    expect.deepEqual(tools.map(({ name }) => name), ['greet', 'announce']);
    expect.deepEqual(await greet(client), { text: `good day, ${client_id}`, progress: 1 });
    await client.close();
  });
}

// The client registers with the scopes of the challenge, and this server lets it have no others afterwards.
await check('a route with two scopes is reached with one token, which has both', async () => {
  const person = new Person();
  await (await connect(`${gateway.url}/admin/mcp`, person)).close();
  expect.equal(person.asked, 1);
  expect.deepEqual(claims(person.saved.access_token).scope.split(' ').sort(), ['mcp.admin', 'mcp.use']);
  await (await connect(`${gateway.url}/mcp`, person)).close();
  expect.equal(person.asked, 1);
});

const robot = () => new ClientCredentialsProvider({
  clientId: ROBOT.client_id, clientSecret: ROBOT.client_secret, expectedIssuer: server.issuer, scope: 'mcp.use',
});

await check('a program walks to the tool by client credentials', async () => {
  const client = await connect(`${gateway.url}/mcp`, robot());
  expect.deepEqual(await greet(client), { text: 'good day, robot', progress: 1 });
  await client.close();
});

await check('a program that has the wrong scopes ends at the 403, and one without an account at the 401', async () => {
  await expect.rejects(connect(`${gateway.url}/admin/mcp`, robot()), { code: 403 });
  await expect.rejects(connect(`${gateway.url}/mcp`, undefined), { code: 401 });
});

await gateway.stop();
checks.close(gateway);
