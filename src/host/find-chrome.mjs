// Where a Chrome, Chromium or Edge may be. Plain JavaScript: setup.mjs runs it before anything is built or installed.
import { accessSync, constants, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, process.platform === 'win32' ? constants.F_OK : constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} path @returns {string[]} newest first, by version in the folder's name */
function versions(path) {
  try {
    return readdirSync(path).sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  } catch {
    return [];
  }
}

/** Installed browsers in order of preference. @returns {string[]} */
function candidates() {
  const env = process.env;
  if (process.platform === 'darwin') {
    const names = ['Google Chrome', 'Chromium', 'Microsoft Edge', 'Google Chrome Canary'];
    return ['/Applications', join(homedir(), 'Applications')].flatMap((folder) =>
      names.map((name) => join(folder, `${name}.app`, 'Contents', 'MacOS', name)),
    );
  }
  if (process.platform === 'win32') {
    const folders = [env.PROGRAMFILES, env['PROGRAMFILES(X86)'], env.LOCALAPPDATA].filter((folder) => folder !== undefined);
    const names = [
      'Google\\Chrome\\Application\\chrome.exe',
      'Chromium\\Application\\chrome.exe',
      'Microsoft\\Edge\\Application\\msedge.exe',
    ];
    return names.flatMap((name) => folders.map((folder) => join(folder, name)));
  }
  const names = ['google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser', 'microsoft-edge-stable', 'microsoft-edge'];
  const folders = [...new Set([...(env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin'])];
  // Snap's chromium may not see a profile in /tmp: last choice.
  const [snap, usual] = [folders.filter((f) => f.startsWith('/snap')), folders.filter((f) => f !== '' && !f.startsWith('/snap'))];
  const inFolders = (/** @type {string[]} */ list) => names.flatMap((name) => list.map((folder) => join(folder, name)));
  return [...inFolders(usual), '/opt/google/chrome/chrome', ...inFolders([...snap, '/snap/bin'])];
}

/** What `puppeteer browsers install chrome` has put into its cache. @returns {string[]} */
function cached() {
  const folder = join(process.env.PUPPETEER_CACHE_DIR ?? join(homedir(), '.cache', 'puppeteer'), 'chrome');
  const inside = {
    darwin: ['chrome-mac-arm64', 'chrome-mac-x64'].map((name) =>
      join(name, 'Google Chrome for Testing.app', 'Contents', 'MacOS', 'Google Chrome for Testing'),
    ),
    win32: [join('chrome-win64', 'chrome.exe'), join('chrome-win32', 'chrome.exe')],
    linux: [join('chrome-linux64', 'chrome')],
  }[/** @type {'darwin' | 'win32' | 'linux'} */ (process.platform)];
  return versions(folder).flatMap((version) => (inside ?? []).map((path) => join(folder, version, path)));
}

/**
 * The browser to use: CHROME_PATH, else an installed one, else puppeteer's. A CHROME_PATH that does not lead to a
 * program is an error of its own, since using another browser silently would be a surprise.
 * @returns {{ path: string, source: 'CHROME_PATH' | 'installed' | 'puppeteer' } | { path: null, problem: string }}
 */
export function findChrome() {
  const wanted = process.env.CHROME_PATH;
  if (wanted) {
    return isExecutable(wanted)
      ? { path: wanted, source: 'CHROME_PATH' }
      : { path: null, problem: `CHROME_PATH is ${wanted}, which is no program` };
  }
  const installed = candidates().find(isExecutable);
  if (installed) return { path: installed, source: 'installed' };
  const downloaded = cached().find(isExecutable);
  if (downloaded) return { path: downloaded, source: 'puppeteer' };
  return { path: null, problem: 'no Chrome, Chromium or Edge found' };
}
