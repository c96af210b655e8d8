// Makes a clone ready to run: node packages, a Chrome, the build. Does nothing, quickly, when all is there.
// Plain JavaScript without imports from npm, since it runs before they are installed. Speaks on stderr only.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findChrome } from './find-chrome.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Something the machine lacks: exit code 3 of the command line. */
export class SetupError extends Error {}

const say = (/** @type {string} */ text) => void process.stderr.write(`backdrop: ${text}\n`);

/** Runs a program with its output on our stderr. @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(command, args, env = {}) {
  const shell = process.platform === 'win32';
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell, env: { ...process.env, ...env } });
  return status === 0;
}

/** `npm ci` unless node_modules is what package-lock.json asks for. */
export function installPackages() {
  const lock = join(root, 'package-lock.json');
  const installed = join(root, 'node_modules', '.package-lock.json');
  const stamp = join(root, 'node_modules', '.backdrop-lock');
  const hash = createHash('sha256').update(readFileSync(lock)).digest('hex');
  // npm writes its own copy of the lock file last: without it an installation was broken off.
  if (existsSync(installed)) {
    if (existsSync(stamp) ? readFileSync(stamp, 'utf8') === hash : statSync(installed).mtimeMs >= statSync(lock).mtimeMs) {
      if (!existsSync(stamp)) writeFileSync(stamp, hash);
      return;
    }
  }
  say('installing node packages (npm ci)');
  // Chrome is looked for below; puppeteer need not bring its own.
  const done = run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], { PUPPETEER_SKIP_DOWNLOAD: '1' });
  if (!done) throw new SetupError('"npm ci" failed; its output above says why');
  writeFileSync(stamp, hash);
}

/** Debian's chromium is a real package; Ubuntu's leads to a snap that containers cannot run. */
function hasDebianChromium() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^ID="?debian"?$/m.test(release) && spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** A Chrome: CHROME_PATH, installed, from Debian, or puppeteer's. */
export function installChrome() {
  let found = findChrome();
  if (found.path !== null) return;
  if (process.env.CHROME_PATH) throw new SetupError(found.problem);
  if (hasDebianChromium()) {
    say('no Chrome found, installing chromium (apt-get)');
    const quiet = { DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-q'], quiet);
    run('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'chromium'], quiet);
    found = findChrome();
    if (found.path !== null) return;
  }
  say('no Chrome found, downloading one (puppeteer browsers install chrome)');
  const deps = process.platform === 'linux' && process.getuid?.() === 0 ? ['--install-deps'] : [];
  const download = (/** @type {string[]} */ extra) => run('npx', ['--no-install', 'puppeteer', 'browsers', 'install', 'chrome', ...extra]);
  if (!download(deps) && deps.length > 0) download([]);
  found = findChrome();
  if (found.path === null) throw new SetupError(`${found.problem}. Install Chrome, Chromium or Edge, or set CHROME_PATH to the program.`);
}

/** dist/ from the sources, unless it is up to date. */
export async function ensureBuild() {
  const { isBuilt, build } = await import('../../esbuild.config.mjs');
  if (isBuilt()) return;
  try {
    await build();
  } catch (error) {
    throw new SetupError(error instanceof Error ? error.message : String(error));
  }
}

/** All of it. @param {{ chrome?: boolean }} [options] chrome: false leaves the browser alone */
export async function setup({ chrome = true } = {}) {
  installPackages();
  if (chrome) installChrome();
  await ensureBuild();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup({ chrome: !process.argv.includes('--no-chrome') });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 3;
  }
}
