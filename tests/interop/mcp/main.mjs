// A stock MCP client finds its way from a 401 to a tool: through the gateway's protected resource metadata (RFC 9728),
// the authorization server's metadata (RFC 8414), dynamic registration (RFC 7591) and a token for this resource
// (RFC 8707).
//
//   main.mjs SCOPEGATE          the binary

import http from 'node:http';
import { once } from 'node:events';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { AuthorizationServer, browse, makeKeys } from '../oidc/authorization_server.mjs';
import { Checks, Gateway, expect, freePorts } from '../oidc/cast.mjs';
import { startMcpServer } from './server.mjs';

const REDIRECT_URI = 'http://127.0.0.1/callback'; // never asked
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

[issuers.op]
issuer   = "${server.issuer}"
audience = ["http://127.0.0.1:${listen}", "http://127.0.0.1:${listen}/team"]

[upstreams.mcp]
url = "http://127.0.0.1:${upstream.address().port}"

[defaults]
upstream = "mcp"
forward  = { "x-client" = "client_id" }

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

// A person's client: everything that it knows it was told on the way. `authorization` is where it sent its user.
class Person {
  redirectUrl = REDIRECT_URI;

  clientMetadata = {
    client_name: 'A stock client',
    redirect_uris: [REDIRECT_URI],
    application_type: 'native', // which alone may be redirected to http
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };

  clientInformation() { return this.information; }

  saveClientInformation(information) { this.information = information; }

  tokens() { return this.saved; }

  saveTokens(tokens) { this.saved = tokens; }

  codeVerifier() { return this.verifier; }

  saveCodeVerifier(verifier) { this.verifier = verifier; }

  redirectToAuthorization(url) { this.authorization = url; }
}

// Connects to a path of the gateway; a client that has to ask its user first comes back with the user's answer.
async function connect(path, authProvider) {
  const url = new URL(gateway.url + path);
  const client = new Client({ name: 'interop', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(url, { authProvider });
  try {
    await client.connect(transport);
    return client;
  } catch (error) {
    if (!(error instanceof UnauthorizedError && authProvider.authorization)) throw error;
  }
  const answer = await browse(authProvider.authorization, REDIRECT_URI);
  authProvider.authorization = undefined;
  const code = answer.searchParams.get('code');
  if (!code) throw new Error(`no code: ${answer}`);
  await transport.finishAuth(code);
  const again = new Client({ name: 'interop', version: '1.0.0' });
  await again.connect(new StreamableHTTPClientTransport(url, { authProvider }));
  return again;
}

// Calls the tool: what it answered, and how often it reported its progress on the way.
async function greet(client) {
  let progress = 0;
  const call = { name: 'greet', arguments: { greeting: 'good day' } };
  const { content } = await client.callTool(call, undefined, { onprogress: () => { progress += 1; } });
  return { text: content[0].text, progress };
}

const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

for (const [prefix, expected] of [['', 'mcp.use'], ['/team', 'mcp.team']]) {
  await check(`a client that knows the URL of ${prefix}/mcp alone walks from the 401 to the tool`, async () => {
    const person = new Person();
    const client = await connect(`${prefix}/mcp`, person);
    const { client_id, aud, scope } = claims(person.saved.access_token);
    expect.equal(client_id, person.information.client_id);
    expect.equal(aud, gateway.url + prefix);
    expect.equal(scope, expected);
    const { tools } = await client.listTools();
    expect.deepEqual(tools.map(({ name }) => name), ['greet']);
    expect.deepEqual(await greet(client), { text: `good day, ${client_id}`, progress: 1 });
    await client.close();
  });
}

const robot = () => new ClientCredentialsProvider({
  clientId: ROBOT.client_id, clientSecret: ROBOT.client_secret, expectedIssuer: server.issuer, scope: 'mcp.use',
});

await check('a program walks to the tool by client credentials', async () => {
  const client = await connect('/mcp', robot());
  expect.deepEqual(await greet(client), { text: 'good day, robot', progress: 1 });
  await client.close();
});

await check('a program that has the wrong scopes ends at the 403, and one without an account at the 401', async () => {
  await expect.rejects(connect('/admin/mcp', robot()), { code: 403 });
  await expect.rejects(connect('/mcp', undefined), { code: 401 });
});

await gateway.stop();
checks.close(gateway);
