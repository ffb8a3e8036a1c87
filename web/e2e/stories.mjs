// Stories that need a node which can be filled, stopped and starved: told against the one in memory.
import { check, inspect, launch, open, shoot } from './browser.mjs';
import { MockNode, nameFrom, Network } from './mock.mjs';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const stories = [];
const story = (title, work) => stories.push({ title, work });
const row = (page, text) => page.locator('nav').getByRole('button', { name: text });
const field = (page) => page.getByRole('textbox', { name: /^Message to/ });

story('without a token the page says how to get one', async ({ node, visit }) => {
  const { page } = await visit(node.origin);
  await page.getByRole('heading', { name: 'Open the link that your node prints' }).waitFor();
  await inspect(page, 'no-token');
});

story('a full day: chats, rooms, requests, every state', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url);
  await row(page, /^Maarja/).click();
  await page.getByRole('button', { name: 'Write again' }).first().waitFor();
  await inspect(page, 'rich-chat');
  await row(page, /^lobby/).click();
  await page.getByText('has changed messages after sending').first().waitFor();
  await inspect(page, 'rich-room');
  await row(page, /I found your name/).click();
  await page.getByText('They did not use an invite link').waitFor();
  await inspect(page, 'rich-request');
  await row(page, /^Maarja/).click();
  await page.getByRole('button', { name: 'About Maarja' }).click();
  await inspect(page, 'rich-contact');
});

story('a cluster: who is in it, what is moved, a vote, what was decided', async ({ node, visit }) => {
  nest(node);
  const { page } = await visit(node.url);
  await row(page, /^nest/).click();
  await page.getByText('Cluster of 3; you are alice').waitFor();
  await inspect(page, 'cluster-chat');
  await page.getByRole('button', { name: 'About nest' }).click();
  await page.getByText('bob was let in').waitFor();
  await inspect(page, 'cluster');
  await page.getByRole('button', { name: 'Vote yes' }).click();
  await page.getByText('You said yes.').waitFor();
  await page.getByText('Yes: bob, alice').waitFor();
  await page.getByRole('button', { name: 'Move on Sunday up' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Vote in this order' }).click();
  await page.getByText('You said on Sunday, then on Monday, then on Friday.').waitFor();
});

story('a cluster: inviting by a link, a picture and words; other rules; who is silent', async ({ node, visit }) => {
  nest(node);
  const { page } = await visit(node.url);
  await row(page, /^nest/).click();
  await page.getByRole('button', { name: 'About nest' }).click();
  await page.getByRole('button', { name: 'Make an invite link' }).click();
  await page.getByRole('img', { name: 'QR code of the link below' }).waitFor();
  await inspect(page, 'cluster-invite-link');
  await page.getByRole('button', { name: 'Make another passphrase' }).click();
  await page.getByTestId('passphrase').waitFor();
  await page.getByText('Propose other rules').click();
  await page.getByLabel('Members at most').fill('60');
  await page.getByText('Propose to drop who is silent').click();
  await page.getByText('Ask the members something').click();
  await page.getByRole('button', { name: 'Propose these rules' }).scrollIntoViewIfNeeded();
  await inspect(page, 'cluster-moves');
  await page.getByRole('button', { name: 'Propose these rules' }).click();
  await page.getByRole('heading', { name: 'Take other rules' }).waitFor();
  check(JSON.stringify(node.nest.proposal) === '{"kind":"charter","charter":{"cap":60}}', 'more rules than the changed one were sent');
});

story('a cluster: into another, away with some, and what one member only is told', async ({ node, visit }) => {
  nest(node);
  const { page } = await visit(node.url);
  await row(page, /^nest/).click();
  await page.getByLabel('To', { exact: true }).selectOption('bob only');
  await page.getByRole('textbox', { name: 'Message to bob only, in nest' }).fill('psst');
  await inspect(page, 'cluster-to-one');
  await page.keyboard.press('Enter');
  await page.getByText('only to bob').waitFor();
  await page.getByRole('button', { name: 'About nest' }).click();
  await page.getByText('closed, nobody comes in by it').waitFor();
  await page.getByRole('button', { name: 'Make a link for a whole cluster' }).click();
  await page.getByText('A member of the other cluster proposes with it to come here').waitFor();
  await page.getByText('Propose to go into another cluster').click();
  await page.getByText('Go away with some').click();
  await page.getByRole('checkbox', { name: 'bob' }).focus();
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Found it and ask them' }).scrollIntoViewIfNeeded();
  await inspect(page, 'cluster-away');
  await page.getByRole('button', { name: 'Found it and ask them' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Asked to come along: bob').waitFor();
  check(node.nest.went.length === 1, 'others were asked, too');
  await page.getByLabel('What that cluster is called').fill('club');
  await page.getByLabel(/^Link/).fill('samizdat:cluster/abc/def');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Go into the cluster/ }).waitFor();
  check(JSON.stringify(node.nest.proposal) === '{"kind":"merge","link":"samizdat:cluster/abc/def","name":"club"}', 'another motion was sent');
});

story('a cluster is founded or joined in one dialog', async ({ node, visit }) => {
  const { page } = await visit(node.url);
  await page.getByRole('button', { name: 'Found or join a cluster' }).click();
  await page.getByLabel('Link or passphrase').waitFor();
  await inspect(page, 'cluster-join');
  await page.getByRole('radio', { name: /^Found one/ }).check();
  await page.getByLabel('Name of the cluster').waitFor();
  await inspect(page, 'cluster-found');
});

story('everything by keyboard', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url);
  await row(page, /^Maarja/).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await field(page).waitFor();
  check(await field(page).evaluate((area) => area === document.activeElement), 'opening a chat does not focus the composer');
  await page.keyboard.type('first line');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('second line');
  await page.keyboard.press('Enter');
  await page.locator('.bubble', { hasText: /first line\nsecond line/ }).waitFor();
  check((await field(page).inputValue()) === '', 'the composer was not emptied');
});

