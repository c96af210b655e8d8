/** A small HTTP server on 127.0.0.1: static folders, single files with ranges, and handlers for the job queue. */
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { extname, join, sep } from 'node:path';

export type Handler = (request: IncomingMessage, response: ServerResponse, rest: string) => void | Promise<void>;

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.map': 'application/json',
  '.wgsl': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.avif': 'image/avif',
  '.gif': 'image/gif',
  '.bmp': 'image/bmp',
  '.ico': 'image/x-icon',
  '.wasm': 'application/wasm',
};

/** MIME type by name; files we do not know are bytes. */
export const mimeType = (path: string): string => types[extname(path).toLowerCase()] ?? 'application/octet-stream';

const headers = {
  // Isolation gives the page precise timers and keeps other origins out of it.
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy':
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob: data:; media-src 'self' blob:; worker-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cache-Control': 'no-cache',
};

export class LocalServer {
  readonly #server: Server;
  readonly #routes: { prefix: string; handler: Handler }[] = [];
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Listens on 127.0.0.1. A wanted port that is busy, or 0, gives a free one. */
  static async start(options: { port?: number } = {}): Promise<LocalServer> {
    const server = createServer();
    // Long polls and long calls are normal here.
    server.requestTimeout = 0;
    server.headersTimeout = 60_000;
    const listen = (port: number) =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => {
          server.off('error', reject);
          resolve();
        });
      });
    try {
      await listen(options.port ?? 0);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (!options.port || (code !== 'EADDRINUSE' && code !== 'EACCES')) throw error;
      await listen(0);
    }
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the server has no port');
    const local = new LocalServer(server, address.port);
    server.on('request', (request, response) => void local.#answer(request, response));
    return local;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Answers everything below a prefix ("/x/"); the longest prefix wins. The handler gets the decoded rest of the path. */
  handle(prefix: string, handler: Handler): void {
    this.#routes.push({ prefix, handler });
    this.#routes.sort((a, b) => b.prefix.length - a.prefix.length);
  }

  /**
   * Serves a folder; "/" gives index.html. Nothing outside it is reachable, not by "..", nor by a link. Some files may have a content
   * security policy of their own.
   */
  serveFolder(prefix: string, folder: string, policies: Readonly<Record<string, string>> = {}): void {
    this.handle(prefix, async (request, response, rest) => {
      const root = await realpath(folder);
      const wanted = join(root, rest === '' || rest.endsWith('/') ? `${rest}index.html` : rest);
      const real = await realpath(wanted).catch(() => null);
      if (real === null || !real.startsWith(root + sep)) return void sendText(response, 404, 'not found');
      const policy = policies[rest];
      if (policy !== undefined) response.setHeader('Content-Security-Policy', policy);
      await sendFile(request, response, real);
    });
  }

  /** Ends open connections too, so that long polls do not keep the process alive. */
  async close(): Promise<void> {
    await new Promise<void>((done) => {
      this.#server.close(() => done());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    try {
      // A foreign name that resolves to 127.0.0.1 (DNS rebinding) must not get in.
      const host = request.headers.host ?? '';
      if (host !== `127.0.0.1:${this.port}` && host !== `localhost:${this.port}`) return void sendText(response, 403, 'wrong host');
      let path: string;
      try {
        path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
      } catch {
        return void sendText(response, 400, 'bad address');
      }
      if (path.includes('\0') || path.includes('\\') || path.split('/').includes('..')) return void sendText(response, 400, 'bad address');
      const route = this.#routes.find(({ prefix }) => path.startsWith(prefix));
      if (!route) return void sendText(response, 404, 'not found');
      await route.handler(request, response, path.slice(route.prefix.length));
    } catch (error) {
      if (response.headersSent) response.destroy();
      else sendText(response, 500, error instanceof Error ? error.message : String(error));
    }
  }
}

export function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

/** Sends a file, or the one range of it that was asked for (RFC 9110 §14; several ranges at once get the whole file). */
export async function sendFile(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return sendText(response, 405, 'only GET and HEAD');
  const stats = await stat(path).catch(() => null);
  if (!stats?.isFile()) return sendText(response, 404, 'not found');
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('Content-Type', mimeType(path));
  const range = parseRange(request.headers.range, stats.size);
  if (range === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${stats.size}`);
    return sendText(response, 416, 'range not satisfiable');
  }
  const { start, end } = range ?? { start: 0, end: stats.size - 1 };
  if (range) response.setHeader('Content-Range', `bytes ${start}-${end}/${stats.size}`);
  response.writeHead(range ? 206 : 200, { 'Content-Length': end - start + 1 });
  if (request.method === 'HEAD' || stats.size === 0) return void response.end();
  const stream = createReadStream(path, { start, end, highWaterMark: 1 << 20 });
  stream.on('error', () => response.destroy());
  response.on('close', () => stream.destroy());
  stream.pipe(response);
}

/** The single byte range of a Range header; null when there is none to honour. */
export function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'unsatisfiable' | null {
  const match = header?.match(/^bytes=(\d*)-(\d*)$/);
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== '' && Number(match[2]) < start) return null;
  return start >= size ? 'unsatisfiable' : { start, end };
}
