/** The shapes of docs/protocol/api.md. Times are milliseconds since the Unix epoch. */

export interface Identity {
  name: string;
  label: string;
  default: boolean;
  announced: 'waiting' | 'stamping' | 'stamped' | 'published';
}

export interface Contact {
  name: string;
  petname: string | null;
  state: 'added' | 'accepted' | 'blocked';
  known: boolean;
  /** They are told what I have read. */
  receipts: boolean;
  /** Whether our nodes connect when both are there, and what mine may show. */
  session: SessionChoice;
  /** How that is now; declined: they said that they do not want it. */
  session_state: 'off' | 'waiting' | 'declined' | 'open';
}

export type SessionChoice = 'off' | 'relayed' | 'direct';

/** What is absent stays. */
export type ContactEdit = { petname?: string; blocked?: boolean; receipts?: boolean; session?: SessionChoice };

export interface ContactRequest {
  id: string;
  name: string;
  text: string;
  at: number;
  invited: boolean;
}

export type MessageState =
  | 'waiting'
  | 'stamping'
  | 'stamped'
  | 'published'
  | 'received'
  | 'read'
  | 'cancelled'
  | 'failed';

export interface Message {
  id: string;
  conversation: string;
  from: string;
  from_petname: string | null;
  mine: boolean;
  text: string;
  at: number;
  state: MessageState;
  /** Direct: over the connection between both nodes. */
  path: 'direct' | 'cast' | 'mix';
  request: boolean;
  /** Who told of it, if not its author. */
  vouched_by: string | null;
  mentions_me: boolean;
  /** In a cluster, the nickname of the only member who can read it. */
  to_member: string | null;
  /** Of mine in a cluster: how many of its members have it. */
  delivery: { to: number; of: number } | null;
  /** In a cluster, if one of so many members wrote it and nobody can tell which; then `from` is empty. */
  anonymous: { ring: number; label: string } | null;
}

/** A member who has a message of mine. */
export interface Receipt {
  member: string;
  nick: string;
  at: number;
  /** When they said that they have read it. */
  read: number | null;
}

export interface Conversation {
  id: string;
  kind: 'direct' | 'room' | 'cluster';
  who: string;
  title: string;
  last: Message | null;
  unread: number;
  label: string;
}

export interface Room {
  room: string;
  joined: boolean;
  unread: number;
  rewritten: string[];
}

/** One of my memberships. */
export interface Cluster {
  /** Names it on this node. */
  cluster: string;
  id: string | null;
  name: string;
  standing: 'asking' | 'member' | 'left' | 'removed' | 'away';
  member: string;
  nick: string;
  conversation: string;
  epoch: number;
  state: string | null;
  size: number;
  requests: number;
}

export interface ClusterView extends Cluster {
  charter: Charter | null;
  members: Member[];
  motions: Motion[];
  /** That were made here, the newest first. */
  links: ClusterLink[];
  /** The members are told what I have read. */
  receipts: boolean;
}

/** A link to a cluster that was made here. */
export interface ClusterLink {
  link: string;
  label: string;
  until: number;
  /** Before its time: nobody is let in by it. */
  closed: boolean;
  /** It is voted in secret on whoever comes by it. */
  secret: boolean;
}

/** A new cluster, and who was asked to come along. */
export interface Departure {
  cluster: Cluster;
  link: string;
  asked: string[];
}

/** The rules that a cluster gave itself. */
export interface Charter {
  name: string;
  cap: number;
  quorum: 'majority' | 'two-thirds';
  rollout_hours: number;
  silent_epochs: number;
  sponsor_epochs: number;
  history: 'none' | 'all' | { last: number };
  motion_epochs: number;
  automatic_ballots: boolean;
  delivery: boolean;
}

export interface Member {
  member: string;
  nick: string;
  /** Shown to be behind it, if they chose to. */
  name: string | null;
  own: boolean;
  here: boolean;
  heard: number | null;
  /** The rules call them silent. */
  silent: boolean;
  /** Proven: they told two sets of keys for anonymous messages. */
  two_sets: boolean;
}

/** A way to ask to be let in; the passphrase stands for the link. */
export interface ClusterInvite {
  link: string;
  passphrase?: string;
}

/** Something that members vote on. */
export interface Motion {
  motion: string;
  cluster: string;
  kind: 'admit' | 'expel' | 'silent' | 'charter' | 'merge' | 'take_in' | 'question';
  subject: string;
  state: 'open' | 'passed' | 'failed' | 'expired';
  done: boolean;
  yes: number;
  no: number;
  yes_by: string[];
  no_by: string[];
  needed: number;
  voters: number;
  until: number;
  proposer: string;
  ours: string | null;
  at: number;
  options: { option: string; first: number; place: number }[];
  ranked: boolean;
  charter: Charter | null;
  cheated: string[];
  /** Everybody sees who voted, and nobody how. */
  secret: boolean;
  phase: 'making_key' | 'voting' | 'opening' | 'done' | null;
  voted: string[];
  left_out: string[];
  /** Who verified that a secret vote for a decision passed; not how they voted. */
  confirmed: string[];
  /** Why a secret vote has failed; null if the count refused it. */
  why: string | null;
}

