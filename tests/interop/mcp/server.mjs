// An MCP server over streamable HTTP, as the SDK's own examples have it: sessions, answers as event streams, one tool.
// It knows nothing of OAuth.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';
import { listening } from '../oidc/cast.mjs';

export async function startMcpServer() {
  const sessions = new Map();
  return listening(http.createServer(async (request, response) => {
    const known = sessions.get(request.headers['mcp-session-id']);
    await (known ?? await open(sessions)).handleRequest(request, response);
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

// The tool answers with the client's id as the gateway forwarded it, and reports its progress before it does.
function makeServer() {
  const server = new McpServer({ name: 'interop', version: '1.0.0' });
  const inputSchema = { greeting: z.string() };
  server.registerTool('greet', { description: 'Greets the client', inputSchema }, async ({ greeting }, extra) => {
    const { progressToken } = extra._meta ?? {};
    if (progressToken !== undefined) {
      const params = { progressToken, progress: 1, total: 2 };
      await extra.sendNotification({ method: 'notifications/progress', params });
    }
    const client = extra.requestInfo.headers['x-client'];
    return { content: [{ type: 'text', text: `${greeting}, ${client}` }] };
  });
  return server;
}
