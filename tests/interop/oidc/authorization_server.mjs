// An authorization server on loopback: oidc-provider, certified by the OpenID Foundation, with a user who is always
// there and always agrees. It can be stopped, and started again with the same keys or with others.

import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];

// One key for each algorithm, whose ids name the generation that they are of.
export function makeKeys(generation) {
  const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
  const make = {
    RS256: rsa,
    PS256: rsa,
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
  };
  const jwk = (alg) => make[alg]().privateKey.export({ format: 'jwk' });
  return ALGORITHMS.map((alg) => ({ ...jwk(alg), alg, use: 'sig', kid: `${generation}-${alg}` }));
}

export class AuthorizationServer {
  // `resources` are the resource indicators (RFC 8707) that it issues JWTs for, `scopes` what these may hold;
  // `clients` are in the words of RFC 7591. A client's `id_token_signed_response_alg` signs its access tokens as well.
  constructor(port, { resources, scopes, clients }) {
    this.port = port;
    this.issuer = `http://127.0.0.1:${port}`;
    this.resources = resources;
    this.scopes = scopes;
    this.clients = clients;
  }

  async start(keys) {
    const provider = new Provider(this.issuer, this.#configuration(keys));
    const answer = provider.callback();
    this.server = http.createServer((request, response) => {
      response.shouldKeepAlive = false; // else a client's next request may meet the connection that a stop is closing
      const agreed = request.url.startsWith('/interaction/') ? agree(provider, request, response) : undefined;
      if (!agreed) return answer(request, response);
      return agreed.catch((error) => response.writeHead(500).end(String(error)));
    });
    await new Promise((done, failed) => {
      this.server.once('error', failed).listen(this.port, '127.0.0.1', done);
    });
  }

  // Nothing listens on the port afterwards, and no connection is left.
  async stop() {
    const closed = new Promise((done) => { this.server.close(done); });
    this.server.closeAllConnections();
    await closed;
  }

  async restart(keys) {
    await this.stop();
    await this.start(keys);
  }

  // An access token by the client credentials grant (RFC 6749 section 4.4). What else is given goes into the request.
  clientCredentials(client_id, { headers, ...more }) {
    return this.token(client_id, { grant_type: 'client_credentials', ...more }, headers);
  }

  // The token endpoint's answer for a client that has a secret.
  async token(client_id, parameters, headers = {}) {
    const { client_secret } = this.clients.find((client) => client.client_id === client_id);
    const credentials = Buffer.from(`${client_id}:${client_secret}`).toString('base64');
    const response = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${credentials}`, ...headers },
      body: new URLSearchParams(parameters),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`no token for ${client_id}: ${JSON.stringify(body)}`);
    return body;
  }

  #configuration(keys) {
    const resourceServer = (ctx, indicator, client) => {
      if (!this.resources.includes(indicator)) throw new Error(`no such resource: ${indicator}`);
      const sign = { alg: client.idTokenSignedResponseAlg };
      return { scope: this.scopes.join(' '), audience: indicator, accessTokenFormat: 'jwt', jwt: { sign } };
    };
    return {
      jwks: { keys },
      clients: this.clients,
      scopes: ['openid', ...this.scopes],
      cookies: { keys: ['of no worth: everything here ends with the script'] },
      ttl: Object.fromEntries(['AccessToken', 'ClientCredentials', 'Grant', 'IdToken', 'Interaction', 'Session']
        .map((kind) => [kind, 600])),
      findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
      interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        registration: { enabled: true },
        resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
      },
    };
  }
}

// What a user does in a browser: signs in, and then grants whatever is asked.
async function agree(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'somebody' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
  for (const [indicator, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(indicator, scopes.join(' '));
  }
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

// Follows an authorization request as a browser does, cookies included, until it leads to the client's redirect URI,
// which is not asked: that URL is the result.
export async function browse(url, redirectUri) {
  const cookies = new Map();
  for (let hops = 0; hops < 10; hops += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: cookie ? { cookie } : {} });
    const location = response.headers.get('location');
    if (!location) throw new Error(`${url} leads nowhere: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) cookies.set(name, value); else cookies.delete(name);
    }
    url = new URL(location, url);
    if (url.href.startsWith(redirectUri)) return url;
  }
  throw new Error('the authorization server redirects in circles');
}
