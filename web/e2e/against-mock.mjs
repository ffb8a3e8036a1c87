// Builds the page and runs the browser tests against nodes in memory. Without Chromium it says so and fails.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { chromiumPath } from './browser.mjs';
import { MockNode, Network } from './mock.mjs';

if (!chromiumPath()) {
  console.error('\n*** NO CHROMIUM FOUND: THE BROWSER TESTS OF THE PAGE DID NOT RUN ***\n(install it, or set CHROMIUM to its path)\n');
  process.exit(1);
}

const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const run = (script, env) =>
  new Promise((done) => {
    spawn(process.execPath, [here(script)], { env: { ...process.env, ...env }, stdio: 'inherit' }).on('exit', done);
  });

await build({ root: here('..'), logLevel: 'warn' });
const network = new Network();
const mine = await new MockNode(network, 'alice').start();
const peer = await new MockNode(network, 'bob').start();
const lone = await new MockNode(new Network(), 'carol').start();
mine.listens = true;
const codes = [await run('run.mjs', { UI_URL: mine.url, PEER_UI_URL: peer.url, LONE_UI_URL: lone.url, SAMIZDAT: '' })];
await Promise.all([mine, peer, lone].map((node) => node.stop()));
codes.push(await run('stories.mjs', {}));
process.exit(codes.every((code) => code === 0) ? 0 : 1);