story('a dialog keeps the focus', async ({ node, visit }) => {
  const { page } = await visit(node.url);
  await page.getByRole('button', { name: 'Add contact' }).click();
  for (let i = 0; i < 12; i += 1) {
    await page.keyboard.press('Tab');
    const where = await page.evaluate(() => document.activeElement?.closest('dialog') !== null || document.activeElement === document.body);
    check(where, `the focus left the dialog after ${i + 1} tabs`);
  }
});

story('a stamp in work can be cancelled, and its text written again', async ({ node, visit }) => {
  const { page } = await visit(node.url);
  await row(page, /^lobby/).click();
  await field(page).fill('slow words');
  await page.keyboard.press('Enter');
  await page.getByText(/Stamping, about \d+ (s|min) left/).last().waitFor();
  await shoot(page, 'stamping');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Write again' }).click();
  check((await field(page).inputValue()) === 'slow words', 'the text did not come back');
});

story('each conversation keeps its own draft', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url);
  await row(page, /^Maarja/).click();
  await field(page).fill('for Maarja only');
  await row(page, /^lobby/).click();
  check((await field(page).inputValue()) === '', 'a draft leaked into another conversation');
  await row(page, /^Maarja/).click();
  check((await field(page).inputValue()) === 'for Maarja only', 'the draft was lost');
});

story('a blocked contact cannot be written to until unblocked', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url);
  await row(page, /^Maarja/).click();
  await page.getByRole('button', { name: 'About Maarja' }).click();
  await page.getByRole('button', { name: 'Block', exact: true }).click();
  await page.getByText('You have blocked Maarja.').waitFor();
  await page.getByRole('button', { name: 'Unblock' }).click();
  await field(page).waitFor();
});

story('a node is made an entry point, and none any more', async ({ node, visit }) => {
  const { page } = await visit(node.url);
  await page.locator('nav').getByRole('button', { name: /Status$/ }).click();
  const box = page.getByRole('checkbox', { name: 'Be an entry point' });
  await box.check();
  await page.getByLabel('Your domain').fill('entry.example.org');
  await page.getByLabel('Its address').fill('192.0.2.1:53');
  await page.getByLabel(/^Key/).fill('key "carol" { algorithm hmac-sha256; secret "c2VjcmV0"; };');
  await page.getByRole('button', { name: 'Keep an entry there' }).scrollIntoViewIfNeeded();
  await inspect(page, 'entry-asked');
  await page.getByRole('button', { name: 'Keep an entry there' }).click();
  await page.getByText('The entry stands in entry.example.org.').waitFor();
  await inspect(page, 'entry-stands');
  await box.uncheck();
  await page.getByText('The entry stands in').waitFor({ state: 'detached' });
  check(node.entry === null, 'the entry was not taken away');
});

story('no peers: says so, and what to do', async ({ node, visit }) => {
  node.peers = [];
  const { page } = await visit(node.url);
  await page.getByText('No peers: messages wait here').click();
  await page.getByText('samizdat up --join').waitFor();
  await inspect(page, 'no-peers');
});

story('a message with a time that no calendar has does not take the page', async ({ node, visit }) => {
  fill(node);
  const lobby = node.conversation('room', 'lobby');
  const { page } = await visit(node.url);
  await row(page, /^lobby/).click();
  for (const at of [8.64e15 + 1, 18_446_744_073_709_551_615]) {
    node.own(lobby, `written at ${at}`, { ...theirs('mallory'), at });
    await page.locator('.bubble', { hasText: `written at ${at}` }).waitFor();
  }
  ask(node, 'mallory', 'And this was never', 1e300, false);
  node.emit('request', {});
  await row(page, /And this was never/).click();
  await page.getByText('They did not use an invite link').waitFor();
  await row(page, /^Maarja/).click();
  await field(page).waitFor();
});

