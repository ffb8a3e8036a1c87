import axe from 'axe-core';
import { expect } from 'vitest';
import type { Api } from '../lib/api';
import { Mirror } from '../lib/node.svelte';
import type { Session } from '../lib/session';
import type { Cluster, ClusterView, Contact, ContactRequest, Conversation, Message, Motion, Room, Status } from '../lib/shapes';
import { View } from '../lib/view.svelte';

export const ALICE = 'abcdefghijklmnopqrstuvwxyz234567abcdef';
export const BOB = 'bbcdefghijklmnopqrstuvwxyz234567abcdef';

export const message = (over: Partial<Message> = {}): Message => ({
  id: 'm1',
  conversation: 'c1',
  from: BOB,
  from_petname: 'Bob',
  mine: false,
  text: 'hello',
  at: Date.UTC(2026, 10, 21, 12),
  state: 'received',
  path: 'cast',
  request: false,
  vouched_by: null,
  mentions_me: false,
  to_member: null,
  delivery: null,
  anonymous: null,
  ...over,
});

export const conversation = (over: Partial<Conversation> = {}): Conversation => ({
  id: 'c1',
  kind: 'direct',
  who: BOB,
  title: 'Bob',
  last: null,
  unread: 0,
  label: 'Only Bob can read this.',
  ...over,
});

export const contact = (over: Partial<Contact> = {}): Contact => ({
  name: BOB,
  petname: 'Bob',
  state: 'accepted',
  known: true,
  receipts: false,
  session: 'off',
  session_state: 'off',
  ...over,
});

export const room = (over: Partial<Room> = {}): Room => ({
  room: 'lobby',
  joined: true,
  unread: 0,
  rewritten: [],
  ...over,
});

export const request = (over: Partial<ContactRequest> = {}): ContactRequest => ({
  id: 'r1',
  name: BOB,
  text: 'May I write to you?',
  at: Date.UTC(2026, 10, 21, 12),
  invited: false,
  ...over,
});

export const status = (over: Partial<Status> = {}): Status => ({
  version: '0.1.0',
  versions: { protocol: 1, log_layout: 1, vault_layout: 2 },
  name: ALICE,
  identities: [{ name: ALICE, label: 'me', default: true, announced: 'published' }],
  peers: [{ peer: 'k3v2m7qf4d', path: 'relayed', rtt_ms: 42, since: 0, dialed: true }],
  sessions: [],
  store: { envelopes: 12, bytes: 3_140_000, budget_bytes: 1_000_000_000, conflicts: 0 },
  outbox: { waiting: 1, stamping: 0, stamped: 2 },
  paths: { cast: 'Hidden among about 40 nodes.' },
  reach: { verdict: 'unreachable', why: 'Others cannot dial this node.', nodes: 3 },
  roles: [
    {
      role: 'relay',
      on: false,
      announced: false,
      why: 'Off: this node relays for nobody.',
      means: 'Carries the packets of people who cannot reach each other.',
      tcp_port: null,
      udp_port: null,
      peers: 0,
      refused: 0,
    },
  ],
  relays: { allowed: true, through: ['198.51.1.1:4001'], known: 2, why: 'Others reach this node through a relay.' },
  vault: 'key file',
  drops: { stamp_too_low: 3, expired: 0 },
  join: '203.0.113.7:4242',
  meeting: { entries: [], lan: { on: false, why: 'Off.' }, own_entry: null, entry_means: 'Newcomers find this node in DNS.', proxy: { at: null, why: 'Off.' } },
  ...over,
});

export const cluster = (over: Partial<Cluster> = {}): Cluster => ({
  cluster: '1',
  id: 'nestnestnest',
  name: 'nest',
  standing: 'member',
  member: 'alicesmember',
  nick: 'alice',
  conversation: 'c7',
  epoch: 4,
  state: 'stateofthenest',
  size: 3,
  requests: 0,
  ...over,
});

export const motion = (over: Partial<Motion> = {}): Motion => ({
  motion: 'abcdefghijkl',
  cluster: '1',
  kind: 'expel',
  subject: 'mallory',
  state: 'open',
  done: false,
  yes: 1,
  no: 0,
  yes_by: ['bob'],
  no_by: [],
  needed: 2,
  voters: 2,
  until: 12,
  proposer: 'bob',
  ours: null,
  at: Date.UTC(2026, 10, 21, 12),
  options: [],
  ranked: false,
  charter: null,
  cheated: [],
  secret: false,
  phase: null,
  voted: [],
  left_out: [],
  confirmed: [],
  why: null,
  ...over,
});

export const clusterView = (over: Partial<ClusterView> = {}): ClusterView => ({
  ...cluster(),
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
  members: [
    { member: 'alicesmember', nick: 'alice', name: null, own: true, here: true, heard: 1, silent: false, two_sets: false },
    { member: 'bobsmember', nick: 'bob', name: null, own: false, here: true, heard: 1, silent: false, two_sets: false },
    { member: 'mallorysmember', nick: 'mallory', name: null, own: false, here: false, heard: null, silent: false, two_sets: false },
  ],
  motions: [motion()],
  links: [],
  receipts: false,
  ...over,
});

/** An API whose lists are empty and whose calls are those given. */
export function fakeApi(over: Partial<Api> = {}): Api {
  const empty = {
    status: async () => status(),
    contacts: async () => [],
    requests: async () => [],
    conversations: async () => [],
    rooms: async () => [],
    clusters: async () => [],
    messages: async () => [],
    markRead: async () => ({}),
  };
  return { ...empty, ...over } as unknown as Api;
}

export function fakeSession(over: Partial<Api> = {}): Session {
  const api = fakeApi(over);
  return { api, node: new Mirror(api), view: new View() };
}

/** jsdom draws nothing, so contrast is left to the browser tests; regions to the whole page. */
export async function expectAccessible(element: Element): Promise<void> {
  const rules = { 'color-contrast': { enabled: false }, region: { enabled: false } };
  const { violations } = await axe.run(element, { rules });
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`)).toEqual([]);
}
