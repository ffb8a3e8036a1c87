// A node in memory that speaks docs/protocol/api.md, so that the page can be tested without a network. Several nodes
// made from one `Network` exchange messages. Nothing here is secret, encrypted or checked more than the page needs.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const CSP =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const STAMP_STEP_MS = 60;
const ENTRY_MEANS =
  'Newcomers who know nothing but your domain find this node in its DNS and meet others through it; it sees their internet addresses.';
/** What a new contact may have and learn. */
const UNCHOSEN = { receipts: false, session: 'off', session_state: 'off' };
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

export class Network {
  nodes = [];
}

export class MockNode {
  sockets = new Set();
  contacts = [];
  requests = [];
  conversations = [];
  messages = [];
  rooms = [{ room: 'lobby', joined: true, unread: 0, rewritten: [] }];
  secrets = new Set();
  drops = { stamp_too_low: 0, expired: 0 };
  /** Overrides the peers that follow from the network. */
  peers = null;
  vault = 'key file';
  lan = false;
  /** It was told where to listen, and so goes behind no proxy. */
  listens = false;
  token = randomBytes(16).toString('hex');

  constructor(network, seed) {
    this.network = network;
    this.name = nameFrom(seed);
    network.nodes.push(this);
    this.conversation('room', 'lobby');
  }

  async start(port = 0) {
    this.server = createServer((request, response) => void this.serve(request, response));
    const events = new WebSocketServer({ noServer: true });
    this.server.on('upgrade', (request, socket, head) => {
      if (request.url !== '/api/v1/events' || request.headers.origin !== this.origin) return socket.destroy();
      events.handleUpgrade(request, socket, head, (ws) => this.greet(ws));
    });
    await new Promise((done) => this.server.listen(port, '127.0.0.1', done));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    this.url = `${this.origin}/#token=${this.token}`;
    for (const node of this.network.nodes) node.emit('status', { status: node.status() });
    return this;
  }

