/** The demo page measured in a fresh Chrome: what a visitor waits for, and whether anything blocks the page while it detects. */
import { extname } from 'node:path';
import type { Page } from 'puppeteer';
import { usageError } from '../args.ts';
import { adapterChoice, launchChrome, likelyAdapter } from '../chrome.ts';
import { serveDemo } from '../commands/demo.ts';
import type { Io } from '../io.ts';

export interface PageFigures {
  readonly chrome: string;
  readonly adapter: string;
  /** Milliseconds since navigation. */
  readonly firstPaint: number;
  readonly largestPaint: number;
  readonly firstResult: number;
  /** Cumulative layout shift until the first result; Lighthouse calls up to 0.1 good. */
  readonly layoutShift: number;
  /** Tasks of more than 50 ms on the page's main thread, in milliseconds: until the first result, and over the frames. */
  readonly longTasksAtStart: readonly number[];
  readonly longTasksInFrames: readonly number[];
  readonly frames: number;
  readonly framesPerSecond: number;
  /** Bytes by which the page's heap grew over the frames, garbage collected before and after. */
  readonly heapGrowth: number;
}

const frameCount = 100;
const pictureTypes = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.webp': 'webp' } as const;

interface Observed {
  paint: number;
  largest: number;
  shift: number;
  long: number[];
}

/** Runs in the page before its own scripts. */
function observe(): void {
  const seen: Observed = { paint: 0, largest: 0, shift: 0, long: [] };
  Object.assign(globalThis, { observed: seen });
  const watch = (type: string, take: (entry: PerformanceEntry & { value?: number; hadRecentInput?: boolean }) => void) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  watch('paint', ({ name, startTime }) => {
    if (name === 'first-contentful-paint') seen.paint = startTime;
  });
  watch('largest-contentful-paint', ({ startTime }) => {
    seen.largest = startTime;
  });
  watch('layout-shift', ({ value, hadRecentInput }) => {
    if (!hadRecentInput) seen.shift += value ?? 0;
  });
  watch('longtask', ({ duration }) => seen.long.push(Math.round(duration)));
}

const observed = (page: Page): Promise<Observed> => page.evaluate(() => (globalThis as unknown as { observed: Observed }).observed);

/** Waits until the model has looked at what an action puts on the stage. */
async function looking(page: Page, action: () => Promise<unknown>): Promise<void> {
  await page.$eval('#timings', (element) => {
    element.textContent = '';
  });
  await action();
  await result(page);
}

const result = (page: Page) =>
  page.waitForFunction(() => /inference \d/.test(document.querySelector('#timings')?.textContent ?? ''), { timeout: 0 });

async function heap(page: Page): Promise<number> {
  const session = await page.createCDPSession();
  await session.send('HeapProfiler.collectGarbage');
  await session.detach();
  return (await page.metrics()).JSHeapUsedSize ?? 0;
}

/** @param picture where the page's picture goes */
export async function pageFigures(io: Io, picture?: string): Promise<PageFigures> {
  const type = picture === undefined ? undefined : pictureTypes[extname(picture).toLowerCase() as keyof typeof pictureTypes];
  if (picture !== undefined && !type) throw usageError(`--picture ${picture}: the name must end in .png, .jpg or .webp`);
  const choice = adapterChoice();
  io.progress('starting Chrome');
  const server = await serveDemo(0);
  const chrome = await launchChrome({ adapter: choice === 'auto' ? likelyAdapter() : choice }).catch(async (error) => {
    await server.close();
    throw error;
  });
  try {
    const page = await chrome.browser.newPage();
    await page.setViewport({ width: 1280, height: 800 });
    await page.evaluateOnNewDocument(observe);
    io.progress('opening the page');
    await page.goto(server.origin, { waitUntil: 'domcontentloaded' });
    await result(page);
    const firstResult = await page.evaluate(() => performance.now());
    const start = await observed(page);
    // Every step of the arrow is a frame: the scene is painted, shown, and looked at.
    await looking(page, () => page.click('#tab-compose'));
    await page.waitForSelector('#panel-compose .detections button');
    await page.focus('#panel-compose .detections button');
    const frame = (i: number) => looking(page, () => page.keyboard.press(i % 2 ? 'ArrowLeft' : 'ArrowRight'));
    for (let i = 0; i < 4; i++) await frame(i);
    const before = await heap(page);
    const { long: earlier } = await observed(page);
    const began = performance.now();
    for (let i = 0; i < frameCount; i++) {
      io.progress('frames', i / frameCount);
      await frame(i);
    }
    const seconds = (performance.now() - began) / 1000;
    const { long } = await observed(page);
    const heapGrowth = (await heap(page)) - before;
    const adapter = await page.$eval('#adapter', ({ textContent }) => textContent ?? '');
    if (picture !== undefined && type) {
      await page.setViewport({ width: 1280, height: 660, deviceScaleFactor: 1.5 });
      await page.evaluate(() => scrollTo(0, 0));
      await looking(page, () => page.click('#map-toggle'));
      await page.mouse.move(0, 0);
      await page.evaluate(() => new Promise((done) => setTimeout(done, 500)));
      await page.screenshot({ path: picture as `${string}.png`, type, ...(type === 'png' ? {} : { quality: 82 }) });
    }
    return {
      ...{ chrome: chrome.version, adapter },
      ...{ firstPaint: start.paint, largestPaint: start.largest, firstResult, layoutShift: start.shift },
      ...{ longTasksAtStart: start.long, longTasksInFrames: long.slice(earlier.length) },
      ...{ frames: frameCount, framesPerSecond: frameCount / seconds, heapGrowth },
    };
  } finally {
    await chrome.close();
    await server.close();
  }
}

export function pageFigureLines(figures: PageFigures): string[] {
  const tasks = (list: readonly number[]) =>
    list.length === 0 ? 'none' : `${list.length}, the longest ${Math.max(...list)} ms, together ${list.reduce((a, b) => a + b, 0)} ms`;
  return [
    `${figures.chrome} | ${figures.adapter}`,
    `first contentful paint    ${Math.round(figures.firstPaint)} ms`,
    `largest contentful paint  ${Math.round(figures.largestPaint)} ms`,
    `first result              ${Math.round(figures.firstResult)} ms`,
    `cumulative layout shift   ${figures.layoutShift.toFixed(3)}`,
    `blocked for over 50 ms    ${tasks(figures.longTasksAtStart)} until the first result`,
    `                          ${tasks(figures.longTasksInFrames)} in ${figures.frames} frames`,
    `frames                    ${figures.framesPerSecond.toFixed(1)} a second, scene painted and looked at`,
    `heap                      ${(figures.heapGrowth / 1000).toFixed(0)} kB more after ${figures.frames} frames`,
  ];
}
