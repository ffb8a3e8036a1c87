// Drives the page of a running node: UI_URL (with its #token=…), PEER_UI_URL of a second one that can be reached from it, and
// LONE_UI_URL of a third that was started without --listen. SAMIZDAT is the program, to ask the first node through it (its
// folder is SAMIZDAT_HOME). SCREENSHOTS names a folder for pictures. Ends non-zero with one message at the first thing that is wrong.
import { check, inspect, launch, open, PHONE, shoot, SLOW } from './browser.mjs';
import { network } from './network.mjs';

const { UI_URL, PEER_UI_URL, LONE_UI_URL } = process.env;

/** A text that no earlier run wrote. */
const run = Date.now().toString(36);

const steps = [];
const step = (title, work) => steps.push({ title, work });
const bubble = (page, text) => page.locator('main li', { hasText: text }).filter({ has: page.locator('.bubble') });
const write = async (page, text) => {
  await page.getByRole('textbox', { name: /^Message to/ }).fill(text);
  await page.keyboard.press('Enter');
};
const closeDialog = async (page) => {
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
};

step('the page opens and its address keeps no token', async ({ mine }) => {
  await mine.page.getByRole('navigation', { name: 'Conversations' }).waitFor();
  await mine.page.locator('nav button.row').first().waitFor();
  check(!mine.page.url().includes('token'), `the address bar still shows the token: ${mine.page.url()}`);
  await inspect(mine.page, 'start');
});