  /** Ends as a killed process would: open connections break. */
  async stop() {
    for (const socket of this.sockets) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  emit(event, rest) {
    for (const socket of this.sockets) socket.send(JSON.stringify({ event, ...rest }));
  }

  greet(ws) {
    const late = setTimeout(() => ws.close(1008), 5000);
    ws.once('message', (frame) => {
      clearTimeout(late);
      if (!same(JSON.parse(String(frame)).token, this.token)) return ws.close(1008, 'the first frame must be the token of this node');
      this.sockets.add(ws);
      ws.on('close', () => this.sockets.delete(ws));
      ws.send('{"event":"ready"}');
    });
  }

  async serve(request, response) {
    const url = new URL(request.url, this.origin);
    try {
      if (!url.pathname.startsWith('/api/v1/')) return await asset(url.pathname, response);
      if (!same(request.headers.authorization, `Bearer ${this.token}`)) throw refusal(401, 'refused', 'no valid token');
      const body = request.method === 'GET' ? {} : JSON.parse((await text(request)) || '{}');
      const path = url.pathname.slice('/api/v1/'.length).split('/').map(decodeURIComponent);
      const answer = this.answer(request.method, path, url.searchParams, body);
      if (typeof answer === 'string') return response.writeHead(200, { 'content-type': 'image/svg+xml' }).end(answer);
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(answer));
    } catch (error) {
      response.writeHead(error.status ?? 500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { kind: error.kind ?? 'internal', message: error.message } }));
    }
  }

  answer(method, [first, second, third], query, body) {
    switch (`${method} ${first}`) {
      case 'GET status':
        return this.status();
      case 'POST invites': {
        const secret = Array.from(randomBytes(16), (byte) => ALPHABET[byte % 32]).join('');
        this.secrets.add(secret);
        return { link: `samizdat:${this.name}/${secret}`, name: this.name };
      }
      case 'GET qr.svg':
        return picture(query.get('text'));
      case 'GET contacts':
        return { contacts: this.contacts };
      case 'POST contacts':
        return this.addContact(body);
      case 'PATCH contacts':
        return this.changeContact(second, body);
      case 'PATCH node':
        return this.edit(body);
      case 'POST node':
        this.entry = { domain: body.domain, stands: true, why: `The entry stands in ${body.domain}.` };
        return this.meeting();
      case 'DELETE node':
        this.entry = null;
        return this.meeting();
      case 'GET requests':
        return { requests: this.requests };
      case 'POST requests':
        return this.decide(second, third);
      case 'GET conversations':
        return { conversations: this.list() };
      case 'GET messages': {
        const of = query.has('cluster') ? this.nest?.name : (query.get('who') ?? query.get('room'));
        const found = this.conversations.find(({ who }) => who === of);
        return { messages: page(this.in(found?.id), query) };
      }
      case 'POST messages':
        return third === 'cancel' ? this.cancel(second) : this.send(body);
      case 'POST read':
        return this.read(body.conversation);
      case 'GET clusters':
        return this.ofClusters(second, third);
      case 'POST clusters':
        if (third === 'split') return this.split(body);
        return third === 'invites' ? invitation(body) : this.propose(body);
      case 'POST motions': {
        const motion = this.nest?.motions.find((one) => one.motion === second);
        if (!motion) throw refusal(404, 'not_found', 'there is no such motion');
        motion.ours = body.vote;
        if (motion.kind !== 'question') {
          motion[body.vote] += 1;
          motion[`${body.vote}_by`].push(this.nest.nick);
        }
        this.emit('cluster', { cluster: this.nest });
        return motion;
      }
      case 'GET rooms':
        return { rooms: this.rooms };
      case 'POST rooms':
        return this.join(body.room);
    }
    throw refusal(404, 'not_found', 'there is no such call');
  }

  edit({ lan, relay, use_relays: useRelays, proxy }) {
    if (proxy && proxy !== 'off') {
      if (!/^socks5:\/\/(.+:.+@)?127\.0\.0\.1:\d+$/.test(proxy)) {
        throw refusal(400, 'usage', 'a proxy looks like socks5://127.0.0.1:9050, or so; other kinds cannot be used');
      }
      if (this.listens) throw refusal(409, 'refused', 'this node was told to listen, and behind a proxy nothing listens');
    }
    if (proxy) this.proxy = proxy === 'off' ? null : proxy.replace(/\/\/.*@/, '//');
    if (this.proxy && (lan || relay)) {
      throw refusal(409, 'refused', 'this would go beside the proxy: leave the proxy with `samizdat node proxy off` first');
    }
    this.lan = lan ?? this.lan;
    this.relay = relay ?? this.relay;
    this.useRelays = useRelays ?? this.useRelays;
    this.emit('status', { status: this.status() });
    return this.status();
  }

  status() {
    const others = this.network.nodes.filter((node) => node !== this && node.origin);
    const peers = others.map((node) => ({
      peer: node.name.slice(20, 30),
      path: 'direct',
      rtt_ms: 12,
      since: Date.now(),
      dialed: true,
    }));
    return {
      version: '0.1.0',
      versions: { protocol: 1, log_layout: 1, vault_layout: 2 },
      name: this.name,
      identities: [{ name: this.name, label: '', default: true, announced: 'published' }],
      peers: this.peers ?? peers,
      sessions: this.sessions(),
      store: { envelopes: 1204, bytes: 3_140_000, budget_bytes: 1_000_000_000, conflicts: 1 },
      outbox: { waiting: 0, stamping: 0, stamped: 0 },
      paths: { cast: 'Your messages take a random walk first, then go to everybody: hidden among about 40 nodes.' },
      reach: { verdict: 'unreachable', why: 'Others cannot dial this node: a router is in the way.', nodes: 12 },
      roles: [
        {
          role: 'relay',
          on: !!this.relay,
          announced: false,
          why: this.relay ? 'Not announced until two others came through to it.' : 'Off: this node relays for nobody.',
          means: 'Carries the packets of people who cannot reach each other directly.',
          tcp_port: this.relay ? 4242 : null,
          udp_port: this.relay ? 4243 : null,
          peers: 0,
          refused: 0,
        },
      ],
      relays: {
        allowed: this.useRelays ?? true,
        through: ['203.0.113.9:443'],
        known: 3,
        why: (this.useRelays ?? true)
          ? 'Whoever cannot reach this node directly does so through a relay.'
          : 'Refused: whoever cannot be reached directly is not reached at all.',
      },
      vault: this.vault,
      drops: this.drops,
      join: '203.0.113.7:4242/k3v2m7qf4d',
      meeting: this.meeting(),
    };
  }

  /** With whom both chose a straight one. */
  sessions() {
    return this.network.nodes.flatMap((node) => {
      const [ours, theirs] = [this.choice(node), node.choice(this)];
      if (ours?.session !== 'direct' || theirs?.session !== 'direct') return [];
      const { name, petname } = ours;
      return [{ peer: name.slice(20, 30), contact: petname ?? name, name, path: 'direct', rtt_ms: 9, since: Date.now() }];
    });
  }

  choice = ({ name }) => this.contacts.find((contact) => contact.name === name);

  meeting() {
    const why = this.lan ? 'On: everybody in the local network can see it.' : 'Off: the local network is not told of this node.';
    const proxy = { at: this.proxy ?? null, why: this.proxy ? 'On: nothing leaves but to the proxy.' : 'Off: others see your address.' };
    return { entries: [], lan: { on: this.lan, why }, own_entry: this.entry ?? null, entry_means: ENTRY_MEANS, proxy };
  }

  /** One cluster at most, put together by the story. */
  ofClusters(which, what) {
    if (!which) return { clusters: this.nest ? [this.nest] : [] };
    if (this.nest?.cluster !== which) throw refusal(404, 'not_found', 'you are in no such cluster');
    if (what === 'requests') return { requests: this.nest.asking };
    if (what === 'audit') return { decisions: this.nest.decided };
    return this.nest;
  }

  propose(proposal) {
    this.nest.proposal = proposal;
    const charter = { ...this.nest.charter, ...proposal.charter };
    const moved = { ...this.nest.motions[0], motion: 'mine', kind: proposal.kind, subject: charter.name, charter, ours: 'yes' };
    this.nest.motions.push(moved);
    this.emit('cluster', { cluster: this.nest });
    return moved;
  }

  split({ with: who, name }) {
    const asked = this.nest.members.filter(({ member }) => who.includes(member)).map(({ nick }) => nick);
    this.nest.went = who;
    return { cluster: { ...this.nest, cluster: '2', name: name ?? `${this.nest.name} 2` }, link: 'samizdat:cluster/new', asked };
  }

  conversation(kind, who) {
    const found = this.conversations.find((one) => one.kind === kind && one.who === who);
    if (found) return found;
    const id = createHash('sha256').update(`${kind} ${who}`).digest('hex').slice(0, 16);
    const made = { id, kind, who };
    this.conversations.push(made);
    return made;
  }

  in(id) {
    return this.messages.filter((message) => message.conversation === id);
  }

  list() {
    const rows = this.conversations.map(({ id, kind, who }) => {
      const messages = this.in(id).map((message) => this.shown(message));
      const title = kind !== 'direct' ? who : (this.petname(who) ?? `${who.slice(0, 4)}…`);
      const unread = messages.filter((message) => !message.mine && message.state === 'received').length;
      const label = {
        cluster: 'End-to-end encrypted among the members.',
        room: 'Public: everybody can read this and sees your name; nodes next to yours may guess your internet address.',
        direct: `Only ${title} can read this. Others see that somebody wrote, not who or to whom; a network this small hides little.`,
      }[kind];
      return { id, kind, who, title, last: messages.at(-1) ?? null, unread, label };
    });
    return rows.sort((a, b) => (b.last?.at ?? 0) - (a.last?.at ?? 0));
  }

  petname = (name) =>
    this.contacts.find((contact) => contact.name === name)?.petname ??
    this.nest?.members.find(({ member }) => member === name)?.nick ??
    null;
  shown = (message) => ({ ...message, from_petname: this.petname(message.from) });
  changed(message) {
    this.emit('message', { message: this.shown(message) });
  }

  addContact({ who, petname = null }) {
    const name = parse(who, this.network);
    if (name === this.name) throw refusal(400, 'usage', 'that is your own name: give it to others');
    let contact = this.contacts.find((one) => one.name === name);
    if (!contact) {
      const known = this.network.nodes.some((node) => node.name === name);
      contact = { name, petname, state: 'added', known, ...UNCHOSEN, secret: who.split('/')[1] };
      this.contacts.push(contact);
    } else if (petname) contact.petname = petname;
    this.emit('contact', { contact });
    return contact;
  }

  changeContact(name, { petname, blocked, receipts, session }) {
    const contact = this.contacts.find((one) => one.name === name);
    if (!contact) throw refusal(404, 'not_found', 'there is no such contact');
    if (petname !== undefined) contact.petname = petname || null;
    if (blocked !== undefined) contact.state = blocked ? 'blocked' : 'accepted';
    contact.receipts = receipts ?? contact.receipts;
    if (session) {
      contact.session = session;
      for (const node of this.network.nodes) node.emit('status', { status: node.status() });
    }
    this.emit('contact', { contact });
    return contact;
  }

  decide(id, verb) {
    const at = this.requests.findIndex((request) => request.id === id);
    if (at < 0) throw refusal(404, 'not_found', 'there is no such request');
    const [request] = this.requests.splice(at, 1);
    const state = { accept: 'accepted', block: 'blocked' }[verb];
    if (state) this.contacts.push({ name: request.name, petname: null, state, known: true, ...UNCHOSEN });
    const { id: conversation } = this.conversation('direct', request.name);
    for (const message of this.in(conversation)) {
      message.request = false;
      if (verb === 'accept') this.receipt(message, 'received');
    }
    this.emit('request', { request });
    return request;
  }

  send({ who, room, cluster, member, text: words }) {
    if (cluster) {
      const to_member = this.nest.members.find((one) => one.member === member)?.nick ?? null;
      return this.own(this.conversation('cluster', this.nest.name), words, { from: this.nest.member, to_member });
    }
    if (room && !this.rooms.some((one) => one.room === room)) throw refusal(404, 'not_found', 'join the room first');
    const name = who && parse(who, this.network);
    const conversation = room ? this.conversation('room', room) : this.conversation('direct', name);
    const message = this.own(conversation, words);
    const known = room || this.network.nodes.some((node) => node.name === name);
    if (known && this.status().peers.length > 0) this.stamp(message, conversation, words.startsWith('slow') ? 500 : 3);
    return this.shown(message);
  }

  own({ id }, words, more = {}) {
    const message = {
      id: randomBytes(8).toString('hex'),
      conversation: id,
      from: this.name,
      mine: true,
      text: words,
      at: Date.now(),
      state: 'waiting',
      path: 'cast',
      request: false,
      ...more,
    };
    this.messages.push(message);
    this.changed(message);
    return message;
  }

  /** Works for `steps` steps, then publishes. */
  stamp(message, conversation, steps) {
    message.state = 'stamping';
    let left = steps;
    const timer = setInterval(() => {
      if (message.state !== 'stamping') return clearInterval(timer);
      this.emit('stamp', { id: message.id, tries: 1e6, expected_tries: 4e6, rate: 2e6, eta_s: left * 0.4 });
      if (left-- > 0) return;
      clearInterval(timer);
      for (const state of ['stamped', 'published']) {
        message.state = state;
        this.changed(message);
      }
      for (const node of this.network.nodes) if (node !== this) node.deliver(message, conversation, this);
    }, STAMP_STEP_MS);
    this.changed(message);
  }

  deliver({ id, text: words, at }, { kind, who }, sender) {
    if (kind === 'room' ? !this.rooms.some(({ room }) => room === who) : who !== this.name) return;
    const contact = this.contacts.find(({ name }) => name === sender.name);
    if (contact?.state === 'blocked') return;
    const conversation = kind === 'room' ? this.conversation('room', who) : this.conversation('direct', sender.name);
    const request = kind === 'direct' && !contact;
    const more = { id, from: sender.name, mine: false, at, state: 'received', request };
    const message = this.own(conversation, words, more);
    const secret = sender.contacts.find(({ name }) => name === this.name)?.secret;
    if (request && !this.requests.some(({ name }) => name === sender.name)) {
      this.requests.push({ id: `r${id}`, name: sender.name, text: words, at, invited: this.secrets.has(secret) });
      this.emit('request', { request: this.requests.at(-1) });
    }
    if (kind === 'direct' && contact) this.receipt(message, 'received');
  }

  /** Tells the author how far the message came. */
  receipt({ id, from }, state) {
    const author = this.network.nodes.find(({ name }) => name === from);
    const message = author?.messages.find((one) => one.id === id);
    if (!message) return;
    message.state = state;
    author.changed(message);
  }

  cancel(id) {
    const message = this.messages.find((one) => one.id === id);
    if (!['waiting', 'stamping'].includes(message?.state)) throw refusal(409, 'refused', 'it is stamped already');
    message.state = 'cancelled';
    this.changed(message);
    return this.shown(message);
  }

  read(id) {
    for (const message of this.in(id)) {
      if (message.mine || message.state === 'read') continue;
      message.state = 'read';
      this.changed(message);
      if (this.conversations.find((one) => one.id === id)?.kind === 'direct') this.receipt(message, 'read');
    }
    this.emit('conversation', {});
    return {};
  }

  join(room) {
    if (!/^[\p{L}\p{N}-]{1,32}$/u.test(room)) throw refusal(400, 'usage', 'a room name has letters, digits and dashes');
    let found = this.rooms.find((one) => one.room === room);
    if (!found) this.rooms.push((found = { room, joined: true, unread: 0, rewritten: [] }));
    this.conversation('room', room);
    this.emit('conversation', {});
    return found;
  }
}

