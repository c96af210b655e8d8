import { createRequire } from 'node:module';

/** The package's version; dist/host/cli.js and src/host/version.ts are at the same depth. */
export function version(): string {
  return (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
}
