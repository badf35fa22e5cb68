// An MCP server over streamable HTTP, as the SDK's own examples have it: sessions, answers as event streams, two tools. It
// knows nothing of OAuth.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';
import { listening } from '../oidc/cast.mjs';

// At paths that end in `/stateless` each request is served alone.
export async function startMcpServer() {
  const sessions = new Map();
  return listening(http.createServer(async (request, response) => {
    const known = sessions.get(request.headers['mcp-session-id']);
    const isStateless = request.url.endsWith('/stateless');
    const transport = known ?? await (isStateless ? openOnce(response) : open(sessions));
    await transport.handleRequest(request, response);
  }));
}

// A transport refuses whatever does not begin with an `initialize`, and only then has an id.
async function open(sessions) {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await makeServer().connect(transport);
  return transport;
}

async function openOnce(response) {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  const server = makeServer();
  await server.connect(transport);
  response.on('close', () => server.close());
  return transport;
}

// `greet` answers with the client's id as the gateway forwarded it, and reports its progress before it does. `announce`
// says on the client's own event stream, if it has one, that the tools have changed.
function makeServer() {
  const server = new McpServer({ name: 'interop', version: '1.0.0' });
  const inputSchema = { greeting: z.string() };
  server.registerTool('greet', { description: 'Greets the client', inputSchema }, async ({ greeting }, extra) => {
    const { progressToken } = extra._meta ?? {};
    if (progressToken !== undefined) {
      const params = { progressToken, progress: 1, total: 2 };
      await extra.sendNotification({ method: 'notifications/progress', params });
    }
    const client = extra.requestInfo.headers['x-client-id'];
    return { content: [{ type: 'text', text: `${greeting}, ${client}` }] };
  });
  server.registerTool('announce', { description: 'Announces a change' }, async () => {
    server.sendToolListChanged();
    return { content: [] };
  });
  return server;
}