/** A name in the real shape (32 characters and 6 of checksum), always the same for a seed. */
export function nameFrom(seed) {
  const spell = (bytes, n) => Array.from(bytes.subarray(0, n), (byte) => ALPHABET[byte % 32]).join('');
  const body = spell(createHash('sha256').update(seed).digest(), 32);
  return body + spell(createHash('sha256').update(body).digest(), 6);
}

function parse(who, network) {
  const name = who.replace(/^samizdat:/, '').split('/')[0].replaceAll('-', '');
  if (!/^[a-z2-7]{38}$/.test(name)) throw refusal(400, 'usage', 'a name has 38 letters and digits: copy the whole link');
  for (const { name: real } of network.nodes) {
    const wrong = [...real].flatMap((letter, at) => (letter === name[at] ? [] : [at]));
    if (wrong.length !== 1) continue;
    const group = Math.floor(wrong[0] / 4);
    const shown = name.slice(group * 4, group * 4 + 4);
    throw refusal(400, 'usage', `there is a typing error in group ${group + 1} ("${shown}"): compare it with the original`);
  }
  return name;
}

/** As the node pages: before a message, the newest so many. */
function page(messages, query) {
  const before = query.get('before');
  const end = before ? messages.findIndex(({ id }) => id === before) : messages.length;
  if (end < 0) throw refusal(404, 'not_found', 'there is no message with this id');
  return messages.slice(Math.max(end - Number(query.get('limit') ?? 200), 0), end);
}

