// The gateway against a certified authorization server, from discovery to the loss of the keys.
//
//   main.mjs SCOPEGATE          the binary

import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { ALGORITHMS, AuthorizationServer, browse, makeKeys } from './authorization_server.mjs';
import { Checks, Gateway, expect, freePorts, startEcho, until } from './cast.mjs';

const OURS = 'https://api.example.com/orders'; // the audience of the gateway's routes
const OTHER = 'https://api.example.com/billing'; // an API of the same authorization server, which is not ours
const REDIRECT_URI = 'http://127.0.0.1/callback'; // never asked
const COOLDOWN = 1; // seconds

const [port] = await freePorts(1);
const client = (alg) => ({
  client_id: alg,
  client_secret: 'a secret of no worth',
  id_token_signed_response_alg: alg,
  grant_types: ['client_credentials', 'authorization_code'],
  response_types: ['code'],
  redirect_uris: [REDIRECT_URI],
  application_type: 'native', // which alone may be redirected to http
});
const server = new AuthorizationServer(port, {
  resources: [OURS, OTHER],
  scopes: ['orders.read', 'orders.write'],
  clients: ALGORITHMS.map(client),
});
const first = makeKeys('first');
await server.start(first);
const echo = await startEcho();

// The keys are asked for again by nothing but a key id that is not known: a test that waits for the interval proves
// nothing.
const gateway = await Gateway.start(process.argv[2], (listen, admin) => `
[server]
listen = "127.0.0.1:${listen}"
admin  = "127.0.0.1:${admin}"

[issuers.op]
issuer      = "${server.issuer}"
audience    = ["${OURS}", "PS256"]
cooldown    = "${COOLDOWN}s"
refresh     = "10m"
refresh_min = "10m"

[upstreams.echo]
url = "http://127.0.0.1:${echo.address().port}"

[defaults]
upstream = "echo"

[[routes]]
path    = "/orders"
methods = { GET = "orders.read", POST = "orders.write" }
forward = { "x-client" = "client_id" }

[[routes]]
path          = "/anybody"
authenticated = true
`);

// An access token of the client that is named after the algorithm.
async function token(alg, { scope = 'orders.read', resource = OURS } = {}) {
  return (await server.clientCredentials(alg, { scope, resource })).access_token;
}

const get = (jwt, path = '/orders') => gateway.ask(path, { token: jwt });

async function expectRefusal(answer, status, code, reason = code) {
  expect.equal(answer.status, status);
  expect.equal(answer.body.code, code);
  expect.equal(await gateway.reason(answer), reason);
}

const checks = new Checks();
const check = checks.check.bind(checks);

for (const alg of ALGORITHMS) {
  await check(`${alg}: a token with the scope is accepted, and its claims reach the upstream`, async () => {
    const { status, body } = await get(await token(alg));
    expect.equal(status, 200);
    expect.equal(body.headers['x-client'], alg);
  });
  await check(`${alg}: a token without the scope is refused, and the answer names the scope`, async () => {
    const answer = await gateway.ask('/orders', { method: 'POST', token: await token(alg) });
    await expectRefusal(answer, 403, 'insufficient_scope');
    expect.deepEqual(answer.body.missing_scopes, ['orders.write']);
    const write = await token(alg, { scope: 'orders.write' });
    expect.equal((await gateway.ask('/orders', { method: 'POST', token: write })).status, 200);
  });
  await check(`${alg}: the signature of another token is refused`, async () => {
    const [one, other] = [await token(alg), await token(alg, { scope: 'orders.write' })];
    const forged = [...one.split('.').slice(0, 2), other.split('.')[2]].join('.');
    await expectRefusal(await get(forged), 401, 'invalid_token', 'bad_signature');
  });
}

await check('a token for another audience is refused', async () => {
  await expectRefusal(await get(await token('ES256', { resource: OTHER })), 401, 'wrong_audience');
});

await check('an opaque token is refused', async () => {
  const { access_token } = await server.clientCredentials('ES256', { scope: 'orders.read' });
  await expectRefusal(await get(access_token), 401, 'invalid_token', 'opaque_token');
});

await check('a request without a token is told what to bring', async () => {
  const answer = await get();
  await expectRefusal(answer, 401, 'missing_token');
  expect.match(answer.headers.get('www-authenticate'), /^Bearer .*scope="orders\.read"/);
});

