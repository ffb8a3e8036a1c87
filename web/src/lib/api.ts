import type {
  Audit,
  Cluster,
  ClusterInvite,
  ClusterView,
  Contact,
  ContactEdit,
  ContactRequest,
  Conversation,
  Departure,
  ErrorKind,
  Invite,
  JoinRequest,
  Meeting,
  Message,
  Motion,
  NewOwnEntry,
  NodeEdit,
  Proposal,
  Receipt,
  Room,
  Status,
} from './shapes';

/** What became of a call that did not succeed: a sentence of the node, or the lack of one. */
export class ApiError extends Error {
  constructor(
    readonly kind: ErrorKind | 'unauthorised' | 'unreachable',
    message: string,
  ) {
    super(message);
  }
}

/** One sentence for a person, whatever was thrown. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export type Target = { who: string } | { room: string } | { cluster: string };
/** Also one member of a cluster only. */
export type Addressee = Target & { member?: string };

/** The node's local API, one method per call that this page makes. */
export class Api {
  constructor(
    private readonly token: string,
    private readonly request: typeof fetch = (...args) => fetch(...args),
  ) {}

  status = (): Promise<Status> => this.get('status');
  editNode = (edit: NodeEdit): Promise<Status> => this.json('PATCH', 'node', edit);
  keepEntry = (wish: NewOwnEntry): Promise<Meeting> => this.post('node/entry', wish);
  removeEntry = (): Promise<Meeting> => this.json('DELETE', 'node/entry');
  invite = (): Promise<Invite> => this.post('invites', {});

  contacts = async (): Promise<Contact[]> => (await this.get<{ contacts: Contact[] }>('contacts')).contacts;
  addContact = (who: string, petname?: string): Promise<Contact> =>
    this.post('contacts', petname ? { who, petname } : { who });
  changeContact = (name: string, change: ContactEdit): Promise<Contact> =>
    this.json('PATCH', `contacts/${encodeURIComponent(name)}`, change);

  requests = async (): Promise<ContactRequest[]> =>
    (await this.get<{ requests: ContactRequest[] }>('requests')).requests;
  answer = (id: string, verb: 'accept' | 'decline' | 'block'): Promise<ContactRequest> =>
    this.post(`requests/${encodeURIComponent(id)}/${verb}`, {});

  conversations = async (): Promise<Conversation[]> =>
    (await this.get<{ conversations: Conversation[] }>('conversations')).conversations;
  messages = async (of: Target, limit: number, before?: string): Promise<Message[]> => {
    const page = query({ ...of, limit: String(limit), ...(before && { before }) });
    return (await this.get<{ messages: Message[] }>(`messages?${page}`)).messages;
  };
  send = (to: Addressee, text: string, anonymous = false): Promise<Message> =>
    this.post('messages', { ...to, text, ...(anonymous && { anonymous }) });
  cancel = (id: string): Promise<Message> => this.post(`messages/${encodeURIComponent(id)}/cancel`, {});
  /** Up to this message, or whole. */
  markRead = (conversation: string, upTo?: string): Promise<unknown> =>
    this.post('read', upTo ? { conversation, up_to: upTo } : { conversation });

  rooms = async (): Promise<Room[]> => (await this.get<{ rooms: Room[] }>('rooms')).rooms;
  join = (room: string): Promise<Room> => this.post('rooms', { room });

  clusters = async (): Promise<Cluster[]> => (await this.get<{ clusters: Cluster[] }>('clusters')).clusters;
  cluster = (which: string): Promise<ClusterView> => this.get(cluster(which));
  foundCluster = (name: string, nick?: string): Promise<ClusterView> =>
    this.post('clusters', { name, ...(nick && { nick }) });
  joinCluster = (by: { link: string } | { passphrase: string }, nick?: string, words?: string): Promise<ClusterView> =>
    this.post('join', { ...by, ...(nick && { nick }), ...(words && { words }) });
  claimInCluster = (which: string, to?: string): Promise<ClusterView> =>
    this.post(cluster(which, '/claim'), { ...(to && { to }) });
  editCluster = (which: string, edit: { receipts: boolean }): Promise<ClusterView> =>
    this.json('PATCH', cluster(which), edit);
  leaveCluster = (which: string): Promise<ClusterView> => this.post(cluster(which, '/leave'), {});
  /** With a passphrase of so many words, if any; in secret is whether it is voted so on whoever comes. */
  inviteToCluster = (which: string, words = 0, secret = false): Promise<ClusterInvite> =>
    this.post(cluster(which, '/invites'), { ...(words && { passphrase_words: words }), ...(secret && { secret }) });
  /** By which another cluster can come, if its members agree. */
  inviteCluster = (which: string): Promise<ClusterInvite> => this.post(cluster(which, '/invites'), { merge: true });
  /** Founds another by the same rules and asks these members to come along. */
  splitCluster = (which: string, who: string[], name?: string): Promise<Departure> =>
    this.post(cluster(which, '/split'), { with: who, ...(name && { name }) });
  joinRequests = async (which: string): Promise<JoinRequest[]> =>
    (await this.get<{ requests: JoinRequest[] }>(cluster(which, '/requests'))).requests;
  openMotion = (which: string, proposal: Proposal): Promise<Motion> => this.post(cluster(which, '/motions'), proposal);
  vote = (motion: string, vote: string): Promise<Motion> =>
    this.post(`motions/${encodeURIComponent(motion)}/vote`, { vote });
  receipts = async (message: string): Promise<Receipt[]> =>
    (await this.get<{ receipts: Receipt[] }>(`messages/${encodeURIComponent(message)}/receipts`)).receipts;
  audit = (which: string): Promise<Audit> => this.get(cluster(which, '/audit'));

  /** A QR code as a picture that an `img` can show through a blob URL. */
  async qr(text: string): Promise<Blob> {
    const answer = await this.call('GET', `qr.svg?${query({ text })}`);
    return new Blob([await answer.text()], { type: 'image/svg+xml' });
  }

  private get<T>(path: string): Promise<T> {
    return this.json('GET', path);
  }

  private post<T>(path: string, body: object): Promise<T> {
    return this.json('POST', path, body);
  }

  private async json<T>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.call(method, path, body);
    try {
      return (await answer.json()) as T;
    } catch {
      throw new ApiError('unreachable', 'The answer of your node was cut short.');
    }
  }

  private async call(method: string, path: string, body?: object): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    if (body) headers['content-type'] = 'application/json';
    let answer: Response;
    try {
      answer = await this.request(`/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new ApiError('unreachable', 'Your node does not answer. Is samizdat still running?');
    }
    if (!answer.ok) throw await refusal(answer);
    return answer;
  }
}

const cluster = (which: string, rest = ''): string => `clusters/${encodeURIComponent(which)}${rest}`;

async function refusal(answer: Response): Promise<ApiError> {
  if (answer.status === 401 || answer.status === 403) {
    return new ApiError('unauthorised', 'This link to your node is no longer valid.');
  }
  try {
    const { error } = (await answer.json()) as { error: { kind: ErrorKind; message: string } };
    return new ApiError(error.kind, asSentence(error.message));
  } catch {
    return new ApiError('internal', `Your node answered with an error (${answer.status}).`);
  }
}

/** The node writes its sentences for every surface; here they stand alone. */
function asSentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

function query(parts: Record<string, string>): string {
  return new URLSearchParams(parts).toString();
}
