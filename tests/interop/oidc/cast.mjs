// Who plays with an authorization server: the gateway as a process, the upstream behind it, and a teller of results.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

export const expect = assert;

const DEADLINE = 15_000; // milliseconds that anything here may take
const STEP = 50; // milliseconds between two looks

// Ports of the loopback address that nothing listens on.
export async function freePorts(number) {
  const held = await Promise.all(Array.from({ length: number }, () => listening(net.createServer())));
  const ports = held.map((server) => server.address().port);
  await Promise.all(held.map((server) => new Promise((done) => { server.close(done); })));
  return ports;
}

// Calls `look` until it gives something true, and returns that.
export async function until(what, look) {
  const deadline = Date.now() + DEADLINE;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE / 1000} s: ${what}`);
    await pause(STEP);
  }
}

// An upstream that answers 200 with the request it got.
export async function startEcho() {
  return listening(http.createServer((request, response) => {
    const { method, url, headers } = request;
    response.setHeader('content-type', 'application/json');
    request.resume().on('end', () => response.end(JSON.stringify({ method, url, headers })));
  }));
}

export async function listening(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

process.once('SIGTERM', () => process.exit(1));

export class Gateway {
  // `program` is the binary, `configuration` makes the text of gateway.toml from the two ports that are to be used, and
  // `command` the command with its options.
  static async start(program, configuration, command = () => ['run']) {
    const gateway = new Gateway();
    const [port, admin] = await freePorts(2);
    gateway.program = program;
    gateway.command = command(port, admin);
    gateway.url = `http://127.0.0.1:${port}`;
    gateway.admin = `http://127.0.0.1:${admin}`;
    gateway.folder = await mkdtemp(join(tmpdir(), 'scopegate-interop-'));
    await writeFile(join(gateway.folder, 'gateway.toml'), configuration(port, admin));
    // Whatever ends this program, nothing is left of the gateway.
    process.on('exit', () => {
      gateway.process?.kill();
      rmSync(gateway.folder, { recursive: true });
    });
    await gateway.run();
    return gateway;
  }

  async run() {
    this.said = '';
    this.process = spawn(this.program, [...this.command, '--config', join(this.folder, 'gateway.toml')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.said += text; });
    }
    this.ended = once(this.process, 'exit');
    await until('the gateway is ready', () => {
      if (this.process.exitCode !== null) throw new Error(`the gateway ended:\n${this.said}`);
      return fetch(`${this.admin}/readyz`).then(({ ok }) => ok, () => false);
    });
  }

  async restart() {
    await this.#end();
    await this.run();
  }

  stop() {
    return this.#end();
  }

  async #end() {
    this.process.kill('SIGTERM');
    await this.ended;
  }

  // One request: status, headers, and the body read as JSON.
  async ask(path, { token, method = 'GET' } = {}) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const response = await fetch(this.url + path, { method, headers, signal: AbortSignal.timeout(DEADLINE) });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }

  // Why a request was refused: what the access log says and the client is not told.
  reason({ body }) {
    return until(`the access log has request ${body.request_id}`, () => {
      const line = this.said.split('\n').find((text) => text.startsWith('{') && text.includes(body.request_id));
      return line && JSON.parse(line).reason;
    });
  }
}

// Runs checks one after the other and says how each ended. A failure ends none but itself.
export class Checks {
  passed = 0;

  failed = 0;

  async check(what, run) {
    try {
      await run();
      this.passed += 1;
      console.log(`ok   ${what}`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL ${what}\n     ${error.message.replaceAll('\n', '\n     ')}`);
    }
  }

  // The closing line. It ends the process, and with it the servers that are left: with 1 if anything failed, and then
  // with the last of what the gateway said.
  close(gateway) {
    if (this.failed > 0) console.error(gateway.said.slice(-4000));
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed > 0 || this.passed === 0 ? 1 : 0);
  }
}