function picture(words) {
  const bits = createHash('sha512').update(words).digest();
  const cells = Array.from({ length: 625 }, (_, i) => ((bits[i % 64] >> (i % 7)) & 1 ? `M${i % 25} ${Math.floor(i / 25)}h1v1h-1z` : ''));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 25 25"><path d="${cells.join('')}"/></svg>`;
}

async function asset(path, response) {
  const file = join(DIST, normalize(path === '/' ? '/index.html' : path));
  const body = await readFile(file).catch(() => null);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  response.writeHead(body ? 200 : 404, { 'content-type': type, 'content-security-policy': CSP, 'cache-control': 'no-store' });
  response.end(body);
}

async function text(stream) {
  let all = '';
  for await (const part of stream) all += part;
  return all;
}

function invitation({ passphrase_words: words, merge }) {
  const link = `samizdat:cluster/abcdefghijklmnopqrstuvwxyz234567${merge ? '/nest' : ''}`;
  return words ? { link, passphrase: Array(words).fill('bridge').join(' ') } : { link };
}

function refusal(status, kind, message) {
  return Object.assign(new Error(message), { status, kind });
}

function same(given, wanted) {
  const [a, b] = [given ?? '', wanted].map((one) => createHash('sha256').update(one).digest());
  return timingSafeEqual(a, b);
}
