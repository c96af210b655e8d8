/** vitest's global setup of the GPU tests: builds the page, starts one Chrome, and ends it after the last test. */
import type { TestProject } from 'vitest/node';
import { buildTestPage } from '../../esbuild.config.mjs';
import { PageSession } from '../../src/host/session.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const session = await PageSession.launch({
    files: await buildTestPage(),
    // One test that kills the GPU process must not take the others with it.
    restart: true,
    onLog: (level, text) => console.log(`[page ${level}] ${text}`),
  });
  const adapter = session.gpu.adapter;
  console.log(`adapter: ${adapter?.vendor} ${adapter?.architecture} ${adapter?.description} | ${session.chrome.version}`);
  project.provide('page', session.endpoint);
  return () => session.close();
}