story('a lost node: banner, and everything comes back by itself', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url, lostConnection);
  await row(page, /^Maarja/).click();
  await page.getByRole('button', { name: 'Write again' }).first().waitFor();
  const { port } = node.server.address();
  await node.stop();
  await page.getByText('The connection to your node is lost.').waitFor();
  await field(page).fill('kept');
  check(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled(), 'sending is possible without a node');
  await inspect(page, 'lost');
  node.own(node.conversation('direct', nameFrom('maarja')), 'said meanwhile', theirs('maarja'));
  await node.start(port);
  await page.getByRole('button', { name: 'Try now' }).click({ timeout: 2000 }).catch(() => {});
  await page.locator('.bubble', { hasText: 'said meanwhile' }).waitFor();
  check((await field(page).inputValue()) === 'kept', 'the draft was lost with the connection');
});

story('a lagging page reads everything anew', async ({ node, visit }) => {
  fill(node);
  const { page } = await visit(node.url);
  await row(page, /^Maarja/).click();
  await page.getByRole('button', { name: 'Write again' }).first().waitFor();
  const { id } = node.conversation('direct', nameFrom('maarja'));
  node.messages.push({ ...node.in(id).at(-1), ...theirs('maarja'), id: 'unheard', text: 'never announced' });
  node.emit('lagged', {});
  await page.locator('.bubble', { hasText: 'never announced' }).waitFor();
});

story('a restarted node has another token: the page says what to do', async ({ node, visit }) => {
  const { page } = await visit(node.url, (fault) => lostConnection(fault) || fault.includes('status of 401'));
  await row(page, /^lobby/).waitFor();
  await row(page, /^lobby/).click();
  await field(page).fill('half a thought');
  const { port } = node.server.address();
  await node.stop();
  node.token = 'another';
  await node.start(port);
  await page.getByRole('heading', { name: 'Your node was started anew' }).waitFor();
  await inspect(page, 'started-anew');
  await page.goto(node.url);
  await row(page, /^lobby/).click();
  check((await field(page).inputValue()) === 'half a thought', 'the draft was lost with the old token');
});

const browser = await launch();
for (const { title, work } of stories) {
  const network = new Network();
  const node = await new MockNode(network, 'alice').start();
  const other = await new MockNode(network, 'bob').start();
  const pages = [];
  try {
    await work({
      node,
      visit: async (url, expected) => {
        pages.push(await open(browser, url, { expected }));
        return pages.at(-1);
      },
    });
    for (const { faults } of pages) check(faults.length === 0, faults.join('\n'));
    console.log(`ok - ${title}`);
  } catch (error) {
    console.error(`not ok - ${title}\n${error.message}`);
    for (const { page } of pages) await shoot(page, 'failure-story');
    process.exitCode = 1;
  }
  for (const { close } of pages) await close();
  await Promise.all([node.stop(), other.stop()]);
}
await browser.close();

function lostConnection(fault) {
  return /ERR_CONNECTION|WebSocket connection/.test(fault);
}

function theirs(who) {
  return { from: nameFrom(who), mine: false, state: 'received' };
}

