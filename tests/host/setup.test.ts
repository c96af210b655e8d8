import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isBuilt } from '../../esbuild.config.mjs';
import { findChrome } from '../../src/host/find-chrome.mjs';
import { setup } from '../../src/host/setup.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';

describe('setup', { timeout: 600_000 }, () => {
  it('does nothing, quickly and silently, the second time', async () => {
    await setup();
    const built = statSync(join(root, 'dist/host/cli.js')).mtimeMs;
    const start = performance.now();
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'src/host/setup.mjs')], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(performance.now() - start).toBeLessThan(2000);
    expect(isBuilt()).toBe(true);
    expect(statSync(join(root, 'dist/host/cli.js')).mtimeMs).toBe(built);
  });

  it('says with exit code 3 that CHROME_PATH leads nowhere, instead of taking another browser', () => {
    const env = { ...process.env, CHROME_PATH: '/nowhere/chrome' };
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'src/host/setup.mjs')], { encoding: 'utf8', env });
    expect({ status, stderr }).toEqual({ status: 3, stderr: 'backdrop: CHROME_PATH is /nowhere/chrome, which is no program\n' });
  });

  it('finds the Chrome these tests run in', () => {
    expect(findChrome().path).not.toBeNull();
  });
});
