// The switches of a node as people meet them: whom it finds nearby, whose relays it uses, whether it is one, whether it hides
// behind a proxy, and who learns its address. Each is thrown on the page, asked of the daemon, and seen again on a fresh page.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { check, inspect, SLOW } from './browser.mjs';

/** By its label: what the page says of it, how a status tells it, and how the command line shows and throws it. */
const SWITCHES = {
  'Find nodes in the local network': {
    on: /^On: everybody in the local network can see/,
    off: /^Off: the local network is not told/,
    tells: ({ meeting }) => meeting.lan.on,
    cli: ['node', 'lan'],
  },
  'Use relays of others where nothing else works': {
    on: /^(No node is known|None is needed|Connecting to|Whoever cannot reach)/,
    off: /^Refused: whoever cannot be reached directly is not reached at all/,
    tells: ({ relays }) => relays.allowed,
    cli: ['node', 'relays'],
  },
  'Be a relay': {
    on: /TCP port \d+, UDP port \d+/,
    off: /^Off: this node relays for nobody/,
    tells: ({ roles }) => roles.find(({ role }) => role === 'relay').on,
    cli: ['node', 'role'],
    which: ['relay'],
  },
};
/** What each role means, in one sentence at least. */
const ROLES = { 'Be a relay': /Carries the packets of people/, 'Be an entry point': /Newcomers who know nothing but your domain/ };
const REVEALS = /Your contact learns your internet address, and may learn those of this computer in your local network/;
const NOBODY = 'socks5://127.0.0.1:9';

/** The steps; LONE_UI_URL is of a node that was not told where to listen, so that it may go behind a proxy. */
export function network(step, { UI_URL, PEER_UI_URL, LONE_UI_URL }) {
  step('each switch is thrown by key, and the daemon and a fresh page have it', async ({ mine: { page } }) => {
    const ask = daemon(UI_URL);
    await openStatus(page);
    for (const [label, { tells, cli, ...said }] of Object.entries(SWITCHES)) {
      const box = page.getByRole('checkbox', { name: label, exact: true });
      const meant = page.locator('.switch', { has: box });
      const before = await box.isChecked();
      check(before === tells(await ask('status')), `${label}: the page shows another state than the daemon has`);
      for (const on of [!before, before]) {
        await tabTo(page, box);
        await page.keyboard.press('Space');
        await meant.getByText(on ? said.on : said.off).waitFor();
        check(await isFocused(box), `${label}: the focus was lost`);
        check(tells(await ask('status')) === on, `${label}: the daemon did not take ${on}`);
        const row = await samizdat(...cli);
        check((row?.on ?? row?.allowed ?? on) === on, `${label}: the command line says ${JSON.stringify(row)}`);
        await page.reload();
        await openStatus(page);
        check((await box.isChecked()) === on, `${label}: a fresh page does not show ${on}`);
        await meant.getByText(on ? said.on : said.off).waitFor();
      }
    }
  });

  step('each role says what it means, and no other is offered', async ({ mine: { page } }) => {
    const roles = page.locator('section', { has: page.getByRole('heading', { name: 'What your node does for others' }) });
    const labels = await roles.getByRole('checkbox').evaluateAll((boxes) => boxes.map((box) => box.labels[0].innerText.trim()));
    check(labels.join() === Object.keys(ROLES).join(), `these roles are offered: ${labels.join(', ')}`);
    for (const [name, description] of Object.entries(ROLES)) await page.getByRole('checkbox', { name, description }).waitFor();
    for (const label of Object.keys(SWITCHES)) await page.getByRole('checkbox', { name: label }).click();
    for (const [label, { on, off }] of Object.entries(SWITCHES)) {
      const meant = page.locator('.switch', { has: page.getByRole('checkbox', { name: label }) });
      await meant.getByText(label.startsWith('Use') ? off : on).waitFor();
    }
    await inspect(page, 'switches', page.getByRole('checkbox', { name: 'Be a relay' }));
  });

  step('what is switched elsewhere shows on the open page', async ({ mine: { page } }) => {
    for (const [label, { tells, cli, which = [], ...said }] of Object.entries(SWITCHES)) {
      const on = label.startsWith('Use');
      const box = page.getByRole('checkbox', { name: label });
      if (!(await samizdat(...cli, ...which, on ? 'on' : 'off'))) await box.setChecked(on);
      await page.locator('.switch', { has: box }).getByText(on ? said.on : said.off).waitFor();
      check((await box.isChecked()) === on, `${label}: the open page does not follow`);
      check(tells(await daemon(UI_URL)('status')) === on, `${label}: the daemon did not take ${on}`);
    }
    await page.keyboard.press('Escape');
  });

  if (LONE_UI_URL) {
    step('a proxy: a malformed one is refused, one that is not there is taken, and left again', async ({ lone: { page } }) => {
      const at = async () => (await daemon(LONE_UI_URL)('status')).meeting.proxy.at;
      const field = page.getByLabel(/^Everything through a SOCKS5 proxy/);
      await openStatus(page);
      await tabTo(page, field);
      await page.keyboard.type('http://127.0.0.1:8080');
      await page.keyboard.press('Enter');
      await oneSentence(page, /^A proxy looks like socks5:\/\/127\.0\.0\.1:9050,/);
      check((await field.getAttribute('aria-invalid')) === 'true' && (await isFocused(field)), 'the field does not say that it is wrong');
      check((await at()) === null, 'a malformed proxy was taken');
      await inspect(page, 'proxy-refused', page.getByRole('alert'));

      await field.fill(NOBODY.replace('//', '//me:secret@'));
      await page.keyboard.press('Enter');
      await page.getByText('On: nothing leaves').waitFor();
      check((await at()) === NOBODY, `the proxy is ${await at()}`);
      await page.reload();
      await openStatus(page);
      await page.getByText(NOBODY, { exact: true }).waitFor();
      check(!(await page.locator('dialog').innerText()).includes('secret'), 'the page shows the password of the proxy');

      for (const label of ['Find nodes in the local network', 'Be a relay']) {
        const box = page.getByRole('checkbox', { name: label });
        await box.click();
        await oneSentence(page.locator('.switch', { has: box }), /leave the proxy with samizdat node proxy off first\.$/);
        check(!(await box.isChecked()), `${label}: it shows what the node refused`);
      }
      await inspect(page, 'proxy', page.getByRole('button', { name: 'Leave the proxy' }));

      await tabTo(page, page.getByRole('button', { name: 'Leave the proxy' }));
      await page.keyboard.press('Enter');
      await field.waitFor();
      check((await at()) === null, `the proxy is still ${await at()}`);
      check((await page.getByRole('alert').count()) === 0, 'what was refused behind the proxy still stands there');
      check(await isFocused(page.getByRole('button', { name: 'Use this proxy' })), 'the focus was lost with the proxy');
      await page.reload();
      await openStatus(page);
      await field.waitFor();
      await page.keyboard.press('Escape');
    });

    step('a node that was told to listen goes behind no proxy, and says why', async ({ mine: { page } }) => {
      await openStatus(page);
      await page.getByLabel(/^Everything through a SOCKS5 proxy/).fill(NOBODY);
      await page.keyboard.press('Enter');
      await oneSentence(page, /^This node was told to listen/);
      check((await daemon(UI_URL)('status')).meeting.proxy.at === null, 'it went behind the proxy all the same');
      await page.keyboard.press('Escape');
    });
  }

  if (PEER_UI_URL) {
    step('a straight session is chosen by key, beside what it reveals, and opens when both did', async (state) => {
      const me = state.mine.page;
      const bob = async () => (await daemon(UI_URL)('contacts')).contacts.find(({ petname }) => petname === 'Bob');
      await chooseStraight(me, 'Bob');
      check((await bob()).session === 'direct', 'the daemon has another choice');
      const rows = await samizdat('contact', 'list');
      check((rows?.session ?? 'direct') === 'direct', `the command line says ${JSON.stringify(rows)}`);
      check((await daemon(UI_URL)('status')).sessions.length === 0, 'it opened before Bob chose it');
      await me.reload();
      await me.locator('nav').getByRole('button', { name: /^Bob/ }).click();
      await me.getByRole('button', { name: 'About Bob' }).click();
      check(await me.getByRole('radio', { name: /^Straight/ }).isChecked(), 'a fresh page shows another choice');
      await inspect(me, 'contact-straight', me.getByRole('button', { name: 'Save' }));

      await chooseStraight(state.peer.page, 'Alice');
      await me.getByText(/^Connected now, (straight|in your local network)/).waitFor(SLOW);
      const [session] = (await daemon(UI_URL)('status')).sessions;
      check(['direct', 'lan'].includes(session.path) && session.contact === 'Bob', `another session is open: ${JSON.stringify(session)}`);

      await me.getByRole('radio', { name: /^No/ }).check();
      await me.getByRole('button', { name: 'Save' }).click();
      await me.locator('dialog').waitFor({ state: 'detached' });
      check((await bob()).session === 'off', 'the daemon still connects');
      await openStatus(me);
      await me.getByText('Contacts that your node is connected to:').waitFor({ state: 'detached' });
      await me.keyboard.press('Escape');
    });
  }
}

