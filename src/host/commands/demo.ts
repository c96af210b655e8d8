/** "backdrop demo" and "npm start": serves the page on this machine until Ctrl-C. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { numberOption } from '../args.ts';
import type { Command } from '../cli.ts';
import { LocalServer } from '../server.ts';

const defaultPort = 8600;

/** The one frame that fetches what a person gives the address of; everything else may reach nothing but this server. */
const fetchPolicy =
  "default-src 'none'; script-src 'self'; connect-src https: http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/** A server of the page. */
export async function serveDemo(port: number): Promise<LocalServer> {
  const server = await LocalServer.start({ port });
  server.serveFolder('/', fileURLToPath(new URL('../demo', import.meta.url)), { 'fetch.html': fetchPolicy });
  return server;
}

export const demo: Command = {
  spec: {
    name: 'demo',
    summary: 'serve the page that detects objects in your own browser',
    usage: '[--port N] [--open]',
    description: 'Only this machine can reach it. If the port is busy another one is taken. Ctrl-C ends it.',
    positionals: { name: 'argument', min: 0, max: 0 },
    options: {
      port: { type: 'string', value: 'N', help: `port to listen on (default ${defaultPort}; 0 takes any)` },
      open: { type: 'boolean', help: 'open the page in the default browser' },
    },
    examples: ['backdrop demo', 'backdrop demo --port 9000 --open'],
  },
  async run(args, io) {
    const port = numberOption(args, 'port', defaultPort, { min: 0, max: 65_535, integer: true });
    io.signal.throwIfAborted();
    const server = await serveDemo(port);
    try {
      const address = `${server.origin}/`;
      if (port !== 0 && server.port !== port) io.note(`port ${port} is busy, using ${server.port}`);
      io.emit({ type: 'demo', address });
      io.print(`Backdrop: ${io.paint('bold', address)}`);
      io.note('Ctrl-C ends it.');
      if (args.values.open) openBrowser(address, io.warn);
      await new Promise<void>((done) => io.signal.addEventListener('abort', () => done(), { once: true }));
    } finally {
      await server.close();
    }
    return 0;
  },
};

function openBrowser(address: string, warn: (text: string) => void): void {
  const [program, ...before] = { darwin: ['open'], win32: ['cmd', '/c', 'start', ''] }[process.platform as 'darwin' | 'win32'] ?? [
    'xdg-open',
  ];
  const child = spawn(program!, [...before, address], { stdio: 'ignore', detached: true });
  child.on('error', () => warn(`no browser could be opened; go to ${address}`));
  child.unref();
}