/** A life: three contacts, two rooms, two requests, and one message in each state. */
function fill(node) {
  const known = { state: 'accepted', known: true };
  node.contacts.push({ name: nameFrom('maarja'), petname: 'Maarja', ...known });
  node.contacts.push({ name: nameFrom('yusuf'), petname: 'يوسف', ...known });
  node.contacts.push({ name: nameFrom('late'), petname: 'Aunt Hilja', state: 'added', known: false });
  node.rooms[0].rewritten = [nameFrom('liar')];
  node.join('gardening');
  const now = Date.now();
  const maarja = node.conversation('direct', nameFrom('maarja'));
  const say = (conversation, at, text, more) => node.own(conversation, text, { at: now + at, ...more });
  const read = { ...theirs('maarja'), state: 'read' };
  say(maarja, -2 * DAY, 'Did the second parcel of books arrive?', read);
  say(maarja, -2 * DAY + 4 * MINUTE, 'Yes, all eleven. I am reading the blue one first.', { state: 'read' });
  say(maarja, -DAY - 30 * MINUTE, 'Then keep the typescript for the weekend, it has no page numbers and somebody dropped it.', read);
  say(maarja, -DAY - 29 * MINUTE, 'You will need a table.', read);
  say(maarja, -DAY - 20 * MINUTE, 'A large one, I hear', { state: 'read' });
  say(maarja, -90 * MINUTE, 'The address is https://example.org/a/very/long/path/that/never/ends/' + 'x'.repeat(90), read);
  say(maarja, -60 * MINUTE, 'Shall I bring the carbon paper?', { state: 'received' });
  say(maarja, -50 * MINUTE, 'It is the last box.', { state: 'published' });
  say(maarja, -49 * MINUTE, 'And 200 sheets', { state: 'stamped' });
  say(maarja, -40 * MINUTE, 'Wrong window, sorry', { state: 'cancelled' });
  say(maarja, -30 * MINUTE, 'Too long for one envelope', { state: 'failed' });
  say(maarja, -5 * MINUTE, 'Yes please! Seven o’clock?', theirs('maarja'));
  say(maarja, -2 * MINUTE, 'Seven it is', { state: 'waiting' });
  const yusuf = node.conversation('direct', nameFrom('yusuf'));
  say(yusuf, -3 * DAY, 'مرحبا، هل وصلت الرسالة؟', theirs('yusuf'));
  const lobby = node.conversation('room', 'lobby');
  say(lobby, -3 * 60 * MINUTE, 'Good morning from Tartu', { ...theirs('peeter'), state: 'read' });
  say(lobby, -3 * 60 * MINUTE + MINUTE, 'Snow again', { ...theirs('peeter'), state: 'read' });
  say(lobby, -2 * 60 * MINUTE, 'I never said that', { ...theirs('liar'), state: 'read' });
  say(lobby, -100 * MINUTE, 'Morning, Peeter', { state: 'published' });
  say(lobby, -80 * MINUTE, 'Who runs the entry point at the library? Thank them from me', theirs('maarja'));
  ask(node, 'stranger', 'Hello, I found your name in the reading group and would like to hear about the next evening.', now - 8 * MINUTE, false);
  ask(node, 'invited', 'It is me, Anna from the archive.', now - 70 * MINUTE, true);
}

/** A cluster of three, in which something is moved. */
function nest(node) {
  const conversation = node.conversation('cluster', 'nest');
  node.own(conversation, 'welcome', { from: 'bobsmember', mine: false, state: 'read' });
  const member = (nick, own, here) => ({ member: `${nick}smember`, nick, own, here, heard: here ? Date.now() : null, silent: !here });
  const moved = {
    cluster: '1',
    state: 'open',
    done: false,
    no: 0,
    no_by: [],
    needed: 2,
    voters: 2,
    until: 12,
    proposer: 'bob',
    ours: null,
    at: Date.now(),
    ranked: false,
    charter: null,
    cheated: [],
    secret: false,
    phase: null,
    voted: [],
    left_out: [],
    confirmed: [],
    why: null,
  };
  const options = [
    { option: 'at the bridge', first: 2, place: 1 },
    { option: 'at home', first: 0, place: 2 },
  ];
  const days = ['on Monday', 'on Friday', 'on Sunday'].map((option, at) => ({ option, first: 0, place: at + 1 }));
  node.nest = {
    cluster: '1',
    id: 'nestnestnest',
    name: 'nest',
    standing: 'member',
    member: 'alicesmember',
    nick: 'alice',
    conversation: conversation.id,
    epoch: 4,
    state: 'stateofthenest',
    size: 3,
    requests: 1,
    charter: {
      name: 'nest',
      cap: 50,
      quorum: 'majority',
      rollout_hours: 24,
      silent_epochs: 14,
      sponsor_epochs: 0,
      history: 'none',
      motion_epochs: 8,
      automatic_ballots: true,
      delivery: true,
    },
    members: [member('alice', true, true), member('bob', false, true), member('mallory', false, false)],
    motions: [
      { ...moved, motion: 'm1', kind: 'expel', subject: 'mallory', yes: 1, yes_by: ['bob'], options: [] },
      { ...moved, motion: 'm2', kind: 'question', subject: 'Where?', yes: 0, yes_by: [], options, ours: '1' },
      { ...moved, motion: 'm3', kind: 'question', subject: 'When?', yes: 0, yes_by: [], options: days, ranked: true },
    ],
    asking: [{ request: '3', nick: 'carol', words: 'It is me, from the library.', member: 'carolsmember', at: Date.now() }],
    receipts: false,
    links: [
      { link: `samizdat:cluster/${'a'.repeat(84)}`, label: 'the poster', until: Date.now() + 86_400_000, closed: true, secret: false },
      { link: `samizdat:cluster/${'b'.repeat(84)}`, label: '', until: Date.now() + 86_400_000, closed: false, secret: false },
    ],
    decided: [
      { epoch: 1, what: ['admit bob'] },
      { epoch: 2, what: ['admit mallory'] },
    ],
  };
}

function ask(node, who, text, at, invited) {
  node.requests.push({ id: `request-${who}`, name: nameFrom(who), text, at, invited });
  node.own(node.conversation('direct', nameFrom(who)), text, { ...theirs(who), at, request: true });
}
