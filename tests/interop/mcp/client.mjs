// A person's MCP client, as the SDK's own examples have it.

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { browse } from '../oidc/authorization_server.mjs';

const REDIRECT_URI = 'http://127.0.0.1/callback'; // never asked

// Everything that it knows it was told on the way. `authorization` is where it sent its user, `asked` how often.
export class Person {
  redirectUrl = REDIRECT_URI;

  asked = 0;

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

  redirectToAuthorization(url) {
    this.authorization = url;
    this.asked += 1;
  }
}

// Connects to a URL; a client that has to ask its user first comes back with the user's answer. `prepare` gets each client
// before it connects.
export async function connect(href, authProvider, prepare = () => {}) {
  const url = new URL(href);
  const client = new Client({ name: 'interop', version: '1.0.0' });
  prepare(client);
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
  prepare(again);
  await again.connect(new StreamableHTTPClientTransport(url, { authProvider }));
  return again;
}

// Calls the tool: what it answered, and how often it reported its progress on the way.
export async function greet(client) {
  let progress = 0;
  const call = { name: 'greet', arguments: { greeting: 'good day' } };
  const { content } = await client.callTool(call, undefined, { onprogress: () => { progress += 1; } });
  return { text: content[0].text, progress };
}

export const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