async function openStatus(page) {
  await page.locator('nav').getByRole('button', { name: /Status$/ }).click();
  await page.getByRole('heading', { name: 'Status of your node' }).waitFor();
  await page.getByRole('heading', { name: 'Finding others' }).waitFor();
}

async function chooseStraight(page, who) {
  await page.getByRole('button', { name: `About ${who}` }).click();
  const straight = page.getByRole('radio', { name: REVEALS });
  await tabTo(page, page.getByRole('radio', { name: /^No/ }));
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  check(await straight.isChecked(), 'the arrows do not choose');
  await page.keyboard.press('Enter');
  await page.locator('dialog').waitFor({ state: 'detached' });
}

/** Goes there as somebody without a mouse does. */
async function tabTo(page, wanted) {
  await wanted.waitFor();
  for (let tabs = 0; !(await isFocused(wanted)); tabs += 1) {
    check(tabs < 60, `no number of tabs leads to ${wanted}`);
    await page.keyboard.press('Tab');
  }
}

const isFocused = (wanted) => wanted.evaluate((element) => element === document.activeElement);

/** The only thing that is said to be wrong there, as one sentence. */
async function oneSentence(within, wanted) {
  const alert = within.getByRole('alert');
  await alert.filter({ hasText: wanted }).waitFor();
  const said = await alert.innerText();
  check(/^[A-Z][^!?]*[^.]\.$/.test(said) && !said.includes('`'), `this is no plain sentence: ${said}`);
}

/** What a node says itself, past the page. */
function daemon(url) {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.replace('#token=', '')}` };
  return async (path) => {
    const answer = await fetch(`${origin}/api/v1/${path}`, { headers });
    check(answer.ok, `${path}: the daemon answers ${answer.status}`);
    return answer.json();
  };
}

/** What the command line says of the first node, or null without one: it knows no nodes in memory. */
async function samizdat(...words) {
  if (!process.env.SAMIZDAT) return null;
  const { stdout } = await promisify(execFile)(process.env.SAMIZDAT, ['--json', ...words]);
  return JSON.parse(stdout);
}
