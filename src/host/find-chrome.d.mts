export function findChrome(): { path: string; source: 'CHROME_PATH' | 'installed' | 'puppeteer' } | { path: null; problem: string };
