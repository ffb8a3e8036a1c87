// What the browser tests share: the system's Chromium, pages that fail on anything unexpected, axe, and pictures.
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const WIDE = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 720 };
const USUAL_PHONE = { width: 390, height: 844 };
/** For what needs stamps and another node. */
export const SLOW = { timeout: Number(process.env.E2E_SLOW_MS ?? 600_000) };
const TIMEOUT_MS = Number(process.env.E2E_TIMEOUT_MS ?? 90_000);

/** Where Chromium is, or null. */
export function chromiumPath() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  return places.find((place) => place && existsSync(place)) ?? null;
}

export function launch() {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error('no Chromium found: install it or set CHROMIUM to its path');
  return chromium.launch({ executablePath, args: ARGS, headless: true });
}

/**
 * Opens a node's page in a profile of its own. `faults` collects console errors and requests to other hosts; `expected`
 * says which console errors belong to the test.
 */
export async function open(browser, url, { viewport = WIDE, expected = () => false } = {}) {
  const context = await browser.newContext({ viewport, bypassCSP: false, permissions: ['clipboard-read', 'clipboard-write'] });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  const home = new URL(url);
  const faults = [];
  const note = (fault) => expected(fault) || faults.push(fault);
  page.on('console', (line) => line.type() === 'error' && note(`console: ${line.text()} (${line.location().url})`));
  page.on('pageerror', (error) => note(`exception: ${error.message}`));
  const stays = (address) => ['blob:', 'data:'].some((scheme) => address.startsWith(scheme)) || new URL(address).host === home.host;
  page.on('request', (request) => stays(request.url()) || note(`request to another host: ${request.url()}`));
  page.on('websocket', (socket) => stays(socket.url()) || note(`websocket to another host: ${socket.url()}`));
  await page.goto(url);
  return { page, faults, close: () => context.close() };
}

/** Fails with everything that axe finds. */
export async function axe(page, where) {
  // evaluate() runs outside the page's CSP; nothing is loaded.
  await page.evaluate(`${AXE}; void 0`);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  if (violations.length === 0) return;
  const list = violations.map(({ id, help, nodes }) => {
    const places = nodes.map((node) => `    ${node.target.join(' ')}: ${node.failureSummary?.replaceAll('\n', ' ')}`);
    return `  ${id}: ${help}\n${places.join('\n')}`;
  });
  throw new Error(`axe finds in ${where}:\n${list.join('\n')}`);
}

/** Fails if anything must be scrolled sideways. */
async function fits(page, where) {
  const wide = await page.evaluate(() => {
    const { documentElement: all } = document;
    const inside = [...document.querySelectorAll('*')].filter((one) => /auto|scroll/.test(getComputedStyle(one).overflowX));
    const over = [all, ...inside].filter((one) => one.scrollWidth > (one === all ? innerWidth : one.clientWidth));
    return over.map((one) => `${one.localName}.${one.className} by ${one.scrollWidth - one.clientWidth} px`);
  });
  check(wide.length === 0, `${where}: wider than the screen: ${wide.join(', ')}`);
}

/** Checks and pictures one view in light and dark, wide and on a phone; `shown` is what must be in the picture. */
export async function inspect(page, name, shown) {
  for (const [size, viewport] of Object.entries({ wide: WIDE, phone: PHONE })) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const where = `${name}-${size}-${colorScheme}`;
      await axe(page, where);
      await fits(page, where);
      await shown?.scrollIntoViewIfNeeded();
      await shoot(page, where);
    }
  }
  await page.setViewportSize(USUAL_PHONE);
  await fits(page, `${name}-${USUAL_PHONE.width}`);
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Saves a picture where $SCREENSHOTS says. */
export async function shoot(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

export function check(condition, message) {
  if (!condition) throw new Error(message);
}
