import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { setup } from '../../src/host/setup.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { descendants, isAlive } from './processes.ts';

const program = join(root, 'src/host/backdrop.mjs');
const run = (args: string[], env: Record<string, string> = {}) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
  return { status, stdout, stderr };
};
const profiles = (pid: number) => readdirSync(tmpdir()).filter((name) => name.startsWith('backdrop-chrome-') && name.includes(`-${pid}-`));

beforeAll(() => setup(), 600_000);

describe('the command line', { timeout: 60_000 }, () => {
  it('says what it can do', () => {
    const help = run(['--help']);
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toContain('doctor');
    expect(run([]).status).toBe(2);
    expect(run(['--version']).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(run(['doctor', '--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('Examples:') });
  });

  it('corrects slips with exit code 2, without a stack trace', () => {
    const wrong = run(['docter']);
    expect(wrong).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('did you mean "doctor"?') });
    expect(wrong.stderr).not.toMatch(/^\s+at /m);
    expect(run(['doctor', '--jsno'])).toMatchObject({ status: 2, stderr: expect.stringContaining('did you mean --json?') });
    expect(run(['docter', '--debug']).stderr).toMatch(/^\s+at /m);
  });

  it('doctor finds the adapter and its arithmetic in order', () => {
    const { status, stdout } = run(['doctor', '--json']);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ type: 'doctor', problems: [], page: { webgpu: true, secure: true } });
    expect(report.gpu.selfTest).toMatchObject({ passed: true, failures: [], warnings: [] });
    expect(report.gpu.selfTest.checks.map(({ name }: { name: string }) => name)).toContain('matrix product');
    expect(status).toBe(0);
  });

  it('doctor says what to do without a Chrome, with exit code 3', () => {
    const { status, stdout } = run(['doctor'], { CHROME_PATH: '/nowhere/chrome' });
    expect(status).toBe(3);
    expect(stdout).toContain('E_CHROME_MISSING');
    expect(stdout).toContain('Install Chrome');
    const machine = JSON.parse(run(['doctor', '--json'], { CHROME_PATH: '/nowhere/chrome' }).stdout);
    expect(machine.problems).toMatchObject([{ code: 'E_CHROME_MISSING' }]);
  });

  it('an unknown BACKDROP_ADAPTER is wrong usage', () => {
    expect(run(['doctor'], { BACKDROP_ADAPTER: 'metal' })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('BACKDROP_ADAPTER'),
    });
  });

  // While Chrome starts, and while the page works.
  it.each([
    ['SIGINT', 'starting Chrome', 130],
    ['SIGINT', 'testing the adapter', 130],
    ['SIGTERM', 'testing the adapter', 143],
  ] as const)('%s at "%s" leaves no Chrome and no files', async (signal, stage, code) => {
    const child = spawn(process.execPath, [program, 'doctor'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = new Promise((done) => child.on('exit', done));
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
    });
    await expect.poll(() => said, { timeout: 20_000, interval: 5 }).toContain(stage);
    await expect.poll(() => descendants(child.pid!).length, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
    const family = descendants(child.pid!);
    child.kill(signal);
    expect(await exited).toBe(code);
    await expect.poll(() => family.filter(isAlive), { timeout: 3000 }).toEqual([]);
    expect(profiles(child.pid!)).toEqual([]);
  });
});
