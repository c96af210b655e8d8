#!/usr/bin/env node
// The command "backdrop". In a clone it first installs and builds what is missing; in the published package that is done.
import { existsSync } from 'node:fs';

if (existsSync(new URL('../../esbuild.config.mjs', import.meta.url))) {
  const { setup, SetupError } = await import('./setup.mjs');
  // Only what computes in the page needs a browser; "doctor" must be able to say that there is none.
  const needsChrome =
    ['detect', 'predict', 'train', 'eval', 'val', 'verify', 'bench', 'demo'].includes(process.argv[2] ?? '') &&
    !process.argv.includes('--help');
  try {
    await setup({ chrome: needsChrome });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`backdrop: ${error.message}\n`);
    process.exit(3);
  }
}
const { main } = await import(new URL('../../dist/host/cli.js', import.meta.url).href);
process.exitCode = await main(process.argv.slice(2));
