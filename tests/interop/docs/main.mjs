// The examples of the documentation, held against the program.
//
//   main.mjs SCOPEGATE          the binary; to be started at the root of the repository
//
// A TOML fence is a whole configuration, or a part of one that lacks only the routes or the issuers. A fence "json claims" below one
// holds the claims of a token whose GET /orders that configuration forwards. A fence "json keys/idp.json" is that file,
// for the examples of its page to read.

import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';

const PAGES = ['README.md', 'docs/configuration.md', 'docs/issuers.md', 'docs/lambda.md', 'docs/migrating-from-api-gateway.md'];
const ROUTE = `
[upstreams.any]
url = "http://127.0.0.1:3000"

[[routes]]
path     = "/orders"
upstream = "any"
scopes   = "orders.read"
`;
const ISSUER = `
[issuers.any]
issuer   = "https://idp.example.com/"
audience = "any"

[upstreams.orders]
url = "http://127.0.0.1:3000"
`;
const LEAST = 15; // checks: a page whose fences are no longer found has none that can fail
const KEYS = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: generateKeyPairSync('ed25519'),
};

const [, , scopegate] = process.argv;
const work = mkdtempSync(join(tmpdir(), 'scopegate-interop-'));
process.on('exit', () => rmSync(work, { recursive: true }));
place('certs/internal-ca.pem', rootCertificates[0]); // the file that an example names
let passed = 0;
let failed = 0;

for (const page of PAGES) {
  const fences = read(page);
  for (const { info: [, path], text } of fences) if (path && path !== 'claims') place(path, text);
  let example;
  for (const { line, info: [language, kind], text } of fences) {
    const where = `${page}, line ${line}`;
    if (language === 'toml') {
      example = text.includes('[[') ? text : text + ROUTE;
      if (!example.includes('[issuers.')) example += ISSUER;
      report(`${where}: a configuration without mistakes`, accepted(example));
    } else if (kind === 'claims') {
      tokens(where, example, JSON.parse(text));
    }
  }
}
if (passed + failed < LEAST) report(`at least ${LEAST} checks`, `there are ${passed + failed}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

// The fences of a page: where they begin, the words behind their backquotes, and what is within them.
function read(page) {
  const fences = [];
  let open;
  readFileSync(page, 'utf8').split('\n').forEach((text, index) => {
    const mark = /^ *```(.*)/.exec(text);
    if (mark && open) open = undefined;
    else if (mark) fences.push(open = { line: index + 1, info: mark[1].split(' '), text: '' });
    else if (open) open.text += `${text}\n`;
  });
  return fences;
}

// The token that the page shows, and its nearest relatives that must not get through.
function tokens(where, example, claims) {
  const { aud, client_id, iss } = claims;
  const other = aud === undefined ? { client_id: `not-${client_id}` } : { aud: 'https://elsewhere.example.com' };
  const none = { scope: '', scp: undefined, roles: undefined, permissions: undefined, realm_access: undefined };
  const slash = iss.endsWith('/') ? iss.slice(0, -1) : `${iss}/`;
  report(`${where}: the token is let through`, verdict(example, claims, 'verdict   forwarded'));
  report(`${where}: not without its scopes`, verdict(example, { ...claims, ...none }, '(insufficient_scope)'));
  report(`${where}: not for another audience or client`, verdict(example, { ...claims, ...other }, '(wrong_'));
  report(`${where}: not with another slash in iss`, verdict(example, { ...claims, iss: slash }, '(unknown_issuer)'));
}

// Nothing, or what is wrong.
function accepted(configuration) {
  const { status, output } = run('check', configuration);
  return status === 0 ? undefined : output;
}

// Asks the program what becomes of GET /orders with a token that has these claims and is in time. The issuer's keys are
// ours here; all else is the example's.
function verdict(example, claims, expected) {
  const alg = example.includes('EdDSA') ? 'EdDSA' : 'RS256';
  const jwk = { ...KEYS[alg].publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig' };
  const configuration = example.replace(/^ *jwks_(uri|file) .*\n/m, '')
    .replace(/^ *\[issuers\..*\]\n/m, (head) => `${head}jwks = '${JSON.stringify({ keys: [jwk] })}'\n`);
  const now = Math.floor(Date.now() / 1000);
  const times = { iat: now, exp: now + 600, ...(claims.nbf && { nbf: now }) };
  place('token.jwt', jwt({ alg, kid: 'one' }, { ...claims, ...times }));
  const { output } = run('explain', configuration, 'GET', '/orders', '--token-file', join(work, 'token.jwt'));
  return output.includes(expected) ? undefined : `not "${expected}":\n${output}`;
}

function jwt(header, claims) {
  const encode = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');
  const message = `${encode(header)}.${encode(claims)}`;
  const hash = header.alg === 'EdDSA' ? null : 'sha256';
  return `${message}.${sign(hash, Buffer.from(message), KEYS[header.alg].privateKey).toString('base64url')}`;
}

function run(command, configuration, ...more) {
  place('gateway.toml', configuration);
  const args = [command, '--config', join(work, 'gateway.toml'), ...more];
  const { status, stdout, stderr } = spawnSync(scopegate, args, { encoding: 'utf8', timeout: 20_000 });
  return { status, output: stdout + stderr };
}

function place(path, text) {
  mkdirSync(dirname(join(work, path)), { recursive: true });
  writeFileSync(join(work, path), text);
}

function report(what, wrong) {
  if (wrong === undefined) passed += 1; else failed += 1;
  console.log(wrong === undefined ? `ok   ${what}` : `FAIL ${what}\n${wrong}`);
}