// Both tokens of one authorization code flow (OpenID Connect Core section 3.1).
async function codeFlow(alg) {
  const verifier = randomBytes(32).toString('base64url');
  const redirect_uri = REDIRECT_URI;
  const authorize = new URL(`${server.issuer}/auth`);
  authorize.search = new URLSearchParams({
    client_id: alg,
    response_type: 'code',
    redirect_uri,
    scope: 'openid orders.read',
    resource: OURS,
    nonce: randomUUID(),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const code = (await browse(authorize, REDIRECT_URI)).searchParams.get('code');
  return server.token(alg, {
    grant_type: 'authorization_code', code, redirect_uri, code_verifier: verifier, resource: OURS,
  });
}

const flows = { ES256: await codeFlow('ES256'), PS256: await codeFlow('PS256') };

await check('the access token of an authorization code flow is accepted', async () => {
  expect.equal((await get(flows.PS256.access_token)).status, 200);
});

// The audience of an ID token is the client that it is for. The PS256 client's is taken for ours here, so that nothing
// but its kind can be what refuses it.
await check('the ID token of the same flow is refused for what it is, whatever its audience', async () => {
  for (const { id_token } of Object.values(flows)) {
    await expectRefusal(await get(id_token, '/anybody'), 401, 'not_an_access_token');
  }
});

// A token bound to a key of the client's (RFC 9449): without the proof that goes with it, whoever stole it has sent it.
await check('a DPoP token that is sent as a bearer token is refused', async () => {
  const { token_type, access_token } = await server.clientCredentials('ES256', {
    scope: 'orders.read', resource: OURS, headers: { dpop: dpopProof(`${server.issuer}/token`) },
  });
  expect.equal(token_type, 'DPoP');
  await expectRefusal(await get(access_token), 401, 'sender_constrained_token');
});

function dpopProof(htu) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const encode = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: publicKey.export({ format: 'jwk' }) };
  const claims = { jti: randomUUID(), htm: 'POST', htu, iat: Math.floor(Date.now() / 1000) };
  const message = `${encode(header)}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(message), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${message}.${signature.toString('base64url')}`;
}

// Rotation by restart. Within the cool-down the answer is 401, because the last fetch succeeded; never anything else.
const before = await token('ES256');
const second = makeKeys('second');
let after;
let unseen;

await check('a restart of the authorization server with other keys goes unnoticed by old tokens', async () => {
  expect.equal((await get(before)).status, 200);
  await server.restart(second);
  expect.equal((await get(before)).status, 200);
});

await check('a new key is learnt within the cool-down', async () => {
  [after, unseen] = [await token('ES256'), await token('ES256')];
  await becomes(200, 401, after);
});

await check('from then on the old keys verify nothing, what had verified before included', async () => {
  await expectRefusal(await get(before), 401, 'invalid_token', 'unknown_key');
});

// Asks until the status is the one that is expected; until then it must be the other.
async function becomes(status, meanwhile, jwt) {
  return until(`the answer is ${status}`, async () => {
    const answer = await get(jwt);
    if (answer.status !== status) expect.equal(answer.status, meanwhile);
    return answer.status === status && answer;
  });
}

const third = makeKeys('third');
let unknown;

await check('the authorization server is down: known keys still verify', async () => {
  await server.restart(third);
  unknown = await token('ES256');
  await server.stop();
  expect.equal((await get(after)).status, 200);
  expect.equal((await get(unseen)).status, 200);
});

await check('the authorization server is down: an unknown key is 503 and not the client\'s fault', async () => {
  const answer = await becomes(503, 401, unknown);
  await expectRefusal(answer, 503, 'keys_unavailable');
  expect.match(answer.headers.get('retry-after') ?? 'absent', /^[1-9][0-9]*$/);
  expect.equal((await get(after)).status, 200);
});

await check('the authorization server is back: the unknown key is learnt, the old one forgotten', async () => {
  await server.start(third);
  await becomes(200, 503, unknown);
  await expectRefusal(await get(after), 401, 'invalid_token', 'unknown_key');
});

await check('a gateway that starts while the authorization server is down is ready and answers 503', async () => {
  await server.stop();
  await gateway.restart();
  await expectRefusal(await get(unknown), 503, 'keys_unavailable');
});

await check('and it serves once the authorization server is back', async () => {
  await server.start(third);
  await becomes(200, 503, unknown);
});

await gateway.stop();
checks.close(gateway);
