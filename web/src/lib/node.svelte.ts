import { SvelteMap } from 'svelte/reactivity';
import { ApiError, sentence, type Api, type Target } from './api';
import { chats, type Chat } from './chats';
import { coalesce } from './coalesce';
import type { Link } from './events';
import type {
  Cluster,
  Contact,
  ContactRequest,
  Conversation,
  Message,
  NodeEvent,
  Room,
  Stamping,
  Status,
} from './shapes';

const PAGE = 200;
/** The node lists no more at once; what is older comes page by page. */
const MOST = 1000;
/** Between two tries of the first read; twice as long each time. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

interface Timeline {
  messages: Message[];
  /** Nothing older can be had. */
  complete: boolean;
}

/** Where a message for this chat goes. */
export const addressee = ({ kind, who }: { kind: Conversation['kind']; who: string }): Target =>
  kind === 'room' ? { room: who } : kind === 'cluster' ? { cluster: who } : { who };

/** What this page knows of the node; kept up to date by its events. The node decides everything, this only mirrors. */
export class Mirror {
  status = $state.raw<Status | null>(null);
  peers = $state(0);
  contacts = $state.raw<Contact[]>([]);
  requests = $state.raw<ContactRequest[]>([]);
  conversations = $state.raw<Conversation[]>([]);
  rooms = $state.raw<Room[]>([]);
  clusters = $state.raw<Cluster[]>([]);
  /** Grows when something about clusters changed that the lists do not show: their motions are read by who shows them. */
  clusterNews = $state(0);
  link = $state.raw<Link>({ state: 'up' });
  /** The first read succeeded: there is something to show. */
  ready = $state(false);
  /** Why the first read failed, as a sentence; it is tried again. */
  trouble = $state<string | null>(null);
  /** The node does not take our token. */
  refused = $state(false);
  readonly stamping = new SvelteMap<string, Stamping>();
  readonly chats: Chat[] = $derived(
    chats(this.conversations, this.contacts, this.rooms, this.requests, this.clusters),
  );
  readonly unread: number = $derived(this.chats.reduce((sum, chat) => sum + chat.unread, this.requests.length));

  private closed = false;
  private wait = FIRST_WAIT_MS;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly timelines = new SvelteMap<string, Timeline>();
  /** Messages that came while a timeline was being read; they are newer than what the read returns. */
  private readonly arrived = new Map<string, Message[]>();

  constructor(
    private readonly api: Api,
    /** Told about each message of somebody else that was not there before, where its timeline is loaded. */
    private readonly heard: (message: Message) => void = () => {},
  ) {}

  chat = (key: string): Chat | undefined => this.chats.find((chat) => chat.key === key);
  timeline = (conversation: string | null): Timeline | undefined =>
    conversation ? this.timelines.get(conversation) : undefined;

  /** Reads everything anew; timelines other than `open` are read again when somebody looks at them. */
  async reload(open: Chat | undefined): Promise<void> {
    clearTimeout(this.retry);
    const failure = await this.guard(async () => {
      for (const id of this.timelines.keys()) if (id !== open?.conversation) this.timelines.delete(id);
      const [status] = await Promise.all([this.api.status(), this.readLists(), open && this.load(open)]);
      this.take(status);
      this.ready = true;
      this.clusterNews += 1;
    });
    if (this.ready) this.trouble = null;
    if (this.ready || this.closed || !failure || failure.kind === 'unauthorised') return;
    // The stream may well be up, so no new connection will mend this.
    this.trouble = sentence(failure);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.reload(open), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  /** Nothing is tried any more. */
  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
  }

  handle(event: NodeEvent, open: Chat | undefined): void {
    switch (event.event) {
      case 'message':
        this.place(event.message);
        return void this.lists();
      case 'request':
      case 'contact':
      case 'conversation':
        return void this.lists();
      case 'cluster':
        this.clusterNews += 1;
        return void this.lists();
      case 'peers':
        this.peers = event.count;
        return;
      case 'status':
        return this.take(event.status);
      case 'stamp':
        this.stamping.set(event.id, event);
        return;
      case 'lagged':
        return void this.reload(open);
    }
  }

  /** Reads a timeline: the newest page, or as far back as it was already shown. */
  async load(chat: Chat): Promise<void> {
    const id = chat.conversation;
    if (!id) return;
    const shown = this.timelines.get(id)?.messages.length ?? 0;
    const limit = Math.min(Math.max(shown, PAGE), MOST);
    const arrived: Message[] = [];
    this.arrived.set(id, arrived);
    try {
      const messages = await this.api.messages(addressee(chat), limit);
      this.timelines.set(id, { messages, complete: messages.length < limit });
    } finally {
      this.arrived.delete(id);
    }
    for (const message of arrived) this.place(message);
  }

  /** Reads the page before what is shown. */
  async loadOlder(chat: Chat): Promise<void> {
    const id = chat.conversation;
    const first = id && this.timelines.get(id)?.messages[0];
    if (!first) return this.load(chat);
    let older: Message[];
    try {
      older = await this.api.messages(addressee(chat), PAGE, first.id);
    } catch (error) {
      // A post whose author rewrote history is gone: what is there now is read anew.
      if (error instanceof ApiError && error.kind === 'not_found') return this.load(chat);
      throw error;
    }
    const timeline = this.timelines.get(id);
    // Meanwhile somebody else may have read the same page.
    if (timeline?.messages[0]?.id !== first.id) return;
    this.timelines.set(id, { messages: [...older, ...timeline.messages], complete: older.length < PAGE });
  }

  /** Puts a message where it belongs: over its older self, or at the end. */
  place(message: Message): void {
    if (message.state !== 'stamping') this.stamping.delete(message.id);
    this.arrived.get(message.conversation)?.push(message);
    const timeline = this.timelines.get(message.conversation);
    if (!timeline) return;
    const messages = [...timeline.messages];
    const at = messages.findIndex((known) => known.id === message.id);
    if (at >= 0) messages[at] = message;
    else {
      messages.push(message);
      if (!message.mine) this.heard(message);
    }
    this.timelines.set(message.conversation, { ...timeline, messages });
  }

  async markRead(chat: Chat): Promise<void> {
    if (chat.conversation && chat.unread > 0) {
      // What comes while this is under way has not been seen.
      await this.guard(async () => void (await this.api.markRead(chat.conversation ?? '', chat.last?.id)));
      await this.lists();
    }
  }

  /** Reads the lists; many calls at once become one read. */
  readonly lists = coalesce(async () => void (await this.guard(() => this.readLists())));

  private async readLists(): Promise<void> {
    [this.contacts, this.requests, this.conversations, this.rooms, this.clusters] = await Promise.all([
      this.api.contacts(),
      this.api.requests(),
      this.api.conversations(),
      this.api.rooms(),
      this.api.clusters(),
    ]);
  }

  /** What the node says of itself, by event or in an answer. */
  take(status: Status): void {
    this.status = status;
    this.peers = status.peers.length;
  }

  /** A read that fails because the node is away is mended by the next connection; a refused token is not. */
  private async guard(work: () => Promise<void>): Promise<ApiError | null> {
    try {
      await work();
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.kind === 'unauthorised') this.refused = true;
      return error;
    }
  }
}