/** What changes the cluster and can be voted on in secret; who opens it so has not voted by that. */
export type SecretProposal = { secret?: boolean } & (
  | { kind: 'admit' | 'expel'; who: string }
  | { kind: 'take_in'; from: string }
  | { kind: 'silent'; who: string[] }
  | { kind: 'charter'; charter: Partial<Charter> }
);

export type Proposal =
  | SecretProposal
  | { kind: 'merge'; link: string; name: string }
  | { kind: 'question'; text: string; options: string[]; ranked: boolean; secret: boolean };

/** Somebody who asks to be let in. */
export interface JoinRequest {
  request: string;
  nick: string;
  words: string;
  member: string;
  at: number;
  /** The cluster with which they come. */
  from: string | null;
}

/** What a cluster decided, the oldest first. */
export interface Audit {
  /** From which epoch on it is known; null: since the founding. */
  since: number | null;
  decisions: Decision[];
}

/** One step of what a cluster decided. */
export interface Decision {
  epoch: number;
  what: string[];
  /** Of these, voted on in secret, and the result is not known here. */
  unknown?: string[];
  /** Of these, refused in a secret vote, and carried out all the same. */
  untrue?: string[];
}

export interface Peer {
  peer: string;
  path: 'direct' | 'relayed' | 'lan';
  rtt_ms: number | null;
  since: number;
  dialed: boolean;
}

/** What this node does for others. */
export interface RoleStatus {
  role: 'relay' | 'entry' | 'custodian' | 'mix';
  on: boolean;
  announced: boolean;
  why: string;
  means: string;
  tcp_port: number | null;
  udp_port: number | null;
  peers: number;
  refused: number;
}

/** What is absent stays. */
export type NodeEdit = { relay?: boolean; use_relays?: boolean; lan?: boolean; proxy?: string };

/** A contact whose node is connected to mine. */
export interface ContactSession {
  peer: string;
  /** Their petname, or else their name. */
  contact: string;
  name: string;
  path: Peer['path'];
  rtt_ms: number | null;
  since: number;
}

export interface Status {
  version: string;
  versions: { protocol: number; log_layout: number; vault_layout: number };
  name: string;
  identities: Identity[];
  peers: Peer[];
  sessions: ContactSession[];
  /** A sentence, while the clock of this machine seems to be wrong. */
  clock?: string;
  store: { envelopes: number; bytes: number; budget_bytes: number; conflicts: number };
  outbox: { waiting: number; stamping: number; stamped: number };
  paths: Record<string, string>;
  reach: { verdict: 'alone' | 'asking' | 'reachable' | 'unreachable'; why: string; nodes: number };
  roles: RoleStatus[];
  relays: { allowed: boolean; through: string[]; known: number; why: string };
  vault: 'key file' | 'passphrase';
  drops: Record<string, number>;
  join: string;
  meeting: Meeting;
}

/** A domain in whose DNS this node looks for others when it is connected to nobody. */
export interface EntryDomain {
  domain: string;
  looked_at: number | null;
  nodes: number;
  why: string;
}

/** How a node meets others. */
export interface Meeting {
  entries: EntryDomain[];
  lan: { on: boolean; why: string };
  own_entry: { domain: string; stands: boolean; why: string } | null;
  /** What being an entry point means. */
  entry_means: string;
  /** What everything goes through, without its login. */
  proxy: { at: string | null; why: string };
}

/** The entry that this node shall keep: at a name server, with a key file, or at a dyndns2 service, with a password. */
export type NewOwnEntry = { domain: string; secret: string } & ({ server: string } | { dyndns: string; user: string });

/** How far the stamp of a message has come. */
export interface Stamping {
  id: string;
  tries: number;
  expected_tries: number;
  rate: number;
  eta_s: number | null;
}

export interface Invite {
  link: string;
  name: string;
}

export type ErrorKind = 'usage' | 'not_found' | 'refused' | 'internal';

export type NodeEvent =
  | { event: 'ready' }
  | { event: 'message'; message: Message }
  | { event: 'request'; request: ContactRequest }
  | { event: 'contact' }
  | { event: 'conversation' }
  | { event: 'cluster'; cluster: Cluster }
  | { event: 'peers'; count: number }
  | { event: 'status'; status: Status }
  | ({ event: 'stamp' } & Stamping)
  | { event: 'mining' }
  | { event: 'mined' }
  | { event: 'lagged' };