step('an invite link is made, with its QR code', async (state) => {
  const { page } = state.mine;
  await page.getByRole('button', { name: 'My invite link', exact: true }).click();
  const link = page.getByTestId('invite-link');
  await link.waitFor();
  check(/^samizdat:[a-z2-7]{38}\//.test(await link.innerText()), `not an invite link: ${await link.innerText()}`);
  await page.waitForFunction(() => document.querySelector('dialog img')?.naturalWidth > 0);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByText('Copied').waitFor();
  await inspect(page, 'invite');
  await closeDialog(page);
});

step('a wrong name is refused with the reason, in the dialog', async ({ mine: { page } }) => {
  await page.getByRole('button', { name: 'Add contact' }).click();
  await page.getByLabel('Invite link or name').fill('samizdat:nonsense');
  await page.getByRole('button', { name: 'Add and write' }).click();
  await page.getByRole('alert').filter({ hasText: /\w+ \w+/ }).waitFor();
  await inspect(page, 'add-contact');
  await closeDialog(page);
});

step('a message in the lobby appears', async ({ mine: { page } }) => {
  await page.locator('nav').getByRole('button', { name: /^#?lobby/ }).click();
  await write(page, `Hello from the test ${run}`);
  await bubble(page, `Hello from the test ${run}`).waitFor();
  await page.setViewportSize(PHONE);
  await page.getByRole('button', { name: 'Back to the list' }).click();
  await page.locator('nav').waitFor({ state: 'visible' });
  await inspect(page, 'list');
  await page.locator('nav').getByRole('button', { name: /^#?lobby/ }).click();
  await inspect(page, 'lobby');
});

step('the status panel tells about the node', async ({ mine: { page } }) => {
  await page.locator('nav').getByRole('button', { name: /Status$/ }).click();
  await page.getByRole('heading', { name: 'How messages travel' }).waitFor();
  const relay = page.getByRole('checkbox', { name: 'Be a relay' });
  check(!(await relay.isChecked()), 'this node relays unasked');
  await relay.check();
  await page.getByText(/TCP port \d+, UDP port \d+/).waitFor();
  await inspect(page, 'status');
  await relay.uncheck();
  await page.getByText('Off: this node relays for nobody.').waitFor();
  await closeDialog(page);
});

step('every dialog gives the focus back', async ({ mine: { page } }) => {
  const opener = page.getByRole('button', { name: 'Join a room' });
  await opener.focus();
  await page.keyboard.press('Enter');
  await page.getByLabel('Name of the room').waitFor();
  await closeDialog(page);
  check(await opener.evaluate((button) => button === document.activeElement), 'the focus did not return to its button');
});

if (PEER_UI_URL) {
  step('an invited stranger writes, is accepted, and gets an answer', async (state) => {
    const me = state.mine.page;
    const peer = state.peer.page;
    await peer.getByRole('button', { name: 'My invite link', exact: true }).click();
    const link = await peer.getByTestId('invite-link').innerText();
    await closeDialog(peer);

    await me.getByRole('button', { name: 'Add contact' }).click();
    await me.getByLabel('Invite link or name').fill(link);
    await me.getByLabel('What you will call them').fill('Bob');
    await me.getByRole('button', { name: 'Add and write' }).click();
    await me.getByRole('heading', { name: 'Bob', exact: true }).waitFor();
    await write(me, `Shall we meet? ${run}`);
    await bubble(me, `Shall we meet? ${run}`).waitFor();

    await peer.locator('nav').getByRole('button', { name: `Shall we meet? ${run}` }).click(SLOW);
    await peer.getByText('They opened one of your invite links.').waitFor();
    await peer.getByLabel('What you will call them').fill('Alice');
    await inspect(peer, 'request');
    await peer.getByRole('button', { name: 'Accept', exact: true }).click();
    await peer.getByRole('heading', { name: 'Alice', exact: true }).waitFor();
    await bubble(peer, `Shall we meet? ${run}`).waitFor();
    await write(peer, `Gladly ${run}`);

    await bubble(me, `Gladly ${run}`).waitFor(SLOW);
    await bubble(me, `Shall we meet? ${run}`).getByText(/^(Received|Read)\./).first().waitFor({ state: 'attached', ...SLOW });
    await inspect(me, 'conversation');
  });

  step('who wants it tells what was read', async (state) => {
    const me = state.mine.page;
    const peer = state.peer.page;
    await peer.getByRole('button', { name: 'About Alice' }).click();
    await peer.getByRole('checkbox', { name: /Tell them what I have read/ }).check();
    await inspect(peer, 'contact');
    await peer.getByRole('button', { name: 'Save' }).click();
    await write(me, `Read this ${run}`);
    await bubble(peer, `Read this ${run}`).waitFor(SLOW);
    await bubble(me, `Read this ${run}`).getByText(/^Read\./).first().waitFor({ state: 'attached', ...SLOW });
  });
}

network(step, process.env);

if (!UI_URL) {
  console.error('UI_URL is not set: give the link that `samizdat up` prints, with its #token=…');
  process.exit(2);
}

const browser = await launch();
const state = {};
let failed = null;
try {
  state.mine = await open(browser, UI_URL, { expected: isRefusal });
  if (PEER_UI_URL) state.peer = await open(browser, PEER_UI_URL, { expected: isRefusal });
  if (LONE_UI_URL) state.lone = await open(browser, LONE_UI_URL, { expected: isRefusal });
  for (const { title, work } of steps) {
    failed = title;
    await work(state);
    for (const { faults } of Object.values(state)) {
      check(faults.length === 0, faults.join('\n'));
    }
    console.log(`ok - ${title}`);
  }
  failed = null;
} catch (error) {
  console.error(`not ok - ${failed ?? 'opening the page'}\n${error.message}`);
  if (state.mine) await shoot(state.mine.page, 'failure').catch(() => {});
  if (state.peer) await shoot(state.peer.page, 'failure-peer').catch(() => {});
  if (state.lone) await shoot(state.lone.page, 'failure-lone').catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}

/** Chromium logs each answer that is not 2xx as an error; the test asks for some of them. */
function isRefusal(fault) {
  return (fault.includes('status of 400') && fault.includes('/api/v1/contacts')) || /status of 4(00|09).*\/api\/v1\/node\)/.test(fault);
}
